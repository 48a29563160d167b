"""What a finished job leaves on the results branch: its manifest, as a value, as a path and as bytes."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, cast

from pydantic import ValidationError

from labwright.domain.errors import Refused
from labwright.domain.job import Attempt, Job
from labwright.domain.lifecycle import FINAL, State
from labwright.domain.manifest import Manifest, ManifestAttempt, MetricSummary
from labwright.domain.task import Task
from labwright.ports.provider import Collected

ROOT = "results"
NAME = "manifest.json"
MOST_LOG = 16 << 10  # characters of a failed job's log
MOST_DETAIL = 2000
MOST_METRICS = 5000  # of a summary; all of them are in metrics.parquet
NOTHING = Collected()
Final = Literal["COMPLETE", "FAILED", "STOPPED"]


def manifest_of(
    job: Job,
    task: Task,
    attempts: Sequence[Attempt],
    *,
    files: Mapping[str, str],
    metrics: Mapping[str, MetricSummary],
    score: Mapping[str, float],
    collected: Collected = NOTHING,
    log_tail: str = "",
) -> Manifest:
    """Of a job in a final state. `files` is bundle path → git object id. NaN and infinity, for which JSON has no word, become
    null in `metrics`; a score that is none is left out. `log_tail` is kept for a job that is not COMPLETE."""
    if job.state not in FINAL:
        raise ValueError(f"job {job.id} is {job.state}: only a finished job has a manifest")
    tries = [_attempt(attempt) for attempt in sorted(attempts, key=lambda a: a.n)]
    return Manifest(
        schema="labwright/manifest/1",
        job=job.id,
        task=job.task,
        generation=job.generation,
        trial=job.trial,
        work_digest=job.work,
        bundle_digest=job.bundle,
        state=cast("Final", str(job.state)),
        reason=_text(job.reason, MOST_DETAIL),
        commit=job.commit,
        branch=_text(job.branch, MOST_DETAIL),
        author=_text(job.author, MOST_DETAIL),
        plan=job.plan,
        source=dict(collected.source),
        files=dict(sorted(files.items())),
        parameters=dict(job.parameters),
        score={name: value for name, value in score.items() if math.isfinite(value)},
        created=job.created,
        ended=max((a.ended for a in attempts if a.ended), default=job.updated),
        provider=job.provider,
        environment=collected.environment,
        attempts=tuple(tries),
        metrics={name: _finite(summary) for name, summary in sorted(metrics.items())[:MOST_METRICS]},
        artifacts=tuple(sorted(collected.artifacts, key=lambda a: a.path)),
        sweep_metric=task.sweeps.metric if task.sweeps else "",
        lower_is_better=task.sweeps.lower_is_better if task.sweeps else True,
        log_tail="" if job.state is State.COMPLETE else _text(log_tail[-MOST_LOG:], MOST_LOG),
        spec=json.loads(task.to_json()),
        needs=tuple(job.needs),
    )


def _attempt(attempt: Attempt) -> ManifestAttempt:
    return ManifestAttempt(
        n=attempt.n,
        provider=attempt.provider,
        node=_text(attempt.node, MOST_DETAIL),
        outcome=str(attempt.outcome) if attempt.outcome else None,
        exit_code=attempt.exit_code,
        signal=attempt.signal,
        submitted=attempt.submitted,
        started=attempt.started,
        running=attempt.running,
        ended=attempt.ended,
        detail=_text(attempt.detail, MOST_DETAIL),
    )


def _finite(summary: MetricSummary) -> MetricSummary:
    odd = {k: None for k in ("last", "min", "max") if not math.isfinite(getattr(summary, k) or 0.0)}
    return summary.model_copy(update=odd) if odd else summary


def _text(text: str, most: int) -> str:
    """Encodable: what a job printed may be any bytes."""
    return text[:most].encode("utf-8", "replace").decode()


def summary_of(points: Iterable[tuple[int | None, float]]) -> MetricSummary:
    """Of one metric's points (step, value) in the order they were logged."""
    many = list(points)
    finite = [(step, value) for step, value in many if math.isfinite(value)]
    values = [value for _, value in finite]
    return MetricSummary(
        last=values[-1] if values else None,
        min=min(values, default=None),
        max=max(values, default=None),
        count=len(many),
        last_step=many[-1][0] if many else None,
    )


def manifest_path(of: Job | Manifest) -> str:
    """`results/<task path>/<job id>/manifest.json`."""
    return f"{results_folder(of)}/{NAME}"


def results_folder(of: Job | Manifest) -> str:
    return f"{ROOT}/{of.task}/{of.job if isinstance(of, Manifest) else of.id}"


def manifest_bytes(manifest: Manifest) -> bytes:
    """The file: UTF-8, two spaces, a newline at the end; the same manifest always gives the same bytes."""
    value = json.loads(manifest.model_dump_json(by_alias=True, exclude_defaults=True))
    return (json.dumps({"schema": manifest.schema_, **value}, indent=2, ensure_ascii=False) + "\n").encode()


def parse_manifest(data: bytes, path: str = NAME) -> Manifest:
    """Raises Refused for a file that is no manifest: anybody may have edited it (R26, R39)."""
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise Refused(f"{path}: {where}: {first['msg']}", hint="restore it from the branch's history") from error
