"""The story of what goes wrong between a controller and a cluster, fault by fault: for a test, and for benchmarks/slurm_faults.py."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from tests.e2e.git import commit, new_repo
from tests.e2e.lab_world import LabWorld
from tests.real.slurm.cluster import BreakableCluster
from tests.real.slurm.tcp_proxy import Proxy
from tests.real.slurm.test_slurm_crash import ARRAY, UNEQUAL, push_round, settings

LIARS = {
    "says that it failed": 'echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1',
    "says that the partition is wrong": 'echo "sbatch: error: Batch job submission failed: Invalid partition name" >&2; exit 1',
    "hangs": "exec sleep 60",
    "is killed": "kill -9 $$",
    "says nothing": "exit 0",
}


class Recovered(NamedTuple):
    """What became of the jobs that were pushed just before a fault and during it."""

    fault: str
    jobs: int
    doubled: int  # executions beyond the first
    lost: int
    outage: float
    seconds: float  # from the fault's end until all of them were complete, and on the results branch


class Story:
    """A lab on the cluster, reached through a network that can be cut, with a controller that stays."""

    def __init__(self, folder: Path, cluster: BreakableCluster) -> None:
        self.world, self.cluster = LabWorld(folder), cluster
        self.world.repo = folder / "lab"
        self.home = cluster.home / "labs" / f"faults-{os.getpid()}"
        self.rounds = 0
        self.folder = folder

    def begin(self, port: int) -> None:
        self.cluster.run("mkdir", "-p", str(self.home))
        new_repo(self.world.repo)
        text = settings(self.cluster, self.home).replace(f"port: {self.cluster.ssh_port}", f"port: {port}")
        (self.world.repo / "lab.yaml").write_text(text)
        commit(self.world.repo, "begin")

    def push(self) -> None:
        push_round(self.world.repo, self.ran, self.rounds)
        self.rounds += 1

    @property
    def ran(self) -> Path:
        return self.home / "ran"

    @property
    def jobs(self) -> int:
        return self.rounds * (ARRAY + UNEQUAL)

    def until_complete(self, patience: float = 180) -> None:
        until = time.monotonic() + patience
        while True:
            status = self.world.json("status")
            if status["counts"].get("COMPLETE") == self.jobs and not status["unpublished"]:
                return
            assert time.monotonic() < until, f"{status['counts']} {status['alarms']}\n{self.world.log()[-2000:]}"
            time.sleep(0.5)

    def faults(self, proxy: Proxy) -> dict[str, Callable[[], AbstractContextManager[object]]]:
        cluster = self.cluster
        return {
            "sshd killed": lambda: cluster.without("sshd", signal="KILL"),
            "connections cut": lambda: nullcontext(cluster.cut_connections()),
            "slurmctld stopped": lambda: cluster.without("slurmctld"),
            "slurmdbd down": lambda: cluster.without("slurmdbd"),
            "network blackhole": proxy.blackhole,
            "sbatch lies": self._lying_login,
        }

    def recoveries(self, outage_of: Callable[[str], float]) -> Iterator[Recovered]:
        """One fault after another, each in the middle of a submission; `outage_of` one, in seconds."""
        with Proxy(self.cluster.ssh_port) as proxy:
            self.begin(proxy.port)
            with self.world.controller():
                for name, fault in self.faults(proxy).items():
                    before, outage = self.jobs, outage_of(name)
                    known = executions(self.ran)
                    self.push()
                    time.sleep(0.7)  # in the middle of it, more or less
                    with fault():
                        self.push()
                        time.sleep(outage)
                    over = time.monotonic()
                    self.until_complete()
                    took = time.monotonic() - over
                    ran = executions(self.ran) - known
                    jobs = self.jobs - before
                    yield Recovered(name, jobs, ran.total() - len(ran), jobs - len(ran), outage, took)

    @contextmanager
    def _lying_login(self) -> Iterator[None]:
        """Everybody's sbatch takes the job and says that it failed, from the next connection on."""
        profile, folder = self.cluster.home / ".bash_profile", self.home / "bin"
        self.cluster.run("mkdir", "-p", str(folder))
        lie = LIARS["says that it failed"]
        (folder / "sbatch").write_text(f'#!/bin/bash\n/usr/bin/sbatch "$@" >/dev/null\n{lie}\n')
        (folder / "sbatch").chmod(0o755)
        before = profile.read_text() if profile.exists() else None
        profile.write_text(f"PATH={folder}:$PATH\n")
        try:
            self.cluster.cut_connections()
            yield
        finally:
            profile.unlink() if before is None else profile.write_text(before)
            self.cluster.cut_connections()


def executions(ran: Path) -> Counter[str]:
    """By job: how often it has begun to run."""
    return Counter(line.split()[0] for line in ran.read_text().splitlines()) if ran.exists() else Counter()
