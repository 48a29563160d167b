"""What came in, counted; refusals are told as counts, since whoever is refused decides how many there are."""

import asyncio
from collections import Counter, OrderedDict
from datetime import datetime
from typing import Any

EVERY_S = 60.0  # between two log lines about refusals for one reason
_KNOWN = 1024  # ids of deliveries, to tell repetitions


class Tally:
    """Written by the listener's own loop, read from any thread."""

    def __init__(self, log: Any, every_s: float = EVERY_S) -> None:
        self._log, self._every = log, every_s
        self._refused: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()
        self._silent: set[str] = set()  # reasons that were told lately
        self._ids: OrderedDict[bytes, None] = OrderedDict()
        self._accepted = self._repeated = self._wakes = 0
        self._last: datetime | None = None

    def accepted(self, delivery: bytes, at: datetime) -> None:
        self._accepted += 1
        self._last = at
        if not delivery:
            return
        self._repeated += delivery in self._ids
        self._ids[delivery] = None
        self._ids.move_to_end(delivery)
        if len(self._ids) > _KNOWN:
            self._ids.popitem(last=False)

    def woken(self) -> None:
        self._wakes += 1

    def refused(self, why: str) -> None:
        """The first is told at once, those of the next minute after it, as one."""
        self._refused[why] += 1
        self._untold[why] += 1
        if why not in self._silent:
            self._tell(why)

    def _tell(self, why: str) -> None:
        count = self._untold.pop(why, 0)
        if not count:
            self._silent.discard(why)
            return
        self._silent.add(why)
        self._log.warning("hook refused", why=why, count=count)
        asyncio.get_running_loop().call_later(self._every, self._tell, why)

    def counts(self) -> dict[str, Any]:
        """`accepted` and how many of them were `repeated`; `refused` by reason; `wakes` that came of it; `last_accepted`."""
        return {
            "accepted": self._accepted,
            "repeated": self._repeated,
            "refused": dict(self._refused),
            "wakes": self._wakes,
            "last_accepted": self._last.isoformat() if self._last else None,
        }
