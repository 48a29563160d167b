"""What the parts of the loop share: the ports, the book, the lab's settings, and the alarms that are on."""

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from labwright.control.book import Book
from labwright.control.calls import Calls
from labwright.control.masks import MaskedLog, Masks
from labwright.control.permits import Permits
from labwright.control.trouble import Troubles
from labwright.decide.grants import given_to, own_secrets
from labwright.domain.lab import Lab
from labwright.domain.task import Task
from labwright.ports.clock import Clock
from labwright.ports.forge import Forge
from labwright.ports.provider import Provider
from labwright.ports.records import Batch, Records
from labwright.ports.repo import Repo, ResultsBranch

MakeProvider = Callable[[str, Lab, Mapping[str, str]], Provider | None]
"""(name, lab.yaml, the lab repository's own templates) → the provider; None for a type that this version does
not have."""
MakeResults = Callable[[Lab], ResultsBranch | None]
MakeForge = Callable[[Lab], Forge | None]


@dataclass(frozen=True, slots=True)
class Options:
    launch_existing: bool = False
    poll_seconds: float = (
        15.0  # between looks at the repository, with jitter; a local one wakes us, this is the net below
    )
    observe_seconds: float = 1.0
    gather_seconds: float = 0.5
    batch_seconds: float = 0.2  # the least time between two writes of ended jobs to the records
    publish_seconds: float = 1.0  # the least time between two commits on the results branch
    lost_after: float = 120.0


@dataclass
class Alarms:
    """Conditions that a human should know of: raised and cleared by key, logged when they change."""

    log: Any
    clean: Callable[[str], str] = str  # what others say may quote a secret
    on: dict[str, str] = field(default_factory=dict)

    def raise_(self, key: str, message: str) -> None:
        message = self.clean(message)
        if self.on.get(key) != message:
            self.on[key] = message
            self.log.error("alarm", about=key, message=message)

    def clear(self, key: str) -> None:
        if self.on.pop(key, None) is not None:
            self.log.info("alarm over", about=key)


@dataclass
class World:
    clock: Clock
    book: Book
    records: Records
    repo: Repo
    make_provider: MakeProvider
    make_results: MakeResults
    logs: Path  # one folder a job, one file an attempt: what the job printed
    options: Options = Options()
    wake: threading.Event = field(default_factory=threading.Event)
    nudged: threading.Event = field(default_factory=threading.Event)  # some job may have ended: observe now
    asked: threading.Event = field(default_factory=threading.Event)  # somebody put an act into the ledger
    pushed: threading.Event = field(default_factory=threading.Event)  # the repository may have changed: fetch now
    hooked: threading.Event = field(default_factory=threading.Event)  # something happened at the forge: ask it now
    lab: Lab | None = None  # None until a lab.yaml (or its absence) was read once
    shipped: Mapping[str, str] = field(default_factory=dict)  # templates that come with this version: texts by name
    templates: Mapping[str, str] = field(default_factory=dict)  # the lab repository's own in place of those
    providers: dict[str, Provider] = field(default_factory=dict)
    results: ResultsBranch | None = None
    make_forge: MakeForge = lambda lab: None
    new_key: Callable[[], str] = lambda: secrets.token_hex(32)
    forge: Forge | None = None
    permits: Permits = field(default_factory=Permits)
    masks: Masks = field(default_factory=Masks)
    notes: list[Batch] = field(default_factory=list)  # rows of plans, commits and acts, on their way to the records
    log: Any = field(default_factory=lambda: structlog.get_logger("labwright"))

    def __post_init__(self) -> None:
        self.log = MaskedLog(self.log, self.masks)
        self.book.clean = self.masks.clean
        self.alarms = Alarms(self.log, self.masks.clean)
        self.calls = Calls(self.wake)
        self.troubles = Troubles(self.alarms, self.log)

    def now(self) -> datetime:
        return self.clock.now()

    def rouse(self, *, pushed: bool = False, ended: bool = False, hooked: bool = False) -> None:
        """From any thread: look at the world again, at once."""
        if hooked:
            self.hooked.set()
        if pushed:
            self.pushed.set()
            self.asked.set()
        if ended:
            self.nudged.set()
        self.wake.set()

    def secrets_of(self, task: Task, provider: str) -> frozenset[str]:
        """Names of the secrets that a job is given, or was, as far as lab.yaml still says so."""
        return given_to(task, self.lab, provider)

    def masks_of(self, task: Task, provider: str) -> Sequence[bytes]:
        """What may not be kept of what a job says, the longest first. Not on the loop's thread: sources may have to be asked.
        Raises Refused for a secret that nobody remembers and that cannot be had any more."""
        lab = self.lab or Lab()
        return self.masks.of(given_to(task, lab, provider), lab.secrets, own_secrets(lab))

    @property
    def suspended(self) -> Mapping[str, str]:
        """Provider name, or `*`, → who suspended it and when."""
        text = self.book.ledger.cursor("suspended")
        return {name: why for name, _, why in (line.partition("\t") for line in (text or "").split("\n")) if name}


def later(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=seconds)
