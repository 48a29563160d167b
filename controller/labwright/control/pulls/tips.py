"""Statuses of commits on watched branches: what each launched or reused, and how that went."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from labwright.control.intake import Intake, watched
from labwright.control.pulls.speak import CONTEXT
from labwright.control.world import World, later
from labwright.decide.manifest_of import ROOT
from labwright.decide.markdown import encoded
from labwright.domain.errors import LabError, Unavailable
from labwright.domain.forge import Light, Status
from labwright.domain.ids import JobId
from labwright.domain.job import Held, Job, Wanted
from labwright.domain.lifecycle import LIVE, State

EVERY_S = 2.0  # the least between two statuses of one commit
MOST = 50  # commits that are followed at once


@dataclass(frozen=True, slots=True)
class _Told:
    status: Status
    at: datetime


class Tips:
    def __init__(self, world: World, intake: Intake) -> None:
        self.world, self.intake = world, intake
        self._jobs: dict[str, tuple[JobId, ...]] = {}  # commit → jobs that it launched or reused, until all have ended
        self._reused: dict[str, int] = {}
        self._planned: dict[str, str] = {}  # branch → the commit that was looked at last
        self._told: dict[str, _Told] = {}
        self._changes = -1

    def recover(self) -> None:
        self._planned.clear()
        self._changes = -1

    def step(self, now: datetime) -> datetime | None:
        world = self.world
        if world.forge is None or world.lab is None or not self.intake.fetched:
            return None
        for branch in watched(self.intake.tips, world.lab.watch.branches):
            commit = self.intake.tips[branch]
            if self._planned.get(branch) != commit and world.book.ledger.cursor(f"planned:{branch}") == commit:
                self._follow(branch, commit)
        if world.book.changes == self._changes:
            return None
        dues = [self._tell(commit, ids, now) for commit, ids in list(self._jobs.items())]
        waiting = [due for due in dues if due is not None]
        if not waiting and not any(world.calls.busy(f"status {commit}") for commit in self._jobs):
            self._changes = world.book.changes
        return min(waiting, default=None)

    def _follow(self, branch: str, commit: str) -> None:
        wants = self.world.book.ledger.wants(branch)
        self._planned[branch], self._changes = commit, -1
        mine = [want for want in wants if want.commit == commit and want.job]
        if mine:
            self._jobs[commit] = tuple(want.job for want in mine if want.job)
            self._reused[commit] = sum(want.how is Wanted.REUSED for want in mine)
        for known in list(self._jobs)[:-MOST]:
            self._forget(known)

    def _tell(self, commit: str, ids: Sequence[JobId], now: datetime) -> datetime | None:
        told, key, forge = self._told.get(commit), f"status {commit}", self.world.forge
        if self.world.calls.busy(key) or forge is None:
            return None
        jobs = self.world.book.jobs(ids)
        status = self._status(list(jobs.values()), self._reused.get(commit, 0))
        if told is not None and told.status == status:
            if status.light is not Light.PENDING:
                self._forget(commit)
            return None
        if told is not None and now < (due := later(told.at, EVERY_S)) and status.light is Light.PENDING:
            return due
        call = partial(forge.set_status, commit, status)
        done = partial(self._done, commit, _Told(status, now))
        self.world.calls.start(key, call, done, partial(self._failed, commit))
        return None

    def _status(self, jobs: Sequence[Job], reused: int) -> Status:
        counts = Counter(job.state for job in jobs)
        live = [job for job in jobs if job.state in LIVE]
        held = [job for job in live if job.state is State.HELD and job.reason.partition(":")[0] == Held.LIMIT]
        words = ", ".join(f"{n} {state.lower()}" for state, n in sorted(counts.items()))
        words += f"; {reused} reused" if reused else ""
        good = all(job.state is State.COMPLETE for job in jobs)
        light = Light.PENDING if live else Light.SUCCESS if good else Light.FAILURE
        words = f"{held[0].reason}" if held else words
        forge = self.world.forge
        most = forge.features.words_chars if forge else 140
        return Status(CONTEXT, light, words[:most], self._link(jobs))

    def _link(self, jobs: Sequence[Job]) -> str:
        """The page of their experiment on the results branch; of several, the one above them all."""
        forge, lab = self.world.forge, self.world.lab
        page = ((forge.features.links if forge else None) or {}).get("page", "")
        experiments = {job.experiment for job in jobs}
        path = f"{ROOT}/{next(iter(experiments))}/README.md" if len(experiments) == 1 else f"{ROOT}/README.md"
        if not page or lab is None or not lab.results.push:
            return ""
        return page.replace("{branch}", encoded(lab.results.branch)).replace("{path}", encoded(path))

    def _done(self, commit: str, told: _Told, _: None) -> None:
        self.world.alarms.clear("status of a commit")
        self._told[commit], self._changes = told, -1

    def _failed(self, commit: str, error: Exception) -> None:
        words = str(error) if isinstance(error, LabError) else repr(error)
        self.world.alarms.raise_("status of a commit", f"{commit[:10]}: not written: {words}")
        if not isinstance(error, Unavailable):
            self._forget(commit)  # it would be refused again

    def _forget(self, commit: str) -> None:
        self._jobs.pop(commit, None)
        self._reused.pop(commit, None)
        self._told.pop(commit, None)
