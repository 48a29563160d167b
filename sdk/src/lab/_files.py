"""Copies that are whole or not there: temporary name beside the target, SHA-256 on the way, rename."""

from __future__ import annotations

import os
import sys

from lab._place import rank

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

TEMPORARY = ".tmp-"  # names of files under way begin so; readers skip them
_CHUNK = 1 << 20


def temporary(folder: str) -> str:
    """A name in `folder` that nothing else uses."""
    return os.path.join(folder, f"{TEMPORARY}{rank()}-{os.getpid()}-{os.urandom(4).hex()}")


def sweep(folder: str) -> None:
    """Remove what processes of this rank that are gone left half-written in `folder`."""
    for name in os.listdir(folder):
        if name.startswith(f"{TEMPORARY}{rank()}-") and not _alive(name.split("-")[2]):
            remove(os.path.join(folder, name))


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except OSError:
        pass
    return True


def remove(path: str) -> None:
    """Remove a file or a folder; nothing there is no error."""
    import shutil

    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        os.unlink(path)


def copy(source: str, target: str, durable: bool = False) -> list[dict[str, Any]]:
    """Copy a file or a folder to `target`, which must not exist; returns what `listing` returns. Links are followed.

    `durable`: on the disk before this returns, so that a rename that follows never names an empty file after a power cut.
    """
    found = []
    for path, inside in walk(source):
        there = os.path.join(target, inside) if inside else target
        os.makedirs(os.path.dirname(there), exist_ok=True)
        with open(path, "rb") as read, open(there, "xb") as write:
            found.append(_entry(inside, _pump(read, write.write)))
            if durable:
                write.flush()
                os.fsync(write.fileno())
        os.chmod(there, os.stat(path).st_mode & 0o777 | 0o600)
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    return found


def listing(path: str) -> list[dict[str, Any]]:
    """`[{"path": below `path` or empty, "size": bytes, "sha256": hex}]` of a file or of all files of a folder, sorted."""
    found = []
    for file, inside in walk(path):
        with open(file, "rb") as read:
            found.append(_entry(inside, _pump(read, None)))
    return found


def walk(path: str) -> Iterator[tuple[str, str]]:
    """(path, path below `path`) of each regular file, sorted; a plain file is itself, with an empty second part."""
    if not os.path.isdir(path):
        yield path, ""
        return
    seen, found = set(), []
    for folder, folders, names in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        found += [os.path.join(folder, name) for name in names]
    for file in sorted(found):
        if os.path.isfile(file):
            yield file, os.path.relpath(file, path)


def digest(files: list[dict[str, Any]]) -> str:
    """One SHA-256: a file's own; a folder's is that of its listing as `sha256sum` prints it, sorted by path."""
    if len(files) == 1 and not files[0]["path"]:
        return str(files[0]["sha256"])
    import hashlib

    lines = sorted((file["path"], file["sha256"]) for file in files)
    return hashlib.sha256("".join(f"{sha}  {path}\n" for path, sha in lines).encode()).hexdigest()


def write_json(path: str, value: object) -> None:
    """Write `value` by rename: readers see the old file or the whole new one."""
    import json

    from lab._numbers import plain

    spare = temporary(os.path.dirname(path))
    with open(spare, "w", encoding="utf-8") as file:
        json.dump(value, file, default=plain)
        file.flush()
        os.fsync(file.fileno())
    os.replace(spare, path)


def read_json(path: str) -> Any:
    """The value in `path`, or None where there is none that can be read."""
    import json

    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def _entry(inside: str, size_and_digest: tuple[int, str]) -> dict[str, Any]:
    return {"path": inside, "size": size_and_digest[0], "sha256": size_and_digest[1]}


def _pump(read: Any, write: Callable[[memoryview], object] | None) -> tuple[int, str]:
    """Read to the end, hashing, and writing if asked; one buffer, whatever the size."""
    import hashlib

    sha, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(_CHUNK))
    while True:
        count = read.readinto(buffer)
        if not count:
            return size, sha.hexdigest()
        sha.update(buffer[:count])
        if write is not None:
            write(buffer[:count])
        size += count


def is_inside(path: str, folder: str) -> bool:
    """Whether `path` lies in `folder`, links resolved."""
    root = os.path.realpath(folder)
    return os.path.realpath(path).startswith(root + os.sep)


def loaded(name: str) -> Any:
    """A module if the script imported it already, else None: the SDK imports none of the big ones itself."""
    return sys.modules.get(name)
