"""`lab jobs`: a list to choose from."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labwright.cli import completion
from labwright.cli.asjson import print_json
from labwright.cli.lanes import condition, lane_in, lanes_with, wanted_by
from labwright.cli.look import Look, Row, listed, looking, quoted
from labwright.cli.shell import JsonOption, RepoOption
from labwright.cli.terminal import clean
from labwright.cli.waiting import reasons
from labwright.domain.errors import Refused
from labwright.domain.forge import number_of
from labwright.domain.lifecycle import LIVE, State

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHA = re.compile(r"[0-9a-f]{4,64}")
_COLUMNS = (
    'job, task, state, reason, score, sweep_metric, params AS parameters, trial, generation, provider, "commit", branch, '
    "author, created, started, ended, seconds, attempt, outcome"
)


def jobs(
    what: Annotated[
        str | None,
        typer.Argument(
            help="Of a task, an experiment, a commit or a pull request (pull:7)", autocompletion=completion.tasks
        ),
    ] = None,
    *,
    state: Annotated[list[str] | None, typer.Option(help="RUNNING, failed … (may be given again)")] = None,
    task: Annotated[str | None, typer.Option(help="Of this task")] = None,
    experiment: Annotated[str | None, typer.Option(help="Of this experiment")] = None,
    commit: Annotated[str | None, typer.Option(help="That this commit (or the start of its SHA) asked for")] = None,
    pull: Annotated[
        str | None, typer.Option(metavar="N", help="That this pull request asked for, reused ones too")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many, newest first", min=1)] = 30,
    everything: Annotated[bool, typer.Option("--all", help="However many there are")] = False,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    with looking(repo) as look:
        given = {"task": task, "experiment": experiment, "commit": commit, "pull": pull}
        conditions = _conditions(look, state or [], given | _meant(look, what, given))
        found = list_jobs(look, conditions, None if everything else limit + 1)
    more = not everything and len(found) > limit
    found = found if everything else found[:limit]
    if as_json:
        print_json(found)
        return
    _print(found, look, more)


def _meant(look: Look, what: str | None, given: dict[str, str | None]) -> dict[str, str | None]:
    """Which option a name without one stands for. Raises Refused for one that is nothing that has jobs."""
    from labwright.cli.names import task_path

    if what is None:
        return {}
    if lane_in(what):
        found = {"pull": what}
    else:
        task = task_path(what, look.place.repo)
        known = {"task": task, "experiment": task, "commit": what.lower()}
        tests = {"task": f"task = {quoted(task)}", "experiment": f"experiment = {quoted(task)}"}
        tests |= {"commit": f'starts_with("commit", {quoted(what.lower())})'} if _SHA.fullmatch(what.lower()) else {}
        name = next((name for name, test in tests.items() if _any(look, name, known[name], test)), None)
        if name is None:
            hint = "`lab jobs` without a name lists all"
            raise Refused(
                f"there is no task, experiment, commit or pull request {clean(what)} that has jobs", hint=hint
            )
        found = {name: known[name]}
    if twice := [name for name in found if given[name]]:
        raise Refused(f"{clean(what)} and --{twice[0]} say the same thing twice", hint="leave one of them out")
    return dict(found)


def _any(look: Look, name: str, value: str, test: str) -> bool:
    live = look.ledger.jobs(states=LIVE) if look.ledger else ()
    if any(getattr(job, name).startswith(value) if name == "commit" else getattr(job, name) == value for job in live):
        return True
    return bool(look.rows(f"SELECT 1 AS found FROM jobs WHERE {test} LIMIT 1"))  # noqa: S608  # quoted


def _conditions(look: Look, states: list[str], given: dict[str, str | None]) -> dict[str, Any]:
    from labwright.cli.names import task_path

    known = {word.value for word in State}
    asked = {part.strip().upper() for word in states for part in word.split(",")}
    if unknown := sorted(asked - known):
        raise Refused(f"there is no state {unknown[0]}", hint="there are: " + ", ".join(State))
    lanes = {lane for name in ("task", "commit") if (lane := lane_in(given[name]))}
    task, experiment, commit = (
        None if lane_in(given[name]) else given[name] for name in ("task", "experiment", "commit")
    )
    if pull := given["pull"]:
        lanes.add(lane_in(pull) or lane_in(f"#{pull}") or _no_number(pull))
    if len(lanes) > 1:
        raise Refused(f"{' and '.join(sorted(lanes))}: jobs belong to one pull request", hint="name one of them")
    lane = next(iter(lanes), None)
    return {
        "state": asked,
        "task": task_path(task, look.place.repo) if task else None,
        "experiment": experiment.strip("/").removeprefix("experiments/") if experiment else None,
        "commit": commit,
        "lane": lane,
        "reused": frozenset(wanted_by(look, lane)) if lane else frozenset(),
    }


def _no_number(text: str) -> str:
    raise Refused(f"--pull {clean(text)}: a pull request has a number", hint="such as --pull 7")


def list_jobs(look: Look, conditions: dict[str, Any], most: int | None) -> list[Row]:
    """Newest first. What the ledger knows of live jobs is newer than the records' rows by up to a second."""
    live = {job.id: job for job in look.ledger.jobs(states=LIVE)} if look.ledger else {}
    where = [f"state IN ({listed(sorted(conditions['state']))})"] if conditions["state"] else []
    where += [f"{name} = {quoted(conditions[name])}" for name in ("task", "experiment") if conditions[name]]
    where += [f'starts_with("commit", {quoted(conditions["commit"])})'] if conditions["commit"] else []
    where += [condition(look, conditions["lane"])] if conditions["lane"] else []
    sql = (
        f"SELECT {_COLUMNS} FROM jobs {'WHERE ' + ' AND '.join(where) if where else ''} "  # noqa: S608
        f"ORDER BY created DESC, task, trial, job {'' if most is None else f'LIMIT {most}'}"
    )
    rows = {row["job"]: row for row in look.rows(sql)}
    why = reasons(look, list(live.values()))
    for job in live.values():
        if job.id not in rows and _fits(job, conditions):
            rows[job.id] = _row(job) | {"reason": why[job.id]}
        elif job.id in rows:
            rows[job.id] |= {"state": str(job.state), "reason": why[job.id], "attempt": job.attempt}
    found = [row for row in rows.values() if not conditions["state"] or row["state"] in conditions["state"]]
    found.sort(key=lambda row: (-row["created"].timestamp(), row["task"], row["trial"] or 0, row["job"]))
    return found[:most]


