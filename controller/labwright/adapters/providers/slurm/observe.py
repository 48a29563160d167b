"""What became of attempts, in this order: the wrapper's own record, what squeue says, what the accounting says.

Files are looked at often and cost slurmctld nothing: each end leaves a mark in one folder. squeue is asked once for everything,
never more often than lab.yaml's `poll`; the accounting only for what left the queue without a record."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from labwright.adapters.providers.local.spool import parse_json, phases_of, seen_of
from labwright.adapters.providers.slurm.desk import joined
from labwright.adapters.providers.slurm.handles import Known, parse
from labwright.adapters.providers.slurm.queue import Entry, Queue, by_kind, sacct, squeue
from labwright.adapters.providers.slurm.states import SETUP_FAILED, codes, meaning
from labwright.adapters.providers.slurm.submit import Person
from labwright.domain.errors import LabError, Unavailable
from labwright.domain.ids import Handle, Token
from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase, Seen
from labwright.ports.clock import Clock

_LOOK_S = 1.0  # the least time between two looks at files …
_SLOWEST_LOOK_S = 2.5  # … and the most, when nothing happens
_FULL_S = 60.0  # between two looks at every attempt's folder, whatever the marks say
_LAG_S = 30.0  # for which a file system may show a node's last files late
_ABSENT_S = 60.0  # nobody knows it: for so long the accounting may lag
_MOST_BACKOFF_S = 120.0
_IDS = 500  # in one question


@dataclass
class _Memory:
    """Of one attempt."""

    known: Known
    seen: Seen = field(default_factory=lambda: Seen(Phase.QUEUED))
    looked: bool = False  # at its folder
    folder: bool = False  # it has one
    phases: str = ""
    entry: Entry | None = None
    absent_since: float | None = None
    unrecorded_since: float | None = None  # Slurm says COMPLETED, and there is no record


@dataclass
class Observer:
    people: Mapping[str, Person]  # by name in handles
    poll_s: float
    clock: Clock
    memory: dict[Handle, _Memory] = field(default_factory=dict)
    alarms: dict[str, str] = field(default_factory=dict)
    asked: deque[float] = field(default_factory=deque)  # when Slurm's daemons were asked, in the last minute
    look_at: float = 0.0
    look_every: float = _LOOK_S
    queue_at: float = 0.0
    full_at: float = 0.0
    failures: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)  # who observes and who forgets are on any thread

    def observe(self, handles: Sequence[Handle]) -> Mapping[Handle, Seen]:
        """Raises Unavailable when nobody on the cluster answers."""
        with self.lock:
            return self._observe(handles)

    def _observe(self, handles: Sequence[Handle]) -> Mapping[Handle, Seen]:
        now = time.monotonic()
        parsed = {handle: parse(handle) for handle in handles}
        new = [h for h, known in parsed.items() if known and known.user in self.people and h not in self.memory]
        for handle in new:
            self.memory[handle] = _Memory(parsed[handle])  # type: ignore[arg-type]
        live = [h for h in parsed if h in self.memory and self.memory[h].seen.phase not in (Phase.ENDED, Phase.MISSING)]
        if live and (new or now >= self.look_at):
            self._look(live, now)
        for handle in self.memory.keys() - parsed.keys():
            del self.memory[handle]
        return {h: self.memory[h].seen if h in self.memory else Seen(Phase.MISSING) for h in handles}

    def ended(self, handles: Sequence[Handle]) -> Sequence[Handle]:
        """Those that certainly run no more, and will not."""
        with self.lock:
            seen = self._observe([*self.memory, *(h for h in handles if h not in self.memory)])
        return [handle for handle in handles if seen[handle].phase in (Phase.ENDED, Phase.MISSING)]

    def forget(self, handle: Handle) -> None:
        with self.lock:
            if found := self.memory.get(handle):
                found.seen = Seen(Phase.MISSING)

    @property
    def calls_a_minute(self) -> int:
        self._asked(0)
        return len(self.asked)

    # one look

    def _look(self, live: Sequence[Handle], now: float) -> None:
        with_queue = now >= self.queue_at
        everyone = now >= self.full_at
        queue, changed = Queue(), False
        groups = self._by_person(live)
        users = self._users(groups) if with_queue else "-"
        for name, handles in groups.items():
            full = [h for h in handles if everyone or not self.memory[h].looked]
            changed |= self._look_of(self.people[name], handles, full, users, queue)
            users = "-"  # one question tells everybody's jobs
        if with_queue and "squeue" not in self.alarms:
            self._take_queue(live, queue)
            changed |= self._look_at_new_arrivals(groups)
            self._follow_vanished(live, now)
            changed |= self._take_in(live)
        if everyone:
            self.full_at = now + _FULL_S
        if with_queue:
            self.failures = self.failures + 1 if "squeue" in self.alarms else 0
            self.queue_at = now + min(self.poll_s * 2.0**self.failures, max(_MOST_BACKOFF_S, self.poll_s))
        self.look_every = _LOOK_S if changed else min(self.look_every * 1.25, _SLOWEST_LOOK_S)
        self.look_at = time.monotonic() + self.look_every

    def _by_person(self, handles: Iterable[Handle]) -> dict[str, list[Handle]]:
        found: dict[str, list[Handle]] = {}
        for handle in handles:
            found.setdefault(self.memory[handle].known.user, []).append(handle)
        return found

    def _users(self, names: Iterable[str]) -> str:
        return ",".join(name or self.people[name].desk.site().user for name in names)

    def _look_at_new_arrivals(self, groups: Mapping[str, Sequence[Handle]]) -> bool:
        """Attempts that are on their nodes and have not begun to run, as far as is known here."""
        fresh = False
        for name, handles in groups.items():
            found = [(h, self.memory[h]) for h in handles]
            arrived = [
                h for h, m in found if m.entry and m.seen.phase is not Phase.ENDED and not m.phases.count("run ")
                and meaning(m.entry.state).phase is Phase.RUN
            ]  # fmt: skip
            if arrived:
                fresh |= self._look_of(self.people[name], arrived, arrived, "-", Queue())
        return fresh

    def _look_of(
        self, person: Person, handles: Sequence[Handle], full: Sequence[Handle], users: str, queue: Queue
    ) -> bool:
        """One person's files, the folders of `full` whole, and the queue of all `users`. True when something was new."""
        by_token = {self.memory[h].known.token: h for h in handles}
        tokens = [self.memory[h].known.token for h in full]
        answer = person.desk.call("look", users, stdin=joined(tokens), timeout=90)
        try:
            said = by_kind(answer.decode(errors="replace"))
        except ValueError:
            raise Unavailable("the login node's answer was cut short", retry_in=2) from None
        if users != "-":
            self._asked(1)
            self._squeue_says(said.get("X"))
            squeue(said.get("Q", ()), queue)
        marked = [
            t
            for t in said.get("M", ())
            if t in by_token and self.memory[by_token[Token(t)]].seen.phase is not Phase.ENDED
        ]
        fresh = self._records(said.get("E", ()), by_token)
        fresh |= self._progress(said.get("P", ()), said.get("N", ()), by_token)
        if left := [token for token in marked if self.memory[by_token[Token(token)]].seen.phase is not Phase.ENDED]:
            fresh |= self._ends(person, left, by_token)
        return fresh

    def _ends(self, person: Person, tokens: Sequence[str], by_token: Mapping[Token, Handle]) -> bool:
        answer = person.desk.call("ends", stdin=joined(tokens)).decode(errors="replace")
        return self._records([line[2:] for line in answer.split("\n") if line.startswith("E\t")], by_token)

    def _records(self, lines: Iterable[str], by_token: Mapping[Token, Handle]) -> bool:
        fresh = False
        for line in lines:
            token, _, text = line.partition("\t")
            seen = seen_of(parse_json(text)) if token in by_token else None
            if seen is not None:
                self.memory[by_token[Token(token)]].seen = seen
                fresh = True
        return fresh

    def _progress(self, lines: Iterable[str], none: Iterable[str], by_token: Mapping[Token, Handle]) -> bool:
        fresh = False
        for line in lines:
            token, key, phases = line.split("\t")
            found = self.memory[by_token[Token(token)]]
            found.looked = found.folder = True
            if key not in ("-", found.known.id) and (other := parse(f"{token}@{key}")):
                found.known = replace(other, user=found.known.user)  # an earlier copy of it is the one that runs
            fresh |= found.phases != phases
            found.phases = phases
            if phases and found.seen.phase is Phase.QUEUED:
                found.seen = _under_way(found)
        for token in none:
            self.memory[by_token[Token(token)]].looked = True
        return fresh

    # the queue

    def _squeue_says(self, trouble: Sequence[str] | None) -> None:
        if trouble:
            self.alarms["squeue"] = (
                f"squeue: {' '.join(trouble)[:300] or 'no answer'}; jobs keep their states meanwhile"
            )
        else:
            self.alarms.pop("squeue", None)

    def _take_queue(self, live: Sequence[Handle], queue: Queue) -> None:
        for handle in live:
            found = self.memory[handle]
            found.entry = queue.get(found.known)

    def _take_in(self, live: Sequence[Handle]) -> bool:
        fresh = False
        for handle in live:
            found = self.memory[handle]
            if found.seen.phase is not Phase.ENDED and found.entry is not None:
                before = found.seen.phase
                found.seen = _from_queue(found, self.clock.now())
                fresh |= found.seen.phase is not before
        return fresh

    # what left the queue

    def _follow_vanished(self, live: Sequence[Handle], now: float) -> None:
        gone = [h for h in live if self.memory[h].entry is None and self.memory[h].seen.phase is not Phase.ENDED]
        for name, handles in self._by_person(gone).items():
            person = self.people[name]
            by_token = {self.memory[h].known.token: h for h in handles}
            self._ends(person, [*by_token], by_token)
            left = [h for h in handles if self.memory[h].seen.phase is not Phase.ENDED]
            for at in range(0, len(left), _IDS):
                self._ask_slurm(person, left[at : at + _IDS], now)
        for handle in live:
            if self.memory[handle].entry is not None:
                self.memory[handle].absent_since = self.memory[handle].unrecorded_since = None

    def _ask_slurm(self, person: Person, handles: Sequence[Handle], now: float) -> None:
        ids = ",".join(sorted({self.memory[h].known.id for h in handles}))
        try:
            said = by_kind(person.desk.call("vanished", ids, timeout=120).decode(errors="replace"))
        except ValueError:
            raise Unavailable("the login node's answer was cut short", retry_in=2) from None
        self._asked(2)
        recent, old = squeue(said.get("Z", ())), sacct(said.get("A", ()))
        if said.get("Y"):
            self.alarms["sacct"] = (
                f"{said['Y'][0][:300]}; jobs that left the queue without a record keep their states meanwhile"
            )
        else:
            self.alarms.pop("sacct", None)
        silent = bool(said.get("X")) or (bool(said.get("Y")) and "disabled" not in said["Y"][0])
        for handle in handles:
            self._judge(self.memory[handle], person, recent, old, silent, now)

    def _judge(self, found: _Memory, person: Person, recent: Queue, old: Queue, silent: bool, now: float) -> None:
        entry, told = recent.get(found.known), old.get(found.known)
        if entry and meaning(entry.state).phase is not Phase.ENDED:
            found.entry = entry  # it came back: requeued meanwhile
            return
        best = told if told and (not entry or meaning(told.state).phase is Phase.ENDED) else entry
        if best is None:
            self._absent(found, silent, now)
            return
        found.absent_since = None
        meant = meaning(best.state)
        if meant.phase is Phase.UNKNOWN:
            found.seen = replace(found.seen, phase=Phase.UNKNOWN, detail=f"Slurm says {best.state}")
        elif meant.phase is not Phase.ENDED:
            found.seen = replace(found.seen, phase=Phase.UNKNOWN, detail=f"the accounting says {best.state}")
        elif meant.outcome is Outcome.OK:
            self._unrecorded(found, best, now)
        elif (
            meant.outcome is not Outcome.CANCELLED
            and not found.folder
            and best.start is not None
            and _long_ago(best, self.clock.now())
        ):
            found.seen = Seen(Phase.MISSING)  # its folder was removed
        else:
            found.seen = _ended(found, best, person)

    def _absent(self, found: _Memory, silent: bool, now: float) -> None:
        if silent:
            found.seen = replace(found.seen, phase=Phase.UNKNOWN, detail="Slurm does not say what became of it")
            return
        found.absent_since = found.absent_since or now
        sure = now - found.absent_since > _ABSENT_S or not found.folder
        found.seen = (
            Seen(Phase.MISSING) if sure else replace(found.seen, phase=Phase.UNKNOWN, detail="Slurm does not know it")
        )

    def _unrecorded(self, found: _Memory, entry: Entry, now: float) -> None:
        """COMPLETED is the wrapper's word; the job's own is its record, which a shared file system may show late."""
        found.unrecorded_since = found.unrecorded_since or now
        if not found.folder and found.looked:
            found.seen = Seen(Phase.MISSING)
        elif now - found.unrecorded_since > _LAG_S:
            detail = "Slurm says COMPLETED, and there is no record of how it ended"
            found.seen = replace(found.seen, phase=Phase.ENDED, outcome=Outcome.LOST, ended=entry.end, detail=detail)
        else:
            found.seen = replace(
                found.seen, phase=Phase.UNKNOWN, detail="Slurm says COMPLETED; its record is not here yet"
            )

    def _asked(self, times: int) -> None:
        now = time.monotonic()
        self.asked.extend([now] * times)
        while self.asked and self.asked[0] < now - 60:
            self.asked.popleft()


