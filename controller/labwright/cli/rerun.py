"""`lab rerun`: the same content once more."""

from typing import Annotated

import typer

from labwright.cli import completion
from labwright.cli.shell import JsonOption, RepoOption
from labwright.settings import find_place


def rerun(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TASK|JOB", help="A task's path, or a job's id", autocompletion=completion.tasks_and_jobs
        ),
    ],
    branch: Annotated[
        str | None, typer.Option(help="Whose tip is run, for a task (default: the default branch)")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay, and exit with the job's outcome")] = False,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a task's content at the branch's tip once more, or exactly what a job ran, as a new generation."""
    from labwright.cli.acting import act
    from labwright.cli.asking import Wish
    from labwright.cli.targets import Desk, find_job
    from labwright.domain.job import ActKind
    from labwright.wiring import reading

    place = find_place(repo)
    arguments = {"branch": branch} if branch else {}
    with reading(place) as (source, tips):
        desk = Desk(place, source, tips, branch)
        name = desk.name(target)
        job = None if name else find_job(place, target)
        named = job.id if job else desk.task(target)[0]
    act(place, [Wish(ActKind.RERUN, named, arguments)], wait=wait, as_json=as_json)
