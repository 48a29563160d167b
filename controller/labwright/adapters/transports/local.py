"""The Transport port on this machine: what a provider for a remote one is tried on."""

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from labwright.domain.errors import OutcomeUnknown, Refused, Unavailable
from labwright.ports.transport import Ran


class LocalTransport:
    """`most` bytes of output are kept of one command; more ends it."""

    def __init__(self, *, most: int = 64 << 20) -> None:
        self._most = most

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 60) -> Ran:
        """A command that is not there answers 127 and one that a signal ended 128 and its number, as a remote machine would."""
        if not argv or any("\0" in word for word in argv):
            raise Refused(f"{argv!r}: a command is one word at least, and no word holds a NUL")
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            try:
                child = subprocess.Popen(
                    list(argv),
                    stdin=given,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,  # its children end with it
                )
            except (FileNotFoundError, NotADirectoryError):
                return Ran(127, b"", f"{argv[0]}: command not found")
            except PermissionError:
                return Ran(126, b"", f"{argv[0]}: permission denied")
            except OSError as error:
                raise Unavailable(f"{argv[0]}: {error}") from error
        with child:
            try:
                out, err = self._read(child, time.monotonic() + timeout)
            except _TooMuch as error:
                raise OutcomeUnknown(f"{argv[0]}: {error}") from None
            finally:
                _end(child)
        code = child.returncode
        return Ran(code if code >= 0 else 128 - code, out, err.decode(errors="replace"))

    def _read(self, child: subprocess.Popen[bytes], until: float) -> tuple[bytes, bytes]:
        found: dict[int, bytearray] = {}
        with selectors.DefaultSelector() as selector:
            for pipe in (child.stdout, child.stderr):
                if pipe:
                    found[pipe.fileno()] = bytearray()
                    selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(max(0.0, until - time.monotonic()))
                if not ready:
                    raise _TooMuch("the time was up after it had begun")
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 16)
                    found[key.fd] += data
                    if not data:
                        selector.unregister(key.fileobj)
                if sum(map(len, found.values())) > self._most:
                    raise _TooMuch(f"more than {self._most} bytes of output")
        try:
            child.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise _TooMuch("the time was up after it had begun") from None
        out, err = (bytes(data) for data in found.values())
        return out, err

    def put(self, data: bytes, path: str, *, mode: int = 0o600) -> None:
        target = _expanded(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    os.fchmod(file.fileno(), mode)
                Path(name).replace(target)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}") from error

    def get(self, path: str, *, offset: int = 0, limit: int | None = None) -> bytes:
        try:
            with _expanded(path).open("rb") as file:
                file.seek(offset)
                return file.read(-1 if limit is None else limit)
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(path) from None
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}") from error

    def list(self, path: str) -> Sequence[str]:
        try:
            return sorted(entry.name for entry in _expanded(path).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}") from error

    def close(self) -> None:
        """Nothing is held open."""


def _expanded(path: str) -> Path:
    """`~user` is a name like any other."""
    return Path(path).expanduser() if path == "~" or path.startswith("~/") else Path(path)


class _TooMuch(Exception):
    pass


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
