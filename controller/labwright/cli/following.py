"""Standing by while jobs run: their changes of state, their log, how far they are, and how they ended."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from labwright.cli.terminal import clean, readable, say
from labwright.domain.errors import LabError
from labwright.domain.ids import JobId
from labwright.domain.job import Attempt, Job
from labwright.domain.lifecycle import FINAL, State
from labwright.settings import Place

if TYPE_CHECKING:
    from labwright.ports.ledger import Ledger

STOPPED = 5  # exit status
_POLL = 0.1
_TRAIL = 30.0  # seconds that the end of a log and the results branch may take after the job
_AT_ONCE = 1 << 20


class Follower:
    """Reads the ledger and the controller's log files, so it makes no difference which process runs the jobs."""

    def __init__(self, place: Place, ledger: "Ledger", jobs: Sequence[JobId], *, publish: bool, quiet: bool) -> None:
        self.place, self.ledger, self.ids = place, ledger, list(jobs)
        self.publish = publish  # wait until the results branch has them
        self.quiet = quiet
        self._told: dict[JobId, int] = {}  # rows of the history that were shown
        self._log = (1, 0)  # attempt, offset
        self._ended: float | None = None

    def follow(self, alive: Callable[[], bool]) -> Sequence[Job]:
        """Until all are over (or can never start), or nobody is there any more who runs them."""
        with _progress(hidden=self.quiet) as progress:
            while True:
                going = alive()  # asked first: what it did before it went is seen below
                jobs = {job.id: job for job in self.ledger.jobs(ids=self.ids)}
                found = [jobs[job] for job in self.ids if job in jobs]
                self._show(found)
                if self._over(found) or not going:
                    return found
                progress(self._percent(found) if progress.shown else {})
                time.sleep(_POLL)

    def _show(self, jobs: Sequence[Job]) -> None:
        if self.quiet:
            return
        if len(jobs) == 1:
            self._changes(jobs[0])
            self._print_log(jobs[0])
            return
        for job in jobs:
            if job.state in FINAL and job.id not in self._told:
                self._told[job.id] = 1
                say(f"{job.id} {job.task} {_point(job)}: {job.state} {_because(job)}", err=True)

    def _changes(self, job: Job) -> None:
        history = self.ledger.history(job.id)
        for row in history[self._told.get(job.id, 0) :]:
            reason = f": {row.reason}" if row.reason and row.reason not in ("planned", "admitted") else ""
            say(f"{row.at.astimezone():%H:%M:%S} {job.id} {job.task} {row.after}{reason}", err=True)
        why = self._waits(job)
        if why and len(history) == self._told.get(job.id) and why != self._why:
            say(f"{job.id} {why}", err=True)
        self._why = why
        self._told[job.id] = len(history)

    _why = ""

    def _waits(self, job: Job) -> str:
        """Without when it is expected to start, which changes all the time."""
        if job.state is State.HELD:
            return f"is held: {job.reason}"
        newest = self.newest(job) if job.state is State.QUEUED and job.attempt else None
        return newest.detail.partition(", expected to start")[0] if newest and newest.handle else ""

    def _print_log(self, job: Job) -> None:
        from labwright.control.logs import Logs

        logs = Logs(self.place.logs)
        n, offset = self._log
        while True:
            with suppress(FileNotFoundError), logs.path(job.id, n).open("rb") as file:
                file.seek(offset)
                while data := _whole(file.read(_AT_ONCE)):
                    sys.stdout.write(readable(data, sys.stdout))
                    offset += len(data)
                    file.seek(offset)
                sys.stdout.flush()
            if n >= job.attempt:
                break
            n, offset = n + 1, 0
        self._log = n, offset

    def _over(self, jobs: Sequence[Job]) -> bool:
        if any(job.state not in FINAL and not self.stuck(job) for job in jobs):
            return False
        self._ended = self._ended or time.monotonic()
        newest = [last for job in jobs if (last := self.newest(job)) is not None and job.state in FINAL]
        rest = [last for last in newest if not (last.published if self.publish else last.collected)]
        if rest and time.monotonic() - self._ended < _TRAIL:
            return False
        if rest and self.publish:
            say("lab: the results branch does not have them yet; `lab serve` goes on trying", err=True)
        self._show(jobs)
        return True

    def stuck(self, job: Job) -> bool:
        """Held for a job that failed: it starts only when somebody mends that."""
        if job.state is not State.HELD or not job.reason.startswith("needs:"):
            return False
        needed = self.ledger.jobs(ids=job.needs)
        failed = [need for need in needed if need.state in (State.FAILED, State.STOPPED)]
        again = {
            (j.task, j.work) for j in self.ledger.jobs(tasks=[n.task for n in failed]) if j.state is not State.FAILED
        }
        return any((need.task, need.work) not in again for need in failed)

    def newest(self, job: Job) -> Attempt | None:
        return next(reversed(self.ledger.attempts([job.id])), None)

    def _percent(self, jobs: Sequence[Job]) -> Mapping[str, float]:
        """`alpha/train abc RUNNING` → percent, as far as the jobs have said."""
        done: dict[str, float] = {}
        with suppress(LabError):
            done = _reported(self.place, [job.id for job in jobs])
        return {
            clean(f"{job.task} {job.id} {job.state}"): done.get(job.id, 0.0) for job in jobs if job.state not in FINAL
        }


