"""How an attempt ended, in a value and in words. Success needs evidence: exit code 0."""

import signal
from dataclasses import dataclass, replace
from datetime import datetime

from labwright.domain.job import Attempt
from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Seen


@dataclass(frozen=True, slots=True)
class Ending:
    attempt: Attempt  # with its outcome
    reason: str


def ending_of(seen: Seen, attempt: Attempt, limit_s: float | None = None) -> Ending:
    """Of an answer with Phase.ENDED."""
    outcome = _outcome(seen)
    done = replace(
        attempt,
        started=attempt.started or seen.started,
        running=attempt.running or seen.running,
        ended=seen.ended,
        outcome=outcome,
        exit_code=seen.exit_code,
        signal=seen.signal,
        node=seen.node or attempt.node,
        detail=seen.detail,
    )
    return Ending(done, _reason(done, limit_s))


def lost_ending(attempt: Attempt, now: datetime) -> Ending:
    """Of an attempt that its provider has not known for too long."""
    done = replace(attempt, outcome=Outcome.LOST, ended=now)
    return Ending(done, f"lost: {attempt.provider} does not know it any more")


def _outcome(seen: Seen) -> Outcome:
    clean = seen.exit_code == 0 and not seen.signal
    if seen.outcome in (None, Outcome.OK):
        if clean:
            return Outcome.OK
        return Outcome.LOST if seen.exit_code is None and not seen.signal else Outcome.ERROR
    return seen.outcome


def _reason(attempt: Attempt, limit_s: float | None) -> str:
    match attempt.outcome:
        case Outcome.OK:
            return "exit code 0"
        case Outcome.SETUP_ERROR:
            return f"setup failed: {_how(attempt)}"
        case Outcome.TIMEOUT:
            return f"time limit{_limit(attempt, limit_s)}"
        case Outcome.OOM:
            return "out of memory"
        case Outcome.PREEMPTED:
            return f"preempted{_said(attempt)}"
        case Outcome.NODE_FAILED:
            return f"node {attempt.node} failed" if attempt.node else "its node failed"
        case Outcome.NO_CAPACITY:
            return f"{attempt.provider} has no capacity"
        case Outcome.CANCELLED:
            return f"cancelled at {attempt.provider}, not by Labwright{_said(attempt)}"
        case Outcome.LOST:
            return "ended without an exit code"
        case _:
            return _how(attempt)


def _limit(attempt: Attempt, limit_s: float | None) -> str:
    if attempt.exit_code is None and attempt.detail:  # the provider's own, which the task did not ask for
        return f" of {attempt.provider} reached: {attempt.detail}"
    return f" of {duration(limit_s)} reached" if limit_s else " reached"


def _said(attempt: Attempt) -> str:
    return f": {attempt.detail}" if attempt.detail else ""


def _how(attempt: Attempt) -> str:
    if attempt.signal:
        return f"killed by signal {attempt.signal}{_name(attempt.signal)}"
    if attempt.exit_code is not None:
        return f"exit code {attempt.exit_code}"
    return attempt.detail or "no exit code"


def _name(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return ""


def duration(seconds: float) -> str:
    """`45 s`, `10 min`, `2 h 30 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    rest = f"{minutes} min" if minutes else ""
    tail = f"{whole % 60} s" if whole % 60 and not hours else ""
    return " ".join(part for part in (f"{hours} h" if hours else "", rest, tail) if part)


def plain(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
