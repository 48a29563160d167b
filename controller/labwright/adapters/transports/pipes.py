"""A child process of ours as a Duplex."""

import contextlib
import os
import select
import subprocess
from collections.abc import Sequence

from labwright.adapters.transports.shell import Moved
from labwright.domain.errors import Unavailable

_PIECE = 1 << 16


class Child:
    def __init__(self, argv: Sequence[str]) -> None:
        try:
            self._child = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,  # Ctrl-C at our terminal is not for it
            )
        except OSError as error:
            raise Unavailable(f"{argv[0]}: {error.strerror}") from error
        self._in, self._out, self._err = (
            pipe.fileno() for pipe in (self._child.stdin, self._child.stdout, self._child.stderr) if pipe
        )
        for descriptor in (self._in, self._out, self._err):
            os.set_blocking(descriptor, False)
        self._open = {self._out, self._err}
        self._deaf = False  # it reads no more
        self._closed = False

    def pump(self, data: memoryview, wait: float) -> Moved:
        if self._closed:
            return Moved(0, b"", b"", True)
        poll = select.poll()
        for descriptor in self._open:
            poll.register(descriptor, select.POLLIN)
        if data and not self._deaf:
            poll.register(self._in, select.POLLOUT)
        ready = {descriptor for descriptor, _ in poll.poll(wait * 1000)} if self._open else set()
        sent = self._write(data) if self._in in ready else 0
        out, err = (self._read(descriptor) if descriptor in ready else b"" for descriptor in (self._out, self._err))
        return Moved(sent, out, err, not self._open)

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._in, data[:_PIECE])
        except BlockingIOError:
            return 0
        except OSError:
            self._deaf = True
            return 0

    def _read(self, descriptor: int) -> bytes:
        try:
            data = os.read(descriptor, _PIECE)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._open.discard(descriptor)
        return data

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