def _whole(data: bytes) -> bytes:
    """Whole lines, so that no character is cut in two; without any, all of it."""
    return data[: data.rfind(b"\n") + 1] or data


def _reported(place: Place, jobs: Sequence[str]) -> dict[str, float]:
    from labwright.ports.records import QueryLimits
    from labwright.web.client import ask_sql

    names = ", ".join(f"'{job}'" for job in jobs if job.isalnum())
    sql = f"SELECT job, progress FROM jobs WHERE progress IS NOT NULL AND job IN ({names})"  # noqa: S608  # a-z and 2-7
    answer = ask_sql(place.socket, sql, QueryLimits(seconds=2, rows=len(jobs)))
    return {row["job"]: row["progress"] for batch in answer.batches() for row in batch.to_pylist()}


class _Bars:
    """At most ten bars on standard error, and none at all where that is no terminal."""

    def __init__(self, bars: Any) -> None:
        self.shown = bars is not None
        self._bars, self._tasks, self._next = bars, dict[str, Any](), 0.0

    def __call__(self, percents: Mapping[str, float]) -> None:
        if not self.shown:
            return
        for name in self._tasks.keys() - percents.keys():
            self._bars.remove_task(self._tasks.pop(name))
        for name, percent in list(percents.items())[:10]:
            if name not in self._tasks:
                from rich.markup import escape

                self._tasks[name] = self._bars.add_task(escape(name), total=100)
            self._bars.update(self._tasks[name], completed=percent)


@contextmanager
def _progress(*, hidden: bool) -> Iterator[_Bars]:
    if hidden or not sys.stderr.isatty():
        yield _Bars(None)
        return
    from rich.console import Console
    from rich.progress import Progress

    # what we print goes above the bars, but a log that is sent to a file stays on its way there
    screen = Console(stderr=True)
    with Progress(console=screen, transient=True, redirect_stdout=sys.stdout.isatty()) as bars:
        yield _Bars(bars)


def _point(job: Job) -> str:
    return " ".join(f"{name}={value}" for name, value in job.parameters.items())


def _because(job: Job) -> str:
    return f"({job.reason})" if job.state is not State.COMPLETE and job.reason else ""


def exit_status(jobs: Sequence[Job], attempts: Mapping[JobId, Attempt | None]) -> int:
    """0 all COMPLETE · the exit code of the first that failed, else 1 · 5 stopped."""
    for job in jobs:
        if job.state not in (State.COMPLETE, State.STOPPED):
            last = attempts.get(job.id)
            code = last.exit_code if last is not None and job.state is State.FAILED else None
            return code if code is not None and 0 < code < 256 else 1
    return STOPPED if any(job.state is State.STOPPED for job in jobs) else 0
