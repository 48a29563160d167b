"""`lab stop`: a job, all jobs of a task, or everything."""

from typing import Annotated

import typer

from labwright.cli import completion
from labwright.cli.shell import JsonOption, RepoOption
from labwright.cli.terminal import clean, say
from labwright.domain.errors import Refused
from labwright.settings import Place, find_place


def stop(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="JOB|TASK|pull:N", help="Jobs, tasks, pull requests", autocompletion=completion.tasks_and_jobs
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every job that waits or runs")] = False,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop jobs that wait or run: SIGTERM, some time to save, SIGKILL. Results that are there stay."""
    from labwright.cli.asking import Wish, ask, report
    from labwright.domain.job import ActKind

    if bool(targets) is everything:
        raise typer.BadParameter("name jobs or tasks, or say --all")
    place = find_place(repo)
    named = _live(place) if everything else [name for target in targets or () for name in _named(place, target)]
    if not named:
        say("nothing waits or runs")
        return
    report(place, ask(place, [Wish(ActKind.STOP, name) for name in named]), as_json=as_json)


def _live(place: Place) -> list[str]:
    from labwright.domain.lifecycle import LIVE
    from labwright.wiring import open_ledger

    if not place.used:
        return []
    ledger = open_ledger(place, read_only=True)
    try:
        return sorted({job.task for job in ledger.jobs(states=LIVE)})
    finally:
        ledger.close()


def _named(place: Place, target: str) -> list[str]:
    """A task's path, a job's whole id, or the ids of all jobs that a pull request has under way."""
    from labwright.cli.lanes import lane_in
    from labwright.cli.names import task_path
    from labwright.cli.targets import find_job, jobs_of_lane, jobs_of_task

    if lane := lane_in(target):
        if not (jobs := jobs_of_lane(place, lane)):
            raise Refused(f"nothing of {clean(target)} waits or runs", hint=f"`lab jobs {lane}` shows what it had")
        return [job.id for job in jobs]
    if jobs_of_task(place, target):
        return [task_path(target, place.repo)]
    job = find_job(place, target)
    if job is None:
        raise Refused(f"there is no job or task {clean(target)}", hint="`lab status` shows what waits and runs")
    return [job.id]
