"""R26: a job may put anything in place of the files of its folder. It harms its own attempt only."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from labwright.adapters.providers.local import files, stage
from labwright.adapters.providers.local.prepare import memory_limit
from labwright.adapters.providers.local.spool import Spool, read_claim, read_exit, read_phases
from labwright.adapters.records.from_results import MANIFEST
from labwright.decide.manifest_of import MOST_METRICS, manifest_bytes, manifest_of
from labwright.decide.tree_rules import LIMITS
from labwright.domain.ids import Handle
from labwright.domain.lifecycle import State
from labwright.domain.manifest import MetricSummary
from labwright.domain.task import Task
from labwright.ports.provider import Tail
from labwright.testing.ledger_suite import a_job, an_attempt

RECORD = {"phase": "run", "code": 0, "signal": None, "reason": None, "started": 1.0, "ended": 2.0, "node": "host"}
REPLACEMENTS: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a FIFO": os.mkfifo,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "no UTF-8": lambda path: path.write_bytes(b"\xff\xfe \xff"),
    "a deep nesting": lambda path: path.write_text("[" * 100_000),
    "a number": lambda path: path.write_text("7"),
}


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path)
    (tmp_path / "jobs" / "lab-a-1" / "artifacts").mkdir(parents=True)
    return spool


@pytest.mark.parametrize("what", REPLACEMENTS)
def test_r26_what_stands_in_place_of_the_wrappers_files_is_no_record_and_nobody_waits_for_it(
    spool: Spool, what: str
) -> None:
    job = spool.root / "jobs" / "lab-a-1"
    for name in ("claim", "phase", "exit.json", "limits.json", "environment.json", "source.json"):
        REPLACEMENTS[what](job / name)
    assert (read_claim(job), read_exit(job), read_phases(job), memory_limit(job)) == (None, None, {}, None)
    assert files.collect(spool, "lab-a-1").source == {}


@pytest.mark.parametrize(
    "forged",
    [
        {"code": None},
        {"code": 1e999},
        {"code": 10**30},
        {"code": "x"},
        {"signal": "KILL"},
        {"signal": 2**40},
        {"reason": ["oom"]},
        {"started": [1]},
        {"node": "\ud800"},
    ],
)
def test_r26_an_exit_record_that_no_wrapper_writes_is_none(spool: Spool, forged: dict[str, object]) -> None:
    job = spool.root / "jobs" / "lab-a-1"
    (job / "exit.json").write_text(json.dumps({**RECORD, **forged}))
    assert read_exit(job) is None
    (job / "exit.json").write_text(json.dumps({"phase": "run"}))
    assert read_exit(job) is None


def test_r23_an_exit_record_is_no_place_to_say_something(spool: Spool) -> None:
    job = spool.root / "jobs" / "lab-a-1"
    (job / "exit.json").write_text(json.dumps({**RECORD, "node": "not a host's name", "detail": "hello"}))
    seen = read_exit(job)
    assert seen and (seen.node, seen.detail) == ("", "")


def test_r26_only_ranks_that_the_records_can_hold_are_read(spool: Spool) -> None:
    job = spool.root / "jobs" / "lab-a-1"
    for rank in ("4294967296", "9" * 200, "٣", "999999999"):
        (job / f"events.{rank}.jsonl").write_text("{}\n")
    read = files.read(spool, [Tail(Handle("lab-a-1"), {})], 1 << 20)
    assert [chunk.file for chunk in read] == ["events.999999999.jsonl"]


def test_r26_a_folder_that_is_gone_between_two_looks_keeps_no_other_from_being_read(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (other := spool.root / "jobs" / "lab-b-1").mkdir()
    (other / "log.txt").write_text("hello\n")
    (spool.root / "jobs" / "lab-a-1" / "log.txt").write_text("never read\n")
    real = os.listdir

    def closed(path: Path) -> list[str]:
        if path.name == "lab-a-1":
            raise PermissionError
        return real(path)

    monkeypatch.setattr(os, "listdir", closed)
    tails = [Tail(Handle("lab-a-1"), {}), Tail(Handle("lab-b-1"), {})]
    assert [chunk.data for chunk in files.read(spool, tails, 1 << 20)] == [b"hello\n"]


def test_r26_folders_in_folders_without_end_break_neither_collecting_nor_a_job_that_needs_them(
    spool: Spool, tmp_path: Path
) -> None:
    artifacts, here = spool.root / "jobs" / "lab-a-1" / "artifacts", os.open(".", os.O_RDONLY)
    (artifacts / "kept.txt").write_text("kept")
    try:
        os.chdir(artifacts)
        for _ in range(1700):  # deeper than a path can name, and than Python may call itself
            os.mkdir("d")  # noqa: PTH102
            os.chdir("d")
    finally:
        os.fchdir(here)
        os.close(here)
    try:
        assert [artifact.path for artifact in files.collect(spool, "lab-a-1").artifacts] == ["kept.txt"]
        stage.share_tree(artifacts, tmp_path / "needs")
        assert [path.name for path in (tmp_path / "needs").iterdir()] == ["kept.txt"]
    finally:
        subprocess.run(["rm", "-rf", str(artifacts)], check=True)  # pytest's own cleaning calls itself


def test_r16_a_manifest_is_never_larger_than_what_is_read_again() -> None:
    summary = MetricSummary(last=-1 / 3, min=-1 / 3, max=-1 / 3, count=10**9, last_step=10**18)
    many = {f"{n:0200}": summary for n in range(MOST_METRICS + 1)}
    job, task = a_job(1, state=State.COMPLETE), Task.from_json('{"name": "t", "run": "true"}')
    made = manifest_of(job, task, [an_attempt(job, 1)], files={}, metrics=many, score={})
    assert len(made.metrics) == MOST_METRICS
    artifacts = files._MOST_NAMES * 2 + files._MOST_FILES * 300  # a name's characters may be spelled as two
    bundle = LIMITS.files * (LIMITS.path_bytes + 60)
    assert len(manifest_bytes(made)) + artifacts + bundle + 4 * files._MOST_JSON < MANIFEST
