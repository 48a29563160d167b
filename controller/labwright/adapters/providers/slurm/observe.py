"""What became of attempts, in this order: the wrapper's own record, what squeue says, what the accounting says.

Files are looked at often and cost slurmctld nothing: each end leaves a mark in one folder. squeue is asked once for everything,
never more often than lab.yaml's `poll`; the accounting only for what left the queue without a record."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from labwright.adapters.providers.local.spool import parse_json, seen_of
from labwright.adapters.providers.slurm.desk import joined
from labwright.adapters.providers.slurm.handles import parse
from labwright.adapters.providers.slurm.judge import (
    Memory,
    absent,
    from_past,
    from_queue,
    more_follows,
    ours,
    under_way,
    unknown,
)
from labwright.adapters.providers.slurm.queue import Entry, Queue, away, by_kind, sacct, squeue
from labwright.adapters.providers.slurm.states import meaning
from labwright.adapters.providers.slurm.submit import Person
from labwright.domain.errors import LabError, Unavailable
from labwright.domain.ids import Handle, Token
from labwright.domain.seen import Phase, Seen
from labwright.ports.clock import Clock

_LOOK_S = 1.0  # the least time between two looks at files …
_SLOWEST_LOOK_S = 2.5  # … and the most, when nothing happens
_FULL_S = 60.0  # between two looks at every attempt's folder, whatever the marks say
_MOST_BACKOFF_S = 120.0
_CLOSELY = 200  # attempts that wait: of so few each folder is looked at, and a start is known before squeue tells it
_IDS = 500  # in one question


@dataclass
class Observer:
    people: Mapping[str, Person]  # by name in handles
    poll_s: float
    clock: Clock
    memory: dict[Handle, Memory] = field(default_factory=dict)
    alarms: dict[str, str] = field(default_factory=dict)
    asked: deque[float] = field(default_factory=deque)  # when Slurm's daemons were asked, in the last minute
    look_at: float = 0.0
    look_every: float = _LOOK_S
    queue_at: float = 0.0
    full_at: float = 0.0
    failures: int = 0
    running: int = 0  # attempts on their nodes, as of the last look: read by others without waiting for one under way
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
            self.memory[handle] = Memory(parsed[handle])  # type: ignore[arg-type]
        live = [h for h in parsed if (m := self.memory.get(h)) and m.seen.phase is not Phase.ENDED and not m.forgotten]
        if live and (new or now >= self.look_at):
            self._look(live, now)
        for handle in self.memory.keys() - parsed.keys():
            del self.memory[handle]
        self.running = sum(found.seen.phase in (Phase.SETUP, Phase.RUN) for found in self.memory.values())
        return {h: self.memory[h].seen if h in self.memory else Seen(Phase.MISSING) for h in handles}

    def ended(self, handles: Sequence[Handle]) -> Sequence[Handle]:
        """Those that certainly run no more, and will not."""
        with self.lock:
            seen = self._observe([*self.memory, *(h for h in handles if h not in self.memory)])
        return [handle for handle in handles if seen[handle].phase in (Phase.ENDED, Phase.MISSING)]

    def forget(self, handle: Handle) -> None:
        with self.lock:
            if found := self.memory.get(handle):
                found.seen, found.forgotten = Seen(Phase.MISSING), True

    @property
    def calls_a_minute(self) -> int:
        now = time.monotonic()
        return sum(at > now - 60 for at in list(self.asked))

    # one look

    def _look(self, live: Sequence[Handle], now: float) -> None:
        with_queue = now >= self.queue_at
        everyone = now >= self.full_at
        queue, changed = Queue(), False
        groups = self._by_person(live)
        users = self._users(groups) if with_queue else "-"
        waiting = [h for h in live if self.memory[h].seen.phase is not Phase.RUN]
        closely = set(waiting) if len(waiting) <= _CLOSELY else set()
        for name, handles in groups.items():
            full = [h for h in handles if everyone or h in closely or not self.memory[h].looked]
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
            token, key, stopped, phases = line.split("\t")
            found = self.memory[by_token[Token(token)]]
            found.looked = found.folder = True
            found.begun, found.stopped = key != "", stopped == "stop"
            if key not in ("", "-", found.known.id) and (other := parse(f"{token}@{key}")):
                found.known = replace(other, user=found.known.user)  # an earlier copy of it is the one that runs
            if found.phases != phases:
                found.phases, fresh = phases, True
                found.seen = under_way(found)
        for token in none:
            self.memory[by_token[Token(token)]].looked = True
        return fresh

    # the queue

    def _squeue_says(self, trouble: Sequence[str] | None) -> None:
        if trouble:
            said = away("slurmctld", f"squeue: {' '.join(trouble) or 'no answer'}")
            self.alarms["squeue"] = f"{said}; jobs keep their states meanwhile"
        else:
            self.alarms.pop("squeue", None)

    def _take_queue(self, live: Sequence[Handle], queue: Queue) -> None:
        for handle in live:
            found = self.memory[handle]
            found.entry = _own(queue, found)

    def _take_in(self, live: Sequence[Handle]) -> bool:
        fresh = False
        for handle in live:
            found = self.memory[handle]
            if found.seen.phase is not Phase.ENDED and found.entry is not None:
                before = found.seen.phase
                found.seen = from_queue(found, self.clock.now())
                fresh |= found.seen.phase is not before
        return fresh

    # what left the queue

    def _follow_vanished(self, live: Sequence[Handle], now: float) -> None:
        gone = [h for h in live if self.memory[h].entry is None and self.memory[h].seen.phase is not Phase.ENDED]
        for name, handles in self._by_person(gone).items():
            person = self.people[name]
            self._look_of(person, handles, handles, "-", Queue())
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
            words = away("slurmdbd", said["Y"][0])
            self.alarms["sacct"] = f"{words}; jobs that left the queue without a record keep their states meanwhile"
        else:
            self.alarms.pop("sacct", None)
        silent = bool(said.get("X")) or (bool(said.get("Y")) and "disabled" not in said["Y"][0])
        for handle in handles:
            self._judge(self.memory[handle], person, recent, None if said.get("Y") else old, silent, now)

    def _judge(self, found: Memory, person: Person, recent: Queue, old: Queue | None, silent: bool, now: float) -> None:
        """`old` None: there is no accounting, or it does not answer."""
        entry, told = _own(recent, found), _own(old, found) if old is not None else None
        if entry and meaning(entry.state).phase is not Phase.ENDED:
            found.entry = entry  # it came back: requeued meanwhile
            return
        best = told if told and (not entry or meaning(told.state).phase is Phase.ENDED) else entry
        if best is None:
            found.seen = absent(found, silent=silent, now=now)
        elif best is entry and old is not None and more_follows(found, best, now):
            found.seen = unknown(found, f"Slurm says {best.state}")
        else:
            found.seen = from_past(found, best, partial(_ask, person), self.clock.now(), now)

    def _asked(self, times: int) -> None:
        now = time.monotonic()
        self.asked.extend([now] * times)
        while self.asked and self.asked[0] < now - 60:
            self.asked.popleft()


def _own(queue: Queue, found: Memory) -> Entry | None:
    entry = queue.get(found.known)
    return entry if entry and ours(found.known, entry) else None


def _ask(person: Person, command: str, argument: str) -> str:
    """What is good to know and can be done without."""
    try:
        return person.desk.call(command, argument).decode(errors="replace")
    except LabError:
        return ""
