"""The results branch against what real git and real people do to it."""

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from labwright.adapters.results import GitResultsBranch, branch, open_results
from labwright.domain.errors import Refused, Unavailable
from tests.contract.git_world import ENV, GitResultsWorld, git, make_bare


@pytest.fixture
def world(tmp_path: Path) -> GitResultsWorld:
    return GitResultsWorld(tmp_path)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branch, "_WAITS", (0.0,) * 7)


def interrupted(ours: GitResultsBranch, between: Callable[[], None]) -> None:
    """Let something happen after each commit is made and before it is pushed."""
    push = ours._push

    def later(commit: str) -> bool:
        between()
        return push(commit)

    ours._push = later  # type: ignore[method-assign]


def subjects(world: GitResultsWorld) -> list[str]:
    return git(world.remote, "log", "--reverse", "--format=%s", "lab-results").splitlines()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("known", [True, False], ids=["on-a-tip", "orphan-root"])
def test_a_race_lost_several_times_is_won_at_last_and_nothing_is_lost(world: GitResultsWorld, known: bool) -> None:
    if known:
        world.branch.publish({"start": b"1"}, "start")
    other, turns = world.other(), itertools.count()

    def rival() -> None:
        turn = next(turns)
        if turn < 5:
            other.publish({f"theirs/{turn}": b"1"}, f"theirs {turn}")

    interrupted(world.branch, rival)
    world.branch.publish({"ours": b"1"}, "ours")
    expected = {"ours", *(f"theirs/{n}" for n in range(5))} | ({"start"} if known else set())
    assert dict(world.reopen().files()).keys() == expected
    assert world.commits() == len(expected)
    assert git(world.remote, "log", "--merges", "lab-results") == ""


@pytest.mark.usefixtures("at_once")
def test_a_race_lost_for_ever_is_unavailable(world: GitResultsWorld) -> None:
    other, turns = world.other(), itertools.count()
    interrupted(world.branch, lambda: other.publish({f"theirs/{next(turns)}": b"1"}, "theirs") and None)
    with pytest.raises(Unavailable, match="others keep writing"):
        world.branch.publish({"ours": b"1"}, "ours")
    assert next(turns) == 8


