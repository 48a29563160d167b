"""Level-based planning: desired trials of a branch against all jobs ever known (docs/adr/0003-identity.md)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from labwright.decide.identity import Asked
from labwright.domain.ids import Digest, JobId, job_id
from labwright.domain.job import SUPERSEDED, Job, Trial, Want, Wanted
from labwright.domain.lifecycle import FINAL, LIVE, State
from labwright.domain.plan import Launch, Plan, Refusal, Reuse, Stop
from labwright.domain.policy import Limits
from labwright.domain.task import Supersede, Task

_NEEDED = "needed by"  # how the detail of a want starts that is there only because another task waits for it


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger says of the tasks in question."""

    jobs: Sequence[Job]
    wants: Sequence[Want]  # of this branch
    elsewhere: Collection[JobId] = ()  # jobs that other branches want: never stopped on this one's account


@dataclass(frozen=True, slots=True)
class Tip:
    branch: str
    commit: str
    first_sight: bool  # a baseline: record what is there, launch nothing
    empty: bool = False  # the tree has no task at all any more
    target: str = ""  # of a pull request: the branch that it is aimed at, which `on.branches` is about
    touched: Collection[str] | None = None  # of a pull request: others are launched only if these need them
    offer: str = ""  # of a pull request: the digest that people approve and confirm
    doubt: str = ""  # why a human must confirm whatever it launches


def plan(asked: Mapping[str, Asked], gone: Collection[str], known: Known, tip: Tip, limits: Limits) -> Plan:
    """`asked`: every affected task that the commit has and all that they need, in the order of `Evaluation.ask`;
    `gone`: affected tasks that it has no more."""
    jobs = _by_trial(known.jobs)
    wants_before: dict[str, list[Want]] = {}
    for want in known.wants:
        wants_before.setdefault(want.task, []).append(want)
    made = _Draft(tip, jobs)
    for task in asked.values():
        made.add(task, wants_before.get(task.task, ()))
    by_id = {job.id: job for job in known.jobs}
    stops = _stops(made, asked, gone, wants_before, by_id, known.elsewhere)
    made.wants.update({task: {} for task in gone})
    result = Plan(
        branch=tip.branch,
        commit=tip.commit,
        launch=tuple(made.launch),
        reuse=tuple(made.reuse),
        stop=tuple(stops),
        refuse=tuple(made.refuse),
        invalid=tuple(problem for task in asked.values() for problem in task.problems),
        baseline=sum(want.how is Wanted.BASELINE for wants in made.wants.values() for want in wants.values()),
        wants={task: tuple(wants.values()) for task, wants in made.wants.items()},
    )
    held = over_limit(result, limits, tip)
    return replace(result, held=held, wants=_still_wanted(result, wants_before)) if held else result


def _still_wanted(made: Plan, before: Mapping[str, Sequence[Want]]) -> Mapping[str, tuple[Want, ...]]:
    """Until somebody confirms a plan, what it would stop stays wanted: the plan after it must not lose sight of that."""
    pending = {stop.job for stop in made.stop}
    kept = {task: [want for want in before.get(task, ()) if want.job in pending] for task in made.wants}
    return {task: (*wants, *kept[task]) for task, wants in made.wants.items()}


def satisfying(trial: Trial, same: Sequence[Job]) -> Job | None:
    """The job that answers a trial among those of its task and work digest: a complete or live one before any other, the
    newest first. None when it has to be launched."""
    fit = [job for job in same if job.generation >= trial.generation and not superseded(job)]
    good = [job for job in fit if job.state is State.COMPLETE or job.state in LIVE]
    return max(good or fit, key=lambda job: job.generation, default=None)


def superseded(job: Job) -> bool:
    ended = job.state is State.STOPPED and job.reason.startswith(SUPERSEDED)
    return ended or job.stop_asked.startswith(SUPERSEDED)


def next_generation(trial: Trial, same: Sequence[Job]) -> int:
    """Final states are final: a trial that was superseded and is wanted again is the next job of its kind."""
    return max([trial.generation, *(job.generation + 1 for job in same)])


