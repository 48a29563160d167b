"""The provider bench on a real cluster: each bench is a lab of its own in the user's home."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from labwright.adapters.clock import SystemClock
from labwright.adapters.providers.slurm import SlurmProvider
from labwright.adapters.providers.slurm.provider import Ours
from labwright.adapters.transports.local import LocalTransport
from labwright.domain import lab
from labwright.domain.errors import Unavailable
from labwright.domain.slurm import Account
from labwright.ports.transport import Ran, Transport
from labwright.testing.provider_bench import Bench, Blobs
from tests.real.slurm.cluster import Cluster

SDK = Path(__file__).parents[3] / "sdk" / "src" / "lab"
QUICK = {"grace": 2, "poll": 1, "submit_timeout": 20, "notice": 5}


class OnLoginNode:
    """The Transport port for a controller that runs on the login node as this user."""

    def __init__(self, cluster: Cluster, path: str = "/usr/local/bin:/usr/bin:/bin") -> None:
        self._local = LocalTransport()
        home, user = str(cluster.home), cluster.user
        env = [f"HOME={home}", f"USER={user}", f"LOGNAME={user}", f"PATH={path}"]
        self._as_user = [
            "setpriv",
            f"--reuid={user}",
            f"--regid={user}",
            "--init-groups",
            "env",
            "-i",
            "-C",
            home,
            *env,
        ]

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 60) -> Ran:
        return self._local.run([*self._as_user, *argv], stdin=stdin, timeout=timeout)

    def put(self, data: bytes, path: str, *, mode: int = 0o600) -> None:
        script = 'mkdir -p "${1%/*}" && cat >"$1.new" && chmod "$2" "$1.new" && mv -f "$1.new" "$1"'
        ran = self.run(["sh", "-c", script, "sh", path, f"{mode:o}"], stdin=data)
        if ran.code:
            raise Unavailable(ran.err)

    def get(self, path: str, *, offset: int = 0, limit: int | None = None) -> bytes:
        return self._local.get(path, offset=offset, limit=limit)

    def list(self, path: str) -> Sequence[str]:
        return self._local.list(path)

    def close(self) -> None:
        self._local.close()


class SlurmBench(Bench):
    provider: SlurmProvider
    patience = 100.0  # below the time of a test, so that it says what it waited for

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        connect: Callable[[Account | None], Transport] | None = None,
        rest_token: Callable[[], str] | None = None,
        **settings: Any,
    ) -> None:
        self.cluster, self.spool, self.rest_token = cluster, folder / "spool", rest_token
        self.workdir = cluster.home / "labs" / f"{os.getpid()}-{folder.name}"
        self.settings = lab.SlurmProvider.model_validate(
            {"type": "slurm", "workdir": str(self.workdir), **QUICK, **settings}
        )
        self.connect = connect or (lambda _: OnLoginNode(cluster))
        shared = self.workdir / "shared"
        cluster.run("mkdir", "-p", str(shared))
        blobs = Blobs()
        self._made: list[SlurmProvider] = []
        super().__init__(self._provider(blobs), shared, blobs)

    def _provider(self, blobs: Blobs) -> SlurmProvider:
        ours = Ours(self.spool, "suite", "git@example.org:suite", SDK, rest_token=self.rest_token)
        made = SlurmProvider("cluster", self.settings, ours, blobs.read, SystemClock(), self.connect)
        self._made.append(made)
        return made

    def fresh(self) -> SlurmProvider:
        return self._provider(self.blobs)

    @property
    def root(self) -> Path:
        return self.workdir / "suite"

    def left_behind(self) -> Iterator[tuple[str, bytes]]:
        for path in (*self.spool.rglob("*"), *self.workdir.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield str(path), path.read_bytes()

    def close(self) -> None:
        """Nothing of this bench stays in Slurm's queue or in the user's home."""
        left = [path.read_text().strip() for path in self.root.glob("batches/*/jobid")]
        if left:
            self.cluster.run("scancel", "--quiet", *left)
        for provider in self._made:
            provider.close()
        shutil.rmtree(self.workdir, ignore_errors=True)


MakeBench = Callable[..., SlurmBench]
"""With settings of the provider, and `connect`."""
