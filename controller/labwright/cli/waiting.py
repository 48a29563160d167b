"""What a job waits for that its provider has in a queue of its own: in the provider's words, as the controller heard them last."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from labwright.cli.look import Look
from labwright.domain.lifecycle import State

if TYPE_CHECKING:
    from labwright.domain.job import Attempt, Job


def under_way(look: Look, jobs: Sequence["Job"]) -> Mapping[str, "Attempt"]:
    """The newest attempts of jobs, where these are not over."""
    ids = [job.id for job in jobs if job.attempt]
    found = {attempt.job: attempt for attempt in (look.ledger.attempts(ids) if look.ledger and ids else ())}
    return {job: attempt for job, attempt in found.items() if attempt.outcome is None}


def reason(job: "Job", attempt: "Attempt | None") -> str:
    """Why it is in its state; of one that waits at its provider, what that says."""
    there = job.state is State.QUEUED and attempt is not None and attempt.handle is not None
    return (attempt.detail or f"waits at {attempt.provider}") if there and attempt else job.reason


def reasons(look: Look, jobs: Sequence["Job"]) -> Mapping[str, str]:
    attempts = under_way(look, [job for job in jobs if job.state is State.QUEUED])
    return {job.id: reason(job, attempts.get(job.id)) for job in jobs}
