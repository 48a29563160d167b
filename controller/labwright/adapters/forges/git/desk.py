"""What we write, on one branch of our own: <number>/comment.md, <number>/status.json, <number>/labels.json (which tags' labels were
taken off) and statuses/<commit>.json. Anybody who may push may change it, so nothing in it lets anything run."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from labwright.adapters.repos.git.objects import Objects
from labwright.adapters.repos.git.snapshot import take
from labwright.domain.errors import LabError
from labwright.domain.forge import Status
from labwright.domain.snapshot import Entry, Snapshot
from labwright.ports.repo import ResultsBranch

HOW = b"""# Pull requests of this lab

One folder a pull request: `comment.md` is its plan and its results, `status.json` its state. Labwright writes this branch; what
others write here is never obeyed. What people say, they sign: `git config gpg.format ssh`, `git config user.signingKey ~/.ssh/id_ed25519`.

| to | |
|---|---|
| propose | `git push origin HEAD:pull/7-larger-model` (any number that is free) |
| approve its head | `git fetch && git tag -s -m ok approve/7/ben origin/pull/7-larger-model && git push origin approve/7/ben` |
| approve the plan | the same with `-m 'Lab-Approve: <digest>'`: the digest is at the end of `comment.md` |
| ask for changes | the same with `deny/7/ben` |
| take either back | `git push --delete origin approve/7/ben` |
| stop its jobs | the same with `stop/7/ben` |
| run failed jobs again | the same with `rerun/7/ben` |
| withdraw it | `git push --delete origin pull/7-larger-model` |

What comes after the number is anybody's choice, and another name each time: `T=approve/7/$(date +%s)`, as in `comment.md`.
"""
LARGEST = 4 << 20  # bytes of a file that is read; somebody else may have written it


class Branch(ResultsBranch, Protocol):
    def refresh(self) -> str | None:
        """Ask the remote now for its tip."""
        ...


class Desk:
    """Reads from `mirror`, where the branch's tip has been brought before; writes through `branch`."""

    def __init__(self, mirror: Path, branch: Branch) -> None:
        self._branch = branch
        self._mirror = mirror
        self._objects = Objects(mirror)
        self._at: Snapshot | None = None

    def look(self, tip: str) -> None:
        """`tip`: empty before anything was written."""
        if tip and (self._at is None or self._at.commit != tip):
            self._at = take(self._mirror, tip, self._at, {})
        if not tip:
            self._at = None

    def comment(self, number: int) -> str | None:
        data = self._read(comment_path(number))
        return None if data is None else data.decode("utf-8", "replace")

    def is_there(self, path: str) -> bool:
        return self._entry(path) is not None

    def spent(self, number: int) -> frozenset[str]:
        """Ids of tags whose label was taken off."""
        found = self._json(_labels_path(number)).get("off")
        return frozenset(each for each in found if isinstance(each, str)) if isinstance(found, list) else frozenset()

    def mark(self, number: int) -> str:
        """Another text when what is taken off is another."""
        entry = self._entry(_labels_path(number))
        return entry.oid if entry else ""

    def write_comment(self, number: int, body: str) -> None:
        files = {comment_path(number): body.encode("utf-8", "replace"), "README.md": HOW}
        self._publish(files, f"Pull request {number}: comment")

    def write_status(self, commit: str, status: Status, number: int | None) -> None:
        path = f"statuses/{commit}.json"
        shown = {"light": str(status.light), "words": status.words, "url": status.url}
        before = {
            name: it for name, it in self._json(path).items() if isinstance(it, dict) and it.keys() == shown.keys()
        }
        data = _dumped({**before, status.context: shown})
        files = {path: data} | ({f"{number}/status.json": data} if number is not None else {})
        self._publish(files, f"Status of {commit[:10]}: {status.light}")

    def write_spent(self, number: int, spent: Collection[str]) -> None:
        data = _dumped({"off": sorted({*self.spent(number), *spent})})
        self._publish({_labels_path(number): data}, f"Pull request {number}: labels that were obeyed")

    def _publish(self, files: Mapping[str, bytes], message: str) -> None:
        """The writer takes what it wrote last for what is there, and somebody else may have written since."""
        at = self._at
        if self._branch.tip() != (at.commit if at else None):
            self._branch.refresh()
        self._branch.publish(files, message)

    def close(self) -> None:
        self._objects.close()

    def _entry(self, path: str) -> Entry | None:
        at = self._at  # which somebody who reads may replace meanwhile
        return at.entries.get(path) if at else None

    def _read(self, path: str) -> bytes | None:
        """None for what is not there or cannot be ours."""
        entry = self._entry(path)
        if entry is None or entry.mode != "100644" or self._objects.sizes([entry.oid])[entry.oid] > LARGEST:
            return None
        return next(iter(self._objects.read([entry.oid], limit=LARGEST)))

    def _json(self, path: str) -> Mapping[str, Any]:
        try:
            found = json.loads(self._read(path) or b"{}")
        except (ValueError, RecursionError, LabError):
            return {}
        return found if isinstance(found, dict) else {}


def comment_path(number: int) -> str:
    return f"{number}/comment.md"


def _labels_path(number: int) -> str:
    return f"{number}/labels.json"


def _dumped(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode("utf-8", "replace")
