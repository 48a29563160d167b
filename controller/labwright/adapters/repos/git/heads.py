"""The mirror's copies of the remote's branches, under refs/lab/heads/."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from labwright.adapters.repos.git.remotes import Remote
from labwright.adapters.repos.git.run import attempt, failure, run
from labwright.adapters.repos.git.source import Source

HEADS = "refs/lab/heads/"
_SEEN = "refs/lab/seen"  # that there were branches once: outlives a fetch that answered with none
FETCH = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-show-forced-updates")
_ANY_COMMIT = "--upload-pack=git -c uploadpack.allowAnySHA1InWant=true upload-pack"
TIMEOUT = 1800.0


class Heads:
    def __init__(self, mirror: Path, remote: Remote, results_branch: str) -> None:
        self._mirror = mirror
        self._remote = remote
        self._results = results_branch
        self._last: Mapping[str, str] | None = None  # after the last fetch: nobody else writes them

    def fetch(self, also: Sequence[str] = ()) -> Mapping[str, str]:
        """In one connection. `also` names commits that may have lost their branch; only this machine's repositories give them.

        The mirror keeps its branches when the remote answers with none."""
        before = self.read() if self._last is None else self._last
        refspecs = (f"+refs/heads/*:{HEADS}*", f"^refs/heads/{self._results}")
        shallow = ("--update-shallow",) if self._remote.path else ()
        how = ("--prune", *shallow)
        target = ("--", self._remote.url, *refspecs)
        done = attempt(
            self._mirror,
            *FETCH,
            *how,
            *((_ANY_COMMIT,) if also else ()),
            *target,
            *also,
            remote=self._remote,
            timeout=TIMEOUT,
        )
        if done.returncode and also:  # one of them is gone from there already: the branches alone
            done = attempt(self._mirror, *FETCH, *how, *target, remote=self._remote, timeout=TIMEOUT)
        after = self.read()
        self._last = after
        if before and not after:
            self._restore(before)
            self._last = before
        if done.returncode:
            raise failure("fetch", done.stderr, self._remote)
        if after and not before:
            run(self._mirror, "update-ref", _SEEN, next(iter(after.values())))
        return after

    def read(self) -> Mapping[str, str]:
        out = run(self._mirror, "for-each-ref", "--format=%(objectname) %(refname)", HEADS)
        pairs = (line.split(" ", 1) for line in out.decode("utf-8", "surrogateescape").splitlines())
        return {name[len(HEADS) :]: sha for sha, name in pairs if name != HEADS + self._results}

    def seen(self) -> bool:
        """Whether there ever was a branch."""
        return attempt(self._mirror, "rev-parse", "--verify", "--quiet", _SEEN).returncode == 0

    def _restore(self, tips: Mapping[str, str]) -> None:
        orders = "".join(f"update {HEADS}{name} {sha}\n" for name, sha in tips.items())
        run(self._mirror, "update-ref", "--stdin", stdin=orders.encode("utf-8", "surrogateescape"))


def make_mirror(mirror: Path, remote: Remote, source: Source | None = None) -> None:
    """An empty bare repository of the remote's object format, without templates and so without hooks."""
    mirror.parent.mkdir(parents=True, exist_ok=True)
    kind = source.object_format if source else _remote_format(remote)
    run(None, "init", "--quiet", "--bare", "--template=", f"--object-format={kind}", "--", str(mirror))


def _remote_format(remote: Remote) -> str:
    out = run(None, "ls-remote", "--quiet", "--", remote.url, remote=remote)
    return "sha256" if len(out.split(b"\t", 1)[0]) == 64 else "sha1"


def remote_head(remote: Remote) -> str:
    """The branch that the remote's HEAD names; empty when it does not say."""
    out = run(None, "ls-remote", "--quiet", "--symref", "--", remote.url, "HEAD", remote=remote)
    found = re.match(r"ref: refs/heads/(.+)\tHEAD\n", out.decode("utf-8", "surrogateescape"))
    return found[1] if found else ""
