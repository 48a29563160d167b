"""What humans ask for: run, rerun, retry, stop, confirm, suspend, resume. Stored once, carried out once, answered."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from labwright.control.contents import Contents
from labwright.control.intake import Intake, jobs_of, watched
from labwright.control.world import World, later
from labwright.decide.grants import given_to, withheld
from labwright.decide.identity import Asked, unsupported
from labwright.decide.rows import approval_row
from labwright.decide.run_plan import run_plan
from labwright.domain.errors import LabError, Refused, Unavailable
from labwright.domain.forge import number_of
from labwright.domain.ids import JobId, job_id
from labwright.domain.job import Act, ActKind, Job
from labwright.domain.lifecycle import FINAL, State
from labwright.ports.records import Batch

SECONDS = 1.0  # between looks at the ledger for acts that nobody woke us for


class Acts:
    def __init__(self, world: World, intake: Intake) -> None:
        self.world, self.intake = world, intake
        self.acted = False  # since somebody looked last
        self._next = world.now()
        self._by_kind: Mapping[ActKind, Callable[[Act, datetime], str]] = {
            ActKind.RUN: self._run,
            ActKind.RERUN: self._rerun,
            ActKind.RETRY: self._rerun,
            ActKind.STOP: self._stop,
            ActKind.CONFIRM: self._confirm,
            ActKind.SUSPEND: self._suspend,
            ActKind.RESUME: self._resume,
        }

    def step(self, now: datetime) -> None:
        """Each act and its answer are one commit: it is carried out once or not at all."""
        ledger = self.world.book.ledger
        if now < self._next and not self.world.asked.is_set():
            return
        self.world.asked.clear()
        self._next = later(now, SECONDS)
        for act in ledger.acts():
            needs_tree = act.kind in (ActKind.RUN, ActKind.RERUN, ActKind.RETRY)
            if needs_tree and not self.intake.up_to_date:
                continue  # what it names may be in a commit that is not planned yet
            try:
                with self.world.book.transaction():
                    if act.kind not in self._by_kind:
                        raise Refused(f"nobody can ask for `{act.kind}`: it is a record")
                    answer = self._by_kind[act.kind](act, now)
            except _NotNow:
                continue  # asked again next time
            except Refused as error:
                answer = f"refused: {error}"
            except (LabError, OSError):
                raise  # the ledger's own trouble: nothing of this turn is written
            except Exception as error:
                self.world.log.error("defect", doing=f"act {act.id}", error=repr(error), exc_info=error)
                answer = f"failed, by a defect of Labwright: {error!r}"
            answer = self.world.masks.clean(answer)
            ledger.finish_act(act.id, now, answer)
            self.acted = True
            self.world.notes.append(Batch(approvals=[approval_row(replace(act, done=now, answer=answer))]))
            self.world.log.info("asked", what=str(act.kind), target=act.target, by=act.by, answer=answer)

    # run and rerun

    def _run(self, act: Act, now: datetime) -> str:
        """Launch what the branch's tip says of a task, baseline or not; content that ran before is not run again."""
        asked = self._asked(act)
        return self._insert(act, asked, now, again=False)

    def _rerun(self, act: Act, now: datetime) -> str:
        """A job's id runs that very content again; a task's path, the content of the branch's tip."""
        job = self.world.book.job(JobId(act.target))
        if job is not None:
            return self._again([job], act, now)
        return self._insert(act, self._asked(act), now, again=True)

    def _asked(self, act: Act) -> Mapping[str, Asked]:
        branch = self._branch(act)
        with _reading():
            tree = self.intake.tree(branch)
        if act.target not in tree.tasks:
            raise Refused(
                f"there is no task {act.target} at {branch}", hint="`lab jobs` and `lab plan` list what there is"
            )
        with _reading():
            made = self.intake.evaluate(tree, [act.target], branch, first_sight=True).asked
        asked = made[act.target]
        if asked.problems:
            raise Refused(str(asked.problems[0]))
        refusals = self._refusals(asked, str(act.arguments.get("provider") or ""), branch)
        if refusals:
            raise Refused("; ".join(refusals))
        return made

    def _refusals(self, asked: Asked, provider: str, branch: str) -> Sequence[str]:
        """Of the provider that was named by hand, or of the task's own."""
        if not provider or asked.spec is None:
            return asked.refusals
        if provider not in self.world.providers:
            known = ", ".join(self.world.providers) or "none"
            return [f"there is no provider `{provider}` in lab.yaml (it has: {known})"]
        lab = self.world.lab
        given = given_to(asked.spec, lab, provider)
        kept = withheld(given, lab, asked.task, branch) if lab else ()
        return [*unsupported(asked.spec), *self.world.providers[provider].refuse(asked.spec), *kept]

    def _branch(self, act: Act) -> str:
        branch = str(act.arguments.get("branch") or "")
        lab = self.world.lab
        candidates = watched(self.intake.tips, lab.watch.branches) if lab else []
        if branch and branch in self.intake.tips:
            return branch
        if branch:
            raise Refused(f"there is no branch {branch}")
        if self.intake.default in candidates or not candidates:
            return self.intake.default
        return candidates[0]

    def _insert(self, act: Act, asked: Mapping[str, Asked], now: datetime, *, again: bool) -> str:
        book, ledger = self.world.book, self.world.book.ledger
        branch = self._branch(act)
        commit = self.intake.tips[branch]
        with _reading():
            info = self.world.repo.commits([commit])[commit]
        made = run_plan(asked, act.target, ledger.jobs(tasks=list(asked)), branch, commit, act.arguments, again=again)
        for task in dict.fromkeys(launch.trial.task for launch in made.launch):
            ledger.put_contents(asked[task].contents)
        jobs = [replace(job, author=act.by or job.author) for job in jobs_of(made, info.email or info.author, now)]
        book.insert(jobs)
        launched, reused = [job.id for job in jobs], [reuse.job for reuse in made.reuse]
        words = [f"launched {' '.join(launched)}"] if launched else []
        words += [f"reused {' '.join(reused)}"] if reused else []
        return "; ".join(words) or "nothing to run"

    def _again(self, jobs: Sequence[Job], act: Act, now: datetime) -> str:
        book, ledger = self.world.book, self.world.book.ledger
        made = []
        for job in jobs:
            if job.state not in FINAL:
                raise Refused(f"{job.id} is {job.state}: it has not ended", hint="stop it first, or wait")
            if act.kind is ActKind.RETRY and job.state is State.COMPLETE:
                raise Refused(f"{job.id} is COMPLETE", hint="`lab rerun` runs a complete job once more")
            same = [other for other in ledger.jobs(tasks=[job.task]) if other.work == job.work]
            made.append(self._by_hand(again_of(job, same, act, now)))
        book.insert(made)
        return f"launched {' '.join(job.id for job in made)}"

    def _by_hand(self, job: Job) -> Job:
        """Of a pull request that may not run now, such as a closed one: who asks the controller itself needs no word of the forge,
        and the default branch answers for it. A secret that pull requests may not have does not come by this way."""
        lab, ledger = self.world.lab, self.world.book.ledger
        if number_of(job.branch) is None or not self.world.permits.why_held(job):
            return job
        branch = self.intake.default
        if lab is not None and all(want.work != job.work for want in ledger.wants(branch, [job.task])):
            spec = Contents(ledger).spec(job)
            why = withheld(given_to(spec, lab, job.provider), lab, job.task, job.branch)
            if why:
                raise Refused("; ".join(why))
        return replace(job, branch=branch)

    # stop, confirm, suspend, resume

    def _stop(self, act: Act, now: datetime) -> str:
        """A job's id, or a task's path for all its live jobs."""
        book = self.world.book
        targets = [job for job in book.live.values() if act.target in (job.id, job.task)]
        if not targets:
            ended = book.job(JobId(act.target))
            if ended is not None:
                return f"{ended.id} is {ended.state} already"
            raise Refused(f"no live job or task is called {act.target}")
        book.amend([job for job in targets if not job.stop_asked], stop_asked=f"stopped by {act.by}")
        return f"stopping {' '.join(job.id for job in targets)}"

    def _confirm(self, act: Act, now: datetime) -> str:
        book, ledger = self.world.book, self.world.book.ledger
        plans = [plan for plan in ledger.plans(digest=act.target) if plan.held]
        if len({plan.digest for plan in plans}) != 1:
            what = "more than one held plan starts" if plans else "no held plan has a digest that starts"
            raise Refused(f"{what} with {act.target}", hint="`lab status` shows the digests")
        plan = plans[0]
        if plan.confirmed:
            return f"confirmed before, by {plan.confirmed}"
        for same in plans:  # of every commit and branch that asks for it
            ledger.put_plan(replace(same, confirmed=act.by))
        for stopped, reason in dict((plan.detail or {}).get("stop", {})).items():
            job = book.live.get(JobId(stopped))
            if job is not None and not job.stop_asked:
                book.amend([job], stop_asked=reason)
        return f"confirmed: {plan.launched} jobs"

    def _suspend(self, act: Act, now: datetime) -> str:
        what = act.target or "*"
        if what != "*" and what not in self.world.providers:
            raise Refused(f"there is no provider {what}", hint="without a name everything is suspended")
        by = " ".join(act.by.split())  # one line a name
        suspended = {**self.world.suspended, what: f"by {by} at {now:%Y-%m-%d %H:%M} UTC"}
        self._write_suspended(suspended)
        return "suspended: nothing new is submitted; running jobs go on"

    def _resume(self, act: Act, now: datetime) -> str:
        suspended = dict(self.world.suspended)
        if suspended.pop(act.target or "*", None) is None:
            return "was not suspended"
        self._write_suspended(suspended)
        return "resumed"

    def _write_suspended(self, suspended: Mapping[str, str]) -> None:
        text = "\n".join(f"{name}\t{why}" for name, why in suspended.items())
        self.world.book.ledger.set_cursor("suspended", text or None)


class _NotNow(Exception):
    """What an act needs cannot be read at the moment."""


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (Unavailable, OSError) as error:
        raise _NotNow from error


_LIFE = ("state", "updated", "attempt", "not_before", "stop_asked", "plan", "version")  # what came to pass of a job
_UNLIVED: Mapping[str, Any] = {field.name: field.default for field in fields(Job) if field.name in _LIFE}


def again_of(job: Job, same: Sequence[Job], act: Act, now: datetime) -> Job:
    """The next generation of a job: the same content, named anew."""
    generation = max(other.generation for other in (*same, job)) + 1
    return replace(
        job,
        id=job_id(job.work, job.task, generation),
        generation=generation,
        author=act.by or job.author,
        created=now,
        reason="planned",
        **_UNLIVED,
    )
