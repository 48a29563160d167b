"""A lab's own template in place of a shipped one: real git, the real controller."""

from pathlib import Path

import pytest

from labwright.adapters.templates import find
from tests.e2e.lab_world import LabWorld

pytestmark = pytest.mark.slow
NAME = "templates/local/run.sh.j2"
SHIPPED = find("local/run.sh.j2")
STEP = 'step "$dir/main.sh"'


def greeting(words: str) -> str:
    assert SHIPPED.count(STEP) == 1
    return SHIPPED.replace(STEP, f"echo {words}\n{STEP}")


def a_task(text: str = "job") -> str:
    return f"name: t\nrun: echo {text}\n"


@pytest.fixture
def world(tmp_path: Path) -> LabWorld:
    made = LabWorld(tmp_path)
    made.commit({"lab.yaml": "watch: {branches: [main, topic]}\n", "experiments/a/t/task.yaml": a_task()})
    return made


def printed(world: LabWorld) -> list[str]:
    """By the newest job of a/t."""
    return [line for line in world.lab("logs", "a/t").stdout.splitlines() if not line.startswith("==")]


def test_the_default_branchs_template_is_what_jobs_are_started_with(world: LabWorld) -> None:
    world.once("--launch-existing")
    assert printed(world) == ["job"]
    world.commit({NAME: greeting("ours")})
    assert world.once() == [], "a template is no part of what a task is: nothing runs again"
    world.commit({"experiments/a/t/task.yaml": a_task("two")})
    assert world.once() == ["a/t"]
    assert printed(world) == ["ours", "two"]
    world.git("rm", "-q", NAME)
    world.commit({"experiments/a/t/task.yaml": a_task("three")})
    assert world.once() == ["a/t"]
    assert printed(world) == ["three"]


def test_a_template_of_another_branch_does_not_count(world: LabWorld) -> None:
    world.once("--launch-existing")
    world.git("switch", "-q", "-c", "topic")
    world.commit({NAME: greeting("theirs"), "experiments/a/t/task.yaml": a_task("topic")})
    assert "echo theirs" not in world.json("render", "a/t")["files"]["run.sh"]
    assert world.once() == []  # the branch's baseline
    world.commit({"experiments/a/t/task.yaml": a_task("topic two")})
    assert world.once() == ["a/t"]
    assert printed(world) == ["topic two"]


def test_a_broken_template_is_told_and_the_former_stays_in_force(world: LabWorld) -> None:
    world.commit({NAME: greeting("ours")})
    assert "echo ours" in world.json("render", "a/t")["files"]["run.sh"]
    world.once("--launch-existing")
    lines = greeting("ours").count("\n")
    world.commit({NAME: greeting("ours") + "{% if %}\n", "experiments/a/t/task.yaml": a_task("two")})
    assert f"{NAME}:{lines + 1}:1: Expected an expression" in world.lab("check", code=1).stdout
    assert f"{NAME}:{lines + 1}:1" in world.lab("render", "a/t", code=1).stderr
    assert f"{NAME}:{lines + 1}:1" in world.lab("doctor", code=None).stdout
    done = world.lab("serve", "--once", "--log-format", "json", code=3)
    assert "the templates before them stay in force" in done.stderr
    assert printed(world) == ["ours", "two"]
    world.commit({"experiments/a/t/task.yaml": a_task("three")})
    world.lab("serve", "--once", code=3)  # a controller that has only the broken one before it, and its ledger
    assert printed(world) == ["ours", "three"]
    world.commit({NAME: greeting("mended"), "experiments/a/t/task.yaml": a_task("four")})
    assert world.once() == ["a/t"]
    assert printed(world) == ["mended", "four"]


def test_a_controller_that_runs_takes_up_a_new_template(world: LabWorld) -> None:
    with world.controller("--launch-existing"):
        world.until(lambda: [j["state"] for j in world.jobs()] == ["COMPLETE"])
        world.commit({NAME: greeting("ours"), "experiments/a/t/task.yaml": a_task("two")})
        world.until(lambda: [j["state"] for j in world.jobs()] == ["COMPLETE"] * 2)
        assert printed(world) == ["ours", "two"]
        world.commit({NAME: "{{ nothing }}"})
        world.until(lambda: "`nothing` is no value that this template is given" in world.log())
        world.commit({"experiments/a/t/task.yaml": a_task("three")})
        world.until(lambda: [j["state"] for j in world.jobs()] == ["COMPLETE"] * 3)
        assert printed(world) == ["ours", "three"]


def test_a_name_that_no_template_has_is_told_with_those_that_there_are(world: LabWorld) -> None:
    world.commit({"templates/local/run.j2": SHIPPED})
    said = world.lab("check", code=1).stdout
    assert "templates/local/run.j2:1:1" in said and f"did you mean {NAME}?" in said
    done = world.lab("serve", "--once", "--launch-existing", code=3)
    assert "nothing is launched until it is mended" in done.stdout + done.stderr
    world.git("mv", "templates/local/run.j2", NAME)
    world.git("commit", "-q", "-m", "named")
    assert world.once("--launch-existing") == ["a/t"]
