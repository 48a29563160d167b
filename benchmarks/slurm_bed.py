"""What the Slurm benchmarks share: the test-bed of tests/real/slurm, and a lab on it whose controller runs in this process and reaches
the login node over SSH."""

import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.loop import Lab, until
from labwright.wiring import Site
from tests.real.slurm.cluster import Cluster, sharing, using

USER = "ada"
"""Tests of the provider are somebody else: what slurmctld counts for this one is ours."""
HELD = "    sbatch: [--hold]\n    sbatch_allow: [hold]\n"
Row = tuple[str, str, str, str]  # what, ratio, here, beside it


@contextmanager
def on_cluster() -> Iterator[Cluster]:
    """Raises CannotRunHere. Nobody breaks it meanwhile."""
    with using() as cluster, sharing():
        yield cluster.as_user(USER)


def settings(cluster: Cluster, home: Path, more: str = "") -> str:
    """lab.yaml. All that is not said is as it comes."""
    host_key = cluster.known_hosts.split(" ", 1)[1].strip()
    return (
        "name: bench\npolicy: {limits: {jobs_per_commit: 100000}}\nproviders:\n  cluster:\n    type: slurm\n"
        f"    host: {cluster.host}\n    port: {cluster.ssh_port}\n    user: {cluster.user}\n    ssh_key: {cluster.key}\n"
        f'    host_key: "{host_key}"\n    workdir: {home}\n{more}'
    )


class ClusterLab(Lab):
    def __init__(self, top: Path, cluster: Cluster, more: str = "") -> None:
        super().__init__(top)
        self.cluster, self.home = cluster, cluster.home / "labs" / f"bench-{os.getpid()}-{top.name}"
        self.write("lab.yaml", settings(cluster, self.home, more))
        self.push()

    @contextmanager
    def open(self) -> Iterator[Site]:
        """Its controller, when it knows what the cluster has."""
        with self.serving() as site:
            wait(lambda: (made := site.world.providers.get("cluster")) and made._facts)  # type: ignore[attr-defined]
            yield site

    def sbatch_calls(self) -> int:
        """Each leaves what it said in its batch's folder."""
        return sum(1 for _ in self.home.glob("bench/batches/*/sbatch.out"))

    def close(self) -> None:
        cancel(self.cluster, self.home / "bench")
        self.cluster.run("rm", "-rf", str(self.home))


def cancel(cluster: Cluster, root: Path) -> None:
    """Every job that was submitted with a script of the lab whose folder this is, until Slurm's queue has none of them."""
    names = {path.read_text() for path in root.glob("batches/*/name")}

    def left() -> list[str]:
        listed = cluster.run("squeue", "--me", "--noheader", "--format=%F %j").stdout.splitlines()
        return sorted({job for job, _, name in (line.partition(" ") for line in listed) if name in names})

    for at in range(0, len(ids := left()), 500):
        cluster.run("scancel", "--quiet", *ids[at : at + 500], timeout=120)
    wait(lambda: not left(), 120)


def wait(what: Callable[[], object], seconds: float = 300.0, every: float = 0.05) -> None:
    """Looking rarely, so that it costs the controller nothing."""
    until(lambda: time.sleep(every) or what(), seconds)


def handles(site: Site) -> int:
    """Attempts of which the ledger says what Slurm calls them."""
    with closing(sqlite3.connect(f"file:{site.place.ledger}?mode=ro", uri=True)) as ledger:
        return int(ledger.execute("SELECT count(*) FROM attempts WHERE handle IS NOT NULL").fetchone()[0])


def rpcs(user: str = USER) -> int:
    """Calls that slurmctld has taken of the user, ever."""
    said = subprocess.run(["sdiag"], capture_output=True, text=True, check=True).stdout.partition("by user")[2]
    found = [line.split() for line in said.splitlines() if line.split()[:1] == [user]]
    return int(next(word for word in found[0] if word.startswith("count:")).removeprefix("count:")) if found else 0


def calls_of(command: Callable[[], object]) -> int:
    """That slurmctld takes of the user meanwhile."""
    before = rpcs()
    command()
    return rpcs() - before
