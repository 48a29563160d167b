"""`github_repo_url` with the real git and a repository in a folder."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from labwright.domain.errors import LabError, Refused
from labwright.domain.lifecycle import Outcome
from labwright.testing.provider_bench import File, Script, leaves
from tests.contract.local_bench import LocalBench


class Upstream:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "trunk")
        self.first = self.commit({"a.txt": "first\n", "sub/b.txt": "b\n"})

    @property
    def url(self) -> str:
        return f"file://{self.folder}"

    def git(self, *argv: str) -> str:
        identity = ["-c", "user.name=x", "-c", "user.email=x@y"]
        ran = subprocess.run(["git", *identity, *argv], cwd=self.folder, check=True, capture_output=True, text=True)
        return ran.stdout.strip()

    def commit(self, files: dict[str, str]) -> str:
        for name, text in files.items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-qm", "x")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def bench(tmp_path: Path) -> LocalBench:
    return LocalBench(tmp_path)


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    return Upstream(tmp_path / "upstream")


def run(
    bench: LocalBench, upstream: Upstream, script: str, files: dict[str, File] | None = None, **task: Any
) -> tuple[str, dict[str, str]]:
    asked = {"github_repo_url": upstream.url, **{f"github_repo_{k}": v for k, v in task.items()}}
    handle = bench.submit(Script(script), files=files, task=asked)
    assert bench.ended(handle).outcome is Outcome.OK, bench.log(handle)
    return bench.log(handle).decode(), dict(bench.provider.collect(handle).source)


def test_the_default_branch_is_there_at_a_recorded_commit(bench: LocalBench, upstream: Upstream) -> None:
    log, source = run(bench, upstream, "cat a.txt sub/b.txt; ls -A")
    assert log == "first\nb\na.txt\nsub\n"
    assert source == {"url": upstream.url, "sha": upstream.first, "dir": ""}


def test_a_branch_a_tag_or_a_commit_can_be_named(bench: LocalBench, upstream: Upstream) -> None:
    upstream.git("tag", "-a", "v1", "-m", "x")
    second = upstream.commit({"a.txt": "second\n"})
    upstream.git("branch", "feature/x")
    upstream.commit({"a.txt": "third\n"})
    for ref, text, sha in (
        ("v1", "first", upstream.first),
        ("feature/x", "second", second),
        (second, "second", second),
    ):
        log, source = run(bench, upstream, "cat a.txt", branch=ref)
        assert (log.strip(), source["sha"]) == (text, sha)


def test_only_the_named_folder_is_taken(bench: LocalBench, upstream: Upstream) -> None:
    log, source = run(bench, upstream, "ls -A", dir="sub")
    assert (log, source["dir"]) == ("b.txt\n", "sub")


def test_the_tasks_own_files_go_over_the_repositorys(bench: LocalBench, upstream: Upstream) -> None:
    log, _ = run(bench, upstream, "cat a.txt sub/b.txt sub/c.txt", {"a.txt": b"mine\n", "sub/c.txt": b"c\n"})
    assert log == "mine\nb\nc\n"


def test_a_link_of_the_repository_leads_none_of_the_tasks_files_out(
    bench: LocalBench, upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (upstream.folder / "out").symlink_to(tmp_path / "outside")
    upstream.commit({})
    log, _ = run(bench, upstream, "cat out/x", {"out/x": b"x\n"})
    assert log == "x\n"
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_newer_commit_is_seen_by_the_next_submission(bench: LocalBench, upstream: Upstream) -> None:
    run(bench, upstream, "true")
    second = upstream.commit({"a.txt": "second\n"})
    assert run(bench, upstream, "cat a.txt")[1]["sha"] == second


def test_the_commit_is_recorded_also_of_a_job_that_dies(bench: LocalBench, upstream: Upstream) -> None:
    handle = bench.submit(Script("kill -9 -$$"), task={"github_repo_url": upstream.url})
    bench.ended(handle)
    assert bench.provider.collect(handle).source["sha"] == upstream.first


@pytest.mark.parametrize(
    ("url", "branch", "words"),
    [
        ("file:///no/such/repository", None, "no/such/repository"),
        ("HERE", "no-such-branch", "no branch or tag 'no-such-branch'"),
        ("HERE", "f" * 40, "git:"),
        ("--upload-pack=touch /tmp/x", None, "not an https, ssh or file URL"),
        ("ext::sh -c true", None, "not an https, ssh or file URL"),
        ("https://user:pw@host/x", None, "password"),
        ("HERE", "--upload-pack=x", "cannot be a branch"),
    ],
)
def test_what_cannot_be_fetched_is_refused_in_gits_words(
    bench: LocalBench, upstream: Upstream, url: str, branch: str | None, words: str
) -> None:
    submission = bench.submission(leaves(0))
    asked = {"github_repo_url": upstream.url if url == "HERE" else url, "github_repo_branch": branch}
    task = submission.task.model_copy(update=asked)  # what no parser would let through is refused here too
    from dataclasses import replace

    answer = bench.provider.submit([replace(submission, task=task)])[submission.token]
    assert isinstance(answer, Refused)
    assert words in str(answer)
    assert "pw" not in str(answer).replace("password", "")


def test_a_folder_that_is_not_in_the_repository_is_refused(bench: LocalBench, upstream: Upstream) -> None:
    submission = bench.submission(leaves(0), task={"github_repo_url": upstream.url, "github_repo_dir": "nope"})
    answer = bench.provider.submit([submission])[submission.token]
    assert isinstance(answer, LabError)
    assert "nope" in str(answer)


def test_hooks_and_filters_of_the_repository_do_not_run(bench: LocalBench, upstream: Upstream, tmp_path: Path) -> None:
    upstream.commit({".gitattributes": "* filter=evil\n", "a.txt": "plain\n"})
    log, _ = run(bench, upstream, "cat a.txt")
    assert log == "plain\n"
