"""`lab retry`: what failed, once more."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from labwright.cli import completion
from labwright.cli.shell import JsonOption, RepoOption
from labwright.cli.terminal import clean
from labwright.domain.errors import Refused
from labwright.settings import find_place

if TYPE_CHECKING:
    from labwright.domain.job import Job


def retry(
    target: Annotated[
        str, typer.Argument(metavar="JOB|TASK", help="A job's id, or a task", autocompletion=completion.tasks_and_jobs)
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Stay, and exit with the job's outcome")] = False,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a failed or stopped job's content once more; of a task, every content whose newest job failed."""
    from labwright.cli.acting import act
    from labwright.cli.asking import Wish
    from labwright.cli.targets import find_job, jobs_of_task
    from labwright.domain.job import ActKind
    from labwright.domain.lifecycle import State

    place = find_place(repo)
    of_task = jobs_of_task(place, target)
    if of_task:
        jobs = [job for job in newest(of_task) if job.state is State.FAILED]
        if not jobs:
            raise Refused(f"no newest job of {clean(target)} has failed", hint="`lab rerun` runs a complete one again")
    else:
        job = find_job(place, target)
        if job is None:
            raise Refused(f"there is no job or task {clean(target)} that has run", hint="`lab jobs` lists them")
        jobs = [job]
    act(place, [Wish(ActKind.RETRY, job.id) for job in jobs], wait=wait, as_json=as_json)


def newest(jobs: "Iterable[Job]") -> "list[Job]":
    """Of each content the last generation."""
    found: dict[str, Job] = {}
    for job in sorted(jobs, key=lambda job: job.generation):
        found[job.work] = job
    return list(found.values())