def over_limit(plan: Plan, limits: Limits, tip: Tip) -> str:
    """Why the whole of a change waits for a human, or an empty text."""
    confirm = f"confirm with `lab confirm {(tip.offer or plan.digest)[:12]}`"
    stops = sum(stop.costs for stop in plan.stop)
    if tip.doubt and (plan.launch or stops):
        return f"{tip.doubt}; {confirm}"
    if len(plan.launch) > limits.jobs_per_commit:
        return f"{len(plan.launch)} jobs, more than limits.jobs_per_commit = {limits.jobs_per_commit}; {confirm}"
    if plan.gpu_hours > limits.gpu_hours_per_plan:
        return f"{plan.gpu_hours:g} GPU-hours, more than limits.gpu_hours_per_plan = {limits.gpu_hours_per_plan:g}; {confirm}"
    if stops > limits.stops_per_commit:
        return f"{stops} jobs to stop, more than limits.stops_per_commit = {limits.stops_per_commit}; {confirm}"
    if tip.empty and stops:
        return f"the commit has no task any more, and {stops} jobs would stop; {confirm}"
    return ""


def gpu_hours(spec: Task | None) -> float:
    """Asked, at most; 0 for a task without a time limit (nothing is known then)."""
    if spec is None or spec.resources.accelerators is None or spec.limit_seconds is None:
        return 0.0
    return spec.resources.accelerators.count * spec.resources.num_nodes * spec.limit_seconds / 3600


@dataclass(frozen=True, slots=True)
class _Parked:
    """A trial that is not launched unless something that is launched needs it."""

    asked: Asked
    trial: Trial
    place: int


class _Draft:
    """A plan while it is being made. Tasks are added in the order of their needs."""

    def __init__(self, tip: Tip, jobs: Mapping[tuple[str, Digest], Sequence[Job]]) -> None:
        self.tip, self.jobs = tip, jobs
        self.launch: list[Launch] = []
        self.reuse: list[Reuse] = []
        self.refuse: list[Refusal] = []
        self.wants: dict[str, dict[tuple[Digest, int], Want]] = {}
        self.answers: dict[tuple[str, Digest], JobId] = {}  # which job a dependant of this trial waits for
        self.parked: dict[tuple[str, Digest], _Parked] = {}
        self.refused: set[str] = set()

    def add(self, asked: Asked, before: Sequence[Want]) -> None:
        known = {(want.work, want.generation): want for want in before if want.how is not Wanted.INVALID}
        wants = self.wants[asked.task] = {}
        if asked.problems:
            # an unreadable file is never "the task is gone": what was wanted stays wanted
            wants.update(known)
            detail = str(asked.problems[0])
            wants[Digest(""), 0] = Want(
                self.tip.branch, asked.task, Digest(""), 0, Wanted.INVALID, None, self.tip.commit, detail
            )
            return
        lacking = self._lacking(asked)
        if lacking and asked.trials:
            self.refused.add(asked.task)
            self.refuse.append(Refusal(asked.task, asked.trials[0].provider, lacking))
        for place, trial in enumerate(asked.trials):
            before_it = known.get((trial.work, trial.generation))
            if self._is_meant(asked):
                self._trial(_Parked(asked, trial, place), lacking, before_it)
            else:
                self._elsewhere(_Parked(asked, trial, place), lacking, before_it)
        if asked.task in self.refused:  # nothing takes the place of what runs: it stays wanted
            for key, want in known.items():
                if want.job:
                    wants.setdefault(key, want)

    def _is_meant(self, asked: Asked) -> bool:
        if self.tip.touched is not None and asked.task not in self.tip.touched:
            return False
        patterns = asked.spec.on.branches if asked.spec else None
        branch = self.tip.target or self.tip.branch
        return patterns is None or any(fnmatchcase(branch, pattern) for pattern in patterns)

    def _lacking(self, asked: Asked) -> str:
        """Why a task cannot run here: its own provider's words, or a needed task that is refused itself."""
        if asked.refusals:
            return "; ".join(asked.refusals)
        for need in asked.trials[0].needs if asked.trials else ():
            if need not in self.answers and need not in self.parked:
                return f"needs `{need[0]}`, which cannot run"
        return ""

    def _trial(self, what: _Parked, lacking: str, before: Want | None) -> None:
        trial, spec = what.trial, what.asked.spec
        job = self._satisfied(trial)
        if job is not None:
            self.reuse.append(Reuse(job.id, trial, job.state))
            self._want(trial, Wanted.REUSED, job.id, "", before)
        elif lacking:
            self._want(trial, Wanted.REFUSED, None, lacking, before)
        elif self.tip.first_sight or (before is not None and before.how is Wanted.BASELINE):
            self._park(what, "was there at first sight", before)
        elif spec is not None and spec.on.manual:
            self._park(what, "on.manual: starts only by `lab run`", before)
        else:
            self._launch(what)

    def _elsewhere(self, what: _Parked, lacking: str, before: Want | None) -> None:
        """Of a task that does not launch on this branch: what runs only because another task needs it."""
        trial = what.trial
        job = self._satisfied(trial)
        if job is None and not lacking:
            self.parked[trial.task, trial.work] = what
        elif job is not None and before is not None and before.detail.startswith(_NEEDED):
            self._want(trial, Wanted.REUSED, job.id, "", before)

    def _satisfied(self, trial: Trial) -> Job | None:
        job = satisfying(trial, self.jobs.get((trial.task, trial.work), ()))
        if job is not None:
            self.answers[trial.task, trial.work] = job.id
        return job

    def _park(self, what: _Parked, why: str, before: Want | None) -> None:
        self.parked[what.trial.task, what.trial.work] = what
        self._want(what.trial, Wanted.BASELINE, None, why, before)

    def _launch(self, what: _Parked) -> None:
        """With whatever it waits for, baseline or not. Without recursion: a chain of a thousand tasks is legal."""
        todo = [what]
        while todo:
            missing = [n for n in todo[-1].trial.needs if n not in self.answers and n in self.parked]
            if missing:
                todo += [self.parked[need] for need in missing]
                continue
            top = todo.pop()
            if (top.trial.task, top.trial.work) not in self.answers:
                self._make(top, "" if top is what else f"{_NEEDED} {what.trial.task}")

    def _make(self, what: _Parked, why: str) -> None:
        trial = what.trial
        generation = next_generation(trial, self.jobs.get((trial.task, trial.work), ()))
        made = job_id(trial.work, trial.task, generation)
        needs = tuple(self.answers[need] for need in trial.needs if need in self.answers)
        self.answers[trial.task, trial.work] = made
        self.launch.append(Launch(made, trial, generation, what.place, needs, gpu_hours(what.asked.spec)))
        self._want(trial, Wanted.LAUNCHED, made, why, None)

    def _want(self, trial: Trial, how: Wanted, job: JobId | None, detail: str, before: Want | None) -> None:
        """A want that says the same as before stays as it is, so that it keeps naming the commit that brought it."""
        if before is None or before.job != job or (before.how is not how and job is None):
            before = Want(self.tip.branch, trial.task, trial.work, trial.generation, how, job, self.tip.commit, detail)
        self.wants[trial.task][trial.work, trial.generation] = before


