"""The artifact store in a folder: what a crash, a full disk or a careless hand may do to it."""

import os
from pathlib import Path

import pytest

from labwright.adapters.artifacts.folder import FolderArtifacts
from labwright.domain.errors import Refused, Unavailable
from labwright.ports.artifacts import Usage
from labwright.testing.artifacts_suite import ArtifactsSuite, sha256

HELLO = sha256(b"hello")


@pytest.fixture
def store(tmp_path: Path) -> FolderArtifacts:
    return FolderArtifacts(tmp_path / "state" / "artifacts", reserve=0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "hello").write_bytes(b"hello")
    return tmp_path / "hello"


class TestFolderArtifacts(ArtifactsSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FolderArtifacts:
        return FolderArtifacts(tmp_path / "state" / "artifacts", reserve=0)


def place(tmp_path: Path) -> Path:
    return tmp_path / "state" / "artifacts" / HELLO[:2] / HELLO[2:]


def test_looking_into_a_store_that_is_not_there_makes_nothing(store: FolderArtifacts, tmp_path: Path) -> None:
    assert store.has([HELLO]) == frozenset()
    assert store.usage() == Usage(0, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_file_lies_under_its_digest_read_only_and_for_its_user_alone(
    store: FolderArtifacts, source: Path, tmp_path: Path
) -> None:
    store.put(source, HELLO)
    assert place(tmp_path).read_bytes() == b"hello"
    assert place(tmp_path).stat().st_mode & 0o777 == 0o444
    assert place(tmp_path).parent.stat().st_mode & 0o077 == 0
    assert list((tmp_path / "state" / "artifacts" / "tmp").iterdir()) == []
    store.fetch(HELLO, tmp_path / "got")
    (tmp_path / "got").write_bytes(b"mine to change")


def test_a_damaged_file_is_never_given_out_and_is_replaced_by_the_next_put(
    store: FolderArtifacts, source: Path, tmp_path: Path
) -> None:
    store.put(source, HELLO)
    place(tmp_path).chmod(0o644)
    place(tmp_path).write_bytes(b"hellO")
    with pytest.raises(Refused, match="damaged"):
        store.fetch(HELLO, tmp_path / "got")
    assert not (tmp_path / "got").exists()
    store.put(source, HELLO)
    store.fetch(HELLO, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b"hello"


def test_the_bytes_are_on_the_disk_before_the_name_is_there(
    store: FolderArtifacts, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        did.append(Path(f"/proc/self/fd/{descriptor}").readlink().parent.name)

    def renamed(path: Path, to: Path) -> Path:
        did.append("rename")
        return rename(path, to)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    store.put(source, HELLO)
    assert did == ["state", "tmp", "rename", "artifacts"]


def test_a_put_that_fails_half_way_leaves_nothing(
    store: FolderArtifacts, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, to: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        with pytest.raises(OSError, match="No space left"):
            store.put(source, HELLO)
    assert store.has([HELLO]) == frozenset()
    assert list((tmp_path / "state" / "artifacts" / "tmp").iterdir()) == []


def test_what_a_crash_left_half_made_is_no_file_and_goes_a_day_later(
    store: FolderArtifacts, source: Path, tmp_path: Path
) -> None:
    drafts = tmp_path / "state" / "artifacts" / "tmp"
    drafts.mkdir(parents=True)
    for name in ("old", "new"):
        (drafts / name).write_bytes(b"hel")
    then = (drafts / "old").stat().st_mtime - 2 * 86400
    os.utime(drafts / "old", (then, then))
    assert store.usage() == Usage(0, 0)
    store.put(source, HELLO)
    assert [path.name for path in drafts.iterdir()] == ["new"]


def test_some_of_the_disk_stays_free(source: Path, tmp_path: Path) -> None:
    store = FolderArtifacts(tmp_path / "artifacts", reserve=1 << 60)
    with pytest.raises(Unavailable, match="MiB free"):
        store.put(source, HELLO)
    assert store.has([HELLO]) == frozenset()


def test_another_process_sees_what_was_put(store: FolderArtifacts, source: Path, tmp_path: Path) -> None:
    store.put(source, HELLO)
    assert FolderArtifacts(tmp_path / "state" / "artifacts").has([HELLO]) == {HELLO}
