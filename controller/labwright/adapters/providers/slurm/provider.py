"""The Provider port on a Slurm cluster."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from labwright.adapters.providers.local import stage
from labwright.adapters.providers.local.spool import Spool
from labwright.adapters.providers.slurm import facts, files, rest_job
from labwright.adapters.providers.slurm.desk import Desk, joined
from labwright.adapters.providers.slurm.handles import Known, parse
from labwright.adapters.providers.slurm.listing import listed
from labwright.adapters.providers.slurm.observe import Observer
from labwright.adapters.providers.slurm.rest import Slurmrestd
from labwright.adapters.providers.slurm.rest_api import GetToken
from labwright.adapters.providers.slurm.scripts import account_of
from labwright.adapters.providers.slurm.stop import Stopper
from labwright.adapters.providers.slurm.submit import Person, Submitter
from labwright.domain.errors import LabError, OutcomeUnknown, Refused, Unavailable
from labwright.domain.ids import Handle, Token
from labwright.domain.seen import Seen
from labwright.domain.slurm import Account
from labwright.domain.slurm import SlurmProvider as Settings
from labwright.domain.task import Task
from labwright.ports.clock import Clock
from labwright.ports.provider import Chunk, Collected, Condition, Features, ReadBlobs, Submission, Tail
from labwright.ports.transport import Transport

Connect = Callable[[Account | None], Transport]
"""A way to the login node as one of `users`, or (None) as the provider's own user. Opened at the first call."""


_FACTS = "facts.txt"
_READ_S = 2.0  # the least time between two looks at what running jobs wrote …
_READ_RATE = 200.0  # … and of so many jobs a second at most: the file system is everybody's


@dataclass(frozen=True, slots=True)
class Ours:
    """Of the lab, what its clusters need: two labs never share a folder there."""

    spool: Path  # a folder here for what is on its way
    lab: str = "lab"
    owner: str = ""  # its repository
    sdk: Path | None = None  # the package folder `lab`
    templates: Mapping[str, str] = field(default_factory=dict)  # the lab repository's own, by name
    told: Path | None = None  # another spool: what the cluster answered there is all that is known, and nobody is asked
    rest_token: GetToken | None = None  # what `rest.token` stands for


