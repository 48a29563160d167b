"""Metrics of a pull request's jobs against the base branch's last results.

Trials that differ in their seed alone are one sample. A difference counts as one (`better` is True or False) when it is larger than
the seeds' own spread: than one pooled standard deviation, wherever a side has two runs or more. Where neither has, there is no spread
to hold it against, and any difference counts; `spread` being None then says so."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from labwright.domain.ids import canonical

SEEDS = frozenset({"seed", "random_seed"})
SAME = 1e-12  # relative: less is the rounding of floats, not a difference


@dataclass(frozen=True, slots=True)
class Sample:
    """Of one metric over runs that differ in their seed alone."""

    n: int
    mean: float  # NaN or infinite where a run's value was
    sd: float = 0.0  # sample standard deviation (n - 1); 0 of a single run, whose spread nobody knows


@dataclass(frozen=True, slots=True)
class Delta:
    metric: str
    base: Sample | None  # None: that side has no run with it
    head: Sample | None
    delta: float | None  # head - base; None where either is missing or not finite
    better: bool | None  # None: within the spread, no direction known, or nothing to compare with
    spread: float | None = None  # pooled standard deviation; None where no side has two runs


class Trial(Protocol):
    @property
    def task(self) -> str: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...


class Point(NamedTuple):
    """A task with one point of its sweep, whatever the seed."""

    task: str
    parameters: str  # JSON, without those called seed or random_seed


T = TypeVar("T", bound=Trial)


def groups(jobs: Iterable[T]) -> Mapping[Point, Sequence[T]]:
    """Jobs and manifests by what they ran but for the seed, in the order given. The same point has the same key on both sides."""
    found: dict[Point, list[T]] = {}
    for job in jobs:
        found.setdefault(_point(job), []).append(job)
    return found


def _point(job: Trial) -> Point:
    rest = {str(name): value for name, value in job.parameters.items() if str(name).lower() not in SEEDS}
    try:
        return Point(job.task, canonical(rest).decode())
    except (ValueError, TypeError, RecursionError):  # a manifest that somebody wrote by hand: what JSON has no word for
        return Point(job.task, repr(sorted(rest.items(), key=lambda item: item[0])))


def sample(values: Iterable[object]) -> Sample | None:
    """What is no number is left out; a run whose metric is NaN or infinite is not: it makes the whole sample so."""
    numbers = [_float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if not numbers:
        return None
    n = len(numbers)
    mean = _mean(numbers)
    if not math.isfinite(mean):
        return Sample(n, mean)
    return Sample(n, mean, math.hypot(*(value - mean for value in numbers)) / math.sqrt(n - 1) if n > 1 else 0.0)


def _mean(numbers: Sequence[float]) -> float:
    try:
        return math.fsum(numbers) / len(numbers)
    except (OverflowError, ValueError):  # of huge values; of both infinities
        return sum(value / len(numbers) for value in numbers)


def _float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def compare(
    head: Sequence[Mapping[str, float]],
    base: Sequence[Mapping[str, float]],
    lower_is_better: Mapping[str, bool | None],
) -> tuple[Delta, ...]:
    """One mapping a run (metric → its final value); directions of metrics that are left out are unknown.

    Sorted: what was finite and is not any more, then differences by size (in spreads; where none is known, relative to the larger
    value), then what only one side has; ties by name."""
    names = {name for run in (*head, *base) for name in run}
    deltas = (_delta(name, _of(head, name), _of(base, name), lower_is_better.get(name)) for name in names)
    return tuple(sorted((d for d in deltas if d.base or d.head), key=_order))


def _of(runs: Sequence[Mapping[str, float]], name: str) -> Sample | None:
    return sample(run[name] for run in runs if name in run)


def _delta(metric: str, head: Sample | None, base: Sample | None, lower: bool | None) -> Delta:
    if head is None or base is None or not math.isfinite(base.mean):
        return Delta(metric, base, head, None, None)
    if not math.isfinite(head.mean):
        return Delta(metric, base, head, None, None if lower is None else False)
    delta, spread = head.mean - base.mean, pooled(head, base)
    if lower is None or math.isclose(head.mean, base.mean, rel_tol=SAME) or abs(delta) <= (spread or 0.0):
        return Delta(metric, base, head, delta, None, spread)
    return Delta(metric, base, head, delta, (delta < 0) is lower, spread)


def pooled(one: Sample, other: Sample) -> float | None:
    """Standard deviation of both, each weighted by its degrees of freedom; None where neither has two runs."""
    free = [max(side.n - 1, 0) for side in (one, other)]
    if not sum(free):
        return None
    parts = (side.sd * math.sqrt(n / sum(free)) for side, n in zip((one, other), free, strict=True))
    return math.hypot(*parts)


def effect(delta: Delta) -> float:
    """How much a metric moved, whatever its unit; 0 where there is nothing to compare."""
    if delta.delta is None or delta.base is None or delta.head is None:
        return 0.0
    if not delta.delta or math.isclose(delta.head.mean, delta.base.mean, rel_tol=SAME):
        return 0.0
    scale = delta.spread if delta.spread is not None else max(abs(delta.head.mean), abs(delta.base.mean))
    size = abs(delta.delta) / scale if scale else math.inf
    return 0.0 if math.isnan(size) else size


def _order(delta: Delta) -> tuple[bool, bool, float, str]:
    diverged = delta.delta is None and delta.base is not None and delta.head is not None
    return (not diverged, delta.delta is None, -effect(delta), delta.metric)
