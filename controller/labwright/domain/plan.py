"""What a commit would launch, reuse, supersede or refuse."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from labwright.domain.errors import Problem
from labwright.domain.ids import Digest, JobId, digest
from labwright.domain.job import Trial, Want


@dataclass(frozen=True, slots=True)
class Launch:
    """A job that is to be made. `generation` may be higher than the trial asks (docs/adr/0003-identity.md)."""

    job: JobId
    trial: Trial
    generation: int
    place: int  # of the trial in its task's sweep, from 0
    needs: tuple[JobId, ...]
    gpu_hours: float


@dataclass(frozen=True, slots=True)
class Reuse:
    job: JobId
    trial: Trial
    state: str


@dataclass(frozen=True, slots=True)
class Stop:
    job: JobId
    task: str
    reason: str
    costs: bool  # it was at a provider or waiting for one: counts against limits.stops_per_commit


@dataclass(frozen=True, slots=True)
class Refusal:
    task: str
    provider: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    branch: str
    commit: str
    launch: tuple[Launch, ...] = ()
    reuse: tuple[Reuse, ...] = ()
    stop: tuple[Stop, ...] = ()
    refuse: tuple[Refusal, ...] = ()
    invalid: tuple[Problem, ...] = ()
    baseline: int = 0  # trials that are there and are not launched
    held: str = ""  # why a human must confirm the whole of it; empty = nobody needs to
    wants: Mapping[str, tuple[Want, ...]] = field(default_factory=dict)

    @property
    def digest(self) -> Digest:
        """Of everything that would be submitted or stopped, and of nothing else: a rebase of the same content keeps it."""
        launches = sorted([x.job, x.trial.provider, x.trial.bundle, x.trial.spec] for x in self.launch)
        return digest({"launch": launches, "stop": sorted(x.job for x in self.stop)})

    @property
    def empty(self) -> bool:
        return not (self.launch or self.stop)

    @property
    def gpu_hours(self) -> float:
        return sum(x.gpu_hours for x in self.launch)
