"""Submissions: drafted on the loop's thread, sent off it; an answer that got lost is looked up by token before anything else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from labwright.control.admission import Admission
from labwright.control.contents import Contents
from labwright.control.permits import FRESH
from labwright.control.trouble import apart
from labwright.control.world import World, later
from labwright.decide.admit import answering
from labwright.decide.grants import given_to, withheld
from labwright.domain.errors import LabError, OutcomeUnknown, Refused, Unavailable
from labwright.domain.forge import is_smoke, number_of
from labwright.domain.ids import Handle, JobId, Token
from labwright.domain.job import Attempt, Job, Move
from labwright.domain.lab import Lab
from labwright.domain.lifecycle import Outcome, State
from labwright.ports.provider import Provider, Submission

Draft = Submission | LabError
Answers = Mapping[Token, Handle | LabError]
LONGEST = 60.0  # seconds that are added at most to what a provider wants between two tries
AGAIN = 1.0  # second until one that nobody says yes to any more is looked at again
SOON = 0.1  # second until the forge may have said that it still may
PATIENCE = 3  # tries after which `--once` does not wait for a submission any more


@dataclass(frozen=True, slots=True)
class _Unsettled:
    """An attempt whose provider has not said yet that it has it."""

    attempt: Attempt
    ask_at: datetime
    find: bool  # look it up by token before it is submitted again
    tries: int = 0


class Submitter:
    def __init__(self, world: World, contents: Contents, admission: Admission) -> None:
        self.world, self.contents, self.admission = world, contents, admission
        self._unsettled: dict[JobId, _Unsettled] = {}

    def recover(self) -> None:
        """After a start: an intent without a handle may have been carried out or not."""
        now = self.world.now()
        intents = [a for at_provider in self.world.book.open.values() for a in at_provider.values() if a.handle is None]
        self._unsettled = {attempt.job: _Unsettled(attempt, now, find=True) for attempt in intents}

    def due(self) -> datetime | None:
        """When somebody is to be asked again, of those that can be asked."""
        able = {name for name in self.world.providers if not self.world.calls.busy(f"submit:{name}")}
        return min((u.ask_at for u in self._unsettled.values() if u.attempt.provider in able), default=None)

    @property
    def stranded(self) -> set[JobId]:
        """Jobs that could not be submitted after several tries: whatever they miss may be away for long."""
        return {job_id for job_id, unsettled in self._unsettled.items() if unsettled.tries >= PATIENCE}

    def settle(self, name: str, provider: Provider, now: datetime) -> None:
        """Look up, or submit again, what is due."""
        due = [u for u in self._unsettled.values() if u.attempt.provider == name and u.ask_at <= now]
        for unsettled in [u for u in due if u.attempt.job not in self.world.book.live]:
            due.remove(unsettled)
            self._settled(unsettled.attempt)
        batch = provider.features.batch
        look = [u.attempt for u in due if u.find][:batch]
        if look:
            call, then = partial(provider.find, [attempt.token for attempt in look]), partial(self._found, look)
            self.world.calls.start(f"submit:{name}", call, then, partial(self._not_found, look))
        elif due and (again := self._wanted([u.attempt for u in due if self._permitted(u, now)][:batch], now)):
            drafts = [(a, d) for a in again if (d := self.draft(self.world.book.live[a.job], a, now)) is not None]
            for attempt in again:  # one that could not be drafted comes again later
                self._unsettled[attempt.job] = replace(self._unsettled[attempt.job], ask_at=later(now, 60.0))
            if drafts:
                self.submit(name, provider, drafts)

    def _permitted(self, unsettled: _Unsettled, now: datetime) -> bool:
        """An approval that is gone since the first try counts no more for the next."""
        job, permits = self.world.book.live[unsettled.attempt.job], self.world.permits
        if job.stop_asked or permits.may_submit(job, now):
            return True
        why = permits.why_held(job)
        if why and job.reason != (why := self.world.masks.clean(f"not submitted yet: {why}")):
            self.world.book.amend([job], reason=why)
        self._unsettled[job.id] = replace(unsettled, ask_at=later(now, AGAIN if why else SOON))
        return False

    def submit(self, name: str, provider: Provider, drafts: Sequence[tuple[Attempt, Draft]]) -> None:
        attempts = [attempt for attempt, _ in drafts]
        live = self.world.book.live
        branches = {attempt.job: self._asking(live[attempt.job]) for attempt, _ in drafts}
        call = partial(self._call, provider, drafts, branches, self.world.now())
        self.world.calls.start(
            f"submit:{name}", call, partial(self._submitted, attempts), partial(self._broken, attempts)
        )

    def draft(self, job: Job, attempt: Attempt, now: datetime) -> Draft | None:
        """Everything but the secrets, which are fetched by the call itself. None where a defect keeps it from being made."""
        made: Draft | None = None
        with self.world.troubles.containing(job.id, "submitting", now):
            spec = self.contents.spec(job)
            earlier = [a for a in self.world.book.attempts_of(job.id) if a.n < attempt.n and a.handle]
            before = [a.handle for a in earlier if a.provider == attempt.provider]
            try:
                made = Submission(
                    token=attempt.token,
                    job=job.id,
                    attempt=attempt.n,
                    task_path=job.task,
                    task=spec,
                    bundle=self.contents.bundle(job),
                    parameters=job.parameters,
                    variables=variables_of(job),
                    placement=attempt.placement,
                    needs=self._needs(job),
                    resume_from=before[-1] if before and spec.resume == "auto" else None,
                )
            except Refused as error:
                made = error
        return made

    def _asking(self, job: Job) -> tuple[str, ...]:
        """Branches whose job it is: its own, and of a merged pull request's those that want it by now."""
        if job.id not in self.world.permits.trusted:
            return (job.branch,)
        wants = self.world.book.ledger.wants(None, {job.task})
        return (job.branch, *sorted({want.branch for want in wants if want.job == job.id} - {job.branch}))

    def _needs(self, job: Job) -> Mapping[str, Sequence[Handle]]:
        book = self.world.book
        pinned = book.jobs(job.needs)
        gates = self.admission.gates([job]) if job.needs else None
        found: dict[str, list[Handle]] = {}
        for need in job.needs:
            if need not in pinned or gates is None:
                continue
            ran = answering(pinned[need], gates)
            good = [a for a in book.attempts_of(ran.id) if a.outcome is Outcome.OK and a.handle]
            if not good or good[-1].provider != job.provider:
                if not good and ran.state is State.COMPLETE:
                    raise Refused(
                        f"needs {ran.task} ({ran.id}), whose files are at no provider any more",
                        hint=f"`lab rerun {ran.task}` makes them again; policy.retention says how long they are left",
                    )
                where = good[-1].provider if good else "nowhere that is known"
                raise Refused(
                    f"needs {ran.task} ({ran.id}), whose artifacts are at {where}",
                    hint=f"run both on one provider; this job is for {job.provider}",
                )
            handle = good[-1].handle
            assert handle is not None  # noqa: S101  # `good` has only those
            found.setdefault(ran.task, []).append(handle)
        return found

    # in the pool

    def _call(
        self,
        provider: Provider,
        drafts: Sequence[tuple[Attempt, Draft]],
        branches: Mapping[JobId, tuple[str, ...]],
        permitted: datetime,
    ) -> Answers:
        lab = self.world.lab or Lab()
        late = self.world.now() > permitted + FRESH  # where all threads were busy, the forge's word has grown old
        secrets: dict[object, Mapping[str, str]] = {}  # by task: the trials of a sweep are given the same
        answers: dict[Token, Handle | LabError] = {}
        ready: dict[Token, Submission] = {}
        for attempt, draft in drafts:
            try:
                if isinstance(draft, LabError):
                    raise draft
                if late and all(number_of(branch) is not None for branch in branches[attempt.job]):
                    raise Unavailable("its turn came late, and its approval is asked for again", retry_in=AGAIN)
                its = (id(draft.task), draft.task_path, branches[attempt.job])
                if its not in secrets:
                    secrets[its] = self._granted(draft, provider, lab, branches[attempt.job])
                ready[attempt.token] = replace(draft, secrets=secrets[its]) if secrets[its] else draft
            except LabError as error:
                answers[attempt.token] = error
        if ready:
            # a token that is submitted twice runs once, says the port: after an unknown error it is safe to try with fewer
            found, culprits = apart(lambda some: provider.submit([ready[token] for token in some]), list(ready))
            for some in found:
                answers.update(some)
            answers.update({token: OutcomeUnknown(_plainly(error)) for token, error in culprits.items()})
        return answers

    def _granted(self, draft: Submission, provider: Provider, lab: Lab, branches: Sequence[str]) -> Mapping[str, str]:
        """Values, where lab.yaml as it is now still lets this job have them. Raises Refused, and asks no source then."""
        names = given_to(draft.task, lab, provider.name)
        why = [withheld(names, lab, draft.task_path, branch) for branch in branches]
        if all(why):
            raise Refused("; ".join(why[0]))
        return self.world.masks.resolve(names, lab.secrets)

    # what the provider answered

    def _submitted(self, attempts: Sequence[Attempt], answers: Answers) -> None:
        book, now = self.world.book, self.world.now()
        with book.transaction():
            for attempt in attempts:
                answer = answers.get(attempt.token, OutcomeUnknown("the provider did not answer for it"))
                if not isinstance(answer, LabError):
                    book.change_attempt(attempt, handle=answer, submitted=now)
                    self._settled(attempt)
                elif isinstance(answer, Refused):
                    self._over(attempt, State.FAILED, f"not submitted: {answer}", Outcome.ERROR, now)
                else:
                    self._unknown(attempt, answer, now)
        if all(not isinstance(answer, LabError) or isinstance(answer, Refused) for answer in answers.values()):
            self.world.alarms.clear(f"submit to {attempts[0].provider}")
        self.world.rouse(ended=True)  # look at once: a short job may be over already

    def _settles(self, name: str) -> float:
        provider = self.world.providers.get(name)
        return provider.features.find_settles if provider else 0.0

    def _settled(self, attempt: Attempt) -> None:
        self._unsettled.pop(attempt.job, None)

    def _over(self, attempt: Attempt, to: State, reason: str, outcome: Outcome, now: datetime) -> None:
        """It is certainly nowhere, and is not submitted again."""
        book = self.world.book
        job = book.live[attempt.job]
        if job.stop_asked:
            to, reason = State.STOPPED, job.stop_asked
        detail = reason.removeprefix("not submitted: ")
        over = replace(attempt, outcome=outcome, ended=now, detail=detail)
        self._settled(attempt)
        book.move([Move(job, to, reason, now, over)])

    def _unknown(self, attempt: Attempt, error: LabError, now: datetime) -> None:
        """Unavailable: nothing happened, the same attempt is submitted again. Anything else: find it first."""
        safe = isinstance(error, Unavailable)
        known = self._unsettled.get(attempt.job)
        tries = known.tries + 1 if known else 0
        wait = error.retry_in if isinstance(error, Unavailable) else self._settles(attempt.provider)
        wait += min(2.0**tries - 1, LONGEST)
        self._unsettled[attempt.job] = _Unsettled(attempt, later(now, wait), find=not safe, tries=tries)
        self.world.alarms.raise_(f"submit to {attempt.provider}", f"{error}; tried again")
        self.world.log.warning("not submitted", job=attempt.job, why=str(error), again_in=wait)
        job, why = self.world.book.live.get(attempt.job), self.world.masks.clean(f"not submitted yet: {error}")
        if job is not None and job.reason != why:
            self.world.book.amend([job], reason=why)

    def _broken(self, attempts: Sequence[Attempt], error: Exception) -> None:
        """The whole call failed: of none of them is it known."""
        if not isinstance(error, LabError):
            self.world.log.error("submission failed", error=_plainly(error))
            error = OutcomeUnknown(_plainly(error))
        now = self.world.now()
        for attempt in attempts:
            self._unknown(attempt, error, now)

    def _wanted(self, attempts: Sequence[Attempt], now: datetime) -> list[Attempt]:
        """Of attempts that are certainly nowhere: those still wanted. The others stop here."""
        live = self.world.book.live
        for attempt in attempts:
            if live[attempt.job].stop_asked:
                self._over(attempt, State.STOPPED, "", Outcome.CANCELLED, now)
        return [attempt for attempt in attempts if attempt.job in self._unsettled]

    def _found(self, attempts: Sequence[Attempt], found: Mapping[Token, Handle | None]) -> None:
        book, now = self.world.book, self.world.now()
        with book.transaction():
            for attempt in attempts:
                handle = found.get(attempt.token)
                settled = later(attempt.intended, self._settles(attempt.provider))
                known = self._unsettled.get(attempt.job)
                if known is None:
                    continue
                if handle is not None:
                    book.change_attempt(attempt, handle=handle, submitted=attempt.submitted or now)
                    self._settled(attempt)
                    self.world.log.info("adopted", job=attempt.job, token=attempt.token)
                elif now < settled:
                    self._unsettled[attempt.job] = replace(known, ask_at=settled)
                else:
                    self._unsettled[attempt.job] = replace(known, ask_at=now, find=False)
        self.world.rouse(ended=True)

    def _not_found(self, attempts: Sequence[Attempt], error: Exception) -> None:
        """Nobody could look: whether they are there is as unknown as before, so they are not submitted."""
        now = self.world.now()
        wait = error.retry_in if isinstance(error, Unavailable) else 5.0
        for attempt in attempts:
            self._unsettled[attempt.job] = _Unsettled(attempt, later(now, wait), find=True)
        why = str(error) if isinstance(error, LabError) else repr(error)
        self.world.alarms.raise_(f"submit to {attempts[0].provider}", f"{why}; looked for again")


def _plainly(error: Exception) -> str:
    """Without its words: those of a foreign error may quote what was to be submitted, secrets too."""
    return f"a defect: {type(error).__name__} while submitting"


def variables_of(job: Job) -> Mapping[str, str]:
    return {
        "LAB_COMMIT": job.commit,
        "LAB_BRANCH": job.branch,
        "LAB_AUTHOR": job.author,
        "LAB_GENERATION": str(job.generation),
        "LAB_TRIAL": str(job.trial),
        **({"LAB_SMOKE": "1"} if is_smoke(job.branch) else {}),
    }
