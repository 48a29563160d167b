"""How the jobs of one task stand against each other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labwright.decide.rows import score_of
from labwright.domain.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Standing:
    """`ranked` has every job once: those with a score best first, then the others, newest first."""

    task: str
    metric: str  # what is ranked by; empty when there is no score
    lower_is_better: bool
    ranked: Sequence[Manifest]
    scores: Mapping[str, float]  # by job
    told: bool = True  # whether the task itself says by what it is ranked, and so which end is the good one

    @property
    def best(self) -> Manifest | None:
        """The first COMPLETE one with a score; none where several have one and nobody said which end is the good one."""
        if not self.told and len(self.scores) > 1:
            return None
        return next((m for m in self.ranked if m.state == "COMPLETE" and m.job in self.scores), None)

    @property
    def varying(self) -> Sequence[str]:
        """Names of the parameters by which the jobs differ; of a single job, all."""
        names = sorted({name for m in self.ranked for name in m.parameters})
        if len(self.ranked) < 2:
            return names
        return [n for n in names if len({str(m.parameters.get(n)) for m in self.ranked}) > 1]

    @property
    def constant(self) -> Mapping[str, Any]:
        """Parameters that have one value throughout."""
        first, varying = self.ranked[0].parameters, set(self.varying)
        return {name: first[name] for name in sorted(first) if name not in varying}


def standings(manifests: Sequence[Manifest]) -> Iterator[Standing]:
    """By task. How the newest job of a task is ranked is how all are: a later commit may have changed its mind."""
    tasks: dict[str, dict[str, Manifest]] = {}
    for manifest in manifests:
        tasks.setdefault(manifest.task, {})[manifest.job] = manifest
    for task in sorted(tasks):
        yield _standing(task, list(tasks[task].values()))


def _standing(task: str, jobs: Sequence[Manifest]) -> Standing:
    newest = max(jobs, key=lambda m: (m.created, m.job))
    scores = {m.job: s for m in jobs if (s := score_of(m.score, newest.sweep_metric, m.metrics)) is not None}
    sign = 1 if newest.lower_is_better else -1
    first = [m for m in jobs if m.job in scores]
    first.sort(key=lambda m: (m.state != "COMPLETE", sign * scores[m.job], m.job))
    others = sorted((m for m in jobs if m.job not in scores), key=lambda m: (m.created, m.job), reverse=True)
    named = newest.sweep_metric or next((min(m.score) for m in first if m.score), "")
    return Standing(
        task, named if scores else "", newest.lower_is_better, (*first, *others), scores, bool(newest.sweep_metric)
    )
