"""The lab repository as a bare mirror. A repository on this machine is read in place first and copied a moment later."""

import contextlib
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labwright.adapters.repos.git import commits, pulls, snapshot
from labwright.adapters.repos.git.heads import Heads, make_mirror, remote_head
from labwright.adapters.repos.git.objects import Objects
from labwright.adapters.repos.git.remotes import Remote, parse_remote
from labwright.adapters.repos.git.source import Source, find_source
from labwright.adapters.repos.git.upkeep import clear_stale_locks, pack_loose
from labwright.domain.errors import Refused, Unavailable
from labwright.domain.snapshot import CommitInfo, Snapshot

_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True)
class _View:
    """How the mirror is read: with `source`, its objects too are in reach of every reading command (`extra`)."""

    objects: Objects
    source: Source | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


class GitRepo:
    """Repo over `mirror` (made when missing).

    Of a repository on this machine, `fetch` only reads the refs (2 ms) and objects come from its own object folder; `settle`
    copies them into the mirror, so that they outlive a `git gc`, a force-push or the whole repository. It runs by itself
    `settle_after` seconds after a fetch that saw something new (None = only when called). The mirror never names the other
    folder: an alternates file would make git believe that there is nothing to copy."""

    def __init__(
        self,
        remote: str | Path,
        mirror: Path,
        *,
        results_branch: str = "lab-results",
        in_place: bool = True,
        settle_after: float | None = 2.0,
    ) -> None:
        self.remote: Remote = parse_remote(remote)
        self.mirror = mirror
        self._results = results_branch
        self._in_place = in_place
        self._settle_after = settle_after
        self._lock = threading.RLock()  # of the fields below
        self._copying = threading.Lock()  # one `git fetch` into the mirror at a time
        self._heads = Heads(mirror, self.remote, results_branch)
        self._view: _View | None = None
        self._timer: threading.Timer | None = None
        self._unsettled: set[str] = set()
        self._tips: Mapping[str, str] = {}
        self._default = ""

    def fetch(self) -> Mapping[str, str]:
        source = self._open(fetching=True).source
        if source is None:
            tips = self._fetch_remote()
        else:
            tips = {name: sha for name, sha in source.tips().items() if name != self._results}
        with self._lock:
            if not tips and (self._tips or self._heads.seen()):
                raise Unavailable(f"{self.remote.shown} answers with no branch where there were some")
            if source is not None and tips != self._tips:
                self._remember(set(tips.values()))
            self._tips = tips
            return dict(tips)

    def _fetch_remote(self) -> Mapping[str, str]:
        """An empty remote does not tell its object format: a mirror without branches is made again when it guessed wrong."""
        with self._copying:
            try:
                return self._heads.fetch()
            except Unavailable as error:
                if "mismatched algorithms" not in error.message or self._heads.seen():
                    raise
                self.close()
                shutil.rmtree(self.mirror)
                self._open(fetching=True)
                return self._heads.fetch()

    def tips(self) -> Mapping[str, str]:
        """As of the last fetch, of this process or the one before."""
        with self._lock:
            return dict(self._tips or (self._heads.read() if self._exists() else {}))

    def _remember(self, tips: set[str]) -> None:
        copied = set(self._tips.values()) or set(self._heads.read().values())
        self._unsettled |= tips - copied
        if self._unsettled and self._settle_after is not None and self._timer is None:
            self._timer = threading.Timer(self._settle_after, self._settle_quietly)
            self._timer.daemon = True
            self._timer.start()

    def _settle_quietly(self) -> None:
        with contextlib.suppress(Unavailable):  # the next fetch meets it too, and the commits stay on the list
            self.settle()

    def settle(self) -> None:
        """Copy what has been seen into the mirror: every tip, and commits that a force-push has since replaced."""
        with self._lock:
            timer, self._timer = self._timer, None
            wanted = sorted(self._unsettled)
        if timer is not None:
            timer.cancel()
        if self._open().source is None:
            return
        with self._copying:
            self._heads.fetch(wanted)
            pack_loose(self.mirror)
        with self._lock:
            self._unsettled -= set(wanted)

    def default_branch(self) -> str:
        source = self._open().source
        tips = self.tips()
        if source is not None:
            return source.default_branch(tips)
        if self._default not in tips:
            self._default = remote_head(self.remote) or self._default
        guesses = (self._default, "main", "master", *tips)
        return next((name for name in guesses if name in tips), self._default or "main")

    def snapshot(self, commit: str, since: Snapshot | None = None) -> Snapshot:
        return snapshot.take(self.mirror, commit, since, self._reading(commit).extra)

    def read(self, oids: Sequence[str], *, limit: int = 64 << 20) -> Iterator[bytes]:
        return self._reading().objects.read(oids, limit=limit)

    def sizes(self, oids: Sequence[str]) -> Mapping[str, int]:
        return self._reading().objects.sizes(oids)

    def commits(self, shas: Sequence[str]) -> Mapping[str, CommitInfo]:
        return commits.named(self.mirror, shas, self._reading(*shas).extra)

    def between(self, old: str | None, new: str, *, most: int = 1000) -> Sequence[CommitInfo]:
        """Of more than `most`, the newest ones."""
        return commits.between(self.mirror, old, new, most, self._reading(new, old or new).extra)

    def bring(self, ref: str, commit: str) -> None:
        view = self._reading(commit)
        if not pulls.is_there(self.mirror, commit, view.extra):
            with self._copying:
                pulls.bring(self.mirror, self.remote, ref, commit)

    def merge_base(self, one: str, other: str) -> str | None:
        return pulls.merge_base(self.mirror, one, other, self._reading(one, other).extra)

    def _reading(self, *shas: str) -> _View:
        for sha in shas:
            if not _SHA.fullmatch(sha):
                raise Refused(f"{sha[:80]!r} is no full commit id")
        return self._open()

    def _open(self, *, fetching: bool = False) -> _View:
        """Once, and again by a fetch while a repository of this machine is missing: the mirror answers for it meanwhile."""
        with self._lock:
            view = self._view
            local = self.remote.path is not None
            if view is None or (fetching and local and self._in_place and view.source is None):
                view = self._opened(fetching)
                if self._view is not None:
                    self._view.objects.close()
                self._view = view
            return view

    def _opened(self, fetching: bool) -> _View:
        source, known = None, self._exists()
        if self.remote.path is not None:
            try:
                source = find_source(self.remote, known=known)
            except Unavailable:
                if fetching or not known:
                    raise
        if known:
            clear_stale_locks(self.mirror)
            pack_loose(self.mirror)
        else:
            make_mirror(self.mirror, self.remote, source)
        if source is None or source.shallow or not self._in_place:
            return _View(Objects(self.mirror))
        extra = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": source.objects}
        return _View(Objects(self.mirror, extra), source, extra)

    def _exists(self) -> bool:
        return (self.mirror / "HEAD").exists()

    def close(self) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._view is not None:
                self._view.objects.close()
                self._view = None
