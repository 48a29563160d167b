"""The example lab, unchanged, on a cluster and on this machine: the same numbers; and each person's jobs under their own name."""

import json
import os
import shutil
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


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_example_runs_unchanged_on_a_cluster_and_gives_the_same_numbers(tmp_path: Path, cluster: Cluster) -> None:
    workdir = cluster.home / "labs" / f"example-{os.getpid()}"
    there = world_of(tmp_path / "there", settings(cluster, workdir).replace("name: crash", "name: example"))
    here = world_of(tmp_path / "here", "name: example\nproviders: {local: {type: local}}\n")
    ran_there, ran_here = run(there), run(here)
    assert [(j["task"], j["job"], j["state"]) for j in ran_there] == [
        (j["task"], j["job"], j["state"]) for j in ran_here
    ]
    numbers = [json.loads(w.lab("sql", "--format", "json", NUMBERS).stdout) for w in (there, here)]
    assert len(numbers[0]) > 50
    assert numbers[0] == numbers[1]
    trees = [{p for p in w.git("ls-tree", "-r", "--name-only", "lab-results").split("\n")} for w in (there, here)]
    assert trees[0] == trees[1], "the same commit on the results branch, file by file"
    cluster.run("rm", "-rf", str(workdir))


@pytest.mark.slow
def test_each_author_s_jobs_run_as_their_own_user(tmp_path: Path, cluster: Cluster) -> None:
    ada = cluster.as_user("ada")
    workdir = cluster.home / "labs" / f"users-{os.getpid()}"
    theirs = ada.home / "labs" / f"users-{os.getpid()}"
    text = settings(cluster, workdir).replace("name: crash", "name: people")
    text += f"    users:\n      ada@example.org: {{user: ada, ssh_key: {ada.key}, account: {ada.account}, workdir: {theirs}}}\n"
    folder = tmp_path / "people"
    folder.mkdir()
    world = LabWorld(folder)
    task = world.repo / "experiments/alpha/who"
    task.mkdir(parents=True)
    (world.repo / "lab.yaml").write_text(text)
    (task / "task.yaml").write_text(
        'name: who\nrun: |\n  echo "$(id -un) $SLURM_JOB_ACCOUNT"\n  id -un >"$LAB_JOB_DIR/artifacts/who"\n'
    )
    world.git("init", "--quiet", "--initial-branch=main")
    world.git("add", "--all")
    world.git("commit", "--quiet", "--message", "by Ada")  # as LabWorld's author is
    assert [job["state"] for job in run(world)] == ["COMPLETE"]
    assert world.lab("logs", "alpha/who").stdout.split() == ["ada", ada.account]
    (task / "task.yaml").write_text("name: who\nrun: |\n  : again\n  id -un\n")
    world.git(
        "-c", "user.name=Bob", "commit", "--quiet", "--all", "--author=Bob <bob@example.org>", "--message", "by Bob"
    )
    assert [job["state"] for job in run(world)] == ["COMPLETE"]
    assert world.lab("logs", "alpha/who").stdout.split()[-1] == "lab"
    for who, where in ((cluster, workdir), (ada, theirs)):
        who.run("rm", "-rf", str(where))
