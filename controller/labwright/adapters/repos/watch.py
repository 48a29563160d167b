"""Wake at once when a repository on this machine gets a new commit or tag. Only a hint: the loop also polls.

The kernel tells (inotify, FSEvents through watchdog): nothing runs while nothing happens. No debouncing: a second event
during the work just wakes the loop again.
"""

import os
from collections.abc import Callable, Collection
from pathlib import Path, PurePath

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from labwright.adapters.repos.git.remotes import parse_remote
from labwright.adapters.repos.git.source import find_source
from labwright.domain.errors import LabError

# What a change is. Opening and reading are events too: answering those would wake us by our own reading, for ever.
_CHANGES: list[type[FileSystemEvent]] = [
    *(FileMovedEvent, FileCreatedEvent, FileClosedEvent, FileModifiedEvent, FileDeletedEvent),
    *(DirMovedEvent, DirCreatedEvent, DirDeletedEvent),
]
_TOP = frozenset({"HEAD", "packed-refs"})


class Watcher:
    """Calls `on_change` from a thread of its own until closed."""

    def __init__(self, on_change: Callable[[], None], matters: Callable[[PurePath], bool]) -> None:
        self._observer = Observer()
        self._observer.daemon = True
        self._handler = _Handler(on_change, matters)

    def add(self, folder: Path, *, recursive: bool = False) -> None:
        self._observer.schedule(self._handler, str(folder), recursive=recursive, event_filter=_CHANGES)

    def start(self) -> None:
        self._observer.start()

    def close(self) -> None:
        alive = self._observer.is_alive()
        self._observer.stop()
        if alive:
            self._observer.join(timeout=5)

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Handler(FileSystemEventHandler):
    def __init__(self, on_change: Callable[[], None], matters: Callable[[PurePath], bool]) -> None:
        self._on_change = on_change
        self._matters = matters

    def on_any_event(self, event: FileSystemEvent) -> None:
        paths = (event.dest_path or event.src_path, event.src_path)
        if any(self._matters(PurePath(os.fsdecode(path))) for path in paths):
            self._on_change()


def watch(
    repo: str | Path, on_change: Callable[[], None], *, ignore: Collection[str] = ("lab-results", "lab-pulls")
) -> Watcher | None:
    """Of a local repository, bare or not; None for a remote one, and where the system grants no watch: poll those.

    `ignore` names branches whose changes do not count, such as the one that the controller itself writes."""
    try:
        remote = parse_remote(repo)
        if remote.path is None:
            return None
        git_dir = find_source(remote).git_dir.resolve()
    except LabError:
        return None
    heads, tags, reftable = git_dir / "refs" / "heads", git_dir / "refs" / "tags", git_dir / "reftable"
    ignored = {heads / name for name in ignore}

    def matters(path: PurePath) -> bool:
        if path.suffix == ".lock" or path in ignored:
            return False
        below = any(folder in path.parents for folder in (heads, tags, reftable))
        return (path.parent == git_dir and path.name in _TOP) or below

    watcher = Watcher(on_change, matters)
    watcher.add(git_dir)
    for folder in (heads, tags, reftable):
        if folder.is_dir():
            watcher.add(folder, recursive=True)
    return _started(watcher)


def watch_folder(folder: Path, on_change: Callable[[], None]) -> Watcher | None:
    """Names that come, go or change directly in `folder`, which must exist; None where the system grants no watch."""
    top = folder.resolve()
    watcher = Watcher(on_change, lambda path: path.parent == top)
    watcher.add(top)
    return _started(watcher)


def _started(watcher: Watcher) -> Watcher | None:
    try:
        watcher.start()
    except OSError:  # no watches left (fs.inotify.max_user_watches), or a file system without them
        watcher.close()
        return None
    return watcher
