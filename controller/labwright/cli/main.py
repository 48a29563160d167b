"""`lab`: one module per command."""

import typer

from labwright.cli import serve
from labwright.cli.shell import command

app = typer.Typer(
    no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, help="Push a commit, get a result."
)
app.command("serve")(command(serve.serve))


@app.callback()
def _root() -> None:
    """Push a commit, get a result."""


def main() -> None:
    app()
