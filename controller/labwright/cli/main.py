"""`lab`: one module per command, imported only when that command (or the list of all) is asked for."""

import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated, Any

import typer

from labwright import __version__
from labwright.cli.shell import command

COMMANDS = (  # in the order of `lab --help`; each is the function, or group, of its own name in labwright/cli/<name>.py
    "init",
    "check",
    "schema",
    "plan",
    "render",
    "serve",
    "run",
    "rerun",
    "retry",
    "stop",
    "confirm",
    "suspend",
    "resume",
    "status",
    "jobs",
    "show",
    "logs",
    "why",
    "sql",
    "best",
    "compare",
    "artifacts",
    "pull",
    "forge",
    "doctor",
    "rebuild",
)


def program(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with these commands."""
    made = typer.Typer(
        no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, help="Push a commit, get a result."
    )
    made.callback()(_root)
    for name in names:
        found = getattr(import_module(f"labwright.cli.{name}"), name)
        if isinstance(found, typer.Typer):
            made.add_typer(found, name=name)
        else:
            made.command(name)(command(found))
    return made


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"labwright {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which this is")
    ] = False,
) -> None:
    """Push a commit, get a result."""


def main() -> None:
    asked = sys.argv[1:2]
    program(asked if asked and asked[0] in COMMANDS else COMMANDS)()


def __getattr__(name: str) -> Any:
    if name == "app":
        return program()
    raise AttributeError(name)
