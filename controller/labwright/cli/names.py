"""What a git user types for a job: its id or the start of it, a task's path, the start of a commit's SHA, a pull request."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from labwright.cli.lanes import condition, lane_in, lanes_with, wanted_by
from labwright.cli.look import Look, quoted
from labwright.domain.errors import LabError, Refused
from labwright.domain.forge import number_of
from labwright.domain.lifecycle import LIVE
from labwright.settings import is_url

_JOB = re.compile(r"[a-z2-7]{1,12}")
_SHA = re.compile(r"[0-9a-f]{4,64}")
_FIELDS = 'job, task, "commit", created, trial, state'


@dataclass(frozen=True, slots=True)
class Named:
    """Enough of a job to choose it by."""

    job: str
    task: str
    commit: str
    created: datetime
    trial: int
    state: str

    @property
    def age(self) -> tuple[datetime, int]:
        return self.created, self.trial


def task_path(text: str, repo: str = "") -> str:
    """`alpha/train` of `experiments/alpha/train/task.yaml`, of `alpha/train/`, and of a folder that is named from where one is."""
    top = Path(repo) if repo and not is_url(repo) else None
    here = Path(text)
    if top is not None and (here.is_absolute() or text.startswith(".")) and here.resolve().is_relative_to(top):
        text = str(here.resolve().relative_to(top))
    return text.strip("/").removeprefix("experiments/").removesuffix("/task.yaml")


def one(look: Look, text: str) -> Named:
    """Of a task the newest job. Raises Refused when there is none, or more than one."""
    found = many(look, text)
    if len(found) > 1 and len({job.task for job in found}) == 1 and found[0].task == task_path(text, look.place.repo):
        return found[0]
    if len(found) > 1:
        some = ", ".join(f"{job.job} ({job.task})" for job in found[:4]) + (" …" if len(found) > 4 else "")
        raise Refused(f"{text} means {len(found)} jobs: {some}", hint="name one of them")
    return found[0]


def many(look: Look, text: str) -> list[Named]:
    """Newest first, never empty. A job's id wins over a task, a task over the start of an id, that over a commit."""
    if lane := lane_in(text):
        return _of_lane(look, lane)
    task = task_path(text, look.place.repo)
    exact = _exactly(look, text, task)
    found = exact or _starting(look, text)
    if not found:
        raise Refused(f"there is no job, task or commit {text!r} that has run", hint="`lab jobs` lists what there is")
    return sorted(found, key=lambda job: job.age, reverse=True)


def _of_lane(look: Look, lane: str) -> list[Named]:
    """What it launched or reuses."""
    found = _known(look, f"SELECT {_FIELDS} FROM jobs WHERE {condition(look, lane)}", lane)  # noqa: S608  # quoted
    if not found:
        raise Refused(f"pull request {number_of(lane)} has no jobs", hint=f"`lab why {lane}` says what it waits for")
    return sorted(found, key=lambda job: job.age, reverse=True)


def _exactly(look: Look, text: str, task: str) -> list[Named]:
    if look.ledger is not None:
        jobs = look.ledger.jobs(ids=[text]) or look.ledger.jobs(tasks=[task])
        return [_of_job(job) for job in jobs]
    same = f"SELECT {_FIELDS} FROM jobs WHERE"  # noqa: S608  # quoted below
    return _ask(look, f"{same} job = {quoted(text)}") or _ask(look, f"{same} task = {quoted(task)}")


def _starting(look: Look, text: str) -> list[Named]:
    columns = [c for c, form in (("job", _JOB), ('"commit"', _SHA)) if form.fullmatch(text)]
    if not columns:
        return []
    where = " OR ".join(f"starts_with({column}, {quoted(text)})" for column in columns)
    known = _known(look, f"SELECT {_FIELDS} FROM jobs WHERE {where}")  # noqa: S608
    jobs = {job.job: job for job in known if job.job.startswith(text)}
    return list(jobs.values()) or [job for job in known if job.commit.startswith(text)]


def _known(look: Look, sql: str, lane: str = "") -> list[Named]:
    """The records', and what the ledger knows sooner; without records all of the ledger's. Of `lane` alone, where one is
    given."""
    try:
        found = _ask(look, sql)
        fresh: Iterable[Any] = look.ledger.jobs(states=LIVE) if look.ledger else ()
    except LabError:
        if look.ledger is None:
            raise
        found, fresh = [], look.ledger.jobs()
    if lane:
        wanted = wanted_by(look, lane)
        fresh = [job for job in fresh if job.branch in lanes_with(lane) or job.id in wanted]
    return list({job.job: job for job in (*found, *map(_of_job, fresh))}.values())


def _ask(look: Look, sql: str) -> list[Named]:
    return [Named(**row) for row in look.rows(sql)]


def _of_job(job: Any) -> Named:
    return Named(job.id, job.task, job.commit, job.created, job.trial, str(job.state))
