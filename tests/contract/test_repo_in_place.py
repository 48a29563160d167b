"""A repository of this machine is read where it lies, and copied in time."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labwright.adapters.repos.git import GitRepo, upkeep
from labwright.domain.errors import Refused, Unavailable
from tests.contract.git_world import GitWorld, git


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GitWorld]:
    world = GitWorld(tmp_path, settle_after=None)
    yield world
    world.close()


def read(repo: GitRepo, commit: str) -> dict[str, bytes]:
    entries = repo.snapshot(commit).entries
    return dict(zip(entries, repo.read([e.oid for e in entries.values()]), strict=True))


def clone(world: GitWorld, name: str, *how: str) -> Path:
    path = world.remote.parent / name
    git(world.remote.parent, "clone", "-q", *how, f"file://{world.remote}", str(path))
    return path


def test_a_fetch_copies_nothing_and_everything_can_be_read(world: GitWorld) -> None:
    tip = world.commit({"a": b"1"})
    world.repo.fetch()
    assert read(world.repo, tip) == {"a": b"1"}
    assert git(world.mirror, "count-objects") == "0 objects, 0 kilobytes"


def test_what_is_settled_outlives_the_repository(world: GitWorld) -> None:
    tip = world.commit({"a": b"1"})
    world.repo.fetch()
    world.repo.settle()
    shutil.rmtree(world.remote)
    assert read(world.repo, tip) == {"a": b"1"}
    world.repo.close()
    again = world.open()  # and a restart
    assert read(again, tip) == {"a": b"1"}
    assert [c.sha for c in again.between(None, tip)] == [tip]
    with pytest.raises(Unavailable):
        again.fetch()
    again.close()


def test_the_next_fetch_after_its_return_reads_it_again(world: GitWorld) -> None:
    world.commit({"a": b"1"})
    world.repo.fetch()
    world.repo.settle()
    world.repo.close()
    away = world.remote.with_suffix(".away")
    shutil.move(world.remote, away)
    again = world.open()
    with pytest.raises(Unavailable):
        again.fetch()
    shutil.move(away, world.remote)
    tip = world.commit({"a": b"2"})
    assert again.fetch() == {"main": tip}
    assert read(again, tip) == {"a": b"2"}
    again.close()


def test_a_commit_that_a_force_push_replaced_before_settling_is_kept_too(world: GitWorld) -> None:
    first = world.commit({"a": b"1"})
    world.repo.fetch()
    git(world.remote, "update-ref", "-d", "refs/heads/main")
    second = world.commit({"a": b"2"})
    world.repo.fetch()
    world.repo.settle()
    git(world.remote, "reflog", "expire", "--expire=now", "--all")
    git(world.remote, "gc", "-q", "--prune=now")
    assert read(world.repo, first) == {"a": b"1"}
    assert read(world.repo, second) == {"a": b"2"}


def test_commits_gone_before_settling_do_not_stop_it(world: GitWorld) -> None:
    world.commit({"a": b"1"})
    world.repo.fetch()
    git(world.remote, "update-ref", "-d", "refs/heads/main")
    second = world.commit({"a": b"2"})
    world.repo.fetch()
    git(world.remote, "gc", "-q", "--prune=now")
    world.repo.settle()
    shutil.rmtree(world.remote)
    assert read(world.repo, second) == {"a": b"2"}


def test_a_repack_of_the_source_disturbs_no_reader(world: GitWorld) -> None:
    commits = [world.commit({"a": str(n).encode()}) for n in range(3)]
    world.repo.fetch()
    assert read(world.repo, commits[0]) == {"a": b"0"}
    git(world.remote, "gc", "-q", "--prune=now")
    assert [read(world.repo, c)["a"] for c in commits] == [b"0", b"1", b"2"]
    tip = world.commit({"a": b"new"})
    world.repo.fetch()
    assert read(world.repo, tip) == {"a": b"new"}


def test_settling_comes_by_itself(tmp_path: Path) -> None:
    world = GitWorld(tmp_path, settle_after=0.01)
    tip = world.commit({"a": b"1"})
    world.repo.fetch()
    for _ in range(500):
        if git(world.remote, "--git-dir", str(world.mirror), "cat-file", "-t", tip, check=False) == "commit":
            break
        threading.Event().wait(0.02)
    else:
        pytest.fail("never settled")
    world.close()


def test_settling_in_the_background_never_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = GitWorld(tmp_path, settle_after=None)
    world.commit({"a": b"1"})
    world.repo.fetch()
    shutil.rmtree(world.remote)
    world.repo._settle_quietly()
    with pytest.raises(Unavailable):
        world.repo.settle()
    world.close()


def test_many_small_files_of_the_mirror_become_packs_and_none_is_lost(
    world: GitWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "MOST_LOOSE", -1)
    first = world.commit({"a": b"1"})
    world.repo.fetch()
    (world.mirror / "objects" / "17").mkdir(exist_ok=True)
    world.repo.settle()
    git(world.remote, "update-ref", "-d", "refs/heads/main")
    second = world.commit({"a": b"2"})
    world.repo.fetch()
    (world.mirror / "objects" / "17").mkdir(exist_ok=True)
    world.repo.settle()
    shutil.rmtree(world.remote)
    assert git(world.mirror, "count-objects") == "0 objects, 0 kilobytes"
    assert [read(world.repo, commit) for commit in (first, second)] == [{"a": b"1"}, {"a": b"2"}]


def test_threads_read_and_fetch_at_the_same_time(world: GitWorld) -> None:
    files = {f"f{n}": bytes([n]) * 5000 for n in range(50)}
    tip = world.commit(files)
    world.repo.fetch()
    wrong: list[object] = []

    def reader() -> None:
        for _ in range(10):
            if read(world.repo, tip) != files:
                wrong.append("bytes")

    def fetcher() -> None:
        for _ in range(10):
            world.repo.fetch()
            world.repo.settle()

    threads = [threading.Thread(target=work) for work in (reader, reader, fetcher)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_reader_that_was_killed_is_started_again(world: GitWorld) -> None:
    tip = world.commit({"a": b"1"})
    world.repo.fetch()
    read(world.repo, tip)
    objects = world.repo._open().objects
    for inner in (objects._contents, objects._checks):
        if inner._child is not None:
            inner._child.kill()
            inner._child.wait()
    assert read(world.repo, tip) == {"a": b"1"}
    assert list(world.repo.sizes([e.oid for e in world.repo.snapshot(tip).entries.values()]).values()) == [1]


def test_a_work_tree_is_named_by_its_folder_or_a_linked_one(world: GitWorld) -> None:
    tip = world.commit({"a": b"1"})
    work = clone(world, "work")
    git(work, "worktree", "add", "-q", "../linked", "-b", "topic")
    for path in (work, world.remote.parent / "linked", work / ".git"):
        repo = GitRepo(path, world.remote.parent / f"m-{path.name}.git", settle_after=None)
        assert repo.fetch() == {"main": tip, "topic": tip}
        repo.settle()
        assert read(repo, tip) == {"a": b"1"}
        repo.close()


def test_a_shallow_clone_is_copied_and_not_read_in_place(world: GitWorld) -> None:
    for n in range(3):
        tip = world.commit({"a": str(n).encode()})
    shallow = clone(world, "shallow", "--depth=1")
    repo = GitRepo(shallow, world.remote.parent / "m.git")
    assert repo.fetch() == {"main": tip}
    assert read(repo, tip) == {"a": b"2"}
    assert [c.sha for c in repo.between(None, tip)] == [tip]
    repo.close()


def test_a_source_whose_path_has_a_colon_is_read(tmp_path: Path) -> None:
    world = GitWorld(tmp_path / 'a:"b\\c', settle_after=None)
    tip = world.commit({"a": b"1"})
    repo = GitRepo(world.remote, tmp_path / "m.git", settle_after=None)
    repo.fetch()
    assert read(repo, tip) == {"a": b"1"}
    repo.settle()
    repo.close()
    world.close()


@pytest.mark.parametrize("in_place", [True, False])
def test_the_default_branch_of_a_bare_repository_is_its_head(tmp_path: Path, in_place: bool) -> None:
    world = GitWorld(tmp_path, in_place=in_place, settle_after=None)
    world.commit({"a": b"1"}, branch="trunk")
    world.commit({"a": b"1"}, branch="main")
    git(world.remote, "symbolic-ref", "HEAD", "refs/heads/trunk")
    world.repo.fetch()
    assert world.repo.default_branch() == "trunk"
    world.close()


def test_the_default_branch_of_a_work_tree_is_what_origin_says_and_not_what_is_checked_out(world: GitWorld) -> None:
    world.commit({"a": b"1"}, branch="trunk")
    git(world.remote, "symbolic-ref", "HEAD", "refs/heads/trunk")
    work = clone(world, "work")
    git(work, "checkout", "-q", "-b", "feature")
    repo = GitRepo(work, world.remote.parent / "m.git", settle_after=None)
    repo.fetch()
    assert repo.default_branch() == "trunk"
    git(work, "remote", "remove", "origin")
    git(work, "branch", "-m", "trunk", "master")
    repo.fetch()
    assert repo.default_branch() == "master"
    git(work, "branch", "-D", "master")
    repo.fetch()
    assert repo.default_branch() == "feature"
    repo.close()


@pytest.mark.parametrize("what", ["missing", "plain folder", "file"])
def test_a_place_that_is_no_repository_is_refused_with_what_to_do(tmp_path: Path, what: str) -> None:
    path = tmp_path / "x"
    if what == "plain folder":
        path.mkdir()
    elif what == "file":
        path.write_text("x")
    with pytest.raises(Refused, match=r"is no git repository .*git init"):
        GitRepo(path, tmp_path / "m.git").fetch()
