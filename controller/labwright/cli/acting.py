"""From a wish to its end: `run`, `rerun` and `retry` share it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from labwright.cli.asjson import print_json
from labwright.cli.asking import Answered, Wish, answers, ask, report, running, to_json
from labwright.cli.shell import REFUSED
from labwright.cli.terminal import say
from labwright.domain.job import Job
from labwright.domain.lifecycle import FINAL
from labwright.settings import Place

if TYPE_CHECKING:
    from labwright.ports.ledger import Ledger

DETACHED = 130  # exit status, as shells have it for SIGINT


def act(place: Place, wishes: Sequence[Wish], *, wait: bool, as_json: bool) -> None:
    """Ask, and with `wait` stay until it is over: the exit status is then the jobs' outcome."""
    answered = ask(place, wishes)
    if not wait:
        report(place, answered, as_json=as_json)
        return
    from labwright.wiring import open_ledger

    ledger = open_ledger(place, read_only=True)
    try:
        with _somebody(place) as (here, alive):
            raise typer.Exit(_see_through(place, ledger, answered, here, alive, as_json=as_json))
    finally:
        ledger.close()


@contextmanager
def _somebody(place: Place) -> Iterator[tuple[bool, Callable[[], bool]]]:
    """Whether the loop runs in this process, and whether anybody's does. Where no controller runs, this process is it."""
    if running(place):
        yield False, lambda: running(place)
        return
    from labwright.cli.logging import configure
    from labwright.control.world import Options
    from labwright.wiring import open_site

    configure("auto", quiet=True)
    site = open_site(place, Options())
    failed: list[BaseException] = []

    def loop() -> None:
        try:
            site.controller.run()
        except BaseException as error:  # noqa: BLE001  # raised again below, in the thread of the command
            failed.append(error)

    thread = threading.Thread(target=loop, name="controller")
    thread.start()
    try:
        yield True, thread.is_alive
    finally:
        site.controller.stop()
        thread.join()
        site.close()
    if failed:
        raise failed[0]


def _see_through(
    place: Place,
    ledger: "Ledger",
    answered: Sequence[Answered],
    here: bool,
    alive: Callable[[], bool],
    *,
    as_json: bool,
) -> int:
    from labwright.cli.following import Follower, exit_status

    waiting = [one.act for one in answered]
    try:
        while alive() and not all(one.act.done for one in answered):
            answered = answers(place, ledger, waiting, 1.0)
        if not as_json:
            report(place, answered)
        elif any(one.refused for one in answered):
            report(place, answered, as_json=True)
        jobs = list(dict.fromkeys(job for one in answered for job in one.jobs))
        follower = Follower(place, ledger, jobs, publish=here, quiet=as_json)
        found = follower.follow(alive)
    except KeyboardInterrupt:
        return _detached(answered, here=here)
    attempts = {job.id: follower.newest(job) for job in found}
    if as_json:
        print_json(
            {"asked": [to_json(one) for one in answered], "jobs": [_job(job, attempts[job.id]) for job in found]}
        )
    elif not all(job.state in FINAL for job in found):
        _left(found, alive())
    return exit_status(found, attempts) if found or not any(one.refused for one in answered) else REFUSED


def _left(jobs: Sequence[Job], there: bool) -> None:
    for job in jobs:
        if job.state not in FINAL:
            hint = f"`lab why {job.id}`" if there else "no controller runs any more: `lab serve` goes on with it"
            say(f"lab: {job.id} {job.task} is {job.state}: {job.reason}; {hint}", err=True)


def _detached(answered: Sequence[Answered], *, here: bool) -> int:
    jobs = " ".join(job for one in answered for job in one.jobs)
    goes_on = "what runs goes on, and `lab serve` takes note of its end" if here else "the jobs go on"
    say(f"\ndetached: {goes_on}" + (f"; `lab stop {jobs}` stops them" if jobs else ""), err=True)
    return DETACHED


def _job(job: Job, attempt: Any) -> dict[str, Any]:
    return {
        "job": job.id,
        "task": job.task,
        "state": str(job.state),
        "reason": job.reason,
        "parameters": dict(job.parameters),
        "attempts": job.attempt,
        "exit_code": attempt.exit_code if attempt else None,
    }
