"""`lab best`: the jobs of a task in the order of what they reached."""

from typing import Annotated

import typer

from labwright.cli import completion
from labwright.cli.asjson import print_json
from labwright.cli.look import Look, Row, looking, quoted
from labwright.cli.shell import NO, JsonOption, RepoOption
from labwright.domain.errors import Refused


def best(
    task: Annotated[str, typer.Argument(help="A task, such as alpha/train", autocompletion=completion.tasks)],
    metric: Annotated[str | None, typer.Option(help="Rank by this metric's last value instead of the score")] = None,
    lower: Annotated[
        bool | None, typer.Option("--lower/--higher", help="Which is better (default: as the task says)")
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", help="At most so many", min=1)] = 10,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """The best jobs of a task. Exit status 1 when none has a score yet."""
    from labwright.cli.names import task_path

    with looking(repo) as look:
        name = task_path(task, look.place.repo)
        ranked_by, is_lower = _ranking(look, name, metric, lower)
        found = _ranked(look, name, metric, is_lower, count)
    if as_json:
        print_json({"task": name, "ranked_by": ranked_by, "lower_is_better": is_lower, "jobs": found})
    else:
        _print(found, name, ranked_by, is_lower)
    if not found:
        raise typer.Exit(NO)


def _ranking(look: Look, task: str, metric: str | None, lower: bool | None) -> tuple[str, bool]:
    """By what, and whether lower is better: what the newest job of the task says, unless it is said here."""
    sql = f"SELECT sweep_metric, lower_is_better, scores FROM jobs WHERE task = {quoted(task)} ORDER BY created DESC LIMIT 1"  # noqa: S608
    newest = look.rows(sql)
    if not newest:
        raise Refused(f"no job of {task} has run", hint="`lab jobs` lists what there is")
    said = newest[0]
    named = metric or said["sweep_metric"] or min(said["scores"] or {"score": 0})
    return named, said["lower_is_better"] is not False if lower is None else lower


def _ranked(look: Look, task: str, metric: str | None, lower: bool, count: int) -> list[Row]:
    value, source = ("j.score", "jobs j")
    if metric is not None:
        value = "m.last"
        source = f"jobs j JOIN final_metrics m ON m.job = j.job AND m.name = {quoted(metric)}"
    rows = look.rows(
        f"SELECT row_number() OVER (ORDER BY {value} {'ASC' if lower else 'DESC'}, j.ended, j.job) AS place, j.job, "  # noqa: S608
        f'{value} AS value, j.scores, j.params AS parameters, j."commit", j.branch, j.author, j.trial, j.generation, '
        f"j.seconds, j.ended FROM {source} WHERE j.task = {quoted(task)} AND j.state = 'COMPLETE' AND isfinite({value}) "
        f"ORDER BY place LIMIT {count}"
    )
    if not rows and metric is not None:
        _refuse_unknown(look, task, metric)
    return rows


def _refuse_unknown(look: Look, task: str, metric: str) -> None:
    sql = f"SELECT DISTINCT name FROM final_metrics SEMI JOIN (FROM jobs WHERE task = {quoted(task)}) USING (job) ORDER BY 1"  # noqa: S608
    names = [row["name"] for row in look.rows(sql)]
    if metric not in names:
        raise Refused(
            f"no job of {task} logged a metric {metric}", hint=f"there are: {', '.join(names[:20]) or 'none'}"
        )


def _print(found: list[Row], task: str, ranked_by: str, lower: bool) -> None:
    from labwright.cli.tables import cell, console, number, parameters, span, table
    from labwright.cli.terminal import say

    if not found:
        say(f"no complete job of {task} has a score yet", err=True)
        return
    names = sorted({name for row in found for name in row["parameters"] or {}})
    varying = [n for n in names if len({str((row["parameters"] or {}).get(n)) for row in found}) > 1]
    same = {n: (found[0]["parameters"] or {}).get(n) for n in names if n not in varying and len(found) > 1}
    shown = varying if len(found) > 1 else names
    out = console()
    out.print(cell(f"{task} by {ranked_by}, {'lower' if lower else 'higher'} is better", "bold"))
    if same:
        out.print(cell(f"the same in all: {parameters(same, most=200)}", "dim"))
    made = table(["", "job", ranked_by, *shown[:8], "time", "commit"], right=["", ranked_by, "time"])
    for row in found:
        style = "bold green" if row["place"] == 1 else ""
        values = [cell(number((row["parameters"] or {}).get(name)), style, most=40) for name in shown[:8]]
        figures = [cell(row["place"], style), cell(row["job"], style), cell(number(row["value"]), style)]
        made.add_row(*figures, *values, cell(span(row["seconds"]), style), cell((row["commit"] or "")[:10], "dim"))
    out.print(made)
