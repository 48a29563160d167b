"""The whole of a pull request's life on a real Forgejo: real pushes, a real `lab serve`, real jobs."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from labwright.domain.forge import Light
from labwright.domain.lifecycle import State
from tests.real.forge.forge_lab import ForgeLab, task
from tests.real.forge.server import ForgejoServer
from tests.real.slurm.cluster import Cluster
from tests.real.slurm.cluster_world import ClusterWorld, cluster_world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TRAIN = """import sys, time
import lab

lr, seed = float(lab.config["lr"]), int(lab.config["seed"])
for step in range(5):
    lab.log({"loss": 1 / (1 + lr * (step + 1)) + seed / 100}, step=step)
    time.sleep(0.1)
lab.finish(score={"loss": 1 / (1 + lr * 5) + seed / 100})
"""
SWEEP = {"sweep_config": {"seed": [0, 1, 2]}, "sweep_metric": "loss", "lower_is_better": True}


def train(lr: float) -> str:
    return task("python3 train.py", parameters={"lr": lr, "seed": 0}, sweeps=SWEEP, resources={"cpus": 1})


def test_a_change_is_planned_approved_run_told_of_and_merged(tmp_path: Path, forgejo: ForgejoServer) -> None:
    lab = ForgeLab(tmp_path, forgejo)
    lab.push("ada", "main", {
        "lab.yaml": lab.lab_yaml,
        "experiments/vision/train/task.yaml": train(0.1),
        "experiments/vision/train/train.py": TRAIN,
        "experiments/vision/data/task.yaml": task("echo data one"),
    })  # fmt: skip
    lab.protect()
    with lab.serving("--launch-existing", cli_setup=True):
        lab.until(lambda: len(jobs := lab.all_jobs()) == 4 and all(job.state is State.COMPLETE for job in jobs))
        base = {job.id for job in lab.all_jobs()}

        files = {
            "experiments/vision/train/task.yaml": train(1.0),
            "experiments/vision/data/task.yaml": task("echo data two"),
        }
        number = lab.propose("cleo", "larger-steps", files, "Larger steps")
        head = lab.head(number)
        told = lab.says(number, "4 jobs to launch", "vision/train", "vision/data", "approving review")
        lab.until(lambda: lab.light(head) is Light.PENDING)

        # the author's own word is none
        lab.world.write(number, f"/lab run {head[:12]}", "cleo")
        lab.label(number, "cleo")
        lab.says(number, "asked for by cleo", "1 approving review")
        assert lab.jobs_of(number) == []

        lab.approve(number, "ben")
        lab.says(number, "approved by ben")
        ended = lab.says(number, "4 jobs ended", "4 complete")
        lab.until(lambda: lab.light(head) is Light.SUCCESS)
        jobs = lab.jobs_of(number)
        assert {job.state for job in jobs} == {State.COMPLETE}
        assert {job.author for job in jobs} == {"cleo"}
        assert sorted(job.task for job in jobs) == ["vision/data", *["vision/train"] * 3]
        results = lab.says(number, "Results against `main`", "1 better", *(job.id for job in jobs))
        assert re.search(r"`vision/train` \| `loss`.*\(3\) \|.*\(3\) \|", results)
        assert told.splitlines()[-1] == ended.splitlines()[-1] == results.splitlines()[-1]  # one comment, known again

        lab.world.merge(number, "ben")
        lab.until(lambda: {want.job for want in lab.wants("main")} == {job.id for job in jobs})
        merge = lab.world.api("GET", "/branches/main")["commit"]["id"]
        reused = lab.until(lambda: lab.status(merge))
        assert (reused.light, "4 reused" in reused.words) == (Light.SUCCESS, True)
        assert {job.id for job in lab.all_jobs()} == base | {job.id for job in jobs}
        listed = lab.lab("jobs", "--repo", lab.url, cwd=lab.top).stdout
        assert all(job.id in listed for job in jobs)
        assert lab.light(head) is Light.SUCCESS
        assert not re.search(r'"(defect|forge failed)"', lab.log()), lab.log()[-3000:]


@pytest.fixture
def on_slurm(tmp_path: Path, cluster: Cluster) -> Iterator[ClusterWorld]:
    with cluster_world(tmp_path, cluster) as world:
        yield world


def test_an_approved_change_runs_on_a_cluster_and_one_that_fails_says_so(
    tmp_path: Path, forgejo: ForgejoServer, on_slurm: ClusterWorld
) -> None:
    lab = ForgeLab(tmp_path, forgejo, on_slurm.provider(), name="demo")
    lab.push("ada", "main", {"lab.yaml": lab.lab_yaml})
    lab.protect()
    with lab.serving():
        files = {
            "experiments/a/good/task.yaml": task("echo well"),
            "experiments/a/bad/task.yaml": task("echo badly; exit 3"),
        }
        number = lab.propose("cleo", "two", files)
        lab.says(number, "2 jobs to launch")
        lab.approve(number)
        lab.label(number)
        lab.says(number, "2 jobs ended", "1 complete", "1 failed", "badly")
        assert {job.task: job.state for job in lab.jobs_of(number)} == {
            "a/good": State.COMPLETE,
            "a/bad": State.FAILED,
        }
        lab.until(lambda: lab.light(lab.head(number)) is Light.FAILURE)
