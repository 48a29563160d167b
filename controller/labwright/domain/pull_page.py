"""What is shown of a pull request, as values: the control loop fills them, `decide/pull_page.py` makes the comment of them.

Texts are raw, as people wrote them: whoever renders escapes. In `words` a value may stand between backticks, as in our errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from labwright.domain.errors import Problem
from labwright.domain.lifecycle import State


class Banner(StrEnum):
    """What a reviewer must know before anything else; how each is said is in decide/pull_parts.py."""

    FORK = "fork"
    CONFIG = "config"  # lab.yaml, templates or lists of approvers are changed by it
    HELD = "held"  # `words`: the plan's own, with the command that confirms
    SUSPENDED = "suspended"
    DRAFT = "draft"
    CLOSED = "closed"
    VOID = "void"  # it was approved, and is no more; `words`: why
    NOTE = "note"  # `words` alone


@dataclass(frozen=True, slots=True)
class Notice:
    kind: Banner
    words: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing that must be so before jobs start. `words`: of a passed one why, else what is missing, such as
    `the label lab:run`: the first line lists them after `waits for`."""

    name: str
    passed: bool | None  # None: it cannot be told (yet)
    words: str = ""


@dataclass(frozen=True, slots=True)
class Reused:
    """Trials of a task that earlier work answers."""

    lane: str  # branch, or lane of the pull request that they ran for: `pull:41`
    jobs: tuple[str, ...]  # one a trial


@dataclass(frozen=True, slots=True)
class TrialLine:
    """A job that is to be launched."""

    job: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    place: int = 0  # in the sweep, from 0


@dataclass(frozen=True, slots=True)
class TaskLine:
    """One task of the plan. What is asked is for each of its jobs; hours are of all of them together."""

    task: str
    launch: tuple[TrialLine, ...] = ()
    reuse: tuple[Reused, ...] = ()
    supersede: tuple[str, ...] = ()  # jobs that stop
    refused: tuple[str, ...] = ()  # reasons; then nothing of it is launched
    refused_trials: int = 0
    baseline: int = 0  # trials that are there and start only by `lab run`
    provider: str = ""
    cpus: str = ""  # as asked: `8`, `4+`
    memory_gb: float | None = None  # GB a node
    accelerators: str = ""  # a node: `A100:8`
    nodes: int = 1
    limit_seconds: float | None = None  # time limit of a job; None: there is none
    gpu_hours: float = 0.0  # GPU-hours, at most; 0 also where there is no time limit
    expected_gpu_hours: float | None = None  # GPU-hours, from past jobs of the task
    expected_seconds: float | None = None  # of a job, from past jobs of the task
    cost: str = ""  # such as `≈ $12.40`
    queue: str = ""  # forecast of when the first one starts: `≈ 20 min`
    metric: str = ""  # that its jobs' scores are of
    lower_is_better: bool | None = None  # None: nobody said


