"""What a newcomer met, each as a rule."""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.lab_world import LabWorld

pytestmark = pytest.mark.slow


@pytest.fixture
def world(tmp_path: Path) -> LabWorld:
    made = LabWorld(tmp_path)
    made.repo.mkdir()
    made.git("init", "-q", "-b", "main")
    return made


def test_a_failed_job_says_why_in_its_scripts_own_words(world: LabWorld) -> None:
    world.commit({"experiments/a/t/task.yaml": "name: t\nrun: |\n  python3 -m lab error 'no data there'\n  exit 1\n"})
    world.lab("serve", "--once", "--launch-existing")
    (job,) = world.json("jobs", "--all")
    assert job["reason"] == "exit code 1: no data there"
    assert "no data there" in world.lab("sql", "SELECT reason FROM jobs").stdout


def test_a_lost_state_does_not_run_what_is_published_again(world: LabWorld, tmp_path: Path) -> None:
    world.commit({"experiments/a/t/task.yaml": "name: t\nrun: echo x >>$HOME/ran\n"})
    world.lab("run", "a/t", "--wait")
    subprocess.run(["rm", "-r", world.env["LABWRIGHT_STATE"]], check=True)
    assert "reused" in world.lab("run", "a/t", "--wait").stdout
    assert (tmp_path / "ran").read_text() == "x\n"


def test_results_never_go_to_a_branch_that_people_write(world: LabWorld) -> None:
    world.commit({"lab.yaml": "results: {branch: main}\n", "experiments/a/t/task.yaml": "name: t\nrun: 'true'\n"})
    done = world.lab("serve", "--once", "--launch-existing", code=3)
    assert "results.branch" in done.stdout + done.stderr
    assert "results.branch" in world.lab("check", code=1).stdout


def test_an_environment_whose_file_is_not_there_is_found_by_check(world: LabWorld) -> None:
    world.commit({"experiments/a/t/task.yaml": "name: t\nenvironment: {requirements: nosuch.txt}\nrun: x\n"})
    done = world.lab("check", code=1)
    assert "task.yaml:2:29: environment: nosuch.txt is not among the task's files" in done.stdout


def test_in_a_clone_the_controller_of_its_origin_is_meant(world: LabWorld, tmp_path: Path) -> None:
    remote, clone = tmp_path / "remote.git", tmp_path / "clone"
    world.commit({"experiments/a/t/task.yaml": "name: t\nrun: 'true'\n"})
    subprocess.run(["git", "clone", "-q", "--bare", str(world.repo), str(remote)], check=True)
    subprocess.run(["git", "clone", "-q", str(remote), str(clone)], check=True)
    world.lab("run", "a/t", "--wait", "--repo", str(clone))  # the clone is a lab of its own, too
    with world.controller("--repo", str(remote)):
        world.repo = clone
        assert world.json("status")["repo"] == str(remote)
        remote.rename(tmp_path / "away.git")
        assert world.json("status")["repo"] == str(remote)  # also while it is away
        (tmp_path / "away.git").rename(remote)


def test_a_type_of_provider_that_is_misspelt_is_found_by_check(world: LabWorld) -> None:
    world.commit({"lab.yaml": "providers:\n  a: {type: slurmm}\n  b: {type: k8s}\n  c: {type: skypilot}\n"})
    lines = world.lab("check", code=1).stdout.splitlines()
    assert lines == [
        "lab.yaml:2:13: `providers.a.type`: there is no type of provider slurmm (did you mean `slurm`?)",
        "lab.yaml:3:13: `providers.b.type`: there is no type of provider k8s (there are: local, slurm, skypilot)",
    ]
    assert "did you mean `slurm`?" in world.lab("doctor", code=None).stdout


def test_plan_says_that_a_branch_is_not_watched(world: LabWorld) -> None:
    world.commit({"experiments/a/t/task.yaml": "name: t\nrun: 'true'\n"})
    assert "watched" not in world.lab("plan").stdout
    assert world.json("plan")["unwatched"] is None
    world.git("switch", "-q", "-c", "topic")
    said = world.lab("plan").stdout
    assert "branch topic is not watched (watch.branches in lab.yaml): this is what it would do on main" in said
    assert (world.json("plan")["unwatched"], world.json("plan")["branch"]) == ("topic", "main")
    assert "branch topic is not watched" in world.lab("plan", "--branch", "topic").stdout
    assert "nothing of it is run" in world.lab("plan", "--branch", "topic").stdout


def test_logs_of_a_job_that_never_started_say_so(world: LabWorld) -> None:
    world.commit({
        "experiments/a/bad/task.yaml": "name: b\nrun: 'false'\n",
        "experiments/a/after/task.yaml": "name: x\nneeds: [a/bad]\nrun: 'true'\n",
        "experiments/a/quiet/task.yaml": "name: q\nrun: 'true'\n",
    })  # fmt: skip
    world.lab("serve", "--once", "--launch-existing")
    waits, quiet = world.lab("logs", "a/after"), world.lab("logs", "a/quiet")
    assert (waits.stdout, quiet.stdout) == ("", "")
    assert "has not started yet: it is HELD (needs: " in waits.stderr
    assert "printed nothing" in quiet.stderr
    world.lab("stop", "a/after")
    world.lab("serve", "--once")
    for more in ([], ["-f"]):
        assert "never started: it is STOPPED (stopped by " in world.lab("logs", "a/after", *more).stderr
