"""Rows of the records (docs/spec/tables.md). A running job's come from the ledger; a finished job's from its manifest, both
when it ends and when the records are rebuilt, so that both times they are the same."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from labwright.domain.job import Act, Attempt, Job
from labwright.domain.lifecycle import FINAL, State
from labwright.domain.manifest import Manifest, ManifestAttempt, MetricSummary
from labwright.domain.snapshot import CommitInfo
from labwright.domain.task import Task
from labwright.ports.ledger import PlanRow
from labwright.ports.records import Batch

Row = Mapping[str, Any]


def score_of(scores: Mapping[str, float], sweep_metric: str, metrics: Mapping[str, MetricSummary]) -> float | None:
    """The value by which a job is ranked: the score named by the sweep metric, else its only score (the first by name),
    else the last value of the sweep metric among its metrics."""
    if sweep_metric in scores:
        return scores[sweep_metric]
    if scores:
        return scores[min(scores)]
    return metrics[sweep_metric].last if sweep_metric in metrics else None


def job_row(
    job: Job,
    task: Task,
    attempts: Sequence[Attempt] = (),
    *,
    scores: Mapping[str, float] | None = None,
    metrics: Mapping[str, MetricSummary] | None = None,
    **known: Any,
) -> Row:
    """`known` are further columns as the controller learns them (progress, log_tail, source, environment)."""
    metric = task.sweeps.metric if task.sweeps else ""
    tries = [_as_manifest(attempt) for attempt in attempts]
    return {
        **_identity(job.id, job.task, job.generation, job.trial, str(job.work)),
        "state": str(job.state),
        "reason": job.reason or None,
        **(_scores(scores or {}, metric, metrics or {}) if scores or metrics else {"sweep_metric": metric or None}),
        "lower_is_better": task.sweeps.lower_is_better if task.sweeps else True,
        "params": dict(job.parameters),
        "needs": list(job.needs),
        "provider": job.provider,
        **_origin(job.commit, job.branch, job.author, job.plan, job.created),
        **_times(tries, job.updated, final=job.state in FINAL),
        "attempt": job.attempt,
        **_amounts(_spec(task)),
        **({"progress": 100.0} if job.state is State.COMPLETE else {}),
        **known,
    }


def attempt_row(attempt: Attempt, task: Task) -> Row:
    return _attempt(attempt.job, _as_manifest(attempt), _spec(task))


def rows_of(manifest: Manifest) -> Batch:
    """The rows of a finished job: its job, attempts and artifacts."""
    row = {
        **_identity(manifest.job, manifest.task, manifest.generation, manifest.trial, manifest.work_digest),
        "state": manifest.state,
        "reason": manifest.reason or None,
        **_scores(manifest.score, manifest.sweep_metric, manifest.metrics),
        "lower_is_better": manifest.lower_is_better,
        "params": dict(manifest.parameters),
        "needs": list(manifest.needs),
        "provider": manifest.provider,
        **_origin(manifest.commit, manifest.branch, manifest.author, manifest.plan, manifest.created),
        **_times(manifest.attempts, manifest.ended, final=True),
        "attempt": max((attempt.n for attempt in manifest.attempts), default=0),
        **_amounts(manifest.spec),
        "progress": 100.0 if manifest.state == "COMPLETE" else None,
        "source": dict(manifest.source) or None,
        "environment": (manifest.environment and manifest.environment.digest) or None,
        "log_tail": manifest.log_tail or None,
    }
    return Batch(
        jobs=[row],
        attempts=[_attempt(manifest.job, attempt, manifest.spec) for attempt in manifest.attempts],
        artifacts=[{"job": manifest.job, **artifact.model_dump()} for artifact in manifest.artifacts],
    )


def joined(batches: Iterable[Batch]) -> Batch:
    """The rows of many batches as one, without points, events and offsets."""
    many = list(batches)
    return Batch(
        jobs=[row for batch in many for row in batch.jobs],
        attempts=[row for batch in many for row in batch.attempts],
        artifacts=[row for batch in many for row in batch.artifacts],
    )


def commit_row(info: CommitInfo, branch: str, plan: str = "") -> Row:
    return {
        "commit": info.sha,
        "branch": branch,
        "author": info.author,
        "email": info.email,
        "created": info.at,
        "message": info.subject,
        "plan": plan or None,
    }


def plan_row(plan: PlanRow) -> Row:
    return {
        "plan": plan.digest,
        "commit": plan.commit,
        "branch": plan.branch,
        "created": plan.at,
        "launched": plan.launched,
        "reused": plan.reused,
        "superseded": plan.superseded,
        "refused": plan.refused,
        "held": plan.held,
        "confirmed": plan.confirmed or None,
        "detail": plan.detail,
    }


def approval_row(act: Act) -> Row:
    return {
        "id": act.id,
        "kind": str(act.kind),
        "target": act.target,
        "author": act.by,
        "created": act.at,
        "done": act.done,
        "answer": act.answer or None,
        "arguments": dict(act.arguments) or None,
    }


def _identity(job: str, task: str, generation: int, trial: int, work: str) -> dict[str, Any]:
    return {
        "job": job,
        "task": task,
        "experiment": task.partition("/")[0],
        "generation": generation,
        "trial": trial,
        "work_digest": work,
    }


def _origin(commit: str, branch: str, author: str, plan: str | None, created: datetime) -> dict[str, Any]:
    return {"commit": commit, "branch": branch, "author": author or None, "plan": plan or None, "created": created}


def _scores(scores: Mapping[str, float], metric: str, metrics: Mapping[str, MetricSummary]) -> dict[str, Any]:
    return {
        "score": score_of(scores, metric, metrics),
        "scores": dict(scores) or None,
        "sweep_metric": metric or None,
    }


def _times(attempts: Sequence[ManifestAttempt], ended: datetime | None, *, final: bool) -> dict[str, Any]:
    """Of the whole job: from its first start to its last end; `seconds` leaves out the waiting between attempts."""
    newest = max(attempts, key=lambda attempt: attempt.n, default=None)
    spent = [seconds for attempt in attempts if (seconds := _seconds(attempt)) is not None]
    return {
        "started": min((attempt.started for attempt in attempts if attempt.started), default=None),
        "ended": ((newest and newest.ended) or ended) if final else None,
        "seconds": sum(spent) if spent else None,
        "exit_code": newest and newest.exit_code,
        "signal": newest and newest.signal,
        "outcome": newest and newest.outcome,
        "node": (newest and newest.node) or None,
    }


def _seconds(attempt: ManifestAttempt) -> float | None:
    return (attempt.ended - attempt.started).total_seconds() if attempt.ended and attempt.started else None


def _attempt(job: str, attempt: ManifestAttempt, spec: Mapping[str, Any]) -> Row:
    row = attempt.model_dump()
    return {
        "job": job,
        "attempt": row.pop("n"),
        **row,
        "node": attempt.node or None,
        "detail": attempt.detail or None,
        "seconds": _seconds(attempt),
        **_amounts(spec),
    }


def _as_manifest(attempt: Attempt) -> ManifestAttempt:
    return ManifestAttempt(
        n=attempt.n,
        provider=attempt.provider,
        node=attempt.node,
        outcome=attempt.outcome and str(attempt.outcome),
        exit_code=attempt.exit_code,
        signal=attempt.signal,
        submitted=attempt.submitted,
        started=attempt.started,
        running=attempt.running,
        ended=attempt.ended,
        detail=attempt.detail,
    )


def _spec(task: Task) -> Mapping[str, Any]:
    return {"resources": task.resources.model_dump()}


def _amounts(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What one attempt holds while it runs. Without a word about it: one CPU, no GPU. A manifest may say anything here."""
    resources = spec.get("resources")
    resources = resources if isinstance(resources, Mapping) else {}
    accelerators = resources.get("accelerators")
    nodes = _amount(resources.get("num_nodes"), 1.0)
    gpus = _amount(accelerators.get("count"), 1.0) if isinstance(accelerators, Mapping) else 0.0
    return {"cpus": nodes * _amount(resources.get("cpus"), 1.0), "gpus": nodes * gpus}


def _amount(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, (int, float)) and 0 <= value < 1e9 else otherwise