def _under_way(found: _Memory) -> Seen:
    phases = phases_of(found.phases.replace(";", "\n"))
    running = phases.get("run")
    node = found.entry.node if found.entry else found.seen.node
    return Seen(
        Phase.RUN if running else Phase.SETUP, started=phases.get("setup") or running, running=running, node=node
    )


def _from_queue(found: _Memory, now: datetime) -> Seen:
    entry = found.entry
    assert entry is not None  # noqa: S101  # asked by the caller
    meant = meaning(entry.state)
    if meant.phase is Phase.RUN:
        seen = _under_way(found)
        words = entry.state.lower() if entry.state not in ("RUNNING", "COMPLETING") else ""
        return replace(seen, started=seen.started or entry.start, detail=f"Slurm says: {words}" if words else "")
    if meant.phase is Phase.QUEUED:
        again = "Slurm has requeued it; " if found.phases else ""
        start = f", expected to start by {_roughly(entry.start, now)}" if entry.start and entry.start > now else ""
        reason = entry.reason or entry.state
        return replace(found.seen, phase=Phase.QUEUED, outcome=None, detail=f"{again}waits in Slurm: {reason}{start}")
    if meant.phase is Phase.ENDED:
        return replace(found.seen, phase=Phase.UNKNOWN, detail=f"Slurm says {entry.state}")  # the next look follows it
    return replace(found.seen, phase=Phase.UNKNOWN, detail=f"Slurm says {entry.state}")


