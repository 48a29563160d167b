"""A repository behind a transport, here `git daemon`: nothing of it is in reach but what git gives."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from labwright.adapters.repos.git import GitRepo
from labwright.adapters.results import GitResultsBranch, open_results
from labwright.domain.errors import Refused, Unavailable
from labwright.testing.repo_suite import RepoSuite
from tests.contract.git_world import ENV, GitWorld, git

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    top = tmp_path_factory.mktemp("daemon")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    how = (
        "--reuseaddr",
        "--export-all",
        "--listen=127.0.0.1",
        f"--port={port}",
        "--enable=receive-pack",
        f"--base-path={top}",
    )
    child = subprocess.Popen(["git", "daemon", *how, "--log-destination=none"], env=ENV)
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert child.poll() is None
    yield top, f"git://127.0.0.1:{port}"
    child.terminate()
    child.wait()


@pytest.fixture(params=["sha1", "sha256"])
def world(request: pytest.FixtureRequest, daemon: tuple[Path, str], tmp_path: Path) -> Iterator[GitWorld]:
    top, url = daemon
    world = GitWorld(top / tmp_path.name, kind=request.param, url=f"{url}/{tmp_path.name}/remote.git")
    world.mirror = tmp_path / "mirror.git"
    world.repo = world.open()
    yield world
    world.close()


class TestRemoteRepo(RepoSuite):
    pass


def test_the_default_branch_is_what_the_remote_says(world: GitWorld) -> None:
    world.commit({"a": b"1"}, branch="trunk")
    world.commit({"a": b"1"})
    git(world.remote, "symbolic-ref", "HEAD", "refs/heads/trunk")
    world.repo.fetch()
    assert world.repo.default_branch() == "trunk"


def test_what_was_fetched_once_can_be_read_without_the_remote_after_a_restart(world: GitWorld) -> None:
    tip = world.commit({"a": b"1"})
    world.repo.fetch()
    world.take_down()
    world.repo.close()
    again = world.open()
    assert again.tips() == {"main": tip}
    assert list(again.snapshot(tip).entries) == ["a"]
    with pytest.raises(Unavailable):
        again.fetch()
    again.close()


def test_a_remote_emptied_between_two_processes_is_unavailable(world: GitWorld) -> None:
    tip = world.commit({"a": b"1"})
    world.repo.fetch()
    world.repo.close()
    world.drop_branch("main")
    again = world.open()
    for _ in range(2):
        with pytest.raises(Unavailable, match="no branch where there were some"):
            again.fetch()
    assert again.tips() == {"main": tip}
    again.close()


def test_results_go_through_a_transport_and_come_back(world: GitWorld, tmp_path: Path) -> None:
    world.commit({"a": b"1"})
    with pytest.raises(Refused, match="has no branch lab-results"):
        open_results(world.url)
    branch = GitResultsBranch(world.mirror, world.url)
    assert branch.tip() is None
    branch.publish({"results/a/manifest.json": b"{}", "results/README.md": b"#"}, "first")
    GitResultsBranch(tmp_path / "other.git", world.url).publish({"results/b": b"1"}, "second")
    branch.publish({"results/c": b"1"}, "third")
    assert dict(open_results(world.url)) == dict(branch.files())
    assert [path for path, _ in open_results(world.url, "manifest.json")] == ["results/a/manifest.json"]


def test_nobody_there_is_unavailable(tmp_path: Path) -> None:
    url = "git://127.0.0.1:9/lab.git"
    for ask in (GitRepo(url, tmp_path / "m").fetch, GitResultsBranch(tmp_path / "m", url).tip):
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
            ask()
