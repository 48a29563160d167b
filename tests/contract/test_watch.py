"""Real pushes and commits wake; reading and our own results do not."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.observers import Observer

from labwright.adapters.repos.git import GitRepo
from labwright.adapters.repos.watch import Watcher, watch, watch_folder
from labwright.adapters.results import GitResultsBranch
from tests.contract.git_world import git, make_bare

pytestmark = pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")


class Bell:
    def __init__(self) -> None:
        self.rung = threading.Event()
        self.times = 0

    def __call__(self) -> None:
        self.times += 1
        self.rung.set()

    def rings(self, act: Callable[[], object], seconds: float = 20) -> bool:
        self.rung.clear()
        act()
        return self.rung.wait(seconds)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_bare(tmp_path / "remote.git")


@pytest.fixture
def work(tmp_path: Path, remote: Path) -> Path:
    git(tmp_path, "clone", "-q", str(remote), "work")
    git(tmp_path / "work", "checkout", "-q", "-b", "main")
    git(tmp_path / "work", "commit", "-q", "--allow-empty", "-m", "first")
    return tmp_path / "work"


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def watched(bell: Bell) -> Iterator[Callable[[Path], Watcher]]:
    open_: list[Watcher] = []

    def start(path: Path) -> Watcher:
        watcher = watch(path, bell)
        assert watcher is not None
        open_.append(watcher)
        return watcher

    yield start
    for watcher in open_:
        watcher.close()


def test_a_pushed_tag_wakes(watched: Callable[[Path], Watcher], work: Path, remote: Path, bell: Bell) -> None:
    """Without a forge, it may approve a pull request."""
    git(work, "push", "-q", "origin", "main")
    watched(remote)
    assert bell.rings(lambda: git(work, "push", "-q", "origin", "main:refs/tags/approve/7/ben"))


def test_a_push_into_a_bare_repository_wakes(
    remote: Path, work: Path, bell: Bell, watched: Callable[[Path], Watcher]
) -> None:
    watched(remote)
    for _ in range(3):
        git(work, "commit", "-q", "--allow-empty", "-m", "next")
        assert bell.rings(lambda: git(work, "push", "-q", "origin", "main"))


def test_a_push_of_a_branch_in_new_folders_wakes_and_so_does_the_next_one(
    remote: Path, work: Path, bell: Bell, watched: Callable[[Path], Watcher]
) -> None:
    watched(remote)
    repo = GitRepo(remote, remote.parent / "mirror.git", settle_after=None)
    assert bell.rings(lambda: git(work, "push", "-q", "origin", "HEAD:team/ada/topic"))
    for _ in range(3):
        git(work, "commit", "-q", "--allow-empty", "-m", "next")
        assert bell.rings(lambda: git(work, "push", "-q", "origin", "HEAD:team/ada/topic"))
    assert repo.fetch() == {"team/ada/topic": git(work, "rev-parse", "HEAD")}
    repo.close()


def test_a_commit_in_a_work_tree_wakes_also_when_named_by_a_linked_one(
    work: Path, bell: Bell, watched: Callable[[Path], Watcher]
) -> None:
    git(work, "worktree", "add", "-q", "../linked", "-b", "topic")
    watched(work.parent / "linked")
    assert bell.rings(lambda: git(work, "commit", "-q", "--allow-empty", "-m", "next"))
    assert bell.rings(lambda: git(work.parent / "linked", "commit", "-q", "--allow-empty", "-m", "next"))


def test_packing_and_removing_branches_wakes(work: Path, bell: Bell, watched: Callable[[Path], Watcher]) -> None:
    watched(work)
    assert bell.rings(lambda: git(work, "branch", "topic"))
    assert bell.rings(lambda: git(work, "pack-refs", "--all"))
    assert bell.rings(lambda: git(work, "branch", "-D", "topic"))


def test_reading_never_wakes(remote: Path, work: Path, bell: Bell, watched: Callable[[Path], Watcher]) -> None:
    git(work, "push", "-q", "origin", "main")
    watched(remote)
    repo = GitRepo(remote, remote.parent / "mirror.git", settle_after=None)

    def read() -> None:
        tip = repo.fetch()["main"]
        repo.snapshot(tip)
        repo.settle()
        git(remote, "log", "--all")

    assert not bell.rings(read, 0.3)
    repo.close()


def test_our_own_results_do_not_wake_us(
    remote: Path, work: Path, bell: Bell, watched: Callable[[Path], Watcher]
) -> None:
    git(work, "push", "-q", "origin", "main")
    watched(remote)
    results = GitResultsBranch(remote.parent / "mirror.git", remote)
    assert not bell.rings(lambda: results.publish({"results/a": b"1"}, "one"), 0.3)
    assert bell.rings(lambda: git(work, "push", "-q", "origin", "main:topic"))


def test_after_closing_nothing_wakes_and_closing_twice_is_quiet(work: Path, bell: Bell) -> None:
    with watch(work, bell) or pytest.fail("not watched") as watcher:
        pass
    watcher.close()
    assert not bell.rings(lambda: git(work, "commit", "-q", "--allow-empty", "-m", "next"), 0.2)


@pytest.mark.parametrize(
    "url", ["https://example.org/lab.git", "git@example.org:lab.git", "ext::sh", "/nowhere/at/all"]
)
def test_what_cannot_be_watched_is_none(url: str, bell: Bell) -> None:
    assert watch(url, bell) is None


def test_a_system_without_free_watches_is_none(work: Path, bell: Bell, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(Observer, "start", full)
    assert watch(work, bell) is None


def test_a_folder_tells_what_comes_into_it_and_goes(tmp_path: Path, bell: Bell) -> None:
    folder = tmp_path / "ended"
    folder.mkdir()
    watcher = watch_folder(folder, bell)
    assert watcher is not None
    assert bell.rings(lambda: (tmp_path / "x").write_text("") or (tmp_path / "x").rename(folder / "job"))
    assert bell.rings(lambda: (folder / "other").touch())
    assert bell.rings(lambda: (folder / "job").unlink())
    bell.rings(lambda: None, 1.0)  # what is still on its way
    assert not bell.rings(lambda: list(folder.iterdir()), 0.2)
    watcher.close()
