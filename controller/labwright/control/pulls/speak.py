"""The one comment and the one status of each pull request: what they should say is computed, what they say is read, and only a
difference is written, at a rate that nobody's inbox minds."""

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from labwright.control.pulls.documents import plan_files, plots_of
from labwright.control.pulls.lane import Lane
from labwright.control.pulls.orders import Answer
from labwright.control.pulls.page import Draft, page_of
from labwright.control.world import World, later
from labwright.decide.approve import folded
from labwright.decide.discover import EXPERIMENTS
from labwright.decide.markdown import clean, short
from labwright.decide.pull_page import WORDS, render, status_words
from labwright.domain.errors import LabError, OutcomeUnknown, Refused, Unavailable
from labwright.domain.forge import Annotation, Comment, Light, Status, lane_of
from labwright.domain.job import Job
from labwright.domain.lifecycle import LIVE
from labwright.domain.pull_page import PullPage

CONTEXT = "labwright"
MOST_EXPERIMENTS = 20  # that have a status of their own
Thought = tuple[object, ...]
_KEY = "forge:key"  # cursor: what the marker of our comments is signed with


@dataclass(frozen=True, slots=True)
class Said:
    """What was written last."""

    head: str
    body: str
    comment: str  # its id; empty: there is none
    statuses: tuple[Status, ...]
    published: str  # what of it is on the results branch


