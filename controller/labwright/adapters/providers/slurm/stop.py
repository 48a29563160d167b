"""Ending attempts: those that wait leave the queue, those that run are asked through their wrapper, and in the end made to."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from labwright.adapters.providers.slurm.desk import Desk, joined
from labwright.adapters.providers.slurm.handles import Known

_SPARE_S = 20.0  # beyond the wrapper's own grace, before Slurm is told to kill


@dataclass
class Stopper:
    grace_s: float
    since: dict[str, float] = field(default_factory=dict)  # token → when it was first asked to stop
    shared: dict[tuple[str, str], set[int]] = field(
        default_factory=dict
    )  # packed allocation → its trials that shall stop

    def cancel(self, desk: Desk, known: Sequence[Known]) -> None:
        """One call, whatever their number. Returns at once; quiet for what has ended."""
        now = time.monotonic()
        for attempt in known:
            self.since.setdefault(attempt.token, now)
            if attempt.of > 1:
                self.shared.setdefault((attempt.id, attempt.user), set()).add(attempt.slot)
        whole = [k for k in known if self._alone(k)]
        ways = {
            "TERM": [k for k in whole if not self._overdue(k, now)],
            "hard": [k for k in whole if self._overdue(k, now)],
            "USR2": [k for k in known if not self._alone(k)],  # the others in its allocation go on
        }
        for how, some in ways.items():
            if some:
                desk.call("cancel", how, ids(some), stdin=joined([k.token for k in some]), timeout=120)
        for token in [t for t, at in self.since.items() if now - at > 86400]:
            del self.since[token]

    def _alone(self, attempt: Known) -> bool:
        """Whether nobody is left in its allocation that shall go on."""
        return attempt.of == 1 or len(self.shared.get((attempt.id, attempt.user), ())) >= attempt.of

    def _overdue(self, attempt: Known, now: float) -> bool:
        return now - self.since[attempt.token] > self.grace_s + _SPARE_S


def ids(known: Iterable[Known]) -> str:
    """For scancel: `12 34_[1-3,7]`, elements of one array together."""
    arrays: dict[str, set[int]] = {}
    single = []
    for attempt in known:
        if attempt.index is None:
            single.append(attempt.job)
        else:
            arrays.setdefault(attempt.job, set()).add(attempt.index)
    return " ".join([*dict.fromkeys(single), *(f"{job}_[{spans(indices)}]" for job, indices in arrays.items())])


def spans(indices: Iterable[int]) -> str:
    """`1-3,7`."""
    found: list[list[int]] = []
    for index in sorted(indices):
        if found and index == found[-1][1] + 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in found)