class SlurmProvider:
    """All that lasts is on the cluster: any other object with the same settings sees the same attempts."""

    def __init__(
        self, name: str, settings: Settings, ours: Ours, read_blobs: ReadBlobs, clock: Clock, connect: Connect
    ) -> None:
        self.name, self.settings, self._lab = name, settings, ours.lab
        here = Spool(ours.spool.absolute())
        here.make()
        accounts: dict[str, Account | None] = {"": None, **{a.user: a for a in settings.users.values()}}
        self.people = {
            user: Person(user, self._desk(account, ours, connect), account) for user, account in accounts.items()
        }
        kit = stage.provide_sdk(here, ours.sdk) if ours.sdk else None
        patience = settings.submit_timeout_s
        rest = Slurmrestd(settings.rest, ours.rest_token, clock, patience) if settings.rest else None
        self._submitter = Submitter(here, settings, read_blobs, clock, kit, ours.templates, rest)
        self._observer = Observer(self.people, settings.poll_s, clock)
        self._stopper = Stopper(settings.grace_s)
        self._facts: facts.Facts | None = None
        self._told, self._said = ours.told, here.root / _FACTS

    def _desk(self, account: Account | None, ours: Ours, connect: Connect) -> Desk:
        workdir = (account and account.workdir) or self.settings.workdir
        return Desk(connect(account), workdir, ours.lab, ours.owner)

    # what it is

    @property
    def features(self) -> Features:
        array = (self._facts or facts.Facts()).array_max(self.settings)
        most, every = self.settings.submit_max, max(_READ_S, self._observer.running / _READ_RATE)
        return Features(2.0, preempts=True, queues=True, throttles=array, batch=4000, most=most, read_every=every)

    @cached_property
    def _main(self) -> Desk:
        return self.people[""].desk

    def facts(self) -> facts.Facts:
        """Asked once. Raises Unavailable."""
        if self._facts is None:
            self._facts = facts.parse(self._ask() if self._told is None else _read(self._told / _FACTS))
        return self._facts

    def _ask(self) -> str:
        answer = self._main.call("facts", timeout=90)
        new = self._said.with_suffix(".new")
        new.write_bytes(answer)  # for those who judge tasks and ask nobody
        new.replace(self._said)
        return answer.decode(errors="replace")

    def capacity(self) -> None:
        """None: it queues. Called off the loop's thread, so that what `refuse` needs is known by then."""
        self.facts()

    def refuse(self, task: Task) -> Sequence[str]:
        try:
            known = self.facts()
        except LabError:
            known = None  # sbatch will say it
        rest = self.settings.rest
        found = list(facts.refuse(task, known, self.settings, self.name))
        return [*found, *rest_job.refusals(self.settings.sbatch, rest.version)] if rest else found

    def condition(self) -> Condition:
        observer = self._observer
        asked = f"squeue every {self.settings.poll_s:g} s while jobs are there; {observer.calls_a_minute} calls in the last minute"
        notes = {"slurmctld": asked}
        if (rest := self.settings.rest) and self.settings.notice_s and rest_job.is_old(rest.version):
            notes["slurmrestd"] = f"{rest.version} has no `B:` in --signal: Slurm itself sends jobs no SIGUSR1"
        return Condition(alarms=dict(observer.alarms), notes=notes)

    # submission

    def submit(self, batch: Sequence[Submission]) -> Mapping[Token, Handle | LabError]:
        answers: dict[Token, Handle | LabError] = {}
        by_person: dict[str, list[Submission]] = {}
        for submission in batch:
            account = account_of(submission, self.settings)
            by_person.setdefault(account.user if account else "", []).append(submission)
        for user, theirs in by_person.items():
            try:
                answers.update(self._submitter.submit(self.people[user], theirs, self.facts()))
            except LabError as error:
                answers.update(dict.fromkeys((s.token for s in theirs), error))
        return answers

    def find(self, tokens: Sequence[Token]) -> Mapping[Token, Handle | None]:
        found: dict[Token, Handle | None] = dict.fromkeys(tokens)
        for person in self.people.values():
            for token, answer in self._submitter.find(person, tokens).items():
                if isinstance(answer, OutcomeUnknown):
                    raise Unavailable(str(answer), retry_in=5)
                found[token] = answer
        return found

    def list(self) -> Mapping[Token, Handle]:
        found: dict[Token, Handle] = {}
        for person in self.people.values():
            for token, handle in listed(person, self._lab):
                found.setdefault(token, handle)
        return found

    # observation

    def observe(self, handles: Sequence[Handle]) -> Mapping[Handle, Seen]:
        return self._observer.observe(handles)

    def cancel(self, handles: Sequence[Handle]) -> None:
        for person, known in self._grouped(handles):
            self._stopper.cancel(person.desk, known)

    def read(self, tails: Sequence[Tail], *, limit: int = 8 << 20) -> Sequence[Chunk]:
        known = [(found, tail) for tail in tails if (found := parse(tail.handle)) and found.user in self.people]
        chunks: list[Chunk] = []
        for user, theirs in files.tails_by_person(known).items():
            chunks += files.read(self.people[user].desk, theirs, limit - sum(len(c.data) for c in chunks))
        return chunks

    def collect(self, handle: Handle) -> Collected:
        known = self._of(handle)
        if known is None:
            return Collected()
        desk = self.people[known.user].desk
        collected = files.collect(desk, known)
        desk.call("marks", stdin=joined([known.token]))
        return collected

    def fetch(self, handle: Handle, path: str, into: Path) -> None:
        known = self._of(handle)
        if known is None:
            raise Refused(f"there is no folder of the attempt {handle}", hint="its artifacts were removed")
        files.fetch(self.people[known.user].desk, known, path, into)

    def forget(self, handles: Sequence[Handle]) -> None:
        ended = self._observer.ended(handles)
        for person, known in self._grouped(ended):
            person.desk.call("forget", stdin=joined([k.token for k in known]), timeout=600)
        for handle in ended:
            self._observer.forget(handle)

    def tidy(self, unused_for: float) -> None:
        for person in self.people.values():
            person.desk.call("tidy", max(1, round(unused_for / 86400)), timeout=600)

    def close(self) -> None:
        for person in self.people.values():
            person.desk.transport.close()

    # whose is what

    def _of(self, handle: Handle) -> Known | None:
        known = parse(handle)
        return known if known and known.user in self.people else None

    def _grouped(self, handles: Sequence[Handle]) -> Sequence[tuple[Person, Sequence[Known]]]:
        found: dict[str, list[Known]] = {}
        for handle in handles:
            if known := self._of(handle):
                found.setdefault(known.user, []).append(known)
        return [(self.people[user], known) for user, known in found.items()]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise Unavailable("no controller has asked the cluster yet what it has") from None
