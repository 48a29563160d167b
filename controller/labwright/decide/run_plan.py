"""What `lab run TASK` and `lab rerun TASK` launch: a task's trials as its branch's tip has them, and what these wait for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from labwright.decide.identity import Asked
from labwright.decide.plan import gpu_hours, next_generation, satisfying
from labwright.domain.errors import Refused
from labwright.domain.ids import Digest, JobId, job_id, work_digest
from labwright.domain.job import Job, Trial
from labwright.domain.lifecycle import State
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
    """`arguments`: `parameters` to run with instead of the file's, `provider` to run at. `again`: a new generation even of
    content that completed. What is needed is launched where no job of it is complete or live. Raises Refused."""
    made = _Run(jobs)
    for name, task in asked.items():
        if name != target:
            for place, trial in enumerate(task.trials):
                made.add(task, trial, place, again=False)
    task = asked[target]
    for place, trial in enumerate(points(task, arguments.get("parameters") or {})):
        here = replace(trial, provider=arguments.get("provider") or trial.provider)
        made.add(task, here, place, again=again)
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
    found: dict[Digest, Trial] = {}
    for trial in task.trials:
        parameters = {**trial.parameters, **overrides}
        work = work_digest({**task.shared, "parameters": parameters})
        found.setdefault(work, replace(trial, work=work, parameters=parameters))
    return list(found.values())


class _Run:
    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self.launch: list[Launch] = []
        self.reuse: list[Reuse] = []
        self.answers: dict[tuple[str, Digest], JobId] = {}

    def add(self, task: Asked, trial: Trial, place: int, *, again: bool) -> None:
        same = [job for job in self.jobs if job.task == trial.task and job.work == trial.work]
        found = satisfying(trial, same)
        failed = found is not None and found.state in (State.FAILED, State.STOPPED)
        if found is not None and not failed and not again:
            self.answers[trial.task, trial.work] = found.id
            self.reuse.append(Reuse(found.id, trial, found.state))
            return
        generation = next_generation(trial, same)
        made = job_id(trial.work, trial.task, generation)
        needs = tuple(self.answers[need] for need in trial.needs if need in self.answers)
        self.answers[trial.task, trial.work] = made
        self.launch.append(Launch(made, trial, generation, place, needs, gpu_hours(task.spec)))
