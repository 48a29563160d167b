"""Results of a pull request's jobs beside the base branch's last ones, and whether they are as required."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labwright.decide.requirement import judge
from labwright.decide.versus import Sample, groups, sample
from labwright.domain.job import Job
from labwright.domain.lifecycle import State
from labwright.domain.pull_page import Delta, Figures, Requirement
from labwright.domain.requirement import parse_requirement
from labwright.domain.task import Task

Finals = Mapping[str, Mapping[str, float]]
"""Job → metric → its last value."""
MOST_METRICS = 50  # of a task


@dataclass(frozen=True, slots=True)
class Side:
    """Of one task: the jobs that stand for a branch, one point of its sweep in as many seeds as there are."""

    jobs: Sequence[Job]
    finals: Finals

    def sample(self, metric: str) -> Sample | None:
        return sample(self.finals.get(job.id, {}).get(metric) for job in self.jobs)

    def metrics(self) -> set[str]:
        return {metric for job in self.jobs for metric in self.finals.get(job.id, ())}


def deltas_of(specs: Mapping[str, Task], head: Sequence[Job], base: Sequence[Job], finals: Finals) -> Iterator[Delta]:
    for task, spec in sorted(specs.items()):
        mine, theirs = side(task, spec, head, finals), side(task, spec, base, finals)
        if not mine.jobs:
            continue
        directions = _directions(spec)
        for metric in sorted(mine.metrics() | theirs.metrics())[:MOST_METRICS]:
            lower = directions.get(metric)
            yield Delta(task, metric, lower, _figures(theirs.sample(metric)), _figures(mine.sample(metric)))


def requirements_of(
    specs: Mapping[str, Task], everywhere: Collection[str], head: Sequence[Job], base: Sequence[Job], finals: Finals
) -> Iterator[Requirement]:
    """Those of each task, and those of lab.yaml for each task that reports the metric. What nobody reports is not known, which is
    no success."""
    for task, spec in sorted(specs.items()):
        for text in spec.require:
            yield _judged(text, task, spec, head, base, finals)
    for text in everywhere:
        metric = parse_requirement(text).metric
        of = [task for task, spec in sorted(specs.items()) if metric in side(task, spec, head, finals).metrics()]
        if not of:
            yield Requirement(text, None, f"{metric}: no job has reported it")
        for task in of:
            yield _judged(text, task, specs[task], head, base, finals)


def side(task: str, spec: Task, jobs: Sequence[Job], finals: Finals) -> Side:
    """The best point of the sweep by its own metric; without one, the first of which there are most runs."""
    complete = [job for job in jobs if job.task == task and job.state is State.COMPLETE]
    found = list(groups(complete).values())
    if not found:
        return Side((), finals)
    metric = spec.sweeps.metric if spec.sweeps else ""
    if metric and spec.sweeps:
        sign = 1.0 if spec.sweeps.lower_is_better else -1.0
        known = [(group, mean) for group in found if (mean := Side(group, finals).sample(metric)) is not None]
        if known:
            return Side(min(known, key=lambda pair: sign * pair[1].mean)[0], finals)
    return Side(max(found, key=len), finals)


def _judged(text: str, task: str, spec: Task, head: Sequence[Job], base: Sequence[Job], finals: Finals) -> Requirement:
    requirement = parse_requirement(text)
    mine = side(task, spec, head, finals).sample(requirement.metric)
    found = judge(requirement, mine, side(task, spec, base, finals).sample(requirement.metric))
    return Requirement(text, found.passed, f"{task}: {found.words}")


def _directions(spec: Task) -> Mapping[str, bool]:
    known = {parse_requirement(text).metric: parse_requirement(text).lower_is_better for text in spec.require}
    return {**known, spec.sweeps.metric: spec.sweeps.lower_is_better} if spec.sweeps and spec.sweeps.metric else known


def _figures(found: Sample | None) -> Figures | None:
    return Figures(found.mean, found.sd if found.n > 1 else None, found.n) if found is not None else None


def finals_of(rows: Collection[Mapping[str, Any]]) -> Finals:
    """Of rows of final_metrics."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["last"] is not None:
            found.setdefault(row["job"], {})[row["name"]] = float(row["last"])
    return found
