"""What every command shares: how errors leave, which lab is meant.

Exit status: 0 done · 1 the answer is no (a problem in the user's files, a job that failed) · 2 wrong usage · 3 refused: a human
must change something · 4 unavailable: try again later."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, ParamSpec, TypeVar

import typer

from labwright.cli.terminal import clean_lines
from labwright.domain.errors import Invalid, LabError, Unavailable
from labwright.settings import Place, find_place

P = ParamSpec("P")
T = TypeVar("T")

NO, REFUSED, UNAVAILABLE = 1, 3, 4

RepoOption = Annotated[
    str | None, typer.Option("--repo", help="Path or URL of the lab repository (default: the one around here)")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable, with the fields of docs/spec/cli.md")]


def place(repo: str | None) -> Place:
    return find_place(repo)


def command(function: Callable[P, T]) -> Callable[P, T]:
    """An error that a user can act on is one line on stderr and an exit status, never a traceback."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except Invalid as error:
            for problem in error.problems:
                typer.echo(clean_lines(str(problem)), err=True)
            raise typer.Exit(NO) from None
        except LabError as error:
            typer.echo(clean_lines(f"lab: {error}"), err=True)
            raise typer.Exit(UNAVAILABLE if isinstance(error, Unavailable) else REFUSED) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `lab jobs | head`: no noise at exit
            raise typer.Exit(0) from None

    return wrapped
