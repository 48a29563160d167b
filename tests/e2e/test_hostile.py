"""Hostile commits and hostile jobs against the real controller: each harms itself alone, and no secret gets out."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from lab_world import LabWorld

pytestmark = pytest.mark.slow

LAB = "name: demo\nproviders: {local: {type: local, cpus: 4, gpus: 0}}\nsecrets: {TOKEN: {env: CANARY}}\n"
CANARY = "c4n4ry-v4lue-of-a-s3cret"


def task(*lines: str) -> str:
    run = "".join(f"  {line}\n" for line in ("cd $LAB_JOB_DIR", *lines))
    return f"name: t\nenvs: {{MINE: '{{{{secret.TOKEN}}}}'}}\nrun: |\n{run}"


HOSTILE = {
    "claim": task("rm claim", "mkfifo claim"),
    "phase": task(r"printf '\xff' > phase", "sleep 1"),
    "exit": task("mkdir exit.json", "touch exit.json/in-the-way"),
    "forged": task("""echo '{"code": 1e999, "phase": "run"}' > exit.json""", "kill -9 $PPID"),
    "rank": task("""echo '{"t":1,"e":"metric","m":{"loss":1}}' > events.4294967296.jsonl"""),
    "names": task(
        "cd artifacts",
        r"touch $MINE.txt $'a\nb' $'\xff' $'\xfe' '`|<img src=x>@org'",
        "ln -s /etc/passwd link",
        "mkfifo f",
    ),
    "words": task(
        """echo '{"python": "\\ud800"}' > environment.json""",
        """echo '{"url": "'$MINE'"}' > source.json""",
    ),
    "packages": task("""echo '{"packages": {"'$MINE'": "1"}}' > environment.json"""),
}


def published(world: LabWorld) -> dict[str, str]:
    names = world.git("ls-tree", "-r", "--name-only", "-z", "lab-results").split("\0")
    return {name: world.git("show", f"lab-results:{name}") for name in names if name.endswith((".json", ".md"))}


def manifests(world: LabWorld) -> dict[str, Any]:
    found = [json.loads(text) for name, text in published(world).items() if name.endswith("manifest.json")]
    return {manifest["task"]: manifest for manifest in found}


def test_r26_r23_hostile_jobs_hold_back_nobody_and_publish_no_secret(tmp_path: Path) -> None:
    world = LabWorld(tmp_path)
    world.commit({"lab.yaml": LAB, "experiments/a/good/task.yaml": task("python -m lab log loss=0.5")})
    world.commit({f"experiments/a/{name}/task.yaml": text for name, text in HOSTILE.items()})
    world.lab("serve", "--once", "--launch-existing", CANARY=CANARY)
    found = manifests(world)
    assert set(found) == {"a/good", *(f"a/{name}" for name in HOSTILE)}
    assert found["a/good"]["metrics"]["loss"]["last"] == 0.5
    paths = [artifact["path"] for artifact in found["a/names"]["artifacts"]]
    assert sorted(paths) == sorted({"*" * len(CANARY) + ".txt", "a\nb", "?", "`|<img src=x>@org"})
    assert not [name for name, text in published(world).items() if CANARY in text]
    kept = [path for path in (tmp_path / "state").rglob("*") if path.is_file() and "spool" not in path.parts]
    assert not [path for path in kept if CANARY.encode() in path.read_bytes()]


def test_r38_a_task_named_like_a_file_of_the_results_branch_is_invalid_and_overwrites_nothing(tmp_path: Path) -> None:
    world = LabWorld(tmp_path)
    names = ("README.md", "a/readme.md", "a/good/manifest.json", "a/plots/good.svg")
    files = {f"experiments/{name}/task.yaml": task("true") for name in (*names, "a/good", "a/plots")}
    world.commit({"lab.yaml": LAB, **files})
    world.lab("serve", "--once", "--launch-existing", CANARY=CANARY)
    assert set(manifests(world)) == {"a/good", "a/plots"}
    problems = world.json("check", code=1)["problems"]
    assert {problem["path"].removeprefix("experiments/").removesuffix("/task.yaml") for problem in problems} == set(
        names
    )


def test_r44_what_the_controller_keeps_is_its_users_alone_whatever_the_umask(tmp_path: Path) -> None:
    world = LabWorld(tmp_path)
    world.commit({"lab.yaml": LAB, "experiments/a/good/task.yaml": task("true")})
    before = os.umask(0)
    try:
        world.lab("serve", "--once", CANARY=CANARY)
    finally:
        os.umask(before)
    (lab,) = (tmp_path / "state").iterdir()
    assert [folder.stat().st_mode & 0o777 for folder in (tmp_path / "state", lab)] == [0o700, 0o700]