def _fits(job: Any, conditions: dict[str, Any]) -> bool:
    return (
        (not conditions["state"] or str(job.state) in conditions["state"])
        and conditions["task"] in (None, job.task)
        and conditions["experiment"] in (None, job.experiment)
        and job.commit.startswith(conditions["commit"] or "")
        and (
            conditions["lane"] is None or job.branch in lanes_with(conditions["lane"]) or job.id in conditions["reused"]
        )
    )


def _row(job: Any) -> Row:
    names = ("task", "reason", "trial", "generation", "provider", "commit", "branch", "author", "created", "attempt")
    none = dict.fromkeys(("score", "sweep_metric", "started", "ended", "seconds", "outcome"))
    own = {name: getattr(job, name) for name in names}
    return {"job": job.id, "state": str(job.state), "parameters": dict(job.parameters), **own, **none}


def _commit(row: Row) -> str:
    number = number_of(row["branch"] or "")
    return (row["commit"] or "")[:10] + (f" #{number}" if number is not None else "")


def _print(found: list[Row], look: Look, more: bool) -> None:
    from labwright.cli.tables import ago, cell, console, number, parameters, span, state, table
    from labwright.cli.terminal import say

    if not found:
        say("no such job", err=True)
        return
    out = console()
    columns = ["job", "task", "parameters", "state", "score", "time", "created", "commit", "reason"]
    made = table(columns, right=["score", "time"], whole=["job", "commit", "created", "state"])
    width = 30 if out.width < 120 else 60
    for row in found:
        ended = row["seconds"]
        if ended is None and row["started"] and row["state"] in {str(s) for s in LIVE}:
            ended = (look.now - row["started"]).total_seconds()
        reason = "" if row["state"] in ("COMPLETE", "RUNNING") else row["reason"]
        asked = parameters(row["parameters"] or {}, most=width)
        cells: list[RenderableType] = [
            cell(row["job"]),
            cell(row["task"]),
            cell(asked),
            state(row["state"]),
            number(row["score"]),
        ]
        times = [span(ended), ago(row["created"], look.now)]
        made.add_row(*cells, *times, cell(_commit(row), "dim"), cell(reason, "dim", most=width * 2))
    out.print(made)
    if more:
        say("(there are more: --limit N or --all)", err=True)
