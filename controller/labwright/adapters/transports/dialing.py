"""When a login node may be dialled: sshd turns away a crowd of unauthenticated connections (MaxStartups), and many sites
shut out who fails too often."""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from labwright.adapters.transports.shell import Duplex
from labwright.domain.errors import Refused, Unavailable

_LONGEST = 60.0
_REFUSED_FOR = 30.0
"""What a person has to mend is not tried again at every call."""

_chance = random.SystemRandom()


class Full(Exception):
    """The machine opens no more channels on this connection."""


class Link(Protocol):
    """One connection to a login node."""

    def alive(self, *, sure: bool = False) -> bool:
        """As far as is known, which costs nothing; or `sure`."""
        ...

    def channel(self) -> Duplex:
        """Runs shell.COMMAND there. Raises Unavailable, and Full."""
        ...

    def close(self) -> None: ...


class _Gate:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last = -_SPACING


_SPACING = 1.0
_gates: dict[str, _Gate] = {}
_gates_lock = threading.Lock()


@contextlib.contextmanager
def turn(node: str) -> Iterator[None]:
    """One attempt at a time and one a second to a login node, whoever makes it in this process."""
    with _gates_lock:
        gate = _gates.setdefault(node, _Gate())
    with gate.lock:
        time.sleep(max(0.0, gate.last + _SPACING - time.monotonic()))
        try:
            yield
        finally:
            gate.last = time.monotonic()


class Dialer:
    """Holds the one link. `connect` raises Refused, or Unavailable, which is tried again after 1, 2, 4 … 60 s."""

    def __init__(self, connect: Callable[[], Link]) -> None:
        self._connect = connect
        self._lock = threading.Lock()  # held while dialling: who comes meanwhile takes what comes of it
        self._link: Link | None = None
        self._failures = 0
        self._not_before = 0.0
        self._why: Refused | Unavailable | None = None

    def link(self) -> tuple[Link, bool]:
        """The link, and whether it is new. While there is no use in trying, raises at once what was raised last."""
        with self._lock:
            left = self._not_before - time.monotonic()
            if self._why and left > 0:
                raise _again(self._why, left)
            if self._link and self._link.alive():
                return self._link, False
            self._close()
            try:
                self._link = self._connect()
            except (Refused, Unavailable) as error:
                self._fail(error)
                raise
            return self._link, True

    def lost(self, link: Link) -> None:
        with self._lock:
            if self._link is link:
                self._close()

    def failed(self, error: Unavailable) -> None:
        """The link is there and of no use."""
        with self._lock:
            self._fail(error)

    def _fail(self, error: Refused | Unavailable) -> None:
        self._failures += 1
        wait = min(_LONGEST, 2.0 ** min(self._failures - 1, 10)) * _chance.uniform(0.75, 1.25)
        if isinstance(error, Unavailable):
            error.retry_in = wait
        self._why = error
        self._not_before = time.monotonic() + (_REFUSED_FOR if isinstance(error, Refused) else wait)

    def proven(self) -> None:
        with self._lock:
            self._failures, self._why = 0, None

    def close(self) -> None:
        with self._lock:
            self._close()
            self._failures, self._why = 0, None

    def _close(self) -> None:
        if self._link:
            self._link.close()
            self._link = None


def _again(why: Refused | Unavailable, left: float) -> Refused | Unavailable:
    if isinstance(why, Refused):
        return Refused(why.message, hint=why.hint)
    return Unavailable(why.message, hint=why.hint, retry_in=left)