def _stops(
    made: _Draft,
    asked: Mapping[str, Asked],
    gone: Collection[str],
    before: Mapping[str, Sequence[Want]],
    jobs: Mapping[JobId, Job],
    elsewhere: Collection[JobId],
) -> list[Stop]:
    stops = []
    for task in [*asked, *gone]:
        if task in asked and (asked[task].problems or task in made.refused):
            continue
        wanted = {want.job for want in made.wants.get(task, {}).values()}
        for want in before.get(task, ()):
            job = jobs.get(want.job) if want.job else None
            if job is None or job.id in wanted or job.id in elsewhere or not _may_stop(job, asked.get(task)):
                continue
            stops.append(Stop(job.id, task, _why_stopped(job, made, task in asked), job.state is not State.HELD))
    return stops


def _may_stop(job: Job, asked: Asked | None) -> bool:
    policy = asked.spec.concurrency.supersede if asked and asked.spec else Supersede.QUEUED
    if policy is Supersede.NEVER or job.state in FINAL or job.stop_asked:
        return False
    return policy is Supersede.RUNNING or job.state in (State.HELD, State.QUEUED)


def _why_stopped(job: Job, made: _Draft, there: bool) -> str:
    if not there:
        return f"{SUPERSEDED}: the task is gone"
    successors = [launch for launch in made.launch if launch.trial.task == job.task]
    same_point = [x for x in successors if x.trial.parameters == job.parameters]
    for launch in same_point or successors:
        return f"{SUPERSEDED} by {launch.job}"
    return f"{SUPERSEDED}: no longer asked for at {made.tip.commit[:10]}"


def _by_trial(jobs: Iterable[Job]) -> Mapping[tuple[str, Digest], Sequence[Job]]:
    grouped: dict[tuple[str, Digest], list[Job]] = {}
    for job in jobs:
        grouped.setdefault((job.task, job.work), []).append(job)
    return grouped
