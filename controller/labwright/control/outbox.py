"""Finished jobs on their way to the results branch: a folder, so that a crash or an unreachable remote loses none."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

MANIFEST, METRICS = "manifest.json", "metrics.parquet"
AT_ONCE = 8  # writers: a disk that syncs serves several of them in the time of one


class Outbox:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put_all(self, finished: Iterable[tuple[str, bytes, bytes | None]]) -> None:
        """(job, manifest, metrics) of each; see `put`."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="outbox") as pool:
            left = iter(finished)
            while some := list(islice(left, 4 * AT_ONCE)):
                list(pool.map(lambda one: self.put(*one), some))

    def put(self, job: str, manifest: bytes, metrics: bytes | None) -> None:
        """Whole or not at all, and on the disk when this returns: the ledger says so next. A second time replaces the first."""
        ready, draft = self.folder / job, self.folder / f".{job}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for name, data in ((MANIFEST, manifest), (METRICS, metrics)):
            if data is not None:
                (draft / name).write_bytes(data)
                _sync(draft / name)
        _sync(draft)
        shutil.rmtree(ready, ignore_errors=True)
        draft.replace(ready)
        _sync(self.folder)

    def waiting(self) -> list[str]:
        try:
            return sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return []

    def files(self, job: str) -> Iterator[tuple[str, bytes]]:
        for name in (MANIFEST, METRICS):
            path = self.folder / job / name
            if path.exists():
                yield name, path.read_bytes()

    def drop(self, job: str) -> None:
        shutil.rmtree(self.folder / job, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that syncs no folders
            raise
    finally:
        os.close(descriptor)
