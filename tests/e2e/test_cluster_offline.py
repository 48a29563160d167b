"""Commands that need no network say nothing to a cluster that lab.yaml names."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lab_world import LabWorld

pytestmark = pytest.mark.slow
TASK = "name: t\nenvs: {KEY: '{{secret.TOKEN}}'}\nresources: {cpus: 2, accelerators: 'H100:2'}\ntimeout: 1h\nrun: use {{secret.TOKEN}}\n"
LAB = """\
name: demo
secrets: {TOKEN: {env: THE_TOKEN}, PLACE: {env: THE_PLACE}}
providers:
  cluster: {type: slurm, host: 127.0.0.1, port: %d, partition: gpu, env: {WHERE: '{{secret.PLACE}}'}}
default_provider: cluster
"""
SWEEP = "name: s\nparameters: {lr: 1}\nsweeps: {sweep_config: {lr: [1, 2, 3]}, max_parallel: 2}\nrun: 'true'\n"


@pytest.fixture
def called() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.fixture
def world(tmp_path: Path, called: socket.socket) -> LabWorld:
    made = LabWorld(tmp_path)
    made.commit(
        {
            "lab.yaml": LAB % called.getsockname()[1],
            "experiments/a/one/task.yaml": TASK,
            "experiments/a/many/task.yaml": SWEEP,
        }
    )
    return made


def test_render_shows_what_sbatch_would_get(world: LabWorld, called: socket.socket) -> None:
    shown = world.json("render", "a/one", THE_TOKEN="hunter2")
    assert list(shown["files"]) == ["job.sh", "run.sh", "main.sh", "config.json"]
    lines = shown["files"]["job.sh"].splitlines()
    assert lines[0] == "#!/bin/bash"
    assert {
        f"#SBATCH --job-name={shown['token']}", "#SBATCH --partition=gpu", "#SBATCH --gres=gpu:H100:2", "#SBATCH --cpus-per-task=2"
    } <= set(lines)  # fmt: skip
    assert "root='~/labwright/demo'" in lines
    variables = shown["variables"]
    assert (variables["KEY"], variables["WHERE"], variables["LAB_GPUS"]) == ("***", "***", "2")
    assert "CUDA_VISIBLE_DEVICES" not in variables
    assert "hunter2" not in world.lab("render", "a/one", THE_TOKEN="hunter2").stdout
    with pytest.raises(BlockingIOError):
        called.accept()
    assert not (world.top / "state").exists()


def test_render_of_a_trial_shows_the_array_that_it_is_in(world: LabWorld) -> None:
    shown = world.json("render", "a/many", "--trial", "1")
    assert "\n#SBATCH --array=0-2%2\n" in shown["files"]["job.sh"]
    assert shown["variables"]["LAB_PARAM_LR"] == "2"


def test_check_and_plan_ask_nobody(world: LabWorld, called: socket.socket) -> None:
    assert world.json("check")["ok"]
    assert {one["provider"] for one in world.json("plan", "--launch-existing")["launch"]} == {"cluster"}
    with pytest.raises(BlockingIOError):
        called.accept()
