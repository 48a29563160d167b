"""One controller a state folder: a lock on `<state>/lease` that the kernel takes back when the process dies."""

import fcntl
import json
import os
import socket
import time
import weakref
from pathlib import Path
from typing import Any

from labwright.domain.errors import Refused
from labwright.ports.clock import Clock

_TRIES, _PAUSE = 25, 0.02  # a look from another machine holds the lock for an instant


class FileLease:
    """Not for two threads at once. A child that is forked or started never keeps the lock."""

    def __init__(self, state_dir: Path, clock: Clock) -> None:
        self._path = state_dir / "lease"
        self._clock = clock
        self._fd: int | None = None
        _HELD.add(self)

    def acquire(self) -> None:
        if self._fd is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not _lock(fd, self._path):
            os.close(fd)
            raise Refused(*_who(_read(self._path)))
        text = json.dumps({**_myself(), "since": self._clock.now().isoformat(timespec="seconds")}) + "\n"
        os.ftruncate(fd, 0)
        os.pwrite(fd, text.encode(), 0)
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            self.drop()

    def drop(self) -> None:
        """Close our copy of the lock; where another process has one too (a fork), it stays locked."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


_HELD: "weakref.WeakSet[FileLease]" = weakref.WeakSet()


def _forget_in_child() -> None:
    for lease in list(_HELD):
        lease.drop()


os.register_at_fork(after_in_child=_forget_in_child)  # a lock survives as long as anybody has the file open


def holder(state_dir: Path) -> dict[str, Any] | None:
    """Who holds the lease: host, pid, boot, since (ISO 8601). None when nobody does. Never in the holder's way."""
    path = state_dir / "lease"
    who = _read(path)
    alive = _alive(who)
    if alive is not None:
        return who if alive else None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:  # written on another machine, or just being written: only the lock itself can tell
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return who or {"host": "", "pid": 0, "boot": "", "since": ""}
    finally:
        os.close(fd)
    return None


def _lock(fd: int, path: Path) -> bool:
    for _ in range(_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if _alive(_read(path)):
                return False
            time.sleep(_PAUSE)
        else:
            return True
    return False


def _alive(who: dict[str, Any]) -> bool | None:
    """Whether this process of our machine still runs; None where that cannot be told."""
    me = _myself()
    if not who.get("started") or (who["host"], who["boot"]) != (me["host"], me["boot"]):
        return None
    return bool(_started(who["pid"]) == who["started"])


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) and {"host", "pid", "boot", "since"} <= value.keys() else {}


def _who(who: dict[str, Any]) -> tuple[str, ...]:
    if not who:
        return ("another controller of this lab is just starting",)
    return (
        f"a controller of this lab is running already: process {who['pid']} on {who['host']}, since {who['since']}; "
        f"see it with `lab status` or `ps -p {who['pid']}`",
    )


def _myself() -> dict[str, Any]:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return {"host": socket.gethostname(), "pid": os.getpid(), "boot": boot, "started": _started(os.getpid())}


def _started(pid: int) -> str | None:
    """When a process began, in the kernel's ticks: a pid that was given out again is another process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
