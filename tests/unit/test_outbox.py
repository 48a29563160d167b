"""The outbox: finished jobs wait in it whole."""

import os
from pathlib import Path
from typing import Any

import pytest

from labwright.control.outbox import Outbox


def test_what_is_put_waits_until_it_is_dropped(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "deep" / "outbox")
    outbox.put("b", b"{}", None)
    outbox.put("a", b"{}", b"PAR1")
    assert outbox.waiting() == ["a", "b"]
    assert dict(outbox.files("a")) == {"manifest.json": b"{}", "metrics.parquet": b"PAR1"}
    assert dict(outbox.files("b")) == {"manifest.json": b"{}"}
    outbox.drop("a")
    outbox.drop("a")
    assert Outbox(outbox.folder).waiting() == ["b"]


def test_a_second_time_replaces_the_first_whole(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.put("a", b"one", b"metrics")
    outbox.put("a", b"two", None)
    assert dict(outbox.files("a")) == {"manifest.json": b"two"}


def test_what_a_crash_left_half_done_does_not_wait_and_is_no_obstacle(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    (tmp_path / ".a").mkdir()
    (tmp_path / ".a" / "manifest.json").write_bytes(b"half")
    assert outbox.waiting() == []
    outbox.put("a", b"whole", None)
    assert dict(outbox.files("a")) == {"manifest.json": b"whole"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(tmp_path)
    outbox.put("a", b"one", None)

    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        outbox.put("a", b"two", None)
    assert dict(outbox.files("a")) == {"manifest.json": b"one"}


def test_all_of_it_is_on_the_disk_before_it_is_there_and_its_place_before_the_ledger_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        did.append(str(Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(tmp_path)))

    def replaced(path: Path, to: Any) -> Path:
        did.append(f"{path.name} > {Path(to).name}")
        return replace(path, to)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    Outbox(tmp_path).put("a", b"{}", b"PAR1")
    assert did == [".a/manifest.json", ".a/metrics.parquet", ".a", ".a > a", "."]


def test_many_are_put_at_once_and_one_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(tmp_path)
    outbox.put_all((f"job{n:03}", str(n).encode(), None) for n in range(100))
    assert len(outbox.waiting()) == 100
    assert dict(outbox.files("job077")) == {"manifest.json": b"77"}
    put = outbox.put
    monkeypatch.setattr(outbox, "put", lambda job, *files: 1 / 0 if job == "bad" else put(job, *files))
    with pytest.raises(ZeroDivisionError):
        outbox.put_all([("good", b"{}", None), ("bad", b"{}", None)])
    assert "good" in outbox.waiting()


def test_an_outbox_whose_folder_was_removed_is_empty_and_made_again(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox")
    outbox.folder.rmdir()
    assert outbox.waiting() == []
    outbox.put("a", b"{}", None)
    assert outbox.waiting() == ["a"]


def test_a_job_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert list(Outbox(tmp_path).files("gone")) == []
