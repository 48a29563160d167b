"""The pages of the results branch, made from the records: what they show is what SQL says."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from labwright.decide.report import experiment_page, index_line, index_page
from labwright.decide.standing import standings
from labwright.domain.manifest import Manifest, ManifestAttempt, MetricSummary
from labwright.ports.records import QueryLimits, Records

_LIMITS = QueryLimits(seconds=60, rows=10_000_000)
_ENDED = "state IN ('COMPLETE', 'FAILED', 'STOPPED') AND attempt > 0"
BEST = 10  # jobs of a task whose curves are drawn


class RecordPages:
    def __init__(self, records: Records) -> None:
        self.records = records
        self._lines: dict[str, str] = {}  # of the index, by experiment: as of its page

    def __call__(self, experiments: Sequence[str]) -> Mapping[str, bytes]:
        files: dict[str, bytes] = {}
        for experiment in experiments:
            manifests = self._manifests(experiment)
            self._lines[experiment] = index_line(experiment, manifests)
            files.update(experiment_page(experiment, manifests, self._series(manifests)))
        return files if experiments else self._index()

    def _index(self) -> Mapping[str, bytes]:
        known = self._rows(f"SELECT DISTINCT experiment FROM jobs WHERE {_ENDED}")  # noqa: S608
        for experiment in {row["experiment"] for row in known} - self._lines.keys():
            self._lines[experiment] = index_line(experiment, self._manifests(experiment))
        return index_page(self._lines)

    def _manifests(self, experiment: str) -> list[Manifest]:
        """Of finished jobs: the part of a manifest that a page shows."""
        name = experiment.replace("'", "''")
        jobs = self._rows(f"SELECT * FROM jobs WHERE experiment = '{name}' AND {_ENDED}")  # noqa: S608
        metrics: dict[str, dict[str, MetricSummary]] = {}
        sql = f"SELECT f.* FROM final_metrics f JOIN jobs j USING (job) WHERE j.experiment = '{name}' AND {_ENDED}"  # noqa: S608
        for row in self._rows(sql):
            job, metric = row.pop("job"), row.pop("name")
            metrics.setdefault(job, {})[metric] = MetricSummary.model_construct(**row)
        return [_manifest(row, metrics.get(row["job"], {})) for row in jobs]

    def _series(self, manifests: Sequence[Manifest]) -> Mapping[str, Mapping[str, Sequence[tuple[int | None, float]]]]:
        best = [m.job for standing in standings(manifests) for m in standing.ranked[:BEST]]
        found: dict[str, dict[str, list[tuple[int | None, float]]]] = {}
        for row in self.records.series(best).to_pylist() if best else ():
            if not row["rank"]:
                found.setdefault(row["job"], {}).setdefault(row["name"], []).append((row["step"], row["value"]))
        return found

    def _rows(self, sql: str) -> list[dict[str, Any]]:
        return [row for batch in self.records.query(sql, _LIMITS).batches() for row in batch.to_pylist()]


def _manifest(row: Mapping[str, Any], metrics: Mapping[str, MetricSummary]) -> Manifest:
    attempt = ManifestAttempt.model_construct(
        n=row["attempt"], provider=row["provider"], started=row["started"], ended=row["ended"]
    )
    return Manifest.model_construct(
        job=row["job"],
        task=row["task"],
        generation=row["generation"],
        trial=row["trial"],
        work_digest=row["work_digest"],
        bundle_digest="",
        state=row["state"],
        reason=row["reason"],
        commit=row["commit"],
        branch=row["branch"],
        author=row["author"],
        parameters=json.loads(row["params"] or "{}"),
        score=json.loads(row["scores"] or "{}") or {},
        created=row["created"],
        ended=row["ended"],
        provider=row["provider"],
        attempts=(attempt,),
        metrics=metrics,
        sweep_metric=row["sweep_metric"] or "",
        lower_is_better=row["lower_is_better"],
        log_tail=row["log_tail"] or "",
    )
