"""`lab artifacts`: what a job left."""

from typing import Annotated

import typer

from labwright.cli import completion
from labwright.cli.asjson import print_json
from labwright.cli.look import Look, Row, looking, quoted
from labwright.cli.shell import JsonOption, RepoOption


def artifacts(
    job: Annotated[
        str,
        typer.Argument(
            help="A job, the start of its id, or a task (its newest job)", autocompletion=completion.tasks_and_jobs
        ),
    ],
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a job's artifacts; `lab pull` copies them."""
    from labwright.cli.names import one
    from labwright.cli.whereabouts import Whereabouts

    with looking(repo) as look:
        named = one(look, job)
        found = artifacts_of(look, named.job)
        places = Whereabouts(look, named.job).places(found)
        found = [{**row, "where": where} for row, where in zip(found, places, strict=True)]
    if as_json:
        print_json({"job": named.job, "task": named.task, "artifacts": found})
        return
    _print(found, f"{named.task} ({named.job})")


def artifacts_of(look: Look, job: str) -> list[Row]:
    """By path. Of a job that runs, those that it has announced so far."""
    own = f"job = {quoted(job)}"
    found = look.rows(f"SELECT path, kind, size, sha256, uri FROM artifacts WHERE {own} ORDER BY path")  # noqa: S608
    if found:
        return found
    announced = look.rows(f"SELECT data FROM events WHERE {own} AND kind = 'artifact' ORDER BY time")  # noqa: S608
    newest = {str(row["data"].get("path")): row["data"] for row in announced if isinstance(row["data"], dict)}
    fields = {"kind": "file", "size": None, "sha256": "", "uri": ""}
    return [{"path": path, **{k: data.get(k, v) for k, v in fields.items()}} for path, data in sorted(newest.items())]


def _print(found: list[Row], of: str) -> None:
    from labwright.cli.tables import cell, console, several, size, table
    from labwright.cli.terminal import say

    if not found:
        say(f"{of} left no artifacts", err=True)
        return
    made = table(["path", "kind", "size", "sha256", "where"], right=["size"], whole=[])
    for row in found:
        sha256, where = cell((row["sha256"] or "")[:16], "dim"), cell(", ".join(row["where"]) or "–", "dim")
        made.add_row(cell(row["path"]), cell(row["kind"]), size(row["size"]), sha256, where)
    console().print(made)
    total = sum(row["size"] or 0 for row in found)
    say(f"{several(len(found), 'file')}, {size(total)}", err=True)
