"""The outbox: finished jobs wait in it whole."""

from pathlib import Path

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


def test_a_job_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert list(Outbox(tmp_path).files("gone")) == []
