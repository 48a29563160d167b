"""What `lab run TASK` and `lab rerun TASK` launch: a task's trials as its branch's tip has them, and what these wait for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from labwright.decide.identity import Asked
from labwright.decide.plan import gpu_hours, next_generation, satisfying
from labwright.domain.errors import Refused
from labwright.domain.forms import Fault
from labwright.domain.ids import Digest, JobId, job_id, work_digest
from labwright.domain.job import Job, Trial
from labwright.domain.lifecycle import LIVE, State
from labwright.domain.parameters import fit
from labwright.domain.plan import Launch, Plan, Reuse


def run_plan(
    asked: Mapping[str, Asked],
    target: str,
    jobs: Sequence[Job],
    branch: str,
    commit: str,
    arguments: Mapping[str, Any],
    *,
    again: bool,
) -> Plan:
    """`arguments`: `parameters` to run with instead of the file's, `provider` to run at. `again`: a new generation of content
    that has ended, complete or not; what is live is not doubled. What a launched job needs is launched where no job of it is
    complete or live. Raises Refused."""
    made = _Run(asked, jobs)
    task = asked[target]
    for place, trial in enumerate(points(task, arguments.get("parameters") or {})):
        here = replace(trial, provider=arguments.get("provider") or trial.provider)
        made.add(_Wish(task, here, place), again=again)
    return Plan(branch, commit, launch=tuple(made.launch), reuse=tuple(made.reuse))


def points(task: Asked, overrides: Mapping[str, Any]) -> list[Trial]:
    """The trials with some parameters set by hand; those that become equal are one."""
    if not overrides:
        return list(task.trials)
    if task.spec is not None:
        known = {*task.spec.parameters, *(task.spec.sweeps.config if task.spec.sweeps else ())}
        unknown = [name for name in overrides if name not in known]
        if unknown:
            raise Refused(
                f"{task.task} has no parameter {unknown[0]}", hint=f"it has: {', '.join(sorted(known)) or 'none'}"
            )
    overrides = {name: _fitting(task, name, value) for name, value in overrides.items()}
    found: dict[Digest, Trial] = {}
    for trial in task.trials:
        parameters = {**trial.parameters, **overrides}
        work = work_digest({**task.shared, "parameters": parameters})
        found.setdefault(work, replace(trial, work=work, parameters=parameters))
    return list(found.values())


def _fitting(task: Asked, name: str, value: Any) -> Any:
    """A value set by hand is held to what the file declares, as the file's own are."""
    declared = task.spec.parameters.get(name) if task.spec else None
    try:
        return fit(value, dict(declared) if declared else {})
    except Fault as fault:
        raise Refused(f"{task.task}: parameter {name} {fault.message}", hint=fault.hint) from None


@dataclass(frozen=True, slots=True)
class _Wish:
    task: Asked
    trial: Trial
    place: int  # of the trial in its task's sweep

    @property
    def key(self) -> tuple[str, Digest]:
        return self.trial.task, self.trial.work


class _Run:
    def __init__(self, asked: Mapping[str, Asked], jobs: Sequence[Job]) -> None:
        self.launch: list[Launch] = []
        self.reuse: list[Reuse] = []
        self.answers: dict[tuple[str, Digest], JobId] = {}
        trials = [_Wish(task, trial, n) for task in asked.values() for n, trial in enumerate(task.trials)]
        self.there = {wish.key: wish for wish in trials}
        self.jobs: dict[tuple[str, Digest], list[Job]] = {}
        for job in jobs:
            self.jobs.setdefault((job.task, job.work), []).append(job)

    def add(self, wish: _Wish, *, again: bool) -> None:
        """With what it needs, deepest first; without recursion."""
        todo = [] if self._answered(wish, again) else [wish]
        while todo:
            missing = [n for n in todo[-1].trial.needs if n not in self.answers and not self._answered(self.there[n])]
            if missing:
                todo += [self._runnable(self.there[need]) for need in missing]
            elif (top := todo.pop()).key not in self.answers:
                self._make(top)

    def _answered(self, wish: _Wish, again: bool = False) -> bool:
        found = satisfying(wish.trial, self.jobs.get(wish.key, ()))
        live = found is not None and found.state in LIVE and not found.stop_asked
        if found is None or not (live or (found.state is State.COMPLETE and not again)):
            return False
        self.answers[wish.key] = found.id
        self.reuse.append(Reuse(found.id, wish.trial, found.state))
        return True

    def _runnable(self, wish: _Wish) -> _Wish:
        if wish.task.refusals:
            raise Refused(f"needs {wish.trial.task}, which cannot run: {'; '.join(wish.task.refusals)}")
        return wish

    def _make(self, wish: _Wish) -> None:
        trial = wish.trial
        generation = next_generation(trial, self.jobs.get(wish.key, ()))
        made = job_id(trial.work, trial.task, generation)
        needs = tuple(self.answers[need] for need in trial.needs)
        self.answers[wish.key] = made
        self.launch.append(Launch(made, trial, generation, wish.place, needs, gpu_hours(wish.task.spec)))
