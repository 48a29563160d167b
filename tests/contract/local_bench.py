"""The provider bench on a spool in a temporary folder."""

from collections.abc import Iterator
from pathlib import Path

from labwright.adapters.clock import SystemClock
from labwright.adapters.providers.local import LocalProvider
from labwright.domain import lab
from labwright.testing.provider_bench import Bench, Blobs

SDK = Path(__file__).parents[2] / "sdk" / "src" / "lab"


class LocalBench(Bench):
    provider: LocalProvider

    def __init__(self, folder: Path) -> None:
        self.spool, self.settings = folder / "the spool's", lab.LocalProvider(type="local", grace=1, gpus=0)
        (folder / "shared").mkdir()
        blobs = Blobs()
        super().__init__(self._provider(blobs), folder / "shared", blobs)

    def _provider(self, blobs: Blobs) -> LocalProvider:
        return LocalProvider("local", self.spool, self.settings, blobs.read, SystemClock(), SDK)

    def fresh(self) -> LocalProvider:
        return self._provider(self.blobs)

    def left_behind(self) -> Iterator[tuple[str, bytes]]:
        for path in self.spool.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield str(path), path.read_bytes()
