"""What people order at a pull request: `/lab stop`, `/lab rerun`, labels of that name. Each is stored once under the forge's own id,
carried out once and answered in the comment."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from labwright.control.acts import again_of
from labwright.control.pulls.lane import Lane
from labwright.control.world import World
from labwright.decide.approve import folded, why_no_say
from labwright.decide.commands import Verb, parse_commands
from labwright.decide.rows import approval_row
from labwright.domain.errors import Refused
from labwright.domain.forge import Person, lane_of, number_of
from labwright.domain.job import Act, ActKind, Job
from labwright.domain.lifecycle import FINAL, State
from labwright.domain.policy import Approve
from labwright.ports.records import Batch

MOST_ANSWERS, MOST_WHYS = 10, 5
MOST_REFUSED = 20  # orders at one pull request, of people who may give none, that are recorded and answered
_NO_SAY = "this takes somebody who may write here"
_SINCE = "forge:since"  # cursor: orders from before this controller's first look are history
_KINDS = {Verb.STOP: ActKind.STOP, Verb.RERUN: ActKind.RERUN}


@dataclass(frozen=True, slots=True)
class Order:
    id: str
    verb: Verb
    argument: str
    by: Person
    at: datetime
    problem: str = ""

    @property
    def words(self) -> str:
        label = self.id.startswith("label:")
        return self.argument if label else f"/lab {self.verb} {self.argument}".rstrip()


@dataclass(frozen=True, slots=True)
class Answer:
    order: str  # as it was given
    by: str
    words: str


class Orders:
    """Answers are kept in the ledger beside what was ordered: whatever is there was carried out."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers: dict[int, list[Answer]] = {}  # the newest last
        self._refused: Counter[int] = Counter()
        self._done: set[str] | None = None  # ids of acts; None: not read yet

    def recover(self) -> None:
        self._done = None

    def take(self, lane: Lane) -> list[str]:
        """Carries out what is new. Labels that have been obeyed, and are to come off."""
        spent = []
        for order in list(self._orders(lane)):
            if _named(lane.name, order) not in self._known() and not self._is_noise(order, lane):
                self._carry_out(order, lane)
            if order.id.startswith("label:"):
                spent.append(order.argument)
        return spent

    def _known(self) -> set[str]:
        if self._done is None:
            self._done, self.answers, self._refused = set(), {}, Counter()
            for act in sorted(self.world.book.ledger.acts(pending=False), key=lambda act: act.at):
                if (number := number_of(str(act.arguments.get("lane", "")))) is not None:
                    self._remember(act, number)
        return self._done

    def _remember(self, act: Act, number: int) -> None:
        assert self._done is not None  # noqa: S101  # filled before anything is remembered
        self._done.add(act.id)
        self._refused[number] += act.answer.startswith(f"refused: {_NO_SAY}")
        said = self.answers.setdefault(number, [])
        said.append(Answer(str(act.arguments.get("order", "")), act.by, act.answer))
        del said[:-MOST_ANSWERS]

    def _is_noise(self, order: Order, lane: Lane) -> bool:
        """Anybody may write comments, and what anybody may write without end is not kept without end."""
        if self._refused[lane.number] < MOST_REFUSED:
            return False
        return bool(why_no_say(order.by, order.at, lane.seen.talk, self._policy, lane.seen.people))

    def _orders(self, lane: Lane) -> Iterator[Order]:
        since, talk, policy = self._since(), lane.seen.talk, self._policy
        for comment in talk.comments:
            if comment.edited or comment.at < since or folded(comment.by.login) == folded(lane.seen.people.me):
                continue
            for command in parse_commands(comment.body):
                at = f"comment:{comment.id}:{command.line}"
                yield Order(at, command.verb, command.argument, comment.by, comment.at, command.problem)
        for put in talk.labellings:
            verb = {policy.stop_label: Verb.STOP, policy.rerun_label: Verb.RERUN}.get(put.label)
            if verb and put.on and put.at >= since and put.label in talk.pull.labels:
                yield Order(f"label:{put.id}", verb, put.label, put.by, put.at)

    @property
    def _policy(self) -> Approve:
        assert self.world.lab is not None  # noqa: S101  # lanes are there only with settings
        return self.world.lab.policy.approve

    def _since(self) -> datetime:
        ledger = self.world.book.ledger
        known = ledger.cursor(_SINCE)
        if known is None:
            known = self.world.now().isoformat()
            ledger.set_cursor(_SINCE, known)
        return datetime.fromisoformat(known)

    def _carry_out(self, order: Order, lane: Lane) -> None:
        book, now = self.world.book, self.world.now()
        with book.transaction():
            try:
                answer = self._answer(order, lane, now)
            except Refused as error:
                answer = f"refused: {error}"
            answer = self.world.masks.clean(answer)
            act = Act(
                id=_named(lane.name, order),
                kind=_KINDS.get(order.verb, ActKind.ASK),
                target=lane.name,
                by=order.by.login,
                at=now,
                arguments={"lane": lane.name, "order": order.words, "head": lane.head},
                done=now,
                answer=answer,
            )
            book.ledger.put_act(act)
            book.ledger.finish_act(act.id, now, answer)
        self._known()
        self._remember(act, lane.number)
        self.world.notes.append(Batch(approvals=[approval_row(act)]))
        self.world.log.info("ordered", pull=lane.number, what=order.words, by=order.by.login, answer=answer)

    def _answer(self, order: Order, lane: Lane, now: datetime) -> str:
        why = why_no_say(order.by, order.at, lane.seen.talk, self._policy, lane.seen.people)
        if why:
            raise Refused(f"{_NO_SAY}, and it was given by {order.by.login}, {why}")
        if order.problem:
            return order.problem
        argument = "" if order.id.startswith("label:") else order.argument
        match order.verb:
            case Verb.RUN:
                return "approved" if lane.judgement.approved else lane.judgement.why_not
            case Verb.STOP:
                return self._stop(lane, argument, order.by.login)
            case Verb.RERUN:
                return self._rerun(lane, argument, order, now)
            case Verb.WHY:
                return self._why(lane, argument)
            case Verb.PLAN:
                return f"planned anew: {len(lane.made.plan.launch)} to launch, {len(lane.made.plan.reuse)} are there already"
            case _:
                return "a command is one of /lab run, stop, rerun, plan, why; the table below says what each does"

    def _stop(self, lane: Lane, named: str, by: str) -> str:
        lanes = (lane.name, lane_of(lane.number, smoke=True))
        theirs = [job for job in self.world.book.of_pulls() if job.branch in lanes and not job.stop_asked]
        jobs = [job for job in theirs if not named or named in (job.id, job.task) or job.task.endswith("/" + named)]
        if not jobs:
            raise Refused(f"nothing of this pull request is under way{f' that is called {named}' if named else ''}")
        self.world.book.amend(jobs, stop_asked=f"stopped by {by}")
        return f"stopping {len(jobs)} job{'s' if len(jobs) != 1 else ''}"

    def _rerun(self, lane: Lane, named: str, order: Order, now: datetime) -> str:
        if not lane.judgement.approved:
            raise Refused(f"running again takes what running takes: {lane.judgement.why_not}")
        jobs = [job for job in self._newest(lane) if job.state in FINAL and _is_meant(job, named)]
        if not jobs:
            raise Refused(f"there is no job here that has ended{'' if named == 'all' else ' so'}")
        book = self.world.book
        act = Act(order.id, ActKind.RERUN, lane.name, lane.seen.talk.pull.author.login, now)
        same = book.ledger.jobs(tasks={job.task for job in jobs})
        made = [again_of(job, [x for x in same if x.work == job.work], act, now) for job in jobs]
        book.insert([replace(job, plan=lane.offer.digest, **self._as_approved(job, lane)) for job in made])
        return f"launched {len(made)} again"

    def _as_approved(self, job: Job, lane: Lane) -> Mapping[str, Any]:
        """Where and how it runs is what was approved now, not what its last run was given."""
        trials = {(reuse.trial.task, reuse.trial.work): reuse.trial for reuse in lane.made.plan.reuse}
        trial = trials[job.task, job.work]
        self.world.book.ledger.put_contents(lane.made.asked[job.task].contents)
        how = {"spec": trial.spec, "bundle": trial.bundle, "provider": trial.provider, "priority": trial.priority}
        return {"branch": lane.name, "commit": lane.head, **how}

    def _newest(self, lane: Lane) -> Sequence[Job]:
        """Of each trial that it asks for, the newest job."""
        wanted = {(reuse.trial.task, reuse.trial.work) for reuse in lane.made.plan.reuse}
        newest: dict[tuple[str, str], Job] = {}
        for job in self.world.book.ledger.jobs(tasks={task for task, _ in wanted}) if wanted else ():
            key = (job.task, job.work)
            if key in wanted and (key not in newest or newest[key].generation < job.generation):
                newest[key] = job
        return list(newest.values())

    def _why(self, lane: Lane, named: str) -> str:
        if not lane.judgement.approved:
            return lane.judgement.why_not
        jobs = [job for job in self._newest(lane) if not named or named in (job.id, job.task)]
        telling = [f"{job.id} is {job.state}: {job.reason}" for job in jobs if job.state is not State.COMPLETE]
        refused = [f"{refusal.task}: {refusal.reason}" for refusal in lane.made.plan.refuse]
        return "; ".join([*refused, *telling][:MOST_WHYS]) or "everything it asks for is complete"


def _named(lane: str, order: Order) -> str:
    """The id of its act: what one forge numbers for all pull requests, another may number for each."""
    return f"{lane}#{order.id}"


def _is_meant(job: Job, named: str) -> bool:
    if named in ("", "failed"):
        return job.state is not State.COMPLETE
    return named == "all" or named in (job.id, job.task) or job.task.endswith("/" + named)
