"""`lab`: one module per command."""

import typer

from labwright.cli import serve

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, help=__doc__)
app.command("serve")(serve.serve)


@app.callback()
def _root() -> None:
    """Push a commit, get a result."""


def main() -> None:
    app()
