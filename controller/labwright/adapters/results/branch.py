"""The results branch, written by `git fast-import` straight into the mirror: no work tree, no index, one push a batch."""

import re
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from labwright.adapters.repos.git.heads import make_mirror
from labwright.adapters.repos.git.objects import Objects
from labwright.adapters.repos.git.remotes import Remote, parse_remote
from labwright.adapters.repos.git.run import attempt, failure, run
from labwright.adapters.repos.git.snapshot import take
from labwright.adapters.repos.git.source import find_source
from labwright.adapters.repos.git.upkeep import clear_stale_locks
from labwright.adapters.results.stream import Author, Signing, check_author, commit_stream, seal
from labwright.domain.errors import Refused, Unavailable

MOST = 256 << 20  # bytes of a file that is read
_KNOWN = "refs/lab/results"  # the remote's tip as we last saw it
_NEXT = "refs/lab/results-next"  # the commit that is being pushed; left behind by a kill, and then simply made again
_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0)  # seconds between tries: one writer is the rule, so no jitter
_RACE = re.compile(
    r"fetch first|non-fast-forward|stale info|cannot lock ref|failed to (?:update|lock)|incorrect old value|unable to lock"
    r"|already exists|remote ref updated|Unable to create .*\.lock"
)


class GitResultsBranch:
    """ResultsBranch in `mirror` (a bare repository, made when missing), published to `remote`."""

    def __init__(
        self,
        mirror: Path,
        remote: str | Path,
        branch: str = "lab-results",
        *,
        author: Author = ("Labwright", "labwright@localhost"),
        signing_key: str | None = None,
    ) -> None:
        check_author(author)
        self.mirror = mirror
        self.remote: Remote = parse_remote(remote)
        self.branch = branch
        self._author = author
        self._signing = Signing.of(signing_key) if signing_key else None
        self._lock = threading.Lock()
        self._opened = False
        self._fetched = False

    def publish(self, files: Mapping[str, bytes], message: str) -> str:
        with self._lock:
            tip = self._newest()
            for wait in (*_WAITS, None):
                commit = self._graft(tip, files, message)
                if commit == tip and tip is not None:
                    return tip
                if self._push(commit):
                    run(self.mirror, "update-ref", _KNOWN, commit)
                    return commit
                if wait is not None:
                    time.sleep(wait)
                tip = self._fetch()
        raise Unavailable(f"others keep writing {self.branch} of {self.remote.shown}", retry_in=30)

    def tip(self) -> str | None:
        """Of the remote when this process asked it last, which it does at the first call."""
        with self._lock:
            return self._newest()

    def refresh(self) -> str | None:
        """Ask the remote now. Raises Unavailable."""
        with self._lock:
            self._open()
            return self._fetch()

    def files(self, suffix: str = "") -> Iterator[tuple[str, bytes]]:
        tip = self.tip()
        if tip is not None:
            yield from read_tree(self.mirror, tip, suffix)

    def _open(self) -> None:
        if self._opened:
            return
        if (self.mirror / "HEAD").exists():
            clear_stale_locks(self.mirror)
        else:
            make_mirror(self.mirror, self.remote, find_source(self.remote) if self.remote.path else None)
        self._opened = True

    def _newest(self) -> str | None:
        self._open()
        known = self._resolve(_KNOWN)
        if self._fetched:
            return known
        try:
            return self._fetch()
        except Unavailable:
            if known is None:
                raise
            return known

    def _resolve(self, ref: str) -> str | None:
        done = attempt(self.mirror, "rev-parse", "--verify", "--quiet", "--end-of-options", ref)
        return done.stdout.decode().strip() or None

    def _fetch(self) -> str | None:
        how = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")
        refspec = f"+refs/heads/{self.branch}:{_KNOWN}"
        done = attempt(self.mirror, *how, "--", self.remote.url, refspec, remote=self.remote, timeout=1800)
        if done.returncode:
            if b"couldn't find remote ref" not in done.stderr:
                raise failure("fetch", done.stderr, self.remote)
            run(self.mirror, "update-ref", "-d", _KNOWN)  # not there yet, or removed: our next push makes it anew
        self._fetched = True
        return self._resolve(_KNOWN)

    def _graft(self, tip: str | None, files: Mapping[str, bytes], message: str) -> str:
        """A commit of these files on top of `tip`, or `tip` itself if they are all in it as they are."""
        stream = commit_stream(_NEXT, tip, files, message, self._author)
        run(self.mirror, "fast-import", "--quiet", "--done", "--force", "--date-format=now", stdin=stream, timeout=600)
        trees = [f"{_NEXT}^{{tree}}"] + ([f"{tip}^{{tree}}"] if tip else [])
        commit, *found = run(self.mirror, "rev-parse", _NEXT, *trees).decode().split()
        if tip and found[0] == found[1]:
            return tip
        return seal(self.mirror, found[0], tip, message, self._author, self._signing) if self._signing else commit

    def _push(self, commit: str) -> bool:
        """False for a lost race. Never forced (R37)."""
        target = f"{commit}:refs/heads/{self.branch}"
        how = ("push", "--porcelain", "--no-verify", "--no-signed", "--", self.remote.url, target)
        done = attempt(self.mirror, *how, remote=self.remote, timeout=1800)
        if done.returncode == 0:
            return True
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        if "refusing to update checked out branch" in said or "branch is currently checked out" in said:
            raise Refused(
                f"{self.branch} is checked out in {self.remote.shown}, so nothing can be pushed to it",
                hint="switch to another branch there (git switch main)",
            )
        if _RACE.search(said):
            return False
        rejected = re.search(r"\[remote rejected\] \((.*)\)", said)
        if rejected:
            raise Unavailable(
                f"{self.remote.shown} does not accept {self.branch}: {rejected[1]}",
                hint="allow this account to push that branch",
                retry_in=60,
            )
        raise failure("push", done.stderr, self.remote)


def read_tree(repo: Path, commit: str, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of the files of a commit whose path ends so, by path. One over MOST bytes, which anybody may have pushed,
    comes empty: it is no manifest and no Parquet, and hides no other file."""
    entries = take(repo, commit, None, {}).entries
    chosen = sorted(
        (path, e.oid) for path, e in entries.items() if path.endswith(suffix) and e.mode in {"100644", "100755"}
    )
    objects = Objects(repo)
    try:
        sizes = objects.sizes([oid for _, oid in chosen])
        read = objects.read([oid for _, oid in chosen if sizes[oid] <= MOST], limit=MOST)
        for path, oid in chosen:
            yield path, next(read) if sizes[oid] <= MOST else b""
    finally:
        objects.close()
