"""What Slurm's words about one attempt come to, beside what its own folder says. Nothing here asks; `ask` is given."""

import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from labwright.adapters.providers.local.spool import phases_of
from labwright.adapters.providers.slurm.handles import Known
from labwright.adapters.providers.slurm.queue import Entry
from labwright.adapters.providers.slurm.states import SETUP_FAILED, codes, meaning
from labwright.domain.ids import parse_token
from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase, Seen

LAG_S = 30.0  # for which a file system may show a node's last files late
ABSENT_S = 60.0  # nobody knows it: for so long the accounting may lag
TOLD_S = 15.0  # for which squeue may know an end before the accounting tells more: the exit code, who cancelled it

_MEMORY = re.compile(r"exceeded (?:\w+ )?memory limit|oom.kill", re.IGNORECASE)

Ask = Callable[[str, str], str]
"""(command of remote.sh, its argument) → what it said; empty where nobody answers."""


@dataclass
class Memory:
    """Of one attempt."""

    known: Known
    seen: Seen = field(default_factory=lambda: Seen(Phase.QUEUED))
    looked: bool = False  # at its folder
    folder: bool = False  # it has one
    begun: bool = False  # a wrapper has claimed it
    stopped: bool = False  # we have asked for its end
    forgotten: bool = False
    phases: str = ""
    entry: Entry | None = None
    absent_since: float | None = None
    unrecorded_since: float | None = None  # Slurm says COMPLETED, and there is no record
    over_since: float | None = None  # squeue says that it has ended, and the accounting not yet how


def ours(known: Known, entry: Entry) -> bool:
    """Whether a job of that id can be the one that was submitted: a slurmctld that lost its state gives numbers out again."""
    if not entry.name or entry.name == known.token:
        return True
    parsed = parse_token(known.token)
    return (known.index is not None or known.of > 1) and parsed is not None and entry.name.startswith(f"{parsed[0]}-")


def under_way(found: Memory) -> Seen:
    phases = phases_of(found.phases.replace(";", "\n"))
    running = phases.get("run")
    node = found.entry.node if found.entry else found.seen.node
    return Seen(
        Phase.RUN if running else Phase.SETUP, started=phases.get("setup") or running, running=running, node=node
    )


def from_queue(found: Memory, now: datetime) -> Seen:
    """Of an attempt that squeue lists."""
    entry = found.entry
    assert entry is not None  # noqa: S101  # asked by the caller
    meant = meaning(entry.state)
    if meant.phase is Phase.RUN:
        seen = under_way(found)
        words = entry.state.lower() if entry.state not in ("RUNNING", "COMPLETING") else ""
        return replace(seen, started=seen.started or entry.start, detail=f"Slurm says: {words}" if words else "")
    if meant.phase is Phase.QUEUED:
        again = "Slurm has requeued it; " if found.phases else ""
        start = f", expected to start by {_roughly(entry.start, now)}" if entry.start and entry.start > now else ""
        reason = entry.reason or entry.state
        return replace(found.seen, phase=Phase.QUEUED, outcome=None, detail=f"{again}waits in Slurm: {reason}{start}")
    return unknown(found, f"Slurm says {entry.state}")  # of an end the next look tells more


