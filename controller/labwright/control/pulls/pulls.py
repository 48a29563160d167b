"""The lane of pull requests, a step a turn: see, plan, judge, verify, let run. What the forge says now is all that counts."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

from labwright.control.intake import Intake, jobs_of, watched
from labwright.control.permits import content_of
from labwright.control.pulls.lane import Lane, Lanes, row_of
from labwright.control.pulls.orders import Orders
from labwright.control.pulls.speak import Speaker
from labwright.control.pulls.tips import Tips
from labwright.control.pulls.watch import Seen, Watch
from labwright.control.world import World, later
from labwright.decide.rows import approval_row, commit_row, plan_row
from labwright.domain.errors import LabError
from labwright.domain.forge import is_smoke, lane_of, number_of
from labwright.domain.ids import JobId
from labwright.domain.job import SUPERSEDED, Act, ActKind, Held, Job, Move
from labwright.domain.lifecycle import State
from labwright.domain.policy import Approve
from labwright.ports.forge import Forge
from labwright.ports.records import Batch

A_TURN = 10  # pull requests that are planned anew in one turn because their base moved: others wait for the loop, too
SLOWEST = 30.0  # seconds that the forge may take to say that a pull request is approved
PATIENCE = 10.0  # seconds until one that could not be planned is looked at again


class Pulls:
    def __init__(self, world: World, intake: Intake) -> None:
        self.world, self.intake = world, intake
        self.watch = Watch(world)
        self.lanes = Lanes(world, intake)
        self.orders = Orders(world)
        self.speaker = Speaker(world)
        self.tips = Tips(world, intake)
        self.of: dict[str, Lane] = {}
        self.moved = False  # permits changed since somebody looked last
        self._heard: set[str] = set()  # lanes that the forge said yes to just now
        self._bases: object = None  # what lanes were planned against: tips, settings
        self._stale: dict[int, None] = {}  # those planned against others
        self._again: dict[int, datetime] = {}
        self._changes = -1
        self._followed: Forge | None = None

    def recover(self) -> None:
        """The turn was not written: everything is looked at again."""
        self.of.clear()
        self.orders.recover()
        self.tips.recover()
        self.watch.news.update(self.watch.seen)
        self._changes, self._followed = -1, None

    def step(self, now: datetime) -> datetime | None:
        world = self.world
        self._hear(now)
        self._trust()
        due = self.watch.step(now)
        if world.forge is None or world.lab is None:
            self._close_all()
            return due
        if not (self.intake.fetched and self.watch.listed):
            return due
        self._follow_left_behind()
        for number in self._to_plan(now):
            self._by_itself(number, now, partial(self._look, number, now))
        for lane in list(self.of.values()):
            self._by_itself(lane.number, now, partial(self._act, lane, now))
        self._verify_permits()
        spoken = self.speaker.step(self.of, self.orders.answers, now)
        self._forget_over()
        dues = [due, spoken, self.tips.step(now), *self._again.values(), now if self._stale else None]
        return min((x for x in dues if x is not None), default=None)

    # what is to be planned

    def _to_plan(self, now: datetime) -> list[int]:
        """Those that changed; all of them, a few a turn, when what they are measured by did."""
        lab = self.world.lab
        tips = {name: self.intake.tips[name] for name in watched(self.intake.tips, lab.watch.branches)} if lab else {}
        bases = (tips, lab, tuple(self.world.providers))
        if bases != self._bases:
            self._bases, self._stale = bases, dict.fromkeys(sorted(self.watch.seen))
        ripe = {number for number, at in self._again.items() if at <= now}
        changed = sorted(self.watch.news | ripe)
        self.watch.news = set()
        some = [number for number in self._stale if number not in changed][:A_TURN]
        for number in (*changed, *some):
            self._again.pop(number, None)
            self._stale.pop(number, None)
        return [*changed, *some]

    def _by_itself(self, number: int, now: datetime, do: Callable[[], None]) -> None:
        about = f"pull request {number}"
        try:
            do()
        except Exception as error:
            if not isinstance(error, LabError | OSError):
                self.world.log.error("defect", doing=about, error=repr(error), exc_info=error)
            words = str(error) if isinstance(error, LabError) else repr(error)
            self.world.alarms.raise_(about, f"{words}; its jobs wait")
            self._shut(number, f"it could not be planned: {words}")
            self._again[number] = later(now, PATIENCE)

    def _look(self, number: int, now: datetime) -> None:
        seen = self.watch.seen.get(number)
        if seen is None:
            self._shut(number, "it could not be read at the forge")
            return
        if not seen.talk.pull.open:
            for name in _names(number):
                self._closed(seen, name)
            return
        lane = self.lanes.plan(seen, now)
        if lane is None:
            self._shut(number, f"its base branch {seen.talk.pull.base} is not there")
            return
        self.watch.know_teams(number, {x for names in lane.offer.owners.values() for x in names if x.startswith("@")})
        self.world.alarms.clear(f"pull request {number}")
        self._take(lane, self.of.get(lane.name), now)
        self._obey(lane)
        if self._policy.smoke is None:
            self._permit(lane_of(number, smoke=True), "lab.yaml has no smoke runs any more")
        elif (short := self.lanes.plan(seen, now, smoke=True)) is not None:
            self._take(short, self.of.get(short.name), now)

    @property
    def _policy(self) -> Approve:
        assert self.world.lab is not None  # noqa: S101  # lanes are there only with settings
        return self.world.lab.policy.approve

    def _shut(self, number: int, why: str) -> None:
        for name in _names(number):
            self.of.pop(name, None)
            self._permit(name, why)

    def _take(self, lane: Lane, known: Lane | None, now: datetime) -> None:
        world, ledger = self.world, self.world.book.ledger
        self.of[lane.name] = lane
        if known is None or (known.head, known.offer.digest) != (lane.head, lane.offer.digest):
            if not any(
                row.commit == lane.head and row.branch == lane.name for row in ledger.plans(digest=lane.offer.digest)
            ):
                with world.book.transaction():
                    row = row_of(lane, now)
                    ledger.put_plan(row)
                world.notes.append(Batch(plans=[plan_row(row)], commits=[commit_row(lane.info, lane.name, row.digest)]))
            world.log.info("planned", pull=lane.name, commit=lane.head[:10], launch=len(lane.made.plan.launch))
        self._stop_superseded(lane)
        self._allow_only(lane)
        self._permit(lane.name, lane.judgement.why_not)
        plan = lane.made.plan
        if lane.judgement.approved and not (plan.launch or plan.held):
            self._link(lane)

    def _link(self, lane: Lane) -> None:
        """All that it asks for is there already: it wants that as much as whoever made it does, and keeps it from being stopped."""
        ledger = self.world.book.ledger
        known = {want.job for want in ledger.wants(lane.name)}
        if known != {want.job for wants in lane.made.plan.wants.values() for want in wants}:
            ledger.set_wants(lane.name, lane.made.plan.wants)
            self._changes = -1

    def _obey(self, lane: Lane) -> None:
        for label in self.orders.take(lane):
            self._unlabel(lane.number, label)
        label = self._policy.label
        if lane.judgement.void and label in lane.seen.talk.pull.labels:
            self.world.log.warning("approval void", pull=lane.number, why=lane.judgement.void)
            self.speaker.remember_void(lane.number, lane.judgement.void)
            self._unlabel(lane.number, label)

    def _unlabel(self, number: int, label: str) -> None:
        forge, key = self.world.forge, f"unlabel {number} {label}"
        if forge is not None and not self.world.calls.busy(key):
            done = partial(self._unlabelled, number)
            self.world.calls.start(key, partial(forge.unlabel, number, label), done, partial(self._failed, number))

    def _unlabelled(self, number: int, _: None) -> None:
        self.watch.read_soon(number)

    def _failed(self, number: int, error: Exception) -> None:
        self.world.alarms.raise_(f"pull request {number}", str(error) if isinstance(error, LabError) else repr(error))
        self._again[number] = later(self.world.now(), PATIENCE)

    def _stop_superseded(self, lane: Lane) -> None:
        """A newer head drops what waits of an older one, approved or not: nobody asks for it any more."""
        plan, book = lane.made.plan, self.world.book
        if plan.held:
            return
        by_reason: dict[str, list[Job]] = {}
        for stop in plan.stop:
            job = book.live.get(stop.job)
            if job is not None and not job.stop_asked:
                by_reason.setdefault(stop.reason, []).append(job)
        for reason, jobs in by_reason.items():
            book.amend(jobs, stop_asked=reason)

    def _allow_only(self, lane: Lane) -> None:
        """An approval is of exactly this: what waits of an earlier push is none of it, and what is planned anew takes its place."""
        book, asked = self.world.book, lane.made.asked
        contents = frozenset(content_of(trial) for task in asked.values() for trial in task.trials)
        if self.world.permits.asked.get(lane.name) != contents:
            self.world.permits.asked[lane.name], self.moved = contents, True
        whole = {task for task, made in asked.items() if made.trials and not made.problems and not made.refusals}
        waiting = book.of_pulls(State.HELD, State.QUEUED, lane=lane.name) if not lane.made.plan.held else []
        old = [job for job in waiting if job.task in whole and content_of(job) not in contents]
        old = [job for job in old if not job.stop_asked and not self._is_submitted(job)]
        if old:
            elsewhere = {
                want.job for want in book.ledger.wants(None, {x.task for x in old}) if want.branch != lane.name
            }
            book.amend(
                [job for job in old if job.id not in elsewhere],
                stop_asked=f"{SUPERSEDED}: planned otherwise at {lane.head[:10]}",
            )
            self.watch.news.add(lane.number)

    def _is_submitted(self, job: Job) -> bool:
        newest = self.world.book.newest(job.id)
        return newest is not None and newest.handle is not None and self.world.book.is_open(job.id)

    # what is let run

    def _act(self, lane: Lane, now: datetime) -> None:
        busy = self.world.calls.busy(f"verify {lane.name}")
        if lane.judgement.approved and lane.made.plan.launch and not busy:
            self._ask_forge(lane.name, partial(self._launch, lane.name, lane.offer.digest))
        smoke = self._policy.smoke
        waits = self.world.book.of_pulls(State.HELD, State.QUEUED, lane=lane.name)
        if lane.smoke and smoke and lane.judgement.approved and not (lane.made.plan.launch or waits or busy):
            self._unlabel(lane.number, smoke.label)  # it has done its work: a later push is asked for anew

    def _ask_forge(self, name: str, then: Callable[[Seen], None]) -> None:
        """Once more, just before anything is done on the strength of it (R3)."""
        number = number_of(name)
        assert number is not None  # noqa: S101  # a lane's name
        failed = partial(self._not_verified, name, number)
        self.world.calls.start(f"verify {name}", self.watch.reading(number), then, failed)

    def _not_verified(self, name: str, number: int, error: Exception) -> None:
        self.world.permits.verified.pop(name, None)
        if not isinstance(error, LabError):
            self.world.log.error("forge failed", error=repr(error), exc_info=error)
        self._failed(number, error)
        self.watch.read_soon(number)

    def _verified(self, name: str, answer: Seen) -> Lane | None:
        """The lane, judged by what the forge says now; None where it is another one by now."""
        lane, seen = self.of.get(name), self.watch.take_in(answer)
        if lane is None or seen.talk.pull.head != lane.head or seen.talk.pull.base != lane.seen.talk.pull.base:
            self._permit(name, "it changed while it was looked at")
            return None
        self.of[name] = lane = self.lanes.judged(lane, seen)
        self._permit(lane.name, lane.judgement.why_not)
        if lane.judgement.approved:
            self.world.permits.verified[lane.name] = seen.at
            took = (self.world.now() - seen.at).total_seconds()
            self._heard.update({lane.name} if seen is answer and took <= SLOWEST else ())
            if took > SLOWEST:
                self.world.alarms.raise_(
                    "forge is slow", f"its answers took {took:.0f} s, and may not hold any more; jobs wait"
                )
            else:
                self.world.alarms.clear("forge is slow")
        return lane

    def _hear(self, now: datetime) -> None:
        """The forge's word is as old as its answer: a slow one takes longer to say it than it may be old. Within bounds."""
        verified = self.world.permits.verified
        verified.update({name: now for name in self._heard if name in verified})
        self._heard.clear()

    def _launch(self, name: str, digest: str, seen: Seen) -> None:
        lane = self._verified(name, seen)
        if lane is None or lane.offer.digest != digest or not lane.judgement.approved:
            return
        fresh = self.lanes.plan(seen, self.world.now(), smoke=lane.smoke)  # jobs may have come and gone meanwhile
        if fresh is None or fresh.offer.digest != digest or not fresh.judgement.approved:
            return
        self._carry_out(fresh, self.world.now())

    def _carry_out(self, lane: Lane, now: datetime) -> None:
        book, ledger, plan = self.world.book, self.world.book.ledger, lane.made.plan
        with book.transaction():
            for task in dict.fromkeys(launch.trial.task for launch in plan.launch):
                ledger.put_contents(lane.made.asked[task].contents)
            book.insert(jobs_of(plan, lane.seen.talk.pull.author.login, now, lane.offer.digest))
            ledger.set_wants(lane.name, plan.wants)
            act = approval_of(lane, now)
            if ledger.put_act(act):
                ledger.finish_act(act.id, now, act.answer)
                self.world.notes.append(Batch(approvals=[approval_row(act)]))
        self.world.log.info("approved", pull=lane.number, by=", ".join(lane.judgement.approvers), jobs=len(plan.launch))
        self.moved = True
        self.watch.news.add(lane.number)

    # permits

    def _permit(self, lane: str, why_not: str) -> None:
        permits = self.world.permits
        if permits.lanes.get(lane) != why_not:
            permits.lanes[lane] = why_not
            self.moved = True
        if why_not:
            permits.verified.pop(lane, None)
            self._hold(lane, why_not)

    def _hold(self, lane: str, why: str) -> None:
        """What is admitted and not submitted waits again, where everybody sees why."""
        book, now = self.world.book, self.world.now()
        trusted = self.world.permits.trusted
        waiting = [
            job for job in book.of_pulls(State.QUEUED, lane=lane) if job.id not in trusted and not job.stop_asked
        ]
        waiting = [job for job in waiting if not book.is_open(job.id)]
        book.move([Move(job, State.HELD, f"{Held.APPROVAL}: {why}", now) for job in waiting])

    def _verify_permits(self) -> None:
        """Of lanes whose jobs are about to be submitted."""
        wanted, self.world.permits.wanted = self.world.permits.wanted, set()
        for name in sorted(wanted):
            if number_of(name) is not None and not self.world.calls.busy(f"verify {name}"):
                self._ask_forge(name, partial(self._submit_verified, name))

    def _submit_verified(self, name: str, seen: Seen) -> None:
        self._verified(name, seen)
        self.moved = True  # jobs that waited for this answer are to be looked at

    def _close_all(self) -> None:
        """No forge any more: nobody can say yes."""
        self.of.clear()
        for lane in {job.branch for job in self.world.book.of_pulls(State.HELD, State.QUEUED)}:
            self._permit(lane, "lab.yaml names no forge that could be asked")

    def _trust(self) -> None:
        """Jobs of pull requests that a watched branch asks for as well need no more than any job of that branch."""
        book, permits = self.world.book, self.world.permits
        if book.changes == self._changes or self.world.lab is None:
            return
        self._changes = book.changes
        waiting = {job.id: job for job in book.of_pulls(State.HELD, State.QUEUED)}
        trusted: set[JobId] = set()
        wanting: dict[JobId, list[str]] = {}
        if waiting:
            wants = book.ledger.wants(None, {job.task for job in waiting.values()})
            branches = {
                branch for branch in watched(self.intake.tips, self.world.lab.watch.branches) if self._may_push(branch)
            }
            trusted = {want.job for want in wants if want.job in waiting and want.branch in branches}
            theirs = [want for want in wants if want.job in waiting and number_of(want.branch) is not None]
            for want in theirs:
                if want.job and want.branch != waiting[want.job].branch:
                    wanting.setdefault(want.job, []).append(want.branch)
        others = {job: tuple(sorted(lanes)) for job, lanes in wanting.items()}
        if (frozenset(trusted), others) != (permits.trusted, permits.wanting):
            permits.trusted, permits.wanting, self.moved = frozenset(trusted), others, True

    def _may_push(self, branch: str) -> bool:
        """Whether what is at its tip came there by a way that launches without a further word (R9)."""
        push = self.intake.pushes.of(branch, self.intake.tips[branch])
        if push is None:
            self._changes = -1  # the forge is being asked: look again
        return push is not None and not push.held

    # what is over

    def _follow_left_behind(self) -> None:
        """Once for each forge: pull requests of before a restart that have jobs under way, or wants that nobody took back."""
        if self._followed is self.world.forge:
            return
        self._followed = self.world.forge
        book = self.world.book
        lanes = {job.branch for job in book.of_pulls()} | {want.branch for want in book.ledger.wants()}
        for number in sorted(n for lane in lanes if (n := number_of(lane)) is not None):
            if number not in self.watch.seen:
                self.watch.read_soon(number)

    def _closed(self, seen: Seen, lane: str) -> None:
        pull, book, known = seen.talk.pull, self.world.book, self.of.get(lane)
        self._permit(lane, "it is merged" if pull.merged else "it is closed")
        if not pull.merged:
            self._stop_closed(lane)
        if book.ledger.wants(lane) and not book.of_pulls(lane=lane):
            book.ledger.set_wants(lane, {want.task: () for want in book.ledger.wants(lane)})
        if known is None and book.of_pulls(lane=lane):  # of before a restart: its comment waits for how it ends
            known = self.lanes.plan(seen, self.world.now(), smoke=is_smoke(lane))
        if known is not None:
            self.of[lane] = replace(known, seen=seen)

    def _forget_over(self) -> None:
        """Closed ones of which no job is under way, and of which all is said."""
        book = self.world.book
        for name, lane in list(self.of.items()):
            over = not lane.seen.talk.pull.open and not book.of_pulls(lane=name)
            if over and lane.number not in self.speaker.open:
                del self.of[name]
                book.ledger.set_wants(name, {want.task: () for want in book.ledger.wants(name)})
                if lane_of(lane.number) not in self.of:
                    self.lanes.forget(lane.number)
                    self.speaker.forget(lane.number)

    def _stop_closed(self, lane: str) -> None:
        """By policy.on_close. What another branch or pull request asks for as well goes on."""
        lab, book = self.world.lab, self.world.book
        assert lab is not None  # noqa: S101
        policy = lab.policy.on_close
        theirs = [job for job in book.of_pulls(lane=lane) if not job.stop_asked]
        if policy == "never" or not theirs:
            return
        wants = book.ledger.wants(None, {job.task for job in theirs})
        elsewhere = {want.job for want in wants if want.branch != lane}
        some = (State.HELD, State.QUEUED)
        stop = [job for job in theirs if job.id not in elsewhere and (policy == "running" or job.state in some)]
        book.amend(stop, stop_asked=f"pull request {number_of(lane)} was closed")


def _names(number: int) -> tuple[str, str]:
    return lane_of(number), lane_of(number, smoke=True)


def approval_of(lane: Lane, now: datetime) -> Act:
    """The record of why it ran (R1): who said yes to what, as the forge had it."""
    judgement, pull = lane.judgement, lane.seen.talk.pull
    roles = {login: lane.seen.people.roles[login].name.lower() for login in judgement.approvers}
    return Act(
        id=f"approve:{lane.name}:{lane.offer.digest[:16]}:{lane.head}:{now:%Y%m%dT%H%M%S}",
        kind=ActKind.APPROVE,
        target=lane.offer.digest,
        by=", ".join(judgement.approvers),
        at=now,
        arguments={
            "pull": pull.number,
            "head": pull.head,
            "base": lane.base.commit,
            "author": pull.author.login,
            "asked_by": judgement.asked_by,
            "roles": roles,
            "evidence": list(judgement.evidence),
            "gates": [f"{gate.name}: {gate.words}" for gate in judgement.gates],
            "jobs": len(lane.made.plan.launch),
        },
        done=now,
        answer=f"{len(lane.made.plan.launch)} jobs",
    )
