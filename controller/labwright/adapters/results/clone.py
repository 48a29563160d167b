"""Results out of any clone or URL, with no controller: what `lab sql --repo` reads."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from labwright.adapters.repos.git.heads import make_mirror
from labwright.adapters.repos.git.remotes import Remote, parse_remote
from labwright.adapters.repos.git.run import attempt, failure, run
from labwright.adapters.repos.git.source import find_source
from labwright.adapters.results.branch import read_tree
from labwright.domain.errors import Refused


def open_results(repo: str | Path, suffix: str = "", *, branch: str = "lab-results") -> Iterator[tuple[str, bytes]]:
    """Path and bytes of every file of the results branch whose path ends so. Raises Refused, at once, if there is none.

    Of a clone, the newer of its own branch and the remote-tracking one; of a URL, the remote's tip (fetched without history).
    """
    remote = parse_remote(repo)
    if remote.path is None:
        return _of_url(remote, branch, suffix)
    git_dir = find_source(remote).git_dir
    tip = _newest(git_dir, branch)
    if tip is None:
        raise Refused(
            f"{remote.shown} has no branch {branch}",
            hint=f"git fetch origin {branch}:refs/remotes/origin/{branch}, or no job has been published yet",
        )
    return read_tree(git_dir, tip, suffix)


def _newest(git_dir: Path, branch: str) -> str | None:
    """A clone's own branch falls behind when nobody pulls it, so the one that contains the others wins."""
    patterns = (f"refs/heads/{branch}", f"refs/remotes/*/{branch}")
    out = run(git_dir, "for-each-ref", "--format=%(objectname) %(refname)", "--sort=-committerdate", *patterns)
    tips = [line.split(" ")[0] for line in out.decode("utf-8", "replace").splitlines()]
    for tip in tips:
        if all(attempt(git_dir, "merge-base", "--is-ancestor", other, tip).returncode == 0 for other in tips):
            return tip
    return tips[0] if tips else None


def _of_url(remote: Remote, branch: str, suffix: str) -> Iterator[tuple[str, bytes]]:
    folder = tempfile.TemporaryDirectory(prefix="lab-results-")
    there = Path(folder.name) / "results.git"
    make_mirror(there, remote)
    how = ("fetch", "--quiet", "--no-tags", "--depth=1", "--", remote.url, f"+refs/heads/{branch}:refs/heads/{branch}")
    done = attempt(there, *how, remote=remote, timeout=1800)
    if b"couldn't find remote ref" in done.stderr:
        raise Refused(f"{remote.shown} has no branch {branch}", hint="no job has been published yet")
    if done.returncode:
        raise failure("fetch", done.stderr, remote)
    return _kept(folder, there, f"refs/heads/{branch}", suffix)


def _kept(folder: "tempfile.TemporaryDirectory[str]", repo: Path, tip: str, suffix: str) -> Iterator[tuple[str, bytes]]:
    with folder:
        yield from read_tree(repo, tip, suffix)
