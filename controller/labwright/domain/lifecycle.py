"""The one table of states, and the one function that may change a state (docs/spec/states.md)."""

from enum import StrEnum


class State(StrEnum):
    HELD = "HELD"
    QUEUED = "QUEUED"
    LAUNCHING = "LAUNCHING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    LOST = "LOST"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


class Outcome(StrEnum):
    """How one attempt ended."""

    OK = "ok"
    ERROR = "error"
    SETUP_ERROR = "setup_error"
    TIMEOUT = "timeout"
    OOM = "oom"
    PREEMPTED = "preempted"
    NODE_FAILED = "node_failed"
    NO_CAPACITY = "no_capacity"
    CANCELLED = "cancelled"
    LOST = "lost"


S = State
TABLE: dict[State, frozenset[State]] = {
    S.HELD: frozenset({S.QUEUED, S.STOPPED}),
    # HELD again: an approval went away before anything was submitted (docs/adr/0012-pull-requests.md)
    S.QUEUED: frozenset(
        {S.HELD, S.LAUNCHING, S.RUNNING, S.COMPLETE, S.FAILED, S.QUEUED, S.STOPPING, S.STOPPED, S.LOST}
    ),
    S.LAUNCHING: frozenset({S.RUNNING, S.COMPLETE, S.FAILED, S.QUEUED, S.STOPPING, S.STOPPED, S.LOST}),
    S.RUNNING: frozenset({S.COMPLETE, S.FAILED, S.QUEUED, S.STOPPING, S.STOPPED, S.LOST}),
    S.STOPPING: frozenset({S.COMPLETE, S.STOPPED, S.LOST}),
    S.LOST: frozenset({S.LAUNCHING, S.RUNNING, S.COMPLETE, S.FAILED, S.STOPPING, S.STOPPED, S.QUEUED}),
    S.COMPLETE: frozenset(),
    S.FAILED: frozenset(),
    S.STOPPED: frozenset(),
}
FINAL = frozenset(state for state, nexts in TABLE.items() if not nexts)
LIVE = frozenset(TABLE) - FINAL
AT_PROVIDER = frozenset({S.LAUNCHING, S.RUNNING, S.STOPPING, S.LOST})
INFRASTRUCTURE = frozenset(
    {Outcome.PREEMPTED, Outcome.NODE_FAILED, Outcome.NO_CAPACITY, Outcome.LOST}
)  # nobody's code is to blame: these get new attempts within a budget


class IllegalMove(Exception):
    """A defect of ours: some decision asked for a move that the table does not have."""


def move(current: State, to: State) -> State:
    """The new state. Raises IllegalMove for a pair that is not in TABLE."""
    if to not in TABLE[current]:
        raise IllegalMove(f"{current} → {to}")
    return to
