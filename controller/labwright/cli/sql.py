"""`lab sql`: any question, to the controller, its file, or the results branch of any clone."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from labwright.cli.look import Look, looking
from labwright.cli.shell import RepoOption
from labwright.domain.errors import Refused

_SUFFIXES = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".arrow": "arrow", ".arrows": "arrow"}
_TABLE_ROWS = 10_000  # of a table, which somebody reads


def sql(
    query: Annotated[
        str | None, typer.Argument(help="One SELECT; `-` reads standard input", show_default=False)
    ] = None,
    *,
    file: Annotated[Path | None, typer.Option("-f", "--file", help="Read the query from this file")] = None,
    format: Annotated[str | None, typer.Option(help="table, csv, json, parquet or arrow")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write to this file")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many rows", min=0)] = None,
    seconds: Annotated[float, typer.Option(help="At most so long", min=0.01)] = 30.0,
    from_results: Annotated[
        bool, typer.Option("--from-results", help="Ask the results branch, whatever the controller knows")
    ] = False,
    branch: Annotated[str | None, typer.Option(help="Results branch (default: as lab.yaml says)")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json")] = False,
    repo: RepoOption = None,
) -> None:
    """Ask in SQL: jobs, attempts, metrics, params, artifacts, leaderboard … (docs/spec/tables.md)."""
    text = _text(query, file)
    chosen = _format("json" if as_json else format, output)
    with looking(repo, from_results=from_results) as look:
        look.branch = branch or look.branch
        _answer(look, text, chosen, output, limit, seconds)


def _answer(look: Look, text: str, chosen: str, output: Path | None, limit: int | None, seconds: float) -> None:
    from labwright.cli.output import write_answer
    from labwright.ports.records import QueryLimits

    most = limit if limit is not None else _TABLE_ROWS if chosen == "table" else QueryLimits().rows
    answer = look.ask(text, QueryLimits(seconds=seconds, rows=most))
    if output is None:
        write_answer(answer, chosen, sys.stdout)
        return
    draft = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8", newline="") as out:
            write_answer(answer, chosen, out)
        draft.replace(output)
    except OSError as error:
        raise Refused(f"{output}: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


def _text(query: str | None, file: Path | None) -> str:
    if (query is None) == (file is None) and not (query is None and not sys.stdin.isatty()):
        raise typer.BadParameter('give a query, -f FILE, or `-` to read one: lab sql "SELECT * FROM leaderboard"')
    if file is not None and str(file) != "-":
        try:
            return file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"{file}: {getattr(error, 'strerror', None) or 'no text'}") from None
    return sys.stdin.read() if query in (None, "-") else str(query)


def _format(asked: str | None, output: Path | None) -> str:
    from labwright.cli.output import FORMATS

    chosen = asked or _SUFFIXES.get(output.suffix if output else "", "table")
    if chosen not in FORMATS:
        raise typer.BadParameter(f"there is no format {chosen}; there are: {', '.join(FORMATS)}")
    return chosen
