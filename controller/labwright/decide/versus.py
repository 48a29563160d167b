"""Runs of a task as samples: trials that differ in their seed alone are one."""

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
