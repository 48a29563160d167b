"""The product as a person meets it: a commit launches what it changed, and a human's word is carried out once."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.lab_world import LabWorld, job_ids

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

QUICK = "name: quick\nrun: echo done\n"


@pytest.fixture
def world(tmp_path: Path) -> LabWorld:
    return LabWorld(tmp_path)


def test_a_lab_that_init_made_runs_what_a_commit_changes_and_nothing_else(world: LabWorld) -> None:
    told = world.lab("init", "demo").stdout
    assert "lab serve --launch-existing" in told
    world.git("add", ".")
    world.git("commit", "-q", "-m", "A lab")
    assert "no problem" in world.lab("check").stdout

    first = world.lab("serve", "--once").stdout
    assert "first sight: 6 trials" in first
    assert "lab serve --launch-existing" in first
    all_tasks = ["alpha/train"] * 3 + ["beta/fit", "beta/points", "gamma/shell"]
    assert world.once("--launch-existing") == all_tasks  # even after a baseline
    assert world.once() == []
    assert world.once("--launch-existing") == []

    task, code = "experiments/alpha/train/task.yaml", "experiments/alpha/train/train.py"
    world.commit({"README.md": "other words\n", "experiments/alpha/README.md": "notes\n"})
    assert world.once() == []
    world.edit(task, "{cpus: 1}", "{cpus: 0.5}")
    world.edit(task, "timeout: 5m", "timeout: 6m\npriority: 3")
    assert world.once() == []

    world.edit(code, "= offset = 0.0", "= offset = 0.5")
    assert world.once() == ["alpha/train"] * 3
    world.edit(code, "= offset = 0.5", "= offset = 0.0")
    assert world.once() == []

    world.edit("experiments/gamma/shell/task.yaml", "run: bash", "rerun: 1\nrun: bash")
    assert world.once() == ["gamma/shell"]
    world.edit(task, "0.1, 0.3]", "0.1, 0.3, 0.5]")
    assert world.once() == ["alpha/train"]
    world.edit("experiments/beta/points/points.py", "3 * x", "2 * x")
    assert world.once() == ["beta/fit", "beta/points"]  # what is needed, and what reads it
    world.commit({"README.md": "more\n"}, "again\n\nLab-Rerun: gamma/shell")
    assert world.once() == ["gamma/shell"]
    assert world.once() == []


def test_run_waits_and_exits_with_the_outcome(world: LabWorld) -> None:
    world.commit({
        "experiments/a/good/task.yaml": "name: g\nparameters: {n: {type: int, default: 1, max: 5}}\nrun: echo n is $LAB_PARAM_N\n",
        "experiments/a/bad/task.yaml": "name: b\nrun: echo oh no; exit 7\n",
        "experiments/a/swept/task.yaml": "name: s\nsweeps: {sweep_config: {x: [1, 2]}}\nrun: 'true'\n",
        "experiments/a/waits/task.yaml": "name: w\nneeds: [a/bad]\nrun: 'true'\n",
    })  # fmt: skip
    good = world.lab("run", "a/good", "-p", "n=4", "--wait")
    assert "n is 4" in good.stdout
    assert "COMPLETE" in good.stderr
    assert world.git("ls-tree", "-r", "--name-only", "lab-results").count("manifest.json") == 1

    bad = world.lab("run", "experiments/a/bad/task.yaml", "--wait", code=7)
    assert "oh no" in bad.stdout
    both = world.json("run", "a/swept", "--wait")
    assert [job["state"] for job in both["jobs"]] == ["COMPLETE", "COMPLETE"]
    again = world.lab("run", "a/swept", "--wait")
    assert again.stdout.startswith("reused ")

    stuck = world.lab("run", "a/waits", "--wait", code=7)  # its need is launched anew, and fails anew
    assert "HELD" in stuck.stderr
    (failed,) = [job["id"] for job in world.jobs() if job["task"] == "a/bad"][-1:]
    assert world.json("retry", failed[:7], "--wait", code=7)["jobs"][0]["exit_code"] == 7
    assert world.json("retry", "a/bad")[0]["state"] == "queued"
    assert "steps" in world.lab("run", "a/good", "-p", "steps=1", code=3).stderr
    assert "at most 5" in world.lab("run", "a/good", "-p", "n=6", code=3).stderr
    assert "did you mean a/good?" in world.lab("run", "a/godo", code=3).stderr


def test_a_running_and_a_queued_job_stop_and_the_one_who_waits_is_told(world: LabWorld) -> None:
    world.commit({
        "lab.yaml": "providers: {local: {type: local, cpus: 1, grace: 1s}}\n",
        "experiments/a/long/task.yaml": "name: l\nrun: |\n  echo started\n  sleep 600\n",
        "experiments/a/next/task.yaml": "name: n\nrun: sleep 600\n",
    })  # fmt: skip
    with world.controller() as controller:
        command = [sys.executable, "-m", "labwright", "run", "a/long", "--wait"]
        waiting = subprocess.Popen(command, cwd=world.repo, env=world.env, stdout=subprocess.PIPE, text=True)
        world.until(lambda: any(job["state"] == "RUNNING" for job in world.jobs()))
        (queued,) = world.json("run", "a/next")[0]["jobs"]
        assert "running already" in world.lab("serve", "--once", code=3).stderr
        world.until(lambda: world.state(queued) == "QUEUED")
        assert world.json("stop", queued[:8])[0]["state"] == "done"
        world.until(lambda: world.state(queued) == "STOPPED")
        assert "stopping" in world.lab("stop", "a/long").stdout
        out, _ = waiting.communicate(timeout=60)
        assert waiting.returncode == 5
        assert "started" in out

        (long,) = world.json("rerun", "a/long")[0]["jobs"]
        world.until(lambda: world.state(long) == "RUNNING")
        watcher = subprocess.Popen(
            [sys.executable, "-m", "labwright", "run", "a/long", "--wait"],
            cwd=world.repo, env=world.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert watcher.stdout
        while "started" not in watcher.stdout.readline():
            pass
        watcher.send_signal(signal.SIGINT)
        _, said = watcher.communicate(timeout=60)
        assert watcher.returncode == 130
        assert f"lab stop {long}" in said

        controller.send_signal(signal.SIGTERM)
        assert controller.wait(60) == 0
        assert "running jobs go on" in world.log()
    assert world.state(long) == "RUNNING"
    queued_stop = world.json("stop", "--all")
    assert [one["state"] for one in queued_stop] == ["queued"]
    world.lab("serve", "--once")
    assert world.state(long) == "STOPPED"


def test_a_change_over_the_limits_waits_for_confirmation(world: LabWorld) -> None:
    world.commit({"lab.yaml": "policy: {limits: {jobs_per_commit: 2}}\n", "experiments/a/one/task.yaml": QUICK})
    assert world.once() == []
    many = "name: m\nsweeps: {sweep_config: {x: [1, 2, 3]}}\nrun: 'true'\n"
    world.commit({"experiments/a/many/task.yaml": many})
    planned = world.json("plan")
    assert "limits.jobs_per_commit" in planned["held"]
    assert world.once() == []
    (held,) = world.json("confirm")
    assert held["digest"] == planned["digest"]
    world.lab("confirm", held["digest"][:12])
    assert world.once() == ["a/many"] * 3
    assert world.json("confirm") == []


def test_suspend_holds_what_comes_and_resume_lets_it_go(world: LabWorld) -> None:
    world.commit({"experiments/a/one/task.yaml": QUICK})
    assert world.once() == []
    world.lab("suspend")
    world.edit("experiments/a/one/task.yaml", "done", "more")
    assert world.once() == []
    assert [job["reason"].partition(":")[0] for job in world.jobs()] == ["suspended"]
    world.lab("resume")
    assert world.once() == ["a/one"]


@pytest.mark.parametrize("ledger", [True, False])
def test_a_plan_in_a_clone_is_what_the_controller_then_launches(world: LabWorld, ledger: bool) -> None:
    world.commit({
        "experiments/a/train/task.yaml": "name: t\nsweeps: {sweep_config: {x: [1, 2]}}\nrun: bash run.sh\n",
        "experiments/a/train/run.sh": "echo $LAB_PARAM_X > out.txt\n",
        "experiments/a/eval/task.yaml": "name: e\nneeds: [a/train]\nrun: 'true'\n",
        "experiments/b/other/task.yaml": QUICK,
        "experiments/b/broken/task.yaml": "name: x\nrunn: 'true'\n",
    })  # fmt: skip
    remote = world.top / "remote.git"
    world.git("clone", "-q", "--bare", str(world.repo), str(remote), cwd=world.top)
    clone = world.top / "clone"
    world.git("clone", "-q", str(remote), str(clone), cwd=world.top)
    assert world.once("--repo", str(remote)) == []
    world.lab("run", "a/train", "--repo", str(remote))
    assert world.once("--repo", str(remote)) == ["a/train"] * 2

    task = clone / "experiments/a/train/task.yaml"
    task.write_text(task.read_text().replace("[1, 2]", "[1, 2, 3]"))
    (clone / "experiments/b/new").mkdir()
    (clone / "experiments/b/new/task.yaml").write_text(QUICK)
    world.git("add", ".", cwd=clone)
    world.git("commit", "-q", "-m", "more", cwd=clone)
    world.git("fetch", "-q", cwd=clone)
    env = {} if ledger else {"LABWRIGHT_STATE": str(world.top / "nothing")}
    planned = world.json("plan", cwd=clone, code=None, **env)
    assert [one["task"] for one in planned["launch"]] == ["a/train", "a/eval", "b/new"]
    assert {one["task"] for one in planned["reuse"]} == {"a/train"}

    world.git("push", "-q", "origin", "main", cwd=clone)
    assert world.once("--repo", str(remote)) == ["a/eval", "a/train", "b/new"]
    launched = [job for job in world.jobs() if job["plan"] == planned["digest"]]
    assert {job["id"] for job in launched} == {one["job"] for one in planned["launch"]}


def test_serve_goes_on_without_its_remote_and_with_a_bad_lab_yaml(world: LabWorld) -> None:
    world.commit({"lab.yaml": "name: demo\n", "experiments/a/one/task.yaml": QUICK})
    gone = world.lab(
        "serve",
        "--once",
        "--log-format",
        "json",
        "--repo",
        f"file://{world.top}/nowhere",
        code=4,
        LABWRIGHT_STATE=str(world.top / "other"),
    )
    assert any(json.loads(line).get("about") == "repository" for line in gone.stderr.splitlines() if line[:1] == "{")
    assert world.once() == []
    world.commit({"lab.yaml": "nmae: demo\n"})
    world.edit("experiments/a/one/task.yaml", "done", "other")
    done = world.lab("serve", "--once", "--log-format", "json", code=3)  # it goes on, and a script learns of it
    assert "did you mean `name`?" in done.stderr
    assert [job["state"] for job in world.jobs()] == ["COMPLETE"]  # by the last settings that were good


def test_a_second_interrupt_does_not_wait_for_a_remote_that_hangs(world: LabWorld) -> None:
    world.commit({"README.md": "x"})
    log = (world.top / "serve.log").open("w")
    running = subprocess.Popen(
        [sys.executable, "-m", "labwright", "serve", "--repo", "ssh://nowhere.example/lab.git"],
        cwd=world.repo, env={**world.env, "GIT_SSH_COMMAND": "sleep 20 #"}, stderr=log,
    )  # fmt: skip
    world.until(lambda: '"serving"' in world.log())
    running.send_signal(signal.SIGINT)
    world.until(lambda: "stopping" in world.log())
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 130


def test_render_shows_the_script_and_hides_secrets(world: LabWorld) -> None:
    world.commit({
        "lab.yaml": "secrets: {TOKEN: {env: THE_TOKEN}}\n",
        "experiments/a/one/task.yaml": "name: o\nenvs: {KEY: '{{secret.TOKEN}}'}\nparameters: {n: 3}\nrun: use {{secret.TOKEN}}\n",
    })  # fmt: skip
    shown = world.json("render", "a/one", THE_TOKEN="hunter2")
    assert shown["variables"]["KEY"] == "***"
    assert shown["variables"]["LAB_PARAM_N"] == "3"
    assert shown["files"]["main.sh"] == "use ${LAB_SECRET_TOKEN}\n"
    assert shown["files"]["run.sh"].startswith("#!")
    assert shown["variables"]["LAB_JOB_DIR"].endswith(shown["token"])
    assert job_ids(shown["job"]) == [shown["job"]]
    text = world.lab("render", "a/one", THE_TOKEN="hunter2").stdout
    assert "hunter2" not in text
    assert not (world.top / "state").exists()  # a look leaves nothing behind
