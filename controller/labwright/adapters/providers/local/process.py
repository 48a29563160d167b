"""Processes by pid, start time and boot id: what is alive, what it uses, and how to end it."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Stat:
    pid: int
    state: str  # `Z`: dead, and not yet asked by its parent
    parent: int
    session: int
    start: int
    rss: int  # bytes


_PAGE = os.sysconf("SC_PAGE_SIZE")


def stat(pid: int) -> Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes().decode(errors="replace")
    except OSError:
        return None
    f = text[text.rindex(")") + 2 :].split()
    return Stat(pid, f[0], int(f[1]), int(f[3]), int(f[19]), int(f[21]) * _PAGE)


def everything() -> Iterator[Stat]:
    for name in os.listdir("/proc"):  # noqa: PTH208 -- names, thousands of them
        if name.isdigit() and (found := stat(int(name))):
            yield found


def own_memory(found: Stat) -> int:
    """Bytes of a process with shared pages split among their holders, so that forked workers are not counted twice."""
    try:
        lines = Path(f"/proc/{found.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration, ValueError):
        return found.rss


def kill_session(session: int, *, spare: int = 0) -> None:
    """SIGKILL to every process of a session, `spare` left out."""
    for found in everything():
        if found.session == session and found.pid != spare:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(found.pid, signal.SIGKILL)


class Children:
    """The wrappers that this process started: asked for their exit status so that none stays a zombie. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, int] = {}
        self._status: dict[str, int] = {}

    def spawn(self, name: str, argv: Sequence[str], env: Mapping[str, str], folder: Path, output: Path) -> None:
        """In a session of its own, so that it outlives us and our signals. Raises OSError."""
        with output.open("ab") as log, self._lock:
            child = subprocess.Popen(
                argv, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
            self._running[name] = child.pid
            child.returncode = 0  # we wait by pid ourselves: keeps Popen from warning that it still runs

    def reap(self) -> None:
        with self._lock:
            for name, pid in list(self._running.items()):
                try:
                    done, status = os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:  # somebody else asked
                    done, status = pid, 0
                if done:
                    del self._running[name]
                    self._status[name] = status

    def pid(self, name: str) -> int | None:
        """Of a child not known to be dead at the last `reap`."""
        return self._running.get(name)

    def ended(self, name: str) -> bool:
        return name in self._status

    def signal_of(self, name: str) -> int | None:
        """The signal that ended a wrapper of ours, if one did."""
        status = self._status.get(name)
        return os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else None

    def forget(self, name: str) -> None:
        self._status.pop(name, None)