def _roughly(start: datetime, now: datetime) -> str:
    """Slurm's estimate moves with every look: to the next ten minutes, or hours when it is far, so that it stays the same."""
    step = 600 if start - now < timedelta(hours=2) else 3600
    rounded = datetime.fromtimestamp(-(-int(start.timestamp()) // step) * step, start.tzinfo)
    return f"{rounded:%Y-%m-%d %H:%M} UTC"


def unknown(found: Memory, why: str) -> Seen:
    return replace(found.seen, phase=Phase.UNKNOWN, outcome=None, detail=why)


def from_past(found: Memory, entry: Entry, ask: Ask, clock: datetime, now: float) -> Seen:
    """Of an attempt that left the queue without a record of its own: squeue's memory or the accounting tells its end."""
    found.absent_since = found.over_since = None
    meant = meaning(entry.state)
    removed = not found.folder and entry.start is not None and _long_ago(entry, clock)
    if meant.phase is not Phase.ENDED:
        return unknown(found, f"the accounting says {entry.state}")
    if removed and meant.outcome is not Outcome.CANCELLED:
        return Seen(Phase.MISSING)
    if meant.outcome is Outcome.OK and not ask("termed", found.known.token):
        return _unrecorded(found, entry, now)
    return _ended(found, entry, ask)


def absent(found: Memory, *, silent: bool, now: float) -> Seen:
    """Of an attempt that neither squeue nor the accounting names; `silent`: because one of them does not answer."""
    if found.stopped and not found.begun and not silent:
        return replace(found.seen, phase=Phase.ENDED, outcome=Outcome.CANCELLED, detail="cancelled before it began")
    if silent:
        return unknown(found, "Slurm does not say what became of it")
    found.absent_since = found.absent_since or now
    return Seen(Phase.MISSING) if now - found.absent_since > ABSENT_S else unknown(found, "Slurm does not know it")


def more_follows(found: Memory, entry: Entry, now: float) -> bool:
    """Of an end that squeue alone knows: whether the accounting may soon tell more of it."""
    outcome = meaning(entry.state).outcome
    if outcome is Outcome.OK or (outcome is Outcome.CANCELLED and found.stopped):
        return False
    found.over_since = found.over_since or now
    return now - found.over_since < TOLD_S


def _unrecorded(found: Memory, entry: Entry, now: float) -> Seen:
    """COMPLETED is the wrapper's word; the job's own is its record, which a shared file system may show late."""
    found.unrecorded_since = found.unrecorded_since or now
    if now - found.unrecorded_since <= LAG_S:
        return unknown(found, "Slurm says COMPLETED; its record is not here yet")
    detail = "Slurm says COMPLETED, and there is no record of how it ended"
    return replace(found.seen, phase=Phase.ENDED, outcome=Outcome.LOST, ended=entry.end, detail=detail)


def _ended(found: Memory, entry: Entry, ask: Ask) -> Seen:
    meant = meaning(entry.state)
    code, by = codes(entry.codes)
    outcome = meant.outcome
    if outcome is Outcome.ERROR and code == SETUP_FAILED:
        outcome = Outcome.SETUP_ERROR
    elif outcome is Outcome.ERROR and found.stopped:
        outcome = Outcome.CANCELLED  # before its wrapper could say so
    elif outcome is Outcome.OK:
        outcome = Outcome.PREEMPTED  # it took the TERM of somebody else well, and its work is not done
    said = f"Slurm says {entry.state.split()[0]}" + (f" by {meant.by}" if meant.by else "")
    if outcome in (Outcome.ERROR, Outcome.SETUP_ERROR):
        lines = [line.strip() for line in ask("words", found.known.id).splitlines() if line.strip()]
        said += f": {' / '.join(lines[-3:])[-400:]}" if lines else ""
        if by == signal.SIGKILL and any(_MEMORY.search(line) for line in lines):
            outcome = Outcome.OOM  # without cgroups Slurm kills by itself, and its state is FAILED
    if outcome is Outcome.TIMEOUT and (saved := ask("saved", found.known.token).strip()):
        # the task's own limit is kept by its wrapper and leaves a record: this is the cluster's, which takes the machine away
        outcome, said = Outcome.PREEMPTED, f"{said}; it saved {saved.removesuffix('.json')} before"
    seen = under_way(found) if found.phases else found.seen
    return replace(
        seen,
        phase=Phase.ENDED,
        outcome=outcome,
        exit_code=code if outcome in (Outcome.ERROR, Outcome.SETUP_ERROR) else None,
        signal=by,
        started=seen.started or entry.start,
        ended=entry.end,
        node=entry.node or seen.node,
        detail=said,
    )


def _long_ago(entry: Entry, now: datetime) -> bool:
    return entry.end is not None and now - entry.end > timedelta(seconds=LAG_S)
