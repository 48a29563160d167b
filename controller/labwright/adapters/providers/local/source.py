"""`github_repo_url`: a repository's files at an exact commit, kept once per commit in the spool."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labwright.adapters.providers.local.spool import Spool
from labwright.adapters.providers.local.stage import appearing
from labwright.domain.errors import LabError, Refused, Unavailable
from labwright.domain.ids import digest
from labwright.domain.task import Task

_URL = re.compile(r"(https|ssh|file)://[^\s\x00-\x1f]+|[A-Za-z0-9._-]+@[A-Za-z0-9._-]+:[^\s\x00-\x1f]+")
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+@#=-]*")
_TRY_AGAIN = re.compile(
    r"could not resolve|timed? ?out|connection (refused|reset|closed)|unreachable|early eof|hung up|\b5\d\d\b|rpc failed",
    re.IGNORECASE,
)
_SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "filter.lfs.smudge=", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false")  # fmt: skip

Resolved = MutableMapping[tuple[str, str], str]
"""(url, ref) → SHA, kept for one batch so that a sweep asks the remote once."""


@dataclass(frozen=True, slots=True)
class Source:
    url: str
    sha: str
    dir: str
    folder: Path

    @property
    def record(self) -> Mapping[str, str]:
        return {"url": self.url, "sha": self.sha, "dir": self.dir}


def provide(spool: Spool, task: Task, resolved: Resolved) -> Source | None:
    """The files that the task asks for, fetched if they are not here yet. None for a task that asks for none.

    Raises Refused for what a human must change, Unavailable for what may pass, both in git's own words."""
    if not task.github_repo_url:
        return None
    if wrong := problem(task):
        raise Refused(wrong)
    url, ref, below = task.github_repo_url, task.github_repo_branch or "HEAD", (task.github_repo_dir or "").strip("/")
    sha = ref if _SHA.fullmatch(ref) else resolved.get((url, ref)) or _resolve(url, ref)
    resolved[url, ref] = sha
    folder = spool.root / "sources" / digest([url, sha, below])
    if not folder.is_dir():
        with appearing(spool, folder) as new:
            _fetch(url, sha, ref, below, new)
    return Source(url, sha, below, folder)


def problem(task: Task) -> str | None:
    """Why the task's repository can never be fetched, in one sentence."""
    url, ref, below = task.github_repo_url, task.github_repo_branch or "HEAD", (task.github_repo_dir or "").strip("/")
    if url is None:
        return None
    if not _URL.fullmatch(url):
        return f"github_repo_url: {url!r} is not an https, ssh or file URL; write https://host/owner/repo.git"
    if re.match(r"[a-z]+://[^/@]*:[^/@]*@", url) or "{{" in url:
        return "github_repo_url: a password does not belong in a URL; use ssh or git's credential helper"
    if not _REF.fullmatch(ref) or ".." in ref:
        return f"github_repo_branch: {ref!r} cannot be a branch, tag or commit; name one that exists"
    if below and any(part in ("", ".", "..", ".git") for part in below.split("/")):
        return f"github_repo_dir: {below!r} is not a folder below the repository; write a relative path"
    return None


def _resolve(url: str, ref: str) -> str:
    wanted = [ref] if ref == "HEAD" else [f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}"]
    lines = _git(["ls-remote", "--quiet", "--", url, *wanted], timeout=30).splitlines()
    found = {name: sha for sha, _, name in (line.partition("\t") for line in lines)}
    for name in wanted:
        if name in found:
            return found[name]
    raise Refused(f"{url} has no branch or tag {ref!r}", hint="a commit is named by its full SHA")


def _fetch(url: str, sha: str, ref: str, below: str, folder: Path) -> None:
    repository = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        _git(["init", "--quiet", "--bare", "--template=", str(repository)])
        here = ["--git-dir", str(repository)]
        try:
            _git([*here, "fetch", "--quiet", "--depth", "1", "--no-tags", "--", url, sha])
        except Refused:  # a server that serves no commits by SHA
            if _SHA.fullmatch(ref):
                raise
            _git([*here, "fetch", "--quiet", "--depth", "1", "--no-tags", "--", url, ref])
        if _git([*here, "cat-file", "-t", sha]).strip() != "commit":
            raise Refused(f"{url}: {sha} is not a commit")
        try:
            _git([*here, "read-tree", f"{sha}:{below}"])
        except LabError as error:
            raise Refused(f"github_repo_dir: {url} has no folder {below!r} at {sha[:12]}") from error
        _git([*here, "--work-tree", str(folder), "checkout-index", "--all", "--force"])
    finally:
        shutil.rmtree(repository, ignore_errors=True)


def _git(argv: Sequence[str], *, timeout: float = 300) -> str:
    env = {name: os.environ[name] for name in ("PATH", "HOME", "SSH_AUTH_SOCK", "LANG") if name in os.environ}
    env |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
    }
    with subprocess.Popen(
        ["git", *_SAFE, *argv],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # its children (ssh, git-remote-https) die with it
    ) as child:
        try:
            out, err = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            os.killpg(child.pid, signal.SIGKILL)
            raise Unavailable(f"git {argv[0]} took longer than {timeout:g} s", retry_in=10) from error
    if child.returncode == 0:
        return out.decode(errors="replace")
    words = " ".join(err.decode(errors="replace").split())[:500] or f"git ended with {child.returncode}"
    if _TRY_AGAIN.search(words):
        raise Unavailable(f"git: {words}", retry_in=10)
    raise Refused(f"git: {words}", hint="correct github_repo_url or give this machine access to it")
