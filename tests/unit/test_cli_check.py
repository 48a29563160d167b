"""`lab check`: every problem at its place, whatever lies in the working tree."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labwright.cli.main import program

GOOD = "name: t\nrun: 'true'\n"


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    subprocess.run(["git", "init", "-q", "-b", "main", str(tmp_path / "lab")], check=True)
    monkeypatch.chdir(tmp_path / "lab")
    monkeypatch.setenv("LABWRIGHT_STATE", str(tmp_path / "state"))
    return tmp_path / "lab"


def put(top: Path, name: str, text: str | bytes) -> None:
    path = top / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def run(*args: str) -> tuple[int, str]:
    done = CliRunner().invoke(program(["check", "schema"]), args)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def problems(*args: str) -> list[dict[str, Any]]:
    code, out = run("check", "--json", *args)
    found = json.loads(out)
    assert code == (0 if found["ok"] else 1)
    return list(found["problems"])


def places(*args: str) -> list[tuple[str, int, int]]:
    return [(p["path"], p["line"], p["column"]) for p in problems(*args)]


def test_a_sound_lab_has_no_problem(top: Path) -> None:
    put(top, "lab.yaml", "name: demo\n")
    put(top, "experiments/a/t/task.yaml", GOOD + "sweeps: {sweep_config: {x: [1, 2]}}\n")
    assert run("check") == (0, "1 tasks, 2 trials: no problem\n")


def test_each_sort_of_problem_is_found_at_its_line_and_column(top: Path) -> None:
    put(top, "lab.yaml", "watch:\n  pull_requests: true\n")
    put(top, "experiments/a/key/task.yaml", "name: t\nrunn: x\nrun: y\n")
    put(top, "experiments/a/nodes/task.yaml", GOOD + "resources:\n  cpus: 1\n  num_nodes: 2\n")
    put(top, "experiments/a/old/task.yaml", "task:\n  name: t\n  run: x\n  resources: {region: mars}\n")
    put(top, "experiments/a/where/task.yaml", GOOD + "resources: {compute_provider: moon}\n")
    put(top, "experiments/a/secret/task.yaml", "name: t\nenvs:\n  KEY: 'x {{ secrets.TOKEN }}'\nrun: x\n")
    put(top, "experiments/a/need/task.yaml", GOOD + "needs: [a/key2]\n")
    put(top, "experiments/a/round/task.yaml", GOOD + "needs:\n  - a/trip\n")
    put(top, "experiments/a/trip/task.yaml", GOOD + "needs:\n  - a/round\n")
    put(top, "experiments/a/later/task.yaml", GOOD + "notify: https://x.example\n")
    put(top, "experiments/task.yaml", GOOD)
    put(top, "experiments/a/slip/task.yml", GOOD)
    assert places() == sorted([
        ("lab.yaml", 2, 3),
        ("experiments/a/key/task.yaml", 2, 1),
        ("experiments/a/later/task.yaml", 3, 1),
        ("experiments/a/need/task.yaml", 3, 9),
        ("experiments/a/nodes/task.yaml", 5, 14),
        ("experiments/a/old/task.yaml", 4, 23),
        ("experiments/a/round/task.yaml", 4, 5),
        ("experiments/a/secret/task.yaml", 3, 11),
        ("experiments/a/slip/task.yml", 1, 1),
        ("experiments/a/trip/task.yaml", 4, 5),
        ("experiments/a/where/task.yaml", 3, 31),
        ("experiments/task.yaml", 1, 1),
    ])  # fmt: skip


def test_a_secret_that_a_task_may_not_have_is_told_of_where_it_is_used(top: Path) -> None:
    own = "forge: {type: forgejo, url: 'http://f', repo: a/b, token: '{{secret.FORGE}}'}\n"
    scopes = "secrets: {FORGE: {env: F}, HF: {env: H, tasks: b, branches: release, pull_requests: false}}\n"
    put(top, "lab.yaml", own + scopes)
    uses = "name: t\nenvs:\n  A: '{{secret.HF}}'\n  B: '{{secret.FORGE}}'\nrun: x\n"
    put(top, "experiments/a/t/task.yaml", uses)
    put(top, "experiments/b/t/task.yaml", uses)
    assert [(p["path"][12], p["line"], p["column"], p["message"]) for p in problems()] == [
        ("a", 3, 7, "the secret HF is not for a/t: secrets.HF.tasks of lab.yaml has b"),
        *[(x, 4, 7, "the secret FORGE is the controller's own: forge.token of lab.yaml uses it, and no job is given it")
          for x in "ab"],
    ]  # fmt: skip


def test_only_the_files_asked_for_are_told_of(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(top, "experiments/a/one/task.yaml", "x: 1\n")
    put(top, "experiments/b/two/task.yaml", "x: 1\n")
    assert {path for path, _, _ in places("experiments/a")} == {"experiments/a/one/task.yaml"}
    monkeypatch.chdir(top / "experiments" / "b")
    assert {path for path, _, _ in places("two/task.yaml")} == {"experiments/b/two/task.yaml"}
    code, out = run("check", "--format", "github", "two")
    assert code == 1
    assert out.startswith("::error file=experiments/b/two/task.yaml,line=1,col=1::")
    assert run("check", "nowhere")[0] == 3


def test_a_commit_is_checked_by_its_own_files(top: Path) -> None:
    put(top, "experiments/a/one/task.yaml", GOOD)
    for args in (["add", "."], ["-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qm", "x"]):
        subprocess.run(["git", *args], check=True, cwd=top)
    put(top, "experiments/a/one/task.yaml", "x: 1\n")
    assert problems("--commit", "HEAD") == []
    assert problems() != []
    assert run("check", "--commit", "nope")[0] == 3


def test_hostile_files_cost_a_line_each_and_no_time(top: Path) -> None:
    with (top / "huge.bin").open("wb") as file:
        file.truncate(600 << 20)
    put(top, ".gitignore", "ignored/\n")
    put(top, "ignored/experiments/x/task.yaml", "x: 1\n")
    put(top, "experiments/a/big/task.yaml", b"x" * (50 << 20))
    put(top, "experiments/a/binary/task.yaml", bytes(range(256)) * 100)
    put(top, "experiments/a/bomb/task.yaml", "a: &a [x]\n" + "".join(f"{c}: [*a, *a]\n" for c in "bcdefgh"))
    put(top, "experiments/a/deep/task.yaml", "x: " + "[" * 100_000)
    put(top, "experiments/a/data/task.yaml", GOOD)
    with (top / "experiments/a/data/huge.bin").open("wb") as file:
        file.truncate(600 << 20)
    put(top, "experiments/a/out/task.yaml", GOOD)
    (top / "experiments/a/out/link").symlink_to("/etc/passwd")
    (top / "experiments/a/link").mkdir()
    (top / "experiments/a/link/task.yaml").symlink_to("../data/task.yaml")
    os.mkfifo(top / "experiments/a/pipe")
    put(top, "experiments/a/\x1b[31mred/task.yaml", "x: 1\n")
    begun = time.process_time()
    found = problems()
    assert time.process_time() - begun < 5  # not a measure: a guard against reading or building what is refused
    assert {p["path"].split("/")[2] for p in found} == {
        "big", "binary", "bomb", "deep", "data", "out", "link", "\x1b[31mred",
    }  # fmt: skip
    assert "\x1b" not in run("check")[1]


def test_a_bad_lab_yaml_does_not_hide_what_is_wrong_with_tasks(top: Path) -> None:
    put(top, "lab.yaml", "providers: [\n")
    put(top, "experiments/a/one/task.yaml", "x: 1\n")
    put(top, "experiments/a/two/task.yaml", GOOD + "resources: {compute_provider: gone, num_nodes: 3}\n")
    assert {path for path, _, _ in places()} == {"lab.yaml", "experiments/a/one/task.yaml"}


def test_a_lab_inside_another_repository_is_the_one_that_is_checked(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(top, "example/lab.yaml", "")
    put(top, "example/experiments/a/t/task.yaml", "x: 1\n")
    monkeypatch.chdir(top / "example")
    assert {path for path, _, _ in places()} == {"experiments/a/t/task.yaml"}


def test_a_folder_without_git_does_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "plain/experiments/a/t/task.yaml", "x: 1\n")
    monkeypatch.chdir(tmp_path / "plain")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert problems() != []
    monkeypatch.chdir(tmp_path)
    assert run("check")[0] == 3


@pytest.mark.parametrize("which", ["task", "lab", "manifest"])
def test_schemas_are_printed_as_json(which: str) -> None:
    code, out = run("schema", which)
    assert code == 0
    assert json.loads(out)["$schema"].endswith("2020-12/schema")
