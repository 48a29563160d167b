"""The example lab, unchanged, on a cluster and on this machine: the same numbers, and the same results."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lab_world import LabWorld
from tests.real.slurm.cluster import Cluster
from tests.real.slurm.test_slurm_crash import settings

EXAMPLE = Path(__file__).parents[3] / "example-lab-repo"
NUMBERS = """
    SELECT j.task, json(j.params) AS params, m.name, m.step, m.value
    FROM metrics m JOIN jobs j ON j.job = m.job ORDER BY ALL
"""


def world_of(folder: Path, lab_yaml: str) -> LabWorld:
    folder.mkdir()
    world = LabWorld(folder)
    (folder / ".cache").symlink_to(Path.home() / ".cache")  # of downloaded packages
    shutil.copytree(EXAMPLE, world.repo, ignore=shutil.ignore_patterns(".lab", ".git"))
    (world.repo / "lab.yaml").write_text(lab_yaml)
    world.git("init", "--quiet", "--initial-branch=main")
    world.git("add", "--all")
    world.git("commit", "--quiet", "--message", "the example")
    return world


def run(world: LabWorld) -> list[dict[str, Any]]:
    done = world.lab("serve", "--once", "--launch-existing", "--log-format", "json", code=None)
    ended = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")][-1]
    assert ended["event"] == "done", done.stderr[-2000:]
    return sorted(ended["ran"], key=lambda job: (job["task"], job["job"]))


def manifests(world: LabWorld) -> dict[str, Any]:
    """By path, without what differs from one run to the next, or from one machine to another."""
    listed = world.git("ls-tree", "-r", "--name-only", "lab-results").split("\n")
    found = {path: json.loads(world.git("show", f"lab-results:{path}")) for path in listed if path.endswith(".json")}
    for manifest in found.values():
        for name in ("commit", "plan", "created", "ended", "provider"):
            del manifest[name]
        for attempt in manifest["attempts"]:
            for name in ("provider", "node", "submitted", "started", "running", "ended"):
                del attempt[name]
        for name in ("python", "digest"):
            manifest.get("environment", {}).pop(name, None)
        for artifact in manifest.get("artifacts", ()):
            artifact.pop("uri", None)
        said = manifest.get("log_tail", "").splitlines()  # one of them built the environment
        manifest["log_tail"] = [line for line in said if not line.startswith("lab: building the environment")]
    return found


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_example_runs_unchanged_on_a_cluster_and_gives_the_same_numbers(tmp_path: Path, cluster: Cluster) -> None:
    workdir = cluster.home / "labs" / f"example-{os.getpid()}"
    there = world_of(tmp_path / "there", settings(cluster, workdir).replace("name: crash", "name: example"))
    here = world_of(tmp_path / "here", "name: example\nproviders: {local: {type: local}}\n")
    with ThreadPoolExecutor() as pool:
        ran_there, ran_here = pool.map(run, (there, here))
    assert [(j["task"], j["job"], j["state"]) for j in ran_there] == [
        (j["task"], j["job"], j["state"]) for j in ran_here
    ]
    numbers = [json.loads(w.lab("sql", "--format", "json", NUMBERS).stdout) for w in (there, here)]
    assert len(numbers[0]) > 50
    assert numbers[0] == numbers[1]
    trees = [{p for p in w.git("ls-tree", "-r", "--name-only", "lab-results").split("\n")} for w in (there, here)]
    assert trees[0] == trees[1], "the same commit on the results branch, file by file"
    assert manifests(there) == manifests(here)
    cluster.run("rm", "-rf", str(workdir))
