"""`lab show`: everything about one job."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from labwright.cli import completion
from labwright.cli.asjson import print_json
from labwright.cli.look import Look, Row, looking, quoted
from labwright.cli.shell import JsonOption, RepoOption
from labwright.cli.waiting import reasons
from labwright.domain.errors import LabError
from labwright.domain.ids import JobId
from labwright.domain.lifecycle import FINAL

_JOB = (
    "job, task, experiment, state, reason, score, scores, sweep_metric, lower_is_better, generation, trial, work_digest, "
    'params AS parameters, needs, provider, node, "commit", branch, author, plan, created, started, ended, seconds, attempt, '
    "outcome, exit_code, signal, cpus, gpus, progress, source, environment, log_tail"
)


def show(
    job: Annotated[
        str,
        typer.Argument(
            help="A job, the start of its id, or a task (its newest job)", autocompletion=completion.tasks_and_jobs
        ),
    ],
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a job: where it comes from, what became of it and why, its results and its environment."""
    from labwright.cli.lanes import where
    from labwright.cli.names import one

    with looking(repo) as look:
        found = all_of(look, one(look, job).job)
        shown = where(look, found.get("branch"))
    if as_json:
        print_json(found)
        return
    from labwright.cli.show_page import page
    from labwright.cli.tables import console

    console().print(page(found | {"where": shown}, look.now))


def all_of(look: Look, job: str) -> Row:
    """The answer as JSON has it. What the ledger knows is newer than the records."""
    own = f"job = {quoted(job)}"
    rows = look.rows(f"SELECT {_JOB} FROM jobs WHERE {own}")  # noqa: S608
    found: Row = rows[0] if rows else {"job": job}
    ledger = look.ledger.jobs(ids=[job]) if look.ledger else ()
    if ledger:
        found |= _of_ledger(ledger[0]) | {"reason": reasons(look, ledger)[job]}
    metrics = f"SELECT name, last, min, max, count, last_step FROM final_metrics WHERE {own} ORDER BY name"  # noqa: S608
    manifest = look.manifest(job) if found.get("state") in FINAL else None
    environment = manifest.environment.model_dump() if manifest and manifest.environment else None
    from labwright.cli.artifacts import artifacts_of

    return found | {
        "environment": environment or ({"digest": found["environment"]} if found.get("environment") else None),
        "code": dict(manifest.files) if manifest else None,
        "history": _history(look, job),
        "attempts": _attempts(look, job),
        "metrics": look.rows(metrics),
        "artifacts": artifacts_of(look, job),
        "log_tail": _tail(look, found),
    }


def _of_ledger(job: Any) -> Row:
    own = {
        name: getattr(job, name) for name in ("task", "reason", "generation", "trial", "provider", "commit", "branch")
    }
    more = {name: getattr(job, name) for name in ("author", "created", "attempt", "experiment", "stop_asked")}
    waits = {"not_before": job.not_before, "needs": list(job.needs), "plan": job.plan or None}
    return {
        **own,
        **more,
        **waits,
        "state": str(job.state),
        "work_digest": job.work,
        "parameters": dict(job.parameters),
    }


def _history(look: Look, job: str) -> list[Row]:
    rows = look.ledger.history(JobId(job)) if look.ledger else ()
    return [{"at": t.at, "before": t.before, "after": t.after, "reason": t.reason} for t in rows]


def _attempts(look: Look, job: str) -> list[Row]:
    names = ("provider", "node", "outcome", "exit_code", "signal", "submitted", "started", "running", "ended", "detail")
    if look.ledger is not None:
        found = look.ledger.attempts([JobId(job)])
        return [{"attempt": a.n, **{n: getattr(a, n) for n in names}, "placement": dict(a.placement)} for a in found]
    own = f"SELECT attempt, {', '.join(names)} FROM attempts WHERE job = {quoted(job)} ORDER BY attempt"  # noqa: S608
    return look.rows(own)


def _tail(look: Look, found: Mapping[str, Any]) -> str:
    """Of a job that failed, the last lines that are kept anywhere."""
    if found.get("state") != "FAILED":
        return ""
    from labwright.control.logs import Logs

    kept = Logs(look.place.logs).tail(found["job"], found.get("attempt") or 1)
    if kept or found.get("log_tail"):
        return str(kept or found["log_tail"])
    try:
        manifest = look.manifest(found["job"])
    except LabError:
        return ""
    return manifest.log_tail if manifest else ""
