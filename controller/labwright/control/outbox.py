"""Finished jobs on their way to the results branch: a folder, so that a crash or an unreachable remote loses none."""

import shutil
from collections.abc import Iterator
from pathlib import Path

MANIFEST, METRICS = "manifest.json", "metrics.parquet"


class Outbox:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, job: str, manifest: bytes, metrics: bytes | None) -> None:
        """Whole or not at all; a second time replaces the first."""
        ready, draft = self.folder / job, self.folder / f".{job}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        (draft / MANIFEST).write_bytes(manifest)
        if metrics is not None:
            (draft / METRICS).write_bytes(metrics)
        shutil.rmtree(ready, ignore_errors=True)
        draft.replace(ready)

    def waiting(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))

    def files(self, job: str) -> Iterator[tuple[str, bytes]]:
        for name in (MANIFEST, METRICS):
            path = self.folder / job / name
            if path.exists():
                yield name, path.read_bytes()

    def drop(self, job: str) -> None:
        shutil.rmtree(self.folder / job, ignore_errors=True)
