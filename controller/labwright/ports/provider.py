"""A place that runs jobs. Observed in batches; every call may raise Unavailable, which changes no state."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from labwright.domain.bundle import Bundle
from labwright.domain.errors import LabError
from labwright.domain.ids import Handle, JobId, Token
from labwright.domain.manifest import ManifestArtifact, ManifestEnvironment
from labwright.domain.seen import Seen
from labwright.domain.task import Task

ReadBlobs = Callable[[Sequence[str]], Iterator[bytes]]
"""Bytes of git blobs, one for each object id asked, in that order."""


@dataclass(frozen=True, slots=True)
class Features:
    find_settles: float  # seconds after which `find` tells the truth about a submission whose answer was lost
    preempts: bool = False
    queues: bool = False  # has a queue of its own: submit without waiting for room
    throttles: int = 0  # of so many trials of a sweep that are submitted together it keeps max_parallel by itself
    batch: int = 64  # submissions that are worth one call
    most: int | None = None  # attempts that may be there at once
    read_every: float = 0.0  # seconds between two looks at what running jobs wrote


@dataclass(frozen=True, slots=True)
class Condition:
    """How a provider is, as of its last answers; asking costs nothing."""

    alarms: Mapping[str, str] = field(default_factory=dict)  # what a human should know of, by a short name
    notes: Mapping[str, str] = field(default_factory=dict)  # for `lab status`


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the provider has in all (not what is free); the controller does the packing."""

    cpus: float
    memory_gb: float
    gpus: tuple[str, ...] = ()  # ids that go into CUDA_VISIBLE_DEVICES
    gpu_type: str | None = None  # None = not known, any asked type is accepted
    disk_gb: float | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """Everything that one attempt needs. `secrets` never reach a file that outlives the job, a log or argv."""

    token: Token
    job: JobId
    attempt: int
    task_path: str
    task: Task
    bundle: Bundle
    parameters: Mapping[str, Any]
    variables: Mapping[str, str]  # LAB_… about the job: commit, branch, author, experiment, generation, trial
    secrets: Mapping[str, str] = field(default_factory=dict)
    placement: Mapping[str, Any] = field(default_factory=dict)  # {"cpus", "memory_gb", "gpus": [...]}
    needs: Mapping[str, Sequence[Handle]] = field(default_factory=dict)  # task path → attempts whose artifacts it reads
    resume_from: Handle | None = None  # the attempt whose last complete checkpoint this one continues


@dataclass(frozen=True, slots=True)
class Tail:
    """Ask for the new bytes of an attempt: `offsets` names what is known already (events.jsonl, events.1.jsonl, log.txt)."""

    handle: Handle
    offsets: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Chunk:
    handle: Handle
    file: str
    offset: int  # of data's first byte
    data: bytes


@dataclass(frozen=True, slots=True)
class Collected:
    """What an ended attempt left behind."""

    artifacts: Sequence[ManifestArtifact] = ()
    environment: ManifestEnvironment | None = None
    source: Mapping[str, str] = field(default_factory=dict)  # {"url", "sha", "dir"} of github_repo_url


class Provider(Protocol):
    name: str

    @property
    def features(self) -> Features: ...

    def refuse(self, task: Task) -> Sequence[str]:
        """What this provider cannot honour of a task: one sentence each, saying how to mend it. Empty = it can run here."""
        ...

    def capacity(self) -> Capacity | None:
        """None where the provider queues by itself (`features.queues`)."""
        ...

    def condition(self) -> Condition: ...

    def submit(self, batch: Sequence[Submission]) -> Mapping[Token, Handle | LabError]:
        """Each token answered: its handle, or Refused (did not and will not start), Unavailable (did not start) or
        OutcomeUnknown (may have started: `find` decides). Staging is part of it. Submitting a token twice runs it once."""
        ...

    def find(self, tokens: Sequence[Token]) -> Mapping[Token, Handle | None]:
        """True once `features.find_settles` seconds have passed since the submission."""
        ...

    def list(self) -> Mapping[Token, Handle]:
        """Every attempt of this lab that waits or runs there, whoever started it; one that has just begun or ended may be told
        late. Where only a name of several is known, that in the token's place."""
        ...

    def observe(self, handles: Sequence[Handle]) -> Mapping[Handle, Seen]:
        """Every handle is answered; an unknown one with Phase.MISSING."""
        ...

    def cancel(self, handles: Sequence[Handle]) -> None:
        """SIGTERM, grace, SIGKILL; returns at once. Quiet for what has ended or was cancelled before."""
        ...

    def read(self, tails: Sequence[Tail], *, limit: int = 8 << 20) -> Sequence[Chunk]:
        """New bytes of events*.jsonl and log.txt, at most about `limit` in all; no byte twice, none left out."""
        ...

    def collect(self, handle: Handle) -> Collected: ...

    def fetch(self, handle: Handle, path: str, into: Path) -> None:
        """One artifact's bytes. `path` is relative to artifacts/ (or to checkpoints/ with that prefix)."""
        ...

    def forget(self, handles: Sequence[Handle]) -> None:
        """Remove the folders of ended attempts (retention): MISSING from then on. Quiet for what is gone already; what has not
        ended is left alone. Never called for what another attempt reads or resumes from."""
        ...

    def tidy(self, unused_for: float) -> None:
        """Remove what attempts share here (files of commits, sources, environments …) that nothing was started with for so many
        seconds and that no remaining attempt's folder refers to. May run beside any other call."""
        ...

    def close(self) -> None:
        """Connections are given back; jobs go on."""
        ...
