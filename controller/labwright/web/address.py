"""Where a unix socket lies: its name within the length of a socket address, and what a dead server left there."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from labwright.domain.errors import Refused


def clear_stale(path: Path) -> None:
    """Removes a socket that nobody serves any more; nothing else is ever removed."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise Refused(f"{path} is there and is not a socket.", hint="move it away")
    with short_path(path) as address, socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        with suppress(ConnectionRefusedError, FileNotFoundError):
            probe.connect(address)
            raise Refused(f"{path}: a controller answers here already.", hint="stop it first")
    path.unlink(missing_ok=True)


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A name of this path that fits a socket address (108 bytes), through the open folder where it is too long."""
    if len(os.fsencode(path)) < 104:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
