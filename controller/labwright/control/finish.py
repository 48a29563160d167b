"""What is left of a job when it is over: its manifest and its metrics as Parquet, in the outbox and in the records."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labwright.control.logs import Logs
from labwright.control.outbox import Outbox
from labwright.control.world import World
from labwright.decide.manifest_of import manifest_bytes, manifest_of
from labwright.decide.rows import joined, rows_of
from labwright.domain.lifecycle import FINAL, State
from labwright.domain.manifest import Manifest, MetricSummary
from labwright.ports.provider import Collected
from labwright.ports.records import QueryLimits

if TYPE_CHECKING:
    from labwright.control.gather import Target

_LIMITS = QueryLimits(seconds=60, rows=10_000_000)


class Finisher:
    def __init__(self, world: World, outbox: Outbox, logs: Logs, to_parquet: Any) -> None:
        self.world, self.outbox, self.logs, self.to_parquet = world, outbox, logs, to_parquet

    def finish(self, targets: Sequence["Target"]) -> None:
        """Of ended attempts, read to their end. Doing it again gives the same. May raise Unavailable."""
        last = [t for t in targets if t.job.state in FINAL and t.attempt.n == t.job.attempt]
        if not last:
            return
        ids = [target.job.id for target in last]
        metrics, scores, series = self._summaries(ids), self._scores(ids), self.world.records.series(ids)
        manifests = []
        for target in last:
            job = target.job.id
            made = self._manifest(target, metrics.get(job, {}), scores.get(job, {}))
            own = series.filter(_equals(series, job)) if series.num_rows else series
            self.outbox.put(job, manifest_bytes(made), self.to_parquet(own) if own.num_rows else None)
            manifests.append(made)
        self.world.records.write(joined(rows_of(made) for made in manifests))

    def _manifest(self, target: "Target", metrics: Mapping[str, MetricSummary], score: Mapping[str, float]) -> Manifest:
        attempt, job = target.attempt, target.job
        provider = self.world.providers[attempt.provider]
        collected = provider.collect(attempt.handle) if attempt.handle is not None else Collected()
        tail = self.logs.tail(job.id, attempt.n) if job.state is State.FAILED else ""
        files = {f.path: f.oid for f in target.bundle.files} if target.bundle else {}
        return manifest_of(
            job,
            target.task,
            target.attempts,
            files=files,
            metrics=metrics,
            score=score,
            collected=collected,
            log_tail=tail,
        )

    def _summaries(self, jobs: Sequence[str]) -> Mapping[str, dict[str, MetricSummary]]:
        found: dict[str, dict[str, MetricSummary]] = {}
        # job ids have only a-z and 2-7 (domain/ids.py): nothing to quote
        sql = f"SELECT job, name, last, min, max, count, last_step FROM final_metrics WHERE job IN ({_list(jobs)})"  # noqa: S608
        for row in self._rows(sql):
            job, name = row.pop("job"), row.pop("name")
            found.setdefault(job, {})[name] = MetricSummary(**row)
        return found

    def _scores(self, jobs: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
        """Of the newest `finish` event of each job."""
        sql = (
            f"SELECT job, data FROM events WHERE kind = 'finish' AND job IN ({_list(jobs)}) "  # noqa: S608
            "QUALIFY row_number() OVER (PARTITION BY job ORDER BY attempt DESC, time DESC) = 1"
        )
        found = {}
        for row in self._rows(sql):
            score = json.loads(row["data"] or "{}").get("score") or {}
            score = score if isinstance(score, dict) else {"score": score}
            found[row["job"]] = {k: float(v) for k, v in score.items() if isinstance(v, (int, float))}
        return found

    def _rows(self, sql: str) -> list[dict[str, Any]]:
        answer = self.world.records.query(sql, _LIMITS)
        return [row for batch in answer.batches() for row in batch.to_pylist()]


def _list(jobs: Sequence[str]) -> str:
    return ", ".join(f"'{job}'" for job in jobs if job.isalnum())


def _equals(table: Any, job: str) -> Any:
    import pyarrow.compute as pc

    return pc.equal(table["job"], job)
