"""Jobs that providers have and a new ledger does not know: found by the tokens that the tips of the branches ask for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from labwright.control.rebuild import Finder
from labwright.decide.identity import Asked
from labwright.decide.place import Ask
from labwright.domain import ids
from labwright.domain.errors import LabError
from labwright.domain.ids import Handle, JobId, Token
from labwright.domain.job import Attempt, Job, Trial
from labwright.domain.lifecycle import State
from labwright.domain.task import Task
from labwright.ports.ledger import Ledger
from labwright.ports.provider import Provider

MOST_ATTEMPTS = 25  # of one job that are looked for at its provider


def adopt(
    ledger: Ledger, asked: Iterable[Asked], origin: tuple[str, str], lab: str, find: Finder, now: datetime
) -> list[JobId]:
    """Jobs of these tasks that a provider has and the ledger does not know; `origin` is the branch and its tip."""
    made = []
    for task in asked:
        known = ledger.jobs(tasks=[task.task])
        for place, trial in enumerate(task.trials):
            if (found := _found(trial, known, lab, find)) is None:
                continue
            job, attempt = _adopted(trial, place, origin, found, now)
            if task.spec is not None:
                attempt = replace(attempt, placement=_placement(job, task.spec))
            with ledger.transaction():
                ledger.put_contents(task.contents)
                if ledger.insert([job]):
                    ledger.put_attempts([attempt])
                    made.append(job.id)
    return made


def _found(trial: Trial, known: Sequence[Job], lab: str, find: Finder) -> tuple[int, int, Token, Handle] | None:
    """Generation, attempt, token and handle of the newest that is there."""
    same = {job.generation for job in known if job.work == trial.work}
    for generation in sorted({trial.generation, *(g + 1 for g in same)} - same, reverse=True):
        job = ids.job_id(trial.work, trial.task, generation)
        tokens = {ids.token(lab, job, n): n for n in range(1, MOST_ATTEMPTS + 1)}
        there = {token: handle for token, handle in find(trial.provider, list(tokens)).items() if handle is not None}
        if there:
            newest = max(there, key=lambda token: tokens[token])
            return generation, tokens[newest], newest, there[newest]
    return None


def _adopted(
    trial: Trial, place: int, origin: tuple[str, str], found: tuple[int, int, Token, Handle], now: datetime
) -> tuple[Job, Attempt]:
    generation, n, token, handle = found
    job = Job(
        id=ids.job_id(trial.work, trial.task, generation),
        task=trial.task,
        work=trial.work,
        generation=generation,
        parameters=trial.parameters,
        spec=trial.spec,
        bundle=trial.bundle,
        provider=trial.provider,
        priority=trial.priority,
        commit=origin[1],
        branch=origin[0],
        author="",
        created=now,
        state=State.QUEUED,
        reason=f"adopted by lab rebuild: found at {trial.provider}",
        attempt=n,
        trial=place,
    )
    return job, Attempt(job.id, n, token, trial.provider, intended=now, handle=handle, submitted=now)


def _placement(job: Job, spec: Task) -> Mapping[str, Any]:
    """What it holds, as far as its task tells; which GPUs is not known any more."""
    asked = Ask.of(job.id, spec)
    return {"cpus": asked.cpus, "memory_gb": asked.memory_gb, "gpus": []}


def finder(providers: Mapping[str, Provider], warn: Callable[[str], Any]) -> Finder:
    def find(name: str, tokens: Sequence[Token]) -> Mapping[Token, Handle | None]:
        provider = providers.get(name)
        if provider is None:
            return {}
        try:
            return provider.find(tokens)
        except LabError as error:
            warn(f"provider {name}: {error}")
            return {}

    return find
