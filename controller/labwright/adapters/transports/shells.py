"""The Transport port over shells of one connection: what both ways of speaking SSH have in common."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence

from labwright.adapters.transports import files
from labwright.adapters.transports.dialing import Dialer, Full, Link
from labwright.adapters.transports.shell import NoProfile, Shell
from labwright.adapters.transports.ssh_words import NO_CHANNEL
from labwright.domain.errors import Unavailable
from labwright.ports.transport import Ran

_STALE = 15.0
"""Seconds of silence after which a shell is asked whether it is there before a command is risked on it."""
_FULL_FOR = 60.0


class ShellTransport:
    """`channels` shells at most, each for one command at a time; `most` bytes of output are kept of one command.

    A call waits `timeout` for a free shell, and for its command from when that is sent; making a connection has limits of its
    own. `warning` says what works, but not as it should.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Link],
        *,
        channels: int = 4,
        most: int = 64 << 20,
        patience: float = 15.0,
        login_patience: float = 20.0,
    ) -> None:
        self.name = name
        self.warning = ""
        self._dialer = Dialer(connect)
        self._most, self._patience, self._login_patience = most, patience, login_patience
        self._channels = self._allowed = channels
        self._full_until = 0.0
        self._free = threading.Condition()
        self._idle: list[Shell] = []
        self._taken = 0

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 60) -> Ran:
        return self._run(argv, stdin, timeout)

    def put(self, data: bytes, path: str, *, mode: int = 0o600) -> None:
        files.put(self._run, data, path, mode)

    def get(self, path: str, *, offset: int = 0, limit: int | None = None) -> bytes:
        return files.get(self._run, path, offset, limit)

    def list(self, path: str) -> Sequence[str]:
        return files.names(self._run, path)

    def close(self) -> None:
        """A command under way in another thread ends with OutcomeUnknown."""
        with self._free:
            idle, self._idle = self._idle, []
        for shell in idle:
            shell.close()
        self._dialer.close()

    def _run(self, argv: Sequence[str], stdin: bytes, timeout: float) -> Ran:
        shell = self._take(timeout)
        kept = False
        try:
            ran = shell.run(argv, stdin, timeout, self._most)
            kept = True
            return ran
        finally:
            self._give(shell if kept else None)
            if not kept:
                shell.close()

    def _take(self, patience: float) -> Shell:
        until = time.monotonic() + patience
        while True:
            shell = self._reserve(until)
            try:
                if shell is None:
                    return self._open()
                if not shell.ended() and (shell.idle() < _STALE or shell.answers(self._patience)):
                    return shell
            except Full as error:
                self._give(None)
                self._fewer(error)
                continue
            except BaseException:
                self._give(None)
                raise
            shell.close()
            self._give(None)

    def _fewer(self, error: Full) -> None:
        """The machine allows less than we would take: with fewer for a while, or not at all."""
        with self._free:
            live = self._taken + len(self._idle)
            if not live:
                raise Unavailable(f"{self.name}: opens no channel: {error}", retry_in=10)
            self._allowed, self._full_until = live, time.monotonic() + _FULL_FOR

    def _reserve(self, until: float) -> Shell | None:
        """A free shell, or None: the right to open one."""
        with self._free:
            while not self._idle and self._taken >= self._most_channels():
                if not self._free.wait(max(0.0, until - time.monotonic())):
                    raise Unavailable(f"{self.name}: all {self._taken} channels are at work", retry_in=1)
            self._taken += 1
            return self._idle.pop() if self._idle else None

    def _most_channels(self) -> int:
        return self._allowed if time.monotonic() < self._full_until else self._channels

    def _give(self, shell: Shell | None) -> None:
        with self._free:
            self._taken -= 1
            if shell:
                self._idle.append(shell)
            self._free.notify()

    def _open(self) -> Shell:
        while True:
            link, new = self._dialer.link()
            if new:
                self.warning, self._full_until = "", 0.0
            try:
                shell = self._start(link)
            except Unavailable as error:
                if not link.alive(sure=True):
                    self._dialer.lost(link)
                    if not new:
                        continue  # it was lost and nobody knew
                told = Unavailable(f"{self.name}: {error.message}", hint=error.hint)
                self._dialer.failed(told)
                raise told from error
            self._dialer.proven()
            return shell

    def _start(self, link: Link) -> Shell:
        if not self.warning:
            with contextlib.suppress(NoProfile):
                return self._shell(link, login=True)
        try:
            shell = self._shell(link, login=False)
        except NoProfile as error:
            raise Unavailable(str(error)) from None
        self.warning = (
            f"{self.name}: the login shell hangs or ends before it can be used (`exit` or `exec` in ~/.bash_profile?): "
            "commands run without what it sets, PATH of a login included"
        )
        return shell

    def _shell(self, link: Link, *, login: bool) -> Shell:
        shell = Shell(link.channel())
        try:
            shell.start(login=login, patience=self._patience, login_patience=self._login_patience)
        except BaseException as error:
            shell.close()
            if isinstance(error, Unavailable) and NO_CHANNEL in error.message:
                raise Full(error.message) from error
            raise
        return shell