class Speaker:
    def __init__(self, world: World) -> None:
        self.world = world
        self._said: dict[int, Said] = {}
        self._thought: dict[int, Thought] = {}  # what the last draft was made of
        self._next: dict[int, datetime] = {}
        self._void: dict[int, str] = {}
        self.open: set[int] = set()  # of which something is not said yet

    def remember_void(self, number: int, why: str) -> None:
        self._void[number] = why

    def step(
        self, lanes: Mapping[str, Lane], answers: Mapping[int, Sequence[Answer]], now: datetime
    ) -> datetime | None:
        """When the next comment that waits is due."""
        dues = []
        for lane in lanes.values():
            if lane.smoke:
                continue
            short = self._of_smoke(lanes.get(lane_of(lane.number, smoke=True)))
            due = self._step(lane, [*answers.get(lane.number, []), *short], now)
            waits = due is not None or self.world.calls.busy(f"say {lane.name}")
            (self.open.add if waits else self.open.discard)(lane.number)
            if due is not None:
                dues.append(due)
        return min(dues, default=None)

    def forget(self, number: int) -> None:
        for kept in (self._said, self._thought, self._next, self._void):
            kept.pop(number, None)

    def _step(self, lane: Lane, answers: Sequence[Answer], now: datetime) -> datetime | None:
        forge, number, key = self.world.forge, lane.number, f"say {lane.name}"
        if forge is None or self.world.calls.busy(key):
            return None
        if lane.judgement.approved:
            self._void.pop(number, None)
        jobs = self._jobs(lane)
        thought = self._thought_of(lane, jobs, answers)
        if thought == self._thought.get(number):
            return None
        if (at := self._next.get(number)) is not None and now < at and not self._is_urgent(number, thought):
            return at
        self._thought[number] = thought
        draft = self._draft(lane, jobs, answers)
        self.world.calls.start(
            key, partial(self._write, draft), partial(self._written, number), partial(self._failed, number)
        )
        return None

    def _of_smoke(self, lane: Lane | None) -> Sequence[Answer]:
        """A line on the short run, once somebody asked for it."""
        if lane is None or self.world.lab is None or (smoke := self.world.lab.policy.approve.smoke) is None:
            return ()
        jobs = self._jobs(lane)
        own = [job for job in jobs if job.branch == lane.name]
        asked = smoke.label in lane.seen.talk.pull.labels
        if not own and not asked:
            return ()
        states = ", ".join(f"{n} {state.lower()}" for state, n in _counted(own))
        put = [x.by.login for x in lane.seen.talk.labellings if x.label == smoke.label and x.on]
        return [Answer(smoke.label, next(reversed(put), "nobody"), states or lane.judgement.why_not or "starting")]

    def _worth_it(self, lane: Lane) -> bool:
        """Those that touch no task are left in peace, unless we spoke before."""
        plan = lane.made.plan
        return (
            bool(lane.touched or plan.invalid or plan.stop) or lane.number in self._said or self._ours(lane) is not None
        )

    def _is_urgent(self, number: int, thought: Thought) -> bool:
        """A new head, a new judgement, an answer: people wait for that. Progress is not."""
        before = self._thought.get(number)
        return before is not None and before[:3] != thought[:3]

    def _thought_of(self, lane: Lane, jobs: Sequence[Job], answers: Sequence[Answer]) -> Thought:
        plan, pull = lane.made.plan, lane.seen.talk.pull
        states = tuple(sorted((job.id, job.state, job.reason) for job in jobs)) if len(jobs) < 200 else _counted(jobs)
        unread = {job for job, _ in self.world.book.uncollected}
        left = sum(job.id in unread for job in jobs)  # ended, and their results are not known yet
        over = bool(jobs) and not left and all(job.state not in LIVE for job in jobs)
        shape = (
            lane.head,
            lane.offer.digest,
            pull.open,
            pull.draft,
            plan.held,
            len(plan.launch),
            self._suspended(),
            over,
        )
        return (shape, lane.judgement.gates, tuple(answers), states, left)

    def _jobs(self, lane: Lane) -> Sequence[Job]:
        """What answers its trials, and reruns of that: the newest of each."""
        book = self.world.book
        found = dict(book.jobs([reuse.job for reuse in lane.made.plan.reuse]))
        trials = {(job.task, job.work): job for job in found.values()}
        for job in book.of_pulls(lane=lane.name):
            key = (job.task, job.work)
            if key in trials and job.generation > trials[key].generation:
                trials[key] = job
        return sorted(trials.values(), key=lambda job: (job.task, job.trial, job.id))

    def _base_jobs(self, lane: Lane) -> Sequence[Job]:
        """Of the touched tasks, as the base branch's tip has them; not the pull request's own, once it is merged."""
        book, base = self.world.book, lane.seen.talk.pull.base
        wants = book.ledger.wants(base, lane.touched) if lane.touched else ()
        jobs = book.jobs([want.job for want in wants if want.job])
        return [job for job in jobs.values() if job.branch != lane.name]

    def _draft(self, lane: Lane, jobs: Sequence[Job], answers: Sequence[Answer]) -> Draft:
        lab, forge = self.world.lab, self.world.forge
        assert lab is not None and forge is not None  # noqa: S101  # there are lanes only with both
        return Draft(
            lane=lane,
            lab=lab.name,
            label=lab.policy.approve.label,
            jobs=jobs,
            base_jobs=self._base_jobs(lane),
            require=lab.policy.require,
            answers=answers,
            void=self._void.get(lane.number, ""),
            suspended=self._suspended(),
            features=forge.features,
            publishes=self.world.results is not None and not lane.seen.talk.pull.fork and bool(lane.touched),
            results_branch=lab.results.branch,
            signature=self._signature(lane),
        )

    def _suspended(self) -> str:
        return "; ".join(f"{'everything' if name == '*' else name} {why}" for name, why in self.world.suspended.items())

    def _signature(self, lane: Lane) -> str:
        """Nobody else can write a comment that is taken for ours, whatever name it is under."""
        return hmac.new(self._key(), lane.name.encode(), hashlib.sha256).hexdigest()[:32]

    def _key(self) -> bytes:
        ledger = self.world.book.ledger
        known = ledger.cursor(_KEY)
        if known is None:
            known = self.world.new_key()
            ledger.set_cursor(_KEY, known)
        return bytes.fromhex(known)

    def _ours(self, lane: Lane) -> Comment | None:
        me, sign = folded(lane.seen.people.me), self._signature(lane)
        ours = [
            c for c in lane.seen.talk.comments if folded(c.by.login) == me and f"<!-- labwright:{lane.name}:" in c.body
        ]
        signed = [c for c in ours if f":{sign} -->" in c.body]
        return next(
            iter([*signed, *ours]), None
        )  # of a lost state folder: signed with another key, and ours all the same

    # off the loop's thread

    def _write(self, draft: Draft) -> Said:
        forge, lane = self.world.forge, draft.lane
        assert forge is not None  # noqa: S101
        raw = page_of(draft, self.world.records, self.world.repo)
        page = replace(  # before anything is escaped; what marks the comment as ours is nobody's words
            self.world.masks.cleaned(raw), lane=raw.lane, head=raw.head, digest=raw.digest, signature=raw.signature
        )
        said = self._said.get(lane.number)
        page, published = self._publish(draft, page, said)
        body = render(page, draft.features.comment_chars)
        comment = self._comment(draft, body, said) if self._worth_it(lane) else ""
        statuses = tuple(statuses_of(page, lane.seen.talk.pull.url, body, each=draft.features.checks))
        before = said.statuses if said is not None and said.head == lane.head else ()
        for status in statuses:  # also where nothing runs: one that is required must not keep a merge waiting for ever
            if status not in before:
                forge.set_status(lane.head, status)
        return Said(lane.head, body, comment, statuses, published)

    def _publish(self, draft: Draft, page: PullPage, said: Said | None) -> tuple[PullPage, str]:
        """The full plan and, when all has ended, curves go to the results branch before the comment leads there. Not at all while
        that branch cannot be written: results wait for it as well, and an alarm says so."""
        results, lane = self.world.results, draft.lane
        over = bool(page.jobs) and all(job.state not in LIVE for job in page.jobs)
        mark = f"{lane.head} {lane.offer.digest} {over} {sorted(job.job for job in page.jobs) if over else ''}"
        if results is None or not draft.publishes:
            return page, ""
        plots = plots_of(draft, self.world.records) if over else {}
        page = replace(page, plots=tuple(plot for plot, _ in plots.values()))
        if said is None or said.published != mark:
            files = {**{path: svg for path, (_, svg) in plots.items()}, **plan_files(page)}
            try:
                results.publish(files, f"Plan of pull request {lane.number} at {lane.head[:10]}\n\n[skip ci]")
            except Unavailable as error:
                self.world.log.warning("plan not published", pull=lane.number, why=str(error))
                return replace(page, plots=(), plan_path=""), ""
        return page, mark

    def _comment(self, draft: Draft, body: str, said: Said | None) -> str:
        """Its id. A comment of ours that somebody removed is written anew; one whose writing went unanswered is looked for."""
        forge, lane = self.world.forge, draft.lane
        assert forge is not None  # noqa: S101
        if said is not None and said.comment and said.body == body:
            return said.comment
        ours = self._ours(lane)
        known = said.comment if said and said.comment else ours.id if ours else ""
        if ours is not None and ours.id == known and ours.body.strip() == body.strip():
            return known
        if not known:
            fresh = [c for c in forge.talk(lane.number).comments if marker_of(draft) in c.body and c.by == forge.me()]
            known = fresh[0].id if fresh else ""
        try:
            return forge.comment(lane.number, body, known)
        except Refused:
            if not known:
                raise
            return forge.comment(lane.number, body)

    # back on it

    def _written(self, number: int, said: Said) -> None:
        lab = self.world.lab
        self._said[number] = said
        self.world.alarms.clear(f"comment on pull request {number}")
        self._next[number] = later(self.world.now(), lab.forge.update_s if lab and lab.forge else 20.0)

    def _failed(self, number: int, error: Exception) -> None:
        if not isinstance(error, LabError):
            self.world.log.error("defect", doing=f"comment on pull request {number}", error=repr(error), exc_info=error)
        if isinstance(error, OutcomeUnknown):
            self._said.pop(number, None)
        wait = error.retry_in if isinstance(error, Unavailable) else 30.0
        self._thought.pop(number, None)
        self._next[number] = later(self.world.now(), wait)
        words = str(error) if isinstance(error, LabError) else repr(error)
        self.world.alarms.raise_(f"comment on pull request {number}", f"not written: {words}")


