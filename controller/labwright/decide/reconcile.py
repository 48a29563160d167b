"""What to do with one live job, given what its provider says (docs/spec/states.md)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from labwright.decide.ending import Ending, ending_of, lost_ending, plain
from labwright.domain.job import Attempt, Job, Move
from labwright.domain.lifecycle import FINAL, Outcome, State
from labwright.domain.seen import Phase, Seen
from labwright.domain.task import Retry

_LEVEL = {State.QUEUED: 0, State.LAUNCHING: 1, State.RUNNING: 2}
_STATE = {level: state for state, level in _LEVEL.items()}
_PHASE_LEVEL = {Phase.QUEUED: 0, Phase.SETUP: 1, Phase.RUN: 2}


@dataclass(frozen=True, slots=True)
class Rules:
    lost_after: float = 120.0  # seconds from the first to the last answer of a provider that does not know the attempt
    backoff_s: float = 1.0  # before attempt n + 1: backoff_s · 2^n seconds …
    backoff_cap_s: float = 300.0  # … but never more than this


@dataclass(frozen=True, slots=True)
class Decision:
    """`move` carries the changed attempt; `attempt` is one that changed while the state stays (put_attempts)."""

    move: Move | None = None
    attempt: Attempt | None = None
    cancel: bool = False  # ask the provider to end the newest attempt (again: cancel is idempotent)


NOTHING = Decision()


def reconcile(
    job: Job,
    attempts: Sequence[Attempt],
    seen: Seen | None,
    now: datetime,
    retry: Retry,
    *,
    rules: Rules = Rules(),
    limit_s: float | None = None,
) -> Decision:
    """`attempts`: all of this job, by n; only the newest is looked at, the others count for the budget of new attempts.

    `seen` None: the provider was not asked or could not be reached, so nothing changes but a job that is nowhere. For an
    attempt without a handle, Phase.MISSING means that `find`, once settled, did not know its token."""
    if job.state in FINAL:
        return NOTHING
    newest = attempts[-1] if attempts else None
    if newest is None or newest.outcome is not None:
        return _nowhere(job, now)
    if seen is None:
        return NOTHING
    if seen.phase is Phase.ENDED:
        return _ended(job, attempts, ending_of(seen, newest, limit_s), now, retry, rules)
    if seen.phase is Phase.MISSING:
        return _missing(job, attempts, now, retry, rules)
    return _alive(job, newest, seen, now)


def stopping(job: Job) -> bool:
    return bool(job.stop_asked) or job.state is State.STOPPING


def _nowhere(job: Job, now: datetime) -> Decision:
    if job.stop_asked and job.state in (State.HELD, State.QUEUED):
        return Decision(Move(job, State.STOPPED, job.stop_asked, now))
    return NOTHING


def _alive(job: Job, attempt: Attempt, seen: Seen, now: datetime) -> Decision:
    level = _level(job, attempt, seen)
    fresh = replace(
        attempt,
        started=attempt.started or seen.started or (now if level >= 1 else None),
        running=attempt.running or seen.running or (now if level >= 2 else None),
        node=seen.node or attempt.node,
        detail=seen.detail,  # what it waited for is over with the wait
    )
    changed = fresh if fresh != attempt else None
    if stopping(job):
        if job.state is State.STOPPING:
            return Decision(None, changed, cancel=True)
        return Decision(Move(job, State.STOPPING, job.stop_asked, now, changed), cancel=True)
    to = _STATE[level]
    known = seen.phase is not Phase.UNKNOWN
    if known and (job.state is State.LOST or level > _LEVEL[job.state]):
        return Decision(Move(job, to, _arrived(job, to, fresh), now, changed))
    return Decision(None, changed)


def _level(job: Job, attempt: Attempt, seen: Seen) -> int:
    """The furthest point known, for a late answer never takes a job back."""
    recorded = 2 if attempt.running else 1 if attempt.started else 0
    return max(recorded, _LEVEL.get(job.state, 0), _PHASE_LEVEL.get(seen.phase, 0))


def _arrived(job: Job, to: State, attempt: Attempt) -> str:
    what = {State.QUEUED: "waits at the provider", State.LAUNCHING: "setup", State.RUNNING: "running"}[to]
    where = f" on {attempt.node}" if attempt.node and to is not State.QUEUED else ""
    return f"seen again: {what}{where}" if job.state is State.LOST else what + where


def _missing(job: Job, attempts: Sequence[Attempt], now: datetime, retry: Retry, rules: Rules) -> Decision:
    newest = attempts[-1]
    if newest.handle is None and job.state is State.QUEUED:
        if not job.stop_asked:
            return NOTHING  # never arrived: the same attempt is submitted again
        return Decision(
            Move(job, State.STOPPED, job.stop_asked, now, replace(newest, outcome=Outcome.CANCELLED, ended=now))
        )
    if job.state is not State.LOST:
        return Decision(Move(job, State.LOST, f"{newest.provider} does not know it any more", now))
    if now - (job.updated or job.created) < timedelta(seconds=rules.lost_after):
        return NOTHING
    return _ended(job, attempts, lost_ending(newest, now), now, retry, rules)


def _ended(
    job: Job, attempts: Sequence[Attempt], ending: Ending, now: datetime, retry: Retry, rules: Rules
) -> Decision:
    attempt = replace(ending.attempt, ended=ending.attempt.ended or now)
    outcome, reason = attempt.outcome, ending.reason
    assert outcome is not None  # noqa: S101  # an ending has one
    if outcome is Outcome.OK:
        return Decision(Move(job, State.COMPLETE, reason, now, attempt))
    if stopping(job):
        return Decision(Move(job, State.STOPPED, job.stop_asked or reason, now, attempt))
    if outcome is Outcome.CANCELLED:
        return Decision(Move(job, State.STOPPED, reason, now, attempt))
    budget = getattr(retry, outcome.value)
    used = sum(earlier.outcome is outcome for earlier in attempts[:-1])
    if used < budget:
        wait = min(rules.backoff_s * 2.0 ** min(attempt.n, 60), rules.backoff_cap_s)
        later = {"not_before": now + timedelta(seconds=wait)}
        return Decision(Move(job, State.QUEUED, f"{reason}; attempt {attempt.n + 1} follows", now, attempt, later))
    if budget:
        reason += f"; no new attempt after {plain(used + 1, 'such end')}"
    return Decision(Move(job, State.FAILED, reason, now, attempt))
