"""A person with a lab repository whose jobs run on the test-bed, reached over SSH."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.lab_world import LabWorld
from tests.real.slurm.cluster import Cluster

FINAL = {"COMPLETE", "FAILED", "STOPPED"}


class ClusterWorld(LabWorld):
    def __init__(self, top: Path, cluster: Cluster) -> None:
        super().__init__(top)
        self.cluster, self.workdir = cluster, f"labs/{top.name}"

    def provider(self, **more: Any) -> dict[str, Any]:
        """As lab.yaml has it."""
        reached = {
            "host": self.cluster.host,
            "port": self.cluster.ssh_port,
            "user": self.cluster.user,
            "ssh_key": str(self.cluster.key),
            "host_key": self.cluster.known_hosts.partition(" ")[2],
        }
        quick = {"poll": 1, "grace": 2, "notice": 2, "submit_timeout": 30}
        return {"type": "slurm", **reached, "workdir": f"~/{self.workdir}", **quick, **more}

    def lab_yaml(self, **more: Any) -> dict[str, str]:
        """YAML is JSON, too."""
        said = {"name": "demo", "providers": {"cluster": self.provider(**more)}, "default_provider": "cluster"}
        return {"lab.yaml": json.dumps(said)}

    def state_of(self, task: str) -> str:
        return next((str(job["state"]) for job in reversed(self.jobs()) if job["task"] == task), "")

    def until_state(self, task: str, *states: str) -> str:
        return str(self.until(lambda: state if (state := self.state_of(task)) in states else None))

    def root(self, user: str = "") -> Path:
        """Of the lab on the cluster."""
        return (self.cluster.as_user(user) if user else self.cluster).home / self.workdir / "demo"

    def queue(self) -> list[str]:
        """Ids of this lab's jobs that Slurm has in hand, an element a line."""
        names = {name.name.partition(".")[0] for name in self.root().glob("batches/*")}
        if not names:
            return []
        return self.cluster.run("squeue", "-h", "-r", "-n", ",".join(names), "-o", "%i").stdout.split()

    def slurm_id(self, job: str) -> str:
        """Of its newest attempt, as that itself has written it down."""
        *_, newest = sorted(self.root().glob(f"jobs/demo-{job}-*/claim"))
        return newest.read_text().split()[3]

    def clean(self) -> None:
        for user in self.cluster.users:
            mine = self.cluster.as_user(user)
            if left := [path.read_text().strip() for path in self.root(user).glob("batches/*/jobid")]:
                mine.run("scancel", "--quiet", *left)
            shutil.rmtree(mine.home / self.workdir, ignore_errors=True)


@contextmanager
def cluster_world(top: Path, cluster: Cluster) -> Iterator[ClusterWorld]:
    world = ClusterWorld(top, cluster)
    try:
        yield world
    finally:
        world.clean()
