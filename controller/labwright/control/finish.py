"""What is left of a job when it is over: its manifest and its metrics as Parquet, in the outbox and in the records."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from labwright.control.logs import Logs
from labwright.control.masks import mask_text
from labwright.control.outbox import Outbox
from labwright.control.world import World
from labwright.decide.manifest_of import manifest_bytes, manifest_of
from labwright.decide.rows import joined, rows_of
from labwright.domain.errors import Refused, Unavailable
from labwright.domain.job import Job
from labwright.domain.lifecycle import State
from labwright.domain.manifest import Manifest, ManifestEnvironment, MetricSummary
from labwright.ports.provider import Collected
from labwright.ports.records import QueryLimits

if TYPE_CHECKING:
    from labwright.control.harvest import Target

_LIMITS = QueryLimits(seconds=60, rows=10_000_000)

ERROR = 200  # characters of what a script says of its failure that become part of the reason


@dataclass(frozen=True, slots=True)
class Finished:
    jobs: Sequence[Job]  # as their manifests have them: with what the script itself said of its failure


class Finisher:
    def __init__(self, world: World, outbox: Outbox, logs: Logs, to_parquet: Any) -> None:
        self.world, self.outbox, self.logs, self.to_parquet = world, outbox, logs, to_parquet

    def collect(self, target: "Target") -> Collected:
        """What it left at its provider. May raise Unavailable and OSError, and is asked again then."""
        attempt = target.attempt
        if attempt.handle is None:
            return Collected()
        provider = self.world.providers.get(attempt.provider)
        if provider is None:
            raise Unavailable(f"lab.yaml has no provider {attempt.provider} any more")
        try:
            return self._masked(target, provider.collect(attempt.handle))
        except Refused as error:
            self.world.log.warning("nothing to collect", job=target.job.id, why=str(error))
            return Collected()

    def finish(self, batch: Sequence[tuple["Target", Collected]]) -> Finished:
        """Of ended jobs, read to their end and collected. Doing it again gives the same. May raise Unavailable and OSError."""
        ids = [target.job.id for target, _ in batch]
        metrics, scores, kinds = self._summaries(ids), self._scores(ids), self._kinds(ids)
        series, errors = self.world.records.series(ids), self._errors(ids)
        manifests, jobs = [], []
        for target, collected in batch:
            job = target.job
            announced = [
                artifact.model_copy(update={"kind": kinds.get((job.id, artifact.path), artifact.kind)})
                for artifact in collected.artifacts
            ]
            if job.state is State.FAILED and job.id in errors and not job.reason.endswith(f": {errors[job.id]}"):
                job = replace(job, reason=f"{job.reason}: {errors[job.id]}")
            told = replace(target, job=job), replace(collected, artifacts=announced)
            manifests.append(self._manifest(*told, metrics.get(job.id, {}), scores.get(job.id, {})))
            jobs.append(job)
        self.outbox.put_all((made.job, manifest_bytes(made), self._parquet(series, made.job)) for made in manifests)
        self.world.records.write(joined(rows_of(made) for made in manifests))
        return Finished(jobs)

    def _parquet(self, series: Any, job: str) -> bytes | None:
        own = series.filter(_equals(series, job)) if series.num_rows else series
        return self.to_parquet(own) if own.num_rows else None

    def _masked(self, target: "Target", collected: Collected) -> Collected:
        """Names of files and what was said of the environment are a job's words too (R23). Each path is there once."""
        values = self.world.masks_of(target.task, target.attempt.provider)

        def safe(text: str) -> str:
            return mask_text(text, values)

        by_path = {path: a.model_copy(update={"path": path}) for a in collected.artifacts for path in [safe(a.path)]}
        said = collected.environment or ManifestEnvironment()
        packages = {safe(name): safe(text) for name, text in said.packages.items()}
        told = {
            "python": safe(said.python),
            "packages": packages,
            "digest": safe(said.digest),
            "image": safe(said.image),
        }
        environment = said.model_copy(update=told) if collected.environment else None
        source = {safe(name): safe(text) for name, text in collected.source.items()}
        return replace(collected, artifacts=tuple(by_path.values()), environment=environment, source=source)

    def _manifest(
        self,
        target: "Target",
        collected: Collected,
        metrics: Mapping[str, MetricSummary],
        score: Mapping[str, float],
    ) -> Manifest:
        attempt, job = target.attempt, target.job
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

    def _errors(self, jobs: Sequence[str]) -> Mapping[str, str]:
        """The last thing that a script gave `lab.error`, as one line: why it failed, in its own words."""
        sql = (
            f"SELECT job, message FROM events WHERE kind = 'error' AND message != '' AND job IN ({_list(jobs)}) "  # noqa: S608
            "QUALIFY row_number() OVER (PARTITION BY job ORDER BY attempt DESC, time DESC) = 1"
        )
        return {row["job"]: " ".join(row["message"].split())[:ERROR] for row in self._rows(sql)}

    def _kinds(self, jobs: Sequence[str]) -> Mapping[tuple[str, str], str]:
        """What scripts said their artifacts are: (job, path) → kind."""
        sql = f"SELECT job, data FROM events WHERE kind = 'artifact' AND job IN ({_list(jobs)}) ORDER BY attempt, time"  # noqa: S608
        said = [(row["job"], json.loads(row["data"] or "{}")) for row in self._rows(sql)]
        return {
            (job, data["path"]): data["kind"]
            for job, data in said
            if isinstance(data.get("path"), str) and isinstance(data.get("kind"), str)
        }

    def _rows(self, sql: str) -> list[dict[str, Any]]:
        answer = self.world.records.query(sql, _LIMITS)
        return [row for batch in answer.batches() for row in batch.to_pylist()]


def _list(jobs: Sequence[str]) -> str:
    return ", ".join(f"'{job}'" for job in jobs if job.isalnum())


def _equals(table: Any, job: str) -> Any:
    import pyarrow.compute as pc

    return pc.equal(table["job"], job)