def statuses_of(page: PullPage, url: str, body: str, *, each: bool) -> Iterator[Status]:
    """One of the whole, one of what results must be, which a branch's protection may require, and, where a forge has room for
    many (`each`), one of each experiment."""
    light, words = status_words(page)
    notes = tuple(Annotation(x.path, x.line, x.message) for x in page.problems)
    yield Status(CONTEXT, light, words, url, summary=body, annotations=notes)
    yield from _of_experiments(page, url) if each else ()
    if page.requirements:
        unmet = [x for x in page.requirements if x.passed is False]
        open_ones = [x for x in page.requirements if x.passed is None]
        over = all(job.state not in LIVE for job in page.jobs)
        light = Light.FAILURE if unmet or (over and open_ones) else Light.PENDING if open_ones else Light.SUCCESS
        told = [*unmet, *open_ones] or page.requirements
        yield Status(f"{CONTEXT}/require", light, short(clean(told[0].words or told[0].text), WORDS), url)


def _of_experiments(page: PullPage, url: str) -> Iterator[Status]:
    names = sorted({task.task.partition("/")[0] for task in page.tasks})
    for name in names[:MOST_EXPERIMENTS] if len(names) > 1 else ():
        own = replace(
            page,
            tasks=tuple(x for x in page.tasks if x.task.partition("/")[0] == name),
            jobs=tuple(x for x in page.jobs if x.task.partition("/")[0] == name),
            problems=tuple(x for x in page.problems if x.path.startswith(f"{EXPERIMENTS}{name}/")),
            requirements=(),
        )
        light, words = status_words(own)
        notes = tuple(Annotation(x.path, x.line, x.message) for x in own.problems)
        yield Status(f"{CONTEXT}/{name}"[:100], light, words, url, annotations=notes)


def marker_of(draft: Draft) -> str:
    return f"<!-- labwright:{draft.lane.name}:{draft.signature} -->"


def _counted(jobs: Sequence[Job]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(str(job.state) for job in jobs).items()))