@pytest.mark.slow
def test_two_writers_at_once_lose_nothing(world: GitResultsWorld) -> None:
    other = world.other()

    def write(name: str, results: GitResultsBranch) -> None:
        for n in range(15):
            while True:
                try:
                    results.publish({f"{name}/{n}": b"1"}, f"{name} {n}")
                    break
                except Unavailable:
                    continue

    threads = [threading.Thread(target=write, args=pair) for pair in (("ours", world.branch), ("theirs", other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(dict(world.reopen().files())) == 30
    assert sorted(subjects(world)) == sorted(f"{name} {n} [skip ci]" for name in ("ours", "theirs") for n in range(15))


PUBLISHER = """
import sys, time
from pathlib import Path
from labwright.adapters.results import GitResultsBranch
ours = GitResultsBranch(Path(sys.argv[1]), sys.argv[2])
push = ours._push
def stop(word):
    print(word, flush=True); time.sleep(60)
def slow(commit):
    if sys.argv[3] == "before": stop("imported")
    answer = push(commit)
    if sys.argv[3] == "after": stop("pushed")
    return answer
ours._push = slow
for n in range(int(sys.argv[4])):
    ours.publish({f"results/{n}": b"1"}, f"job {n}")
"""


def publisher(world: GitResultsWorld, where: str, jobs: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", PUBLISHER, str(world.branch.mirror), str(world.remote), where, str(jobs)]
    return subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE, start_new_session=True)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["before", "after"])
def test_a_publisher_killed_around_its_push_publishes_again_without_loss_or_double(
    world: GitResultsWorld, where: str
) -> None:
    world.branch.publish({"results/start": b"1"}, "start")
    child = publisher(world, where, 1)
    assert child.stdout is not None
    child.stdout.readline()
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    world.reopen().publish({"results/0": b"1"}, "job 0")
    assert dict(world.reopen().files()) == {"results/start": b"1", "results/0": b"1"}
    assert subjects(world) == ["start [skip ci]", "job 0 [skip ci]"]


@pytest.mark.slow
def test_a_publisher_killed_at_any_instant_loses_and_doubles_nothing(world: GitResultsWorld) -> None:
    for wait in range(1, 9):
        child = publisher(world, "", 20)
        threading.Event().wait(0.15 * wait)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    for lock in world.remote.rglob("*.lock"):  # receive-pack died with it: what a person would remove, after a while
        lock.unlink()
    last = world.reopen()
    for n in range(20):
        last.publish({f"results/{n}": b"1"}, f"job {n}")
    assert dict(world.reopen().files()) == {f"results/{n}": b"1" for n in range(20)}
    assert subjects(world) == [f"job {n} [skip ci]" for n in range(20)]
    git(world.remote, "fsck", "--strict")


def test_old_locks_of_a_killed_git_are_cleared_and_fresh_ones_are_respected(world: GitResultsWorld) -> None:
    world.branch.publish({"a": b"1"}, "one")
    lock = world.branch.mirror / "refs" / "lab" / "results.lock"
    lock.touch()
    with pytest.raises(Unavailable, match=r"results\.lock"):
        world.reopen().publish({"b": b"1"}, "two")
    os.utime(lock, (0, 0))
    world.reopen().publish({"b": b"1"}, "two")
    assert subjects(world) == ["one [skip ci]", "two [skip ci]"]


def test_the_branch_is_an_orphan_of_its_own(world: GitResultsWorld) -> None:
    world.branch.publish({"a": b"1"}, "one")
    assert git(world.remote, "rev-list", "--max-parents=0", "lab-results") == git(
        world.remote, "rev-parse", "lab-results"
    )
    assert git(world.remote, "for-each-ref", "--format=%(refname)") == "refs/heads/lab-results"


def test_r38_each_commit_skips_ci_and_names_its_writer(world: GitResultsWorld) -> None:
    world.branch.publish({"a": b"1"}, "alpha/train: COMPLETE\n\nSource-Commit: " + "a" * 40)
    world.branch.publish({"a": b"2"}, "alpha/train: COMPLETE\n\nSome words.\n")
    world.branch.publish({"a": b"3"}, "no body")
    assert subjects(world) == [
        "alpha/train: COMPLETE [skip ci]",
        "alpha/train: COMPLETE [skip ci]",
        "no body [skip ci]",
    ]
    trailers = git(
        world.remote, "log", "--reverse", "--format=%(trailers:only,separator=%x2c)%x2f%an <%ae>", "lab-results"
    )
    ours = "Lab-Written-By: labwright/Labwright <labwright@localhost>"
    assert trailers.splitlines() == [f"Source-Commit: {'a' * 40},{ours}", ours, ours]


def test_r37_a_rewritten_branch_is_followed_and_never_forced(world: GitResultsWorld) -> None:
    world.branch.publish({"a": b"1"}, "one")
    world.branch.publish({"b": b"1"}, "two")
    tree = git(world.remote, "rev-parse", "lab-results~1^{tree}")
    human = git(world.remote, "commit-tree", tree, "-m", "cleaned up by hand")
    git(world.remote, "update-ref", "refs/heads/lab-results", human)
    world.branch.publish({"c": b"1"}, "three")
    assert subjects(world) == ["cleaned up by hand", "three [skip ci]"]
    assert dict(world.branch.files()) == {"a": b"1", "c": b"1"}


def test_a_removed_branch_is_made_again_whole(world: GitResultsWorld) -> None:
    world.branch.publish({"a": b"1"}, "one")
    git(world.remote, "update-ref", "-d", "refs/heads/lab-results")
    world.branch.publish({"b": b"1"}, "two")
    assert dict(world.reopen().files()) == {"a": b"1", "b": b"1"}


@pytest.mark.parametrize("kind", ["file", "text"])
def test_r38_with_a_key_each_commit_is_signed(tmp_path: Path, kind: str) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text()
    (tmp_path / "signers").write_text(f"labwright@localhost {public}")
    given = str(key) if kind == "file" else str(key.with_suffix(".pub"))
    world = GitResultsWorld(tmp_path, signing_key=given)
    world.branch.publish({"a": b"1"}, "one")
    tip = world.branch.publish({"b": b"1"}, "two\n\nSource-Commit: x")
    assert world.branch.publish({"b": b"1"}, "again") == tip
    check = ("-c", f"gpg.ssh.allowedSignersFile={tmp_path / 'signers'}")
    git(world.remote, *check, "verify-commit", "lab-results", "lab-results~1")
    assert subjects(world) == ["one [skip ci]", "two [skip ci]"]
    assert "Lab-Written-By: labwright" in git(world.remote, "log", "-1", "--format=%(trailers)", "lab-results")


def test_a_key_that_cannot_sign_is_unavailable_and_pushes_nothing(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key at all")
    world = GitResultsWorld(tmp_path, signing_key=str(tmp_path / "key"))
    with pytest.raises(Unavailable, match="git commit-tree: "):
        world.branch.publish({"a": b"1"}, "one")
    assert git(world.remote, "for-each-ref") == ""


def test_a_checked_out_results_branch_is_refused_with_what_to_do(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-q", "-b", "lab-results")
    git(work, "commit", "-q", "--allow-empty", "-m", "x")
    with pytest.raises(Refused, match=r"lab-results is checked out in .*work.* \(switch to another branch"):
        GitResultsBranch(tmp_path / "m.git", work).publish({"a": b"1"}, "one")


def test_a_work_tree_on_another_branch_takes_results_and_stays_as_it_is(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-q", "-b", "main")
    git(work, "commit", "-q", "--allow-empty", "-m", "x")
    (work / "unsaved").write_text("mine")
    GitResultsBranch(tmp_path / "m.git", work).publish({"results/a": b"1"}, "one")
    assert dict(open_results(work)) == {"results/a": b"1"}
    assert git(work, "status", "--short") == "?? unsaved"


def test_a_server_that_says_no_is_named_with_its_reason(world: GitResultsWorld) -> None:
    hook = world.remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'only robots' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(Unavailable, match=r"does not accept lab-results: pre-receive hook declined"):
        world.branch.publish({"a": b"1"}, "one")


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "a/./b", ".git/config", "a/.GIT/x", "", "a\0b"])
def test_a_path_out_of_the_branch_is_refused(world: GitResultsWorld, path: str) -> None:
    with pytest.raises(Refused):
        world.branch.publish({path: b"1"}, "one")


def test_odd_paths_and_messages_are_text_and_no_commands_of_the_import(world: GitResultsWorld) -> None:
    files = {'results/"q"\\ é\n\tx': b"M 100644 inline y\ndata 1\nz\n", "results/\udcff": b"", "results/ -x ": b"1\n"}
    world.branch.publish(files, "subject\n\ndone\nM 100644 inline evil\ndata 1\nx\n")
    assert dict(world.reopen().files()) == files


@pytest.mark.parametrize("author", [("", "a@b"), ("a", ""), ("a\n", "a@b"), ("a", "a>b"), ("a<", "b")])
def test_an_author_that_git_cannot_write_is_refused(tmp_path: Path, author: tuple[str, str]) -> None:
    with pytest.raises(Refused):
        GitResultsBranch(tmp_path / "m.git", tmp_path, author=author)


def test_results_are_read_from_a_clone_whose_own_branch_lags_behind(world: GitResultsWorld, tmp_path: Path) -> None:
    world.branch.publish({"a": b"1"}, "one")
    git(tmp_path, "clone", "-q", "-b", "lab-results", str(world.remote), "clone")
    clone = tmp_path / "clone"
    assert dict(open_results(clone)) == {"a": b"1"}
    world.branch.publish({"a": b"2"}, "two")
    git(clone, "fetch", "-q")
    assert dict(open_results(str(clone))) == {"a": b"2"}
    git(clone, "checkout", "-q", "-b", "main")
    git(clone, "branch", "-q", "-D", "lab-results")
    assert dict(open_results(clone)) == {"a": b"2"}
    assert dict(open_results(f"file://{clone}")) == {"a": b"2"}


def test_a_clone_without_results_is_refused_at_once_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"no branch lab-results \(git fetch origin lab-results"):
        open_results(make_bare(tmp_path / "x.git"))
    with pytest.raises(Refused, match="is no git repository"):
        open_results(tmp_path)


@pytest.mark.slow
def test_ten_thousand_jobs_are_one_commit(world: GitResultsWorld) -> None:
    files = {
        f"results/e{n % 20}/t/{n:06}/{name}": b"%d" % n
        for n in range(10_000)
        for name in ("manifest.json", "m.parquet")
    }
    world.branch.publish(files, "many")
    assert world.commits() == 1
    assert sum(1 for _ in world.reopen().files("manifest.json")) == 10_000
