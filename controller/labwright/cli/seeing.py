"""What goes on in a lab: the answer of `lab status`, from the ledger and, while it runs, the controller."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labwright.cli.lanes import by_number, jobs_by_state
from labwright.cli.look import Look, Row, by, listed
from labwright.cli.waiting import reason, under_way
from labwright.domain.errors import LabError
from labwright.domain.forge import number_of
from labwright.domain.lifecycle import AT_PROVIDER, FINAL, LIVE, State

if TYPE_CHECKING:
    from labwright.domain.job import Attempt, Job

MOST_RUNNING = 200  # with metrics and progress
MOST_METRICS = 3
_LAST = 5


def see(look: Look) -> Row:
    """The answer as JSON has it (docs/spec/cli.md). Without a state, only that there is none."""
    seen: Row = {"repo": look.place.repo, "state_folder": str(look.place.state), **_controller(look)}
    jobs = list(look.ledger.jobs(states=LIVE)) if look.ledger else []
    attempts = under_way(look, jobs)
    seen["suspended"] = _suspended(look)
    seen["counts"] = {**Counter(str(job.state) for job in jobs), **_final_counts(look)}
    running = [job for job in jobs if job.state in AT_PROVIDER or (job.state is State.QUEUED and job.id in attempts)]
    told = _told(look, [job.id for job in running[:MOST_RUNNING]])
    seen["running"] = [_running(job, attempts.get(job.id), told.get(job.id, {}), look) for job in running]
    busy = {job.id for job in running}
    seen["queued"] = _groups([job for job in jobs if job.state is State.QUEUED and job.id not in busy])
    seen["held"] = _groups([job for job in jobs if job.state is State.HELD])
    seen["pulls"] = _pulls(look, seen.pop("told"), jobs)
    seen["finished"] = _finished(look)
    return seen


def _controller(look: Look) -> Row:
    from labwright.wiring import lease_holder

    holder = lease_holder(look.place)
    said: Mapping[str, Any] = {}
    answers = False
    if holder is not None and look.place.socket.exists():
        from labwright.web.client import status as ask

        try:
            said, answers = ask(look.place.socket), True
        except LabError:
            answers = False
    who = holder and {"pid": holder["pid"], "host": holder["host"], "since": holder["since"], "answers": answers}
    return {
        "controller": who,
        "alarms": dict(said.get("alarms", {})),
        "notes": {name: dict(notes) for name, notes in said.get("notes", {}).items()},
        "branches": dict(said.get("tips", {})),
        "unpublished": said.get("unpublished", 0),
        "told": by_number(said),
    }


def _pulls(look: Look, told: Mapping[int, Row], jobs: Sequence["Job"]) -> list[Row]:
    """Those that ask for something or have jobs under way, newest first: as the controller has them, else what the ledger
    tells."""
    busy = {n for job in jobs if (n := number_of(job.branch)) is not None}
    asking = {n for n, row in told.items() if row["tasks"] or row["invalid"] or not row["head"] or row["stop"]}
    numbers = sorted(busy | asking, reverse=True)
    states = jobs_by_state(look, numbers)
    names = ("title", "author", "url", "head", "base", "draft", "fork", "approved", "waits", "launch", "reuse", "tasks")
    return [
        {"number": n, **{name: told.get(n, {}).get(name) for name in names}, "jobs": states.get(n, {})} for n in numbers
    ]


def _suspended(look: Look) -> dict[str, str]:
    text = look.ledger.cursor("suspended") if look.ledger else None
    return {str(name): why for name, _, why in (line.partition("\t") for line in (text or "").splitlines())}


def _told(look: Look, jobs: Sequence[str]) -> dict[str, Row]:
    """Progress and newest metrics of running jobs, as far as the records have them."""
    if not jobs:
        return {}
    try:
        own = f"job IN ({listed(jobs)})"
        progress = {r["job"]: r["progress"] for r in look.rows(f"SELECT job, progress FROM jobs WHERE {own}")}  # noqa: S608
        many = by(look.rows(f"SELECT job, name, last FROM final_metrics WHERE {own} ORDER BY name"), "job")  # noqa: S608
    except LabError:
        return {}
    return {
        job: {"progress": progress.get(job), "metrics": {m["name"]: m["last"] for m in many.get(job, ())[:20]}}
        for job in jobs
    }


def _running(job: "Job", attempt: "Attempt | None", told: Row, look: Look) -> Row:
    started = attempt and (attempt.running or attempt.started)
    return {
        "job": job.id,
        "task": job.task,
        "state": str(job.state),
        "reason": job.stop_asked or reason(job, attempt),
        "trial": job.trial,
        "parameters": dict(job.parameters),
        "provider": job.provider,
        "attempt": job.attempt,
        "started": started,
        "seconds": (look.now - started).total_seconds() if started else None,
        "progress": told.get("progress"),
        "metrics": told.get("metrics", {}),
    }


def _groups(jobs: Sequence["Job"]) -> list[Row]:
    """Jobs that wait for the same, as one row."""
    groups: dict[tuple[str, str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.task, job.reason, job.provider), []).append(job)
    return [
        {
            "task": task,
            "provider": provider,
            "reason": reason,
            "count": len(same),
            "jobs": [job.id for job in same[:10]],
            "plan": same[0].plan if reason.startswith("limit:") else "",
        }
        for (task, reason, provider), same in groups.items()
    ]


def _final_counts(look: Look) -> dict[str, int]:
    finals = listed(sorted(FINAL))
    rows = _or_none(look, f"SELECT state, count(*) AS n FROM jobs WHERE state IN ({finals}) GROUP BY state")  # noqa: S608
    if rows is None and look.ledger is not None:
        return dict(Counter(str(job.state) for job in look.ledger.jobs(states=FINAL)))
    return {row["state"]: row["n"] for row in rows or ()}


def _finished(look: Look) -> list[Row]:
    sql = (
        "SELECT job, task, state, reason, trial, params AS parameters, score, sweep_metric, seconds, ended FROM jobs "  # noqa: S608
        f"WHERE state IN ({listed(sorted(FINAL))}) ORDER BY ended DESC NULLS LAST, job LIMIT {_LAST}"
    )
    return _or_none(look, sql) or []


def _or_none(look: Look, sql: str) -> list[Row] | None:
    """Without a state, nothing is read: `lab status` does not load a results branch."""
    if look.ledger is None:
        return []
    try:
        return look.rows(sql)
    except LabError:
        return None