class Change(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    SAME = "same"  # listed in the full plan only


@dataclass(frozen=True, slots=True)
class FileLine:
    """A file of a bundle, against the base branch. Modes and ids are git's, empty where there is no file."""

    path: str  # in the repository
    change: Change
    old_mode: str = ""
    new_mode: str = ""
    oid: str = ""  # of what would run


class Doubt(StrEnum):
    """What a diff may not show, or what may be another thing tomorrow (R21, R22); the gravest first."""

    HIDDEN = "hidden"  # .gitattributes keep it out of the diff, or make other bytes of it
    CHARACTERS = "characters"  # that are not seen, or read as others
    REMOTE = "remote"  # code that comes from the network while the job runs
    MODE = "mode"
    BINARY = "binary"
    ENCODED = "encoded"  # long runs of base64
    UNPINNED = "unpinned"  # git references and images that may move
    LONG = "long"
    MORE = "more"  # how many were not listed


@dataclass(frozen=True, slots=True)
class Caution:
    path: str  # empty: of no single file
    line: int  # from 1; 0: of the file as a whole
    words: str
    doubt: Doubt = Doubt.HIDDEN


@dataclass(frozen=True, slots=True)
class JobLine:
    job: str
    task: str
    trial: int  # its place in the sweep, from 0
    state: State
    reason: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    score: float | None = None  # by the task's own metric
    seconds: float | None = None  # of running
    link: str = ""  # address of its manifest or page
    log_tail: str = ""  # of one that failed
    reused: bool = False  # it ran before, for another lane


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one metric over the jobs of a task."""

    mean: float
    sd: float | None  # of the sample, n - 1; None for one job
    n: int


@dataclass(frozen=True, slots=True)
class Delta:
    """One metric of a task, head against base."""

    task: str
    metric: str
    lower_is_better: bool | None  # None: nobody said which end is the good one
    base: Figures | None  # None: the base branch has no result
    head: Figures | None


@dataclass(frozen=True, slots=True)
class Requirement:
    """A bar that results must clear: `val_loss <= base + 0.01`."""

    text: str
    passed: bool | None  # None: not known yet
    words: str = ""  # with the numbers


@dataclass(frozen=True, slots=True)
class Plot:
    title: str
    path: str  # of an SVG on the results branch


@dataclass(frozen=True, slots=True)
class Links:
    """Of files at the forge, as `Features.links`; an empty template makes no links."""

    page: str = ""  # `https://…/{branch}/{path}`
    raw: str = ""  # for images
    branch: str = "lab-results"


@dataclass(frozen=True, slots=True)
class PullPage:
    """Everything that a pull request's one comment says. Unlike the comment, none of it is bounded."""

    lane: str  # `pull:7`
    number: int
    lab: str
    head: str  # commit
    base_branch: str
    digest: str  # of the whole plan
    signature: str  # of the hidden marker; letters, digits and `-_=+/.:`
    tasks: tuple[TaskLine, ...] = ()
    files: tuple[FileLine, ...] = ()
    cautions: tuple[Caution, ...] = ()
    problems: tuple[Problem, ...] = ()  # of task.yaml files: those tasks do not run
    banners: tuple[Notice, ...] = ()
    gates: tuple[Gate, ...] = ()
    approved_by: tuple[str, ...] = ()  # logins, of this digest
    jobs: tuple[JobLine, ...] = ()  # empty until something was launched
    deltas: tuple[Delta, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    plots: tuple[Plot, ...] = ()
    links: Links = Links()
    plan_path: str = ""  # of the full plan on the results branch; empty: it is not there (yet)
    room: str = ""  # what is left of quotas: `team 1,200 of 2,000 GPU-hours`
    label: str = "lab:run"
    commands: tuple[tuple[str, str], ...] = (
        ("/lab run", "asks to launch this plan; with all digits of it, approves it as a review does"),
        ("/lab plan", "makes it anew"),
        ("/lab why", "tells why something does not run"),
        ("/lab rerun", "runs failed jobs again"),
        ("/lab stop", "stops what was launched"),
    )

    @property
    def launches(self) -> int:
        return sum(len(task.launch) for task in self.tasks)

    @property
    def reused(self) -> int:
        return sum(len(found.jobs) for task in self.tasks for found in task.reuse)

    @property
    def superseded(self) -> int:
        return sum(len(task.supersede) for task in self.tasks)

    @property
    def refused(self) -> int:
        return sum(max(task.refused_trials, bool(task.refused)) for task in self.tasks)

    @property
    def gpu_hours(self) -> float:
        return sum(task.gpu_hours for task in self.tasks)

    @property
    def expected_gpu_hours(self) -> float | None:
        """None where no task has past jobs; tasks without count as much as they ask."""
        if all(task.expected_gpu_hours is None for task in self.tasks):
            return None
        return sum(t.gpu_hours if t.expected_gpu_hours is None else t.expected_gpu_hours for t in self.tasks)

    @property
    def waits_for(self) -> tuple[str, ...]:
        return tuple(gate.words or gate.name for gate in self.gates if not gate.passed)

    def has(self, kind: Banner) -> bool:
        return any(notice.kind is kind for notice in self.banners)
