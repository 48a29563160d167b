"""What the ledger remembers: jobs, their attempts, and each change of state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from labwright.domain.ids import Digest, Handle, JobId, Token
from labwright.domain.lifecycle import Outcome, State


class Held(StrEnum):
    """Why a job is HELD; the text before the first `:` of `Job.reason`."""

    APPROVAL = "approval"
    QUOTA = "quota"
    LIMIT = "limit"
    NEEDS = "needs"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Trial:
    """One wanted point of a task at a commit: what identity is computed from, ready to become a job."""

    task: str  # path below experiments/, such as `alpha/train`
    work: Digest
    generation: int
    parameters: Mapping[str, Any]  # resolved values; secrets stay references such as `{{secret.HF_TOKEN}}`
    spec: Digest  # content key of the task's JSON (Ledger.contents)
    bundle: Digest  # content key of the bundle's file list (Ledger.contents)
    provider: str
    priority: int = 0
    needs: tuple[tuple[str, Digest], ...] = ()  # (task path, work digest) of every trial waited for

    @property
    def experiment(self) -> str:
        return self.task.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Job:
    """One wanted execution of a trial. `version` counts changes: the ledger swaps a row only if it is unchanged."""

    id: JobId
    task: str
    work: Digest
    generation: int
    parameters: Mapping[str, Any]
    spec: Digest
    bundle: Digest
    provider: str
    priority: int
    commit: str  # that first asked for it
    branch: str
    author: str
    created: datetime
    state: State = State.HELD
    reason: str = ""
    updated: datetime | None = None
    needs: tuple[JobId, ...] = ()
    attempt: int = 0  # number of the newest attempt; 0 = none yet
    not_before: datetime | None = None
    stop_asked: str = ""  # why somebody wants it stopped; empty = nobody does
    plan: str = ""  # digest of the plan that made it
    trial: int = 0  # its place in the task's sweep, from 0
    version: int = 0

    @property
    def experiment(self) -> str:
        return self.task.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One submission of a job to a provider."""

    job: JobId
    n: int  # from 1
    token: Token
    provider: str
    intended: datetime  # when the intent was written: before the provider was asked
    handle: Handle | None = None
    placement: Mapping[str, Any] = field(default_factory=dict)  # {"cpus": 1, "memory_gb": 0, "gpus": [0, 1]}
    submitted: datetime | None = None
    started: datetime | None = None  # the job's first instruction (setup)
    running: datetime | None = None  # first instruction of `run`
    ended: datetime | None = None
    outcome: Outcome | None = None
    exit_code: int | None = None
    signal: int | None = None
    node: str = ""
    detail: str = ""  # the provider's own words, or the error that a submission met
    collected: bool = False  # metrics, logs, artifacts are all in the records
    published: bool = False  # on the results branch


@dataclass(frozen=True, slots=True)
class Move:
    """A change of state that the ledger shall make, if the job is still at `job.version`."""

    job: Job
    to: State
    reason: str
    at: datetime
    attempt: Attempt | None = None  # written in the same commit
    changes: Mapping[str, Any] = field(
        default_factory=dict
    )  # other columns of the job: attempt, not_before, stop_asked


@dataclass(frozen=True, slots=True)
class Transition:
    job: JobId
    at: datetime
    before: State | None
    after: State
    reason: str


class Wanted(StrEnum):
    """How a branch came by a trial."""

    BASELINE = "baseline"  # was there at first sight: nothing is launched
    LAUNCHED = "launched"
    REUSED = "reused"
    REFUSED = "refused"  # its provider cannot honour it; detail says why
    INVALID = "invalid"  # the task's file has problems; detail lists them


@dataclass(frozen=True, slots=True)
class Want:
    """What the tip of a branch asks for, and which job answers it. The ledger keeps the newest set per task."""

    branch: str
    task: str
    work: Digest  # empty for INVALID
    generation: int
    how: Wanted
    job: JobId | None
    commit: str  # where this want was first seen
    detail: str = ""


class ActKind(StrEnum):
    RUN = "run"
    RERUN = "rerun"
    STOP = "stop"
    RETRY = "retry"
    CONFIRM = "confirm"
    SUSPEND = "suspend"
    RESUME = "resume"
    APPROVE = "approve"  # a pull request's plan; written when it is carried out
    ASK = "ask"  # a question in a pull request, and what it was answered


@dataclass(frozen=True, slots=True)
class Act:
    """Something a human asked for, stored once under its id and level from then on."""

    id: str
    kind: ActKind
    target: str  # task path, job id, plan digest or provider name, by kind
    by: str
    at: datetime
    arguments: Mapping[str, Any] = field(default_factory=dict)
    done: datetime | None = None
    answer: str = ""  # what came of it, for the person who asked


SUPERSEDED = (
    "superseded"  # how the reason starts of a job that the repository stopped wanting; wanted again, it runs again
)
