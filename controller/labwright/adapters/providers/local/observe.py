"""What became of attempts: the wrapper's own record first, then whether its process is still the one that claimed."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from labwright.adapters.providers.local import process
from labwright.adapters.providers.local.prepare import memory_limit
from labwright.adapters.providers.local.process import Children
from labwright.adapters.providers.local.spool import (
    Claim,
    Spool,
    boot_id,
    read_claim,
    read_exit,
    read_phases,
    take_claim,
)
from labwright.domain.ids import Handle
from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase, Seen
from labwright.ports.clock import Clock

_UNCLAIMED_S = 60.0  # a wrapper that has not claimed by then never will: the claim is taken from it, so it never can
_WEIGH_S = 1.0  # between two readings of all processes' memory


@dataclass
class _Known:
    """What of a live attempt never changes, so that a look at it costs two or three system calls."""

    claim: Claim | None = None
    running: Seen | None = None
    memory: float | None = None
    unclaimed_since: float | None = None


@dataclass
class Observer:
    spool: Spool
    clock: Clock
    children: Children
    boot: str = field(default_factory=boot_id)
    known: dict[Handle, _Known] = field(default_factory=dict)
    weigh_at: float = 0.0
    lock: threading.RLock = field(default_factory=threading.RLock)  # submit, observe and cancel come on any thread

    def claim(self, handle: Handle, job: Path) -> Claim | None:
        with self.lock:
            known = self.known.setdefault(handle, _Known())
            if known.claim is None and (found := read_claim(job)):
                known.claim, known.memory = found, memory_limit(job)
            return known.claim

    def under_way(self, handle: Handle, job: Path) -> bool:
        """Whether a wrapper has the token, or is about to."""
        self.children.reap()
        return self.claim(handle, job) is not None or self.children.pid(handle) is not None

    def forget(self, handle: Handle) -> None:
        with self.lock:
            self.known.pop(handle, None)
            self.children.forget(handle)

    def live(self) -> Iterator[Handle]:
        """Attempts that have a wrapper, whoever started it. This look changes nothing."""
        for job in self.spool.folders():
            if (job / "exit.json").exists():
                continue  # over, though its wrapper may take a moment to be gone
            handle, claim = Handle(job.name), read_claim(job)
            with self.lock:
                if (claim and self.alive(handle, claim)) or (claim is None and self.children.pid(handle)):
                    yield handle

    def observe(self, handles: Sequence[Handle]) -> Mapping[Handle, Seen]:
        self.children.reap()
        with self.lock:
            seen = {handle: self._one(handle) for handle in handles}
            self._limit_memory([handle for handle, s in seen.items() if s.phase in (Phase.SETUP, Phase.RUN)])
            return seen

    def _one(self, handle: Handle) -> Seen:
        job = self.spool.existing(handle)
        if job is None:
            return Seen(Phase.MISSING)
        if ended := read_exit(job):
            self.known.pop(handle, None)
            return ended
        claim = self.claim(handle, job)
        if claim is None and not self._give_up(handle, job):
            return Seen(Phase.QUEUED)
        seen = self._progress(handle, job)
        if claim and self.alive(handle, claim):
            return seen
        return read_exit(job) or self._vanished(handle, job, claim, seen)  # it may have ended between two looks

    def _progress(self, handle: Handle, job: Path) -> Seen:
        known = self.known[handle]
        if known.running:
            return known.running
        phases = read_phases(job)
        started, running = phases.get("setup") or phases.get("run"), phases.get("run")
        seen = Seen(Phase.RUN if running else Phase.SETUP, started=started, running=running, node=os.uname().nodename)
        if running:
            known.running = seen
        return seen

    def alive(self, handle: Handle, claim: Claim) -> bool:
        if claim.boot != self.boot or not claim.pid:
            return False
        if self.children.pid(handle) == claim.pid:
            return True  # a child of ours that we have not been told is dead: its pid cannot be another's
        found = process.stat(claim.pid)
        return bool(found and found.start == claim.start and found.state != "Z")

    def _give_up(self, handle: Handle, job: Path) -> bool:
        """Whether a wrapper that has not claimed is past hope; then the claim is ours and no wrapper can run the token."""
        known = self.known[handle]
        known.unclaimed_since = known.unclaimed_since or time.monotonic()
        waited = time.monotonic() - known.unclaimed_since > _UNCLAIMED_S
        if self.children.pid(handle) or not (waited or self.children.ended(handle) or (job / "cancel").exists()):
            return False
        if not take_claim(job):  # it came after all, or died within the instant between making and writing its claim
            return waited and self.claim(handle, job) is None
        known.claim = read_claim(job)
        return True

    def _vanished(self, handle: Handle, job: Path, claim: Claim | None, seen: Seen) -> Seen:
        by, outcome, detail = self.children.signal_of(handle), Outcome.ERROR, "killed (no exit record)"
        if claim and claim.boot != self.boot:
            outcome, detail = Outcome.NODE_FAILED, "the machine was restarted"
        elif (job / "cancel").exists():
            outcome, detail = Outcome.CANCELLED, "cancelled" if not (claim and claim.pid) else f"cancelled; {detail}"
        elif (job / "oom").exists():
            outcome = Outcome.OOM
        elif claim is None or not claim.pid:
            outcome, detail = Outcome.LOST, "its wrapper ended before it began"
        if claim and claim.pid and claim.boot == self.boot and self._same_session(claim):
            process.kill_session(claim.pid)
        return replace(seen, phase=Phase.ENDED, outcome=outcome, signal=by, ended=self.clock.now(), detail=detail)

    @staticmethod
    def _same_session(claim: Claim) -> bool:
        """False once the pid is another process's: then the session is over, and one of that number is a stranger's."""
        found = process.stat(claim.pid)
        return found is None or found.start == claim.start

    def cancel(self, handle: Handle) -> None:
        job = self.spool.existing(handle)
        if job is None or read_exit(job):
            return
        self.children.reap()
        with contextlib.suppress(OSError):  # a job that made its folder unwritable is ended all the same
            (job / "cancel").touch()  # before the claim is read: a wrapper that claims later finds it
        claim = self.claim(handle, job)
        if claim and self.alive(handle, claim):
            with contextlib.suppress(ProcessLookupError):
                os.kill(claim.pid, signal.SIGTERM)

    def _limit_memory(self, handles: Sequence[Handle]) -> None:
        """Ends attempts whose processes together hold more than was asked. What rises and falls between two looks is missed."""
        limits: dict[int, tuple[Handle, float]] = {}
        for handle in handles:
            known = self.known.get(handle)
            if known and known.claim and known.memory:
                limits[known.claim.pid] = (handle, known.memory)
        if not limits or time.monotonic() < self.weigh_at:
            return
        self.weigh_at = time.monotonic() + _WEIGH_S
        sessions: dict[int, list[process.Stat]] = {}
        for found in process.everything():
            if found.session in limits:
                sessions.setdefault(found.session, []).append(found)
        for session, members in sessions.items():
            handle, limit = limits[session]
            if sum(m.rss for m in members) > limit and sum(map(process.own_memory, members)) > limit:
                self._out_of_memory(handle, session)

    def _out_of_memory(self, handle: Handle, session: int) -> None:
        if job := self.spool.existing(handle):
            with contextlib.suppress(OSError):
                (job / "oom").touch()
            process.kill_session(session, spare=session)  # the wrapper stays to write the record