def _roughly(start: datetime, now: datetime) -> str:
    """Slurm's estimate moves with every look: to the next ten minutes, or hours when it is far, so that it stays the same."""
    step = 600 if start - now < timedelta(hours=2) else 3600
    rounded = datetime.fromtimestamp(-(-int(start.timestamp()) // step) * step, start.tzinfo)
    return f"{rounded:%Y-%m-%d %H:%M} UTC"


def _ended(found: _Memory, entry: Entry, person: Person) -> Seen:
    meant = meaning(entry.state)
    code, by = codes(entry.codes)
    outcome = meant.outcome
    if outcome is Outcome.ERROR and code == SETUP_FAILED:
        outcome = Outcome.SETUP_ERROR
    said = f"Slurm says {entry.state.split()[0]}" + (f" (by user {meant.by})" if meant.by else "")
    if outcome in (Outcome.ERROR, Outcome.SETUP_ERROR):
        said += _slurms_words(found, person)
    if outcome is Outcome.TIMEOUT and (saved := _ask(person, "saved", found.known.token).strip()):
        # the task's own limit is kept by its wrapper and leaves a record: this is the cluster's, which takes the machine away
        outcome, said = Outcome.PREEMPTED, f"{said}; it saved {saved.removesuffix('.json')} before"
    under_way = _under_way(found) if found.phases else found.seen
    return replace(
        under_way,
        phase=Phase.ENDED,
        outcome=outcome,
        exit_code=code if outcome in (Outcome.ERROR, Outcome.SETUP_ERROR) else None,
        signal=by,
        started=under_way.started or entry.start,
        ended=entry.end,
        node=entry.node or under_way.node,
        detail=said,
    )


def _slurms_words(found: _Memory, person: Person) -> str:
    lines = [line.strip() for line in _ask(person, "words", found.known.id).splitlines() if line.strip()]
    return f": {' / '.join(lines[-3:])[-400:]}" if lines else ""


def _ask(person: Person, command: str, *args: str) -> str:
    """What is good to know and can be done without."""
    try:
        return person.desk.call(command, *args).decode(errors="replace")
    except LabError:
        return ""


def _long_ago(entry: Entry, now: datetime) -> bool:
    return entry.end is not None and now - entry.end > timedelta(seconds=_LAG_S)
