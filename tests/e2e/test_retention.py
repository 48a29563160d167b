"""What goes after policy.retention, and what a person can still have: with the real controller and real jobs."""

import time
from pathlib import Path

import pytest

from tests.e2e.lab_world import LabWorld

pytestmark = pytest.mark.slow

TASK = """\
name: t
run: |
  echo weights >"$LAB_JOB_DIR/artifacts/model.txt"
  head -c 20000 /dev/zero >"$LAB_JOB_DIR/artifacts/large.bin"
  mkdir "$LAB_JOB_DIR/checkpoints/deep"; chmod 500 "$LAB_JOB_DIR/checkpoints/deep"
"""
LAB = "results: {keep_artifacts: 10KB}\npolicy: {retention: RETENTION}\n"


@pytest.fixture
def world(tmp_path: Path) -> LabWorld:
    world = LabWorld(tmp_path)
    world.commit({"lab.yaml": LAB.replace("RETENTION", "never"), "experiments/a/t/task.yaml": TASK})
    return world


def spool(world: LabWorld) -> Path:
    (found,) = (world.top / "state").glob("*/spool/local")
    return found


def test_an_old_attempt_goes_and_its_results_and_smaller_artifacts_stay(world: LabWorld, tmp_path: Path) -> None:
    assert world.once("--launch-existing") == ["a/t"]
    found = {row["path"]: row["where"] for row in world.json("artifacts", "a/t")["artifacts"]}
    assert found == {"model.txt": ["store", "local"], "large.bin": ["local"]}
    said = {row["check"]: row["text"] for row in world.json("doctor", code=None)}
    assert "1 attempt, " in said["spool of local"]
    assert "policy.retention is never" in said["spool of local"]
    assert said["kept artifacts"].startswith("1 file, 8 B")

    time.sleep(1.1)  # so long it has ended
    assert world.once() == []
    assert len(list((spool(world) / "jobs").iterdir())) == 1
    world.commit({"lab.yaml": LAB.replace("RETENTION", "1s")})
    assert world.once() == world.once() == []  # the attempt, and then what it shared with nobody any more
    for kind in ("jobs", "ended", "bundles", "tmp"):
        assert list((spool(world) / kind).iterdir()) == [], kind

    assert {row["path"]: row["where"] for row in world.json("artifacts", "a/t")["artifacts"]} == {
        "model.txt": ["store"],
        "large.bin": [],
    }
    assert world.json("pull", "a/t", "model.txt", "-o", str(tmp_path / "out"))["copied"] == 1
    assert (tmp_path / "out" / "model.txt").read_text() == "weights\n"
    refused = world.lab("pull", "a/t", "-o", str(tmp_path / "all"), code=3)
    assert "large.bin" in refused.stderr
    assert "`lab rerun` makes it again" in refused.stderr
    (job,) = world.json("jobs", "--all")
    assert job["state"] == "COMPLETE"
    assert "0 attempts, " in {row["check"]: row["text"] for row in world.json("doctor", code=None)}["spool of local"]
    assert world.once() == [], "what is gone is not run again"


def test_after_a_rebuild_what_was_kept_can_still_be_had(world: LabWorld, tmp_path: Path) -> None:
    world.commit({"lab.yaml": LAB.replace("RETENTION", "1s")})
    assert world.once("--launch-existing") == ["a/t"]
    time.sleep(1.1)
    world.once()
    for name in ("ledger.sqlite3", "records.duckdb"):
        next((world.top / "state").glob(f"*/{name}")).unlink()
    world.lab("rebuild")
    assert world.json("pull", "a/t", "model.txt", "-o", str(tmp_path / "out"))["copied"] == 1
    assert world.once() == []
