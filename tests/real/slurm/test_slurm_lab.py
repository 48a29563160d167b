"""Whole labs on a real cluster, reached over SSH: what a person pushes, sees and stops."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.slurm.asking import important
from tests.real.slurm.cluster import Cluster
from tests.real.slurm.cluster_world import FINAL, ClusterWorld, cluster_world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def world(tmp_path: Path, cluster: Cluster) -> Iterator[ClusterWorld]:
    with cluster_world(tmp_path, cluster) as made:
        yield made


TRAIN = """import pathlib, time
import lab

start = lab.resume()
done = int(open(start).read()) if start else 0
print(f"from {done}", flush=True)
until = done + 3 if start else 1000
while done < until:
    done += 1
    pathlib.Path("state").write_text(str(done))
    lab.log({"done": done}, step=done)
    lab.save_checkpoint("state", step=done, keep_last=3)
    time.sleep(0.2)
pathlib.Path("model.txt").write_text(str(done))
lab.save_artifact("model.txt", kind="model")
lab.finish(score={"done": done})
"""


def task(**said: Any) -> str:
    return json.dumps({"name": "t", "run": "python3 train.py", **said})


def test_what_took_a_job_away_needs_nobody_and_show_tells_the_story(world: ClusterWorld) -> None:
    cluster = world.cluster
    spot = {"use_spot": True, "accelerators": 4}
    world.commit({
        **world.lab_yaml(spot_partition="spot", requeue=False, sbatch=["--nodelist=node2"]),
        "experiments/a/spot/task.yaml": task(resources=spot),
        "experiments/a/spot/train.py": TRAIN,
        "experiments/a/timed/task.yaml": task(timeout="5s", retry={"timeout": 1}),
        "experiments/a/timed/train.py": TRAIN,
    })  # fmt: skip
    with world.controller("--launch-existing"):
        world.until(lambda: "from 0" in world.lab("logs", "a/spot", code=None).stdout)
        with important(cluster, "node2") as taker:
            cluster.wait(taker, "RUNNING")
            world.until(lambda: "attempt 2 follows" in world.lab("show", "a/spot").stdout)
        for name in ("a/spot", "a/timed"):
            assert world.until_state(name, *FINAL) == "COMPLETE"
        spot_story, timed_story = (world.lab("show", name).stdout for name in ("a/spot", "a/timed"))
        assert "preempted: Slurm says PREEMPTED; attempt 2 follows" in spot_story
        assert re.search(r"1 +preempted .* node2 .* Slurm says PREEMPTED", spot_story)
        assert "time limit of 5 s reached; attempt 2 follows" in timed_story
        assert re.search(r"1 +timeout +signal 15 ", timed_story)
        for name, story in (("a/spot", spot_story), ("a/timed", timed_story)):
            assert re.search(r"2 +ok +0 ", story)
            assert re.search(r"QUEUED .* attempt 2 follows\n(.*RUNNING .*\n)?.*COMPLETE +exit code 0", story)
            begun = int(world.lab("logs", name).stdout.split()[1])
            (job,) = world.json("show", name)["metrics"]
            assert begun > 0
            assert job["last"] == begun + 3
            assert begun + 3 <= job["count"] <= begun + 4  # what was logged and not saved is logged again


def test_a_commit_s_author_runs_as_themselves_and_others_as_the_lab(world: ClusterWorld) -> None:
    cluster, ada = world.cluster, world.cluster.as_user("ada")
    people = {"ada@example.org": {"user": "ada", "ssh_key": str(ada.key), "account": ada.account}}
    run = "id -un; echo kept >out.txt; sleep 600"
    world.commit({
        **world.lab_yaml(users=people),
        "experiments/a/adas/task.yaml": task(run=run, artifacts=["out.txt"]),
    })  # fmt: skip
    with world.controller("--launch-existing"):
        world.until_state("a/adas", "RUNNING")
        world.write({"experiments/a/bobs/task.yaml": task(run=run, artifacts=["out.txt"])})
        world.git("add", ".")
        world.git("commit", "-q", "-m", "bob's", "--author", "Bob <bob@example.org>")
        world.until_state("a/bobs", "RUNNING")
        for name, user in (("a/adas", ada), ("a/bobs", cluster)):
            world.until(lambda name=name: world.lab("logs", name, code=None).stdout)  # type: ignore[misc]
            assert world.lab("logs", name).stdout == f"{user.user}\n"
            (token,) = {path.name for path in (world.root(user.user) / "jobs").iterdir()}
            said = cluster.run("squeue", "-h", "-n", token, "-o", "%u %a %T").stdout
            assert said == f"{user.user} {user.account} RUNNING\n"
        assert "stop" in world.lab("stop", "a/adas", "a/bobs").stdout
        for name, user in (("a/adas", "ada"), ("a/bobs", "lab")):
            assert world.until_state(name, *FINAL) == "STOPPED"
            world.until(lambda name=name: world.json("artifacts", name))  # type: ignore[misc]
            world.lab("pull", name, "--output", str(world.top / user))
            (out,) = (world.top / user).rglob("out.txt")
            assert out.read_text() == "kept\n"


def test_a_sweep_is_followed_told_of_and_stopped(world: ClusterWorld) -> None:
    cluster = world.cluster
    sweep = {"sweep_config": {"n": [*range(12)]}, "max_parallel": 3}
    run = 'echo "trial $LAB_PARAM_N"; while :; do echo on; sleep 0.3; done'
    world.commit({**world.lab_yaml(), "experiments/a/sweep/task.yaml": task(run=run, sweeps=sweep)})
    with world.controller("--launch-existing"):
        world.until(lambda: [job["state"] for job in world.jobs()].count("RUNNING") == 3)
        (array,) = {line.partition("_")[0] for line in world.queue()}
        assert len(world.queue()) == 12
        assert "squeue every 1 s while jobs are there" in world.lab("status").stdout
        running = next(job["id"] for job in world.jobs() if job["state"] == "RUNNING")
        follow = [sys.executable, "-m", "labwright", "logs", "-f", running]
        following = subprocess.Popen(follow, cwd=world.repo, env=world.env, stdout=subprocess.PIPE, text=True)
        assert following.stdout
        said = [following.stdout.readline() for _ in range(4)]
        assert said[0].startswith("trial ")
        assert said[1:] == ["on\n"] * 3
        root_stops = next(job["id"] for job in world.jobs() if job["state"] == "RUNNING" and job["id"] != running)
        subprocess.run(["scancel", world.slurm_id(root_stops)], check=True)
        world.until(lambda: world.state(root_stops) == "STOPPED")
        why = "cancelled at cluster, not by Labwright: Slurm says CANCELLED by root"
        assert why in " ".join(world.lab("show", root_stops).stdout.split())
        world.lab("stop", "a/sweep")
        world.until(lambda: {job["state"] for job in world.jobs()} == {"STOPPED"})
        assert world.queue() == []
        assert following.wait(60) == 0
        following.stdout.close()
        assert cluster.states(array) == {"CANCELLED", "COMPLETED"}  # the wrappers of those that ran ended by themselves
        assert "stopped by" in world.lab("show", running).stdout
