"""Blobs by object id from one long-lived `git cat-file`: 0.2 ms each instead of a process each."""

import re
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from labwright.adapters.repos.git.run import start
from labwright.domain.errors import Refused, Unavailable

_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_AT_ONCE = 512  # requests of 65 bytes fit into a pipe's 64 KiB, so writing never waits for git
_BUFFER = 32 << 20  # answers held at a time


class _Died(Exception):
    pass


class _Reader:
    """One `cat-file` process. Restarted when it died; ended when an answer is left unread."""

    def __init__(self, git_dir: Path, flag: str, extra: Mapping[str, str]) -> None:
        self._how = (git_dir, flag, extra)
        self._child: subprocess.Popen[bytes] | None = None

    def ask(self, oids: Sequence[str]) -> subprocess.Popen[bytes]:
        child = self._child
        if child is None or child.poll() is not None:
            self.end()
            git_dir, flag, extra = self._how
            child = self._child = start(git_dir, "cat-file", flag, extra=extra)
        stdin = cast("IO[bytes]", child.stdin)
        try:
            stdin.write("".join(f"{oid}\n" for oid in oids).encode())
            stdin.flush()
        except OSError as e:
            self.end()
            raise _Died from e
        return child

    def end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            for pipe in (child.stdin, child.stdout):
                try:
                    if pipe:
                        pipe.close()
                except OSError:
                    pass
            child.wait()

    def header(self, child: subprocess.Popen[bytes]) -> tuple[str, int]:
        """Type and size of the next answer. Raises Unavailable for an object that is not there."""
        line = cast("IO[bytes]", child.stdout).readline()
        if not line.endswith(b"\n"):
            self.end()
            raise _Died
        words = line.split()
        if len(words) != 3:
            raise Unavailable(f"object {words[0].decode()} is not in the mirror", hint="fetch the repository again")
        return words[1].decode(), int(words[2])


class Objects:
    """Safe to use from several threads; each call asks in portions and holds nothing between them."""

    def __init__(self, git_dir: Path, extra: Mapping[str, str] | None = None) -> None:
        self._lock = threading.Lock()
        self._contents = _Reader(git_dir, "--batch", extra or {})
        self._checks = _Reader(git_dir, "--batch-check", extra or {})

    def read(self, oids: Sequence[str], *, limit: int = 64 << 20) -> Iterator[bytes]:
        _check(oids)
        done = 0
        while done < len(oids):
            portion = self._retried(oids[done : done + _AT_ONCE], limit)
            done += len(portion)
            yield from portion

    def _retried(self, oids: Sequence[str], limit: int) -> Sequence[bytes]:
        with self._lock:
            for _ in range(2):
                try:
                    return self._portion(oids, limit)
                except _Died:
                    continue
        raise Unavailable("git cat-file ended twice", hint="run `git fsck` in the mirror, or delete it")

    def _portion(self, oids: Sequence[str], limit: int) -> Sequence[bytes]:
        """As many of them, in order, as fit into the buffer; at least one."""
        reader = self._contents
        found: list[bytes] = []
        held = 0
        child = reader.ask(oids)
        out = cast("IO[bytes]", child.stdout)
        complete = False
        try:
            for oid in oids:
                kind, size = reader.header(child)
                if kind != "blob":
                    raise Refused(f"object {oid} is a {kind}, not a file")
                if size > limit:
                    raise Refused(f"a file of {size:,} bytes (object {oid[:12]}) is over the limit of {limit:,} bytes")
                if found and held + size > _BUFFER:
                    return found
                data = out.read(size + 1)
                if len(data) != size + 1:
                    raise _Died
                found.append(data[:-1])
                held += size
            complete = True
            return found
        finally:
            if not complete:
                reader.end()

    def sizes(self, oids: Sequence[str]) -> Mapping[str, int]:
        _check(oids)
        found: dict[str, int] = {}
        for start_ in range(0, len(oids), _AT_ONCE):
            portion = oids[start_ : start_ + _AT_ONCE]
            with self._lock:
                found.update(zip(portion, self._sizes(portion), strict=True))
        return found

    def _sizes(self, oids: Sequence[str]) -> Sequence[int]:
        reader = self._checks
        for _ in range(2):
            complete = False
            try:
                child = reader.ask(oids)
                sizes = [reader.header(child)[1] for _ in oids]
                complete = True
                return sizes
            except _Died:
                continue
            finally:
                if not complete:
                    reader.end()
        raise Unavailable("git cat-file ended twice", hint="run `git fsck` in the mirror, or delete it")

    def close(self) -> None:
        with self._lock:
            self._contents.end()
            self._checks.end()


def _check(oids: Sequence[str]) -> None:
    for oid in oids:
        if not _OID.fullmatch(oid):
            raise Refused(f"{oid[:80]!r} is no git object id")
