"""Which HELD jobs may be queued, and why the others may not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from labwright.domain.ids import JobId
from labwright.domain.job import Held, Job
from labwright.domain.lifecycle import State


@dataclass(frozen=True, slots=True)
class Gates:
    """Everything that admission looks at besides the jobs themselves."""

    suspended: Mapping[str, str]  # provider name, or `*` for all → who did it and when
    unconfirmed: Mapping[str, str]  # plan digest → why it is held
    needed: Mapping[JobId, Job]  # every job that a held one waits for
    siblings: Mapping[tuple[str, str], Sequence[Job]]  # (task, work) of those → all generations
    unapproved: Mapping[JobId, str] = field(default_factory=dict)  # jobs of pull requests → what is missing


@dataclass(frozen=True, slots=True)
class Verdict:
    job: Job
    admitted: bool
    reason: str  # `needs: …` when it stays HELD


def admit(held: Iterable[Job], gates: Gates) -> list[Verdict]:
    """One verdict a job. Every gate is level: asked again each time, nothing remembered."""
    known: dict[tuple[JobId, ...], str] = {}  # the trials of a sweep need the same
    return [_verdict(job, gates, known) for job in held]


def _verdict(job: Job, gates: Gates, known: dict[tuple[JobId, ...], str]) -> Verdict:
    if job.needs not in known:
        known[job.needs] = _needs(job, gates)
    approval = f"{Held.APPROVAL}: {why}" if (why := gates.unapproved.get(job.id)) else ""
    for reason in (approval, _limit(job, gates.unconfirmed), _suspended(job, gates.suspended), known[job.needs]):
        if reason:
            return Verdict(job, False, reason)
    return Verdict(job, True, "admitted")


def _limit(job: Job, unconfirmed: Mapping[str, str]) -> str:
    why = unconfirmed.get(job.plan)
    return f"{Held.LIMIT}: {why}" if why else ""


def _suspended(job: Job, suspended: Mapping[str, str]) -> str:
    why = suspended.get("*") or suspended.get(job.provider)
    return f"{Held.SUSPENDED}: {why}" if why else ""


def _needs(job: Job, gates: Gates) -> str:
    waiting = [f"{need.task} ({need.id}) is {need.state}" for need in _unmet(job, gates)]
    missing = [need for need in job.needs if need not in gates.needed]
    waiting += [f"job {need} is not known" for need in missing]
    if not waiting:
        return ""
    more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
    return f"{Held.NEEDS}: {waiting[0]}{more}"


def _unmet(job: Job, gates: Gates) -> list[Job]:
    return [
        newest
        for need in job.needs
        if (pinned := gates.needed.get(need)) and (newest := answering(pinned, gates)).state is not State.COMPLETE
    ]


def answering(pinned: Job, gates: Gates) -> Job:
    """The pinned job, or, where it did not complete, the newest run of the same content: a rerun lets dependants go on."""
    if pinned.state is State.COMPLETE:
        return pinned
    same = gates.siblings.get((pinned.task, pinned.work), (pinned,))
    complete = [job for job in same if job.state is State.COMPLETE]
    return max(complete or same, key=lambda job: job.generation, default=pinned)
