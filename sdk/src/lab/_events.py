"""events.jsonl: an event is one line, appended by one write(2) to an O_APPEND descriptor, whole whoever else writes.

No thread and no buffer: what `append` returned from survives SIGKILL of this process.
"""

from __future__ import annotations

import os
from os import write
from time import sleep, time_ns

from lab._place import job_dir, rank
from lab._warn import warn

_HIGH = (
    100  # were it closed and its number given to a file of the script, events would go there: new files get low numbers
)
_fd = -1
_looked_at = ""  # the file whose end was seen to: not again after a fork, when siblings write to it
_torn = False  # the file's last line is unfinished: the next write starts with a line end


def append(lines: bytes) -> None:
    """Append whole lines in one write. Never raises: a full disk or a lost folder is warned of once."""
    global _fd, _torn
    try:
        if _fd < 0:
            _fd = _open()
        if _torn:
            lines = b"\n" + lines
        try:
            written = write(_fd, lines)
        except OSError as problem:
            if problem.errno != 9:  # EBADF: someone closed it, as daemons do
                raise
            _fd = _open()
            written = write(_fd, lines)
        if written == len(lines):
            _torn = False
        else:
            _torn = _torn or written > 0
            raise OSError(28, "No space left on device")
    except Exception as problem:
        warn(f"events are not recorded ({problem}); training goes on", f"append{type(problem).__name__}")


def line(kind: str, /, **fields: object) -> bytes:
    """One event as the bytes of its line. Fields that are None are left out; secrets are masked."""
    import json

    from lab._numbers import plain
    from lab._secrets import masked

    event = {"t": time_ns() // 1000 / 1e6, "e": kind}
    event.update((name, masked(value)) for name, value in fields.items() if value is not None)
    return (json.dumps(event, separators=(",", ":"), default=plain, allow_nan=False) + "\n").encode()


def emit(kind: str, /, **fields: object) -> None:
    """Append one event."""
    append(line(kind, **fields))


def attach() -> None:
    """Open the file that the environment names now; `init` calls it, else the first event does."""
    global _fd
    old, _fd = _fd, -1
    try:
        os.close(old)
    except OSError:
        pass
    append(b"")


def _open() -> int:
    global _torn, _looked_at
    import fcntl

    folder, number = job_dir(), rank()
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"events.{number}.jsonl" if number else "events.jsonl")
    low = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    fd = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    os.close(low)
    _torn = path != _looked_at and _ends_torn(fd)
    _looked_at = path
    return fd


def _ends_torn(fd: int) -> bool:
    """Whether the last line is unfinished and stays so: its writer died. One that lives is seen a moment later."""
    size = os.fstat(fd).st_size
    if size == 0 or os.pread(fd, 1, size - 1) == b"\n":
        return False
    sleep(0.02)
    return os.fstat(fd).st_size == size and os.pread(fd, 1, size - 1) != b"\n"


def _forget() -> None:
    """In a forked child: open again, since its rank may be another."""
    global _fd
    _fd = -1


os.register_at_fork(after_in_child=_forget)
