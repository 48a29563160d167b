"""HELD → QUEUED: jobs whose gates are open are let through; the others say what they wait for."""

from collections.abc import Sequence
from datetime import datetime

from labwright.control.world import World
from labwright.decide.admit import Gates, admit
from labwright.domain.ids import JobId
from labwright.domain.job import Job, Move
from labwright.domain.lifecycle import State

FEW = 32  # jobs still waited for, of which each end is said


class Admission:
    def __init__(self, world: World) -> None:
        self.world = world
        self._everyone = True  # every HELD job is to be looked at

    def reconsider(self) -> None:
        """A human acted, or memory was read anew."""
        self._everyone = True

    def step(self, now: datetime) -> None:
        book = self.world.book
        held = self._to_look_at()
        moves: list[Move] = []
        reasons: dict[str, list[Job]] = {}
        for verdict in admit(held, self.gates(held)) if held else ():
            if verdict.admitted:
                moves.append(Move(verdict.job, State.QUEUED, verdict.reason, now))
            elif (reason := self.world.masks.clean(verdict.reason)) != verdict.job.reason:
                reasons.setdefault(reason, []).append(verdict.job)
        if moves or reasons:
            with book.transaction():
                book.move(moves)
                for reason, jobs in reasons.items():
                    book.amend(jobs, reason=reason)

    def _to_look_at(self) -> list[Job]:
        """HELD jobs whose gates may have opened: new ones, those that wait for what just ended, or all of them."""
        book = self.world.book
        arrived, ended, book.arrived, book.ended = book.arrived, book.ended, [], []
        if self._everyone:
            found = list(book.in_state(State.HELD))
        else:
            found = [job for old in arrived if (job := book.live.get(old.id)) and job.state is State.HELD]
            if ended and book.count(State.HELD):
                found += self._waiting_for(ended)
        self._everyone = False
        return [job for job in {job.id: job for job in found}.values() if not job.stop_asked]

    def _waiting_for(self, ended: Sequence[Job]) -> list[Job]:
        """Where thousands wait for thousands, not every end is worth writing all their reasons anew."""
        book = self.world.book
        found: list[Job] = []
        for group in book.waiting.groups(self._answered_by(ended)):
            left = sum(job.state is not State.COMPLETE for job in book.jobs(group.needs).values())
            bad = any(job.state is not State.COMPLETE or job.generation for job in ended)
            if left <= FEW or bad or left & (left - 1) == 0:  # at each power of two
                found += [book.live[job_id] for job_id in group.jobs]
        return found

    def _answered_by(self, ended: Sequence[Job]) -> set[JobId]:
        """These jobs, and those whose place a rerun among them may take."""
        ids = {job.id for job in ended}
        reruns = {(job.task, job.work) for job in ended if job.generation}
        if reruns:
            same = self.world.book.ledger.jobs(tasks={task for task, _ in reruns})
            ids.update(job.id for job in same if (job.task, job.work) in reruns)
        return ids

    def gates(self, held: Sequence[Job]) -> Gates:
        book, ledger = self.world.book, self.world.book.ledger
        needed = book.jobs({need for job in held for need in job.needs})
        failed = [job for job in needed.values() if job.state in (State.FAILED, State.STOPPED)]
        siblings: dict[tuple[str, str], list[Job]] = {}
        for job in ledger.jobs(tasks={job.task for job in failed}) if failed else ():
            siblings.setdefault((job.task, job.work), []).append(job)
        unconfirmed = {
            plan.digest: str((plan.detail or {}).get("why_held", ""))
            for digest in {job.plan for job in held if job.reason.startswith("limit:")}
            for plan in ledger.plans(digest=digest)
            if plan.held and not plan.confirmed
        }
        unapproved = {job.id: why for job in held if (why := self.world.permits.why_held(job))}
        return Gates(self.world.suspended, unconfirmed, needed, siblings, unapproved)
