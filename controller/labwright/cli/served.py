"""What `lab serve` did: a table of the jobs that ended, and what to do when there were none."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from labwright.cli.terminal import clean, say, write_table
from labwright.control.overrides import TEMPLATES
from labwright.control.settings import LAB_FILE
from labwright.domain.errors import LabError
from labwright.domain.job import Job, Want, Wanted
from labwright.domain.lifecycle import FINAL, State
from labwright.ports.ledger import Ledger
from labwright.ports.records import QueryLimits

if TYPE_CHECKING:
    from labwright.wiring import Site


@dataclass(frozen=True, slots=True)
class Before:
    at: datetime
    baseline: int

    @classmethod
    def of(cls, site: "Site") -> "Before":
        return cls(site.world.now(), len(baseline(site.world.book.ledger)))


def baseline(ledger: Ledger) -> list[Want]:
    """Trials that were there at first sight and that nobody has launched since."""
    return [want for want in ledger.wants() if want.how is Wanted.BASELINE and want.job is None]


def summary(site: "Site", before: Before, *, as_log: bool) -> None:
    ledger = site.world.book.ledger
    ended = [job for job in ledger.jobs(states=FINAL) if job.updated and job.updated >= before.at]
    scores = _scores(site, [job.id for job in ended])
    if as_log:
        ran = [{"job": j.id, "task": j.task, "state": str(j.state), "score": scores.get(j.id)} for j in ended]
        site.world.log.info("done", ran=ran, alarms=dict(site.world.alarms.on))
        return
    if ended:
        rows = [_row(ledger, job, scores.get(job.id)) for job in sorted(ended, key=lambda job: (job.task, job.trial))]
        write_table(("task", "job", "state", "score", "seconds", "why"), rows, right=("score", "seconds"))
    for reason, count in _held(ledger).items():
        say(f"{count} jobs are held: {reason}")
    stranded = site.controller.launcher.submitter.stranded
    for job in ledger.jobs(ids=stranded) if stranded else ():
        say(f"{job.id} ({job.task}) {job.reason}; it is tried again by the next `lab serve`")
    left = baseline(ledger)
    if not ended and len(left) > before.baseline:
        say(f"first sight: {len(left)} trials are recorded as they are, and nothing was launched")
        say(
            f"launch them with `lab serve --launch-existing`, or one with `lab run {left[0].task}`; from now on, what changes runs"
        )
    elif not ended and not _held(ledger) and not stranded:
        say(_nothing(site))


def _nothing(site: "Site") -> str:
    if not site.controller.intake.fetched:
        return "the repository could not be read"
    on = site.world.alarms.on
    return clean("\n".join(on[what] for what in (LAB_FILE, TEMPLATES) if what in on)) or "nothing to do"


def _row(ledger: Ledger, job: Job, score: float | None) -> tuple[object, ...]:
    last = next(reversed(ledger.attempts([job.id])), None)
    seconds = ""
    if last is not None and last.started and last.ended:
        seconds = f"{(last.ended - last.started).total_seconds():.1f}"
    why = "" if job.state is State.COMPLETE else job.reason
    return job.task, job.id, job.state, "" if score is None else f"{score:.6g}", seconds, why


def _held(ledger: Ledger) -> dict[str, int]:
    found: dict[str, int] = {}
    for job in ledger.jobs(states=[State.HELD]):
        found[job.reason] = found.get(job.reason, 0) + 1
    return found


def _scores(site: "Site", jobs: list[Any]) -> dict[str, float]:
    names = ", ".join(f"'{job}'" for job in jobs)
    if not names:
        return {}
    sql = f"SELECT job, score FROM jobs WHERE score IS NOT NULL AND job IN ({names})"  # noqa: S608  # a-z and 2-7
    try:
        answer = site.world.records.query(sql, QueryLimits(rows=len(jobs)))
        return {row["job"]: row["score"] for batch in answer.batches() for row in batch.to_pylist()}
    except LabError:
        return {}
