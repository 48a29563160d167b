"""Where a lab's state lies, and which lab a command means."""

import hashlib
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from labwright.domain.errors import Refused


@dataclass(frozen=True, slots=True)
class Place:
    """One lab repository as a controller of this user keeps it."""

    repo: str  # URL, or the absolute path of a local repository
    state: Path

    @property
    def ledger(self) -> Path:
        return self.state / "ledger.sqlite3"

    @property
    def records(self) -> Path:
        return self.state / "records.duckdb"

    @property
    def mirror(self) -> Path:
        return self.state / "mirror.git"

    @property
    def socket(self) -> Path:
        return self.state / "control.sock"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def outbox(self) -> Path:
        return self.state / "outbox"

    def spool(self, provider: str) -> Path:
        return self.state / "spool" / provider

    @property
    def used(self) -> bool:
        return self.ledger.exists()


def state_home() -> Path:
    """$LABWRIGHT_STATE, else the user's state folder (XDG): nothing is ever kept anywhere else."""
    own = os.environ.get("LABWRIGHT_STATE")
    if own:
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "labwright"


def place_of(repo: str) -> Place:
    """Of a URL or a path. The folder's name is readable, and unique by the address."""
    address = repo if is_url(repo) else str(_top(Path(repo)))
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(address.rstrip("/")).name.removesuffix(".git")) or "lab"
    mark = hashlib.sha256(address.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return Place(address, state_home() / f"{stem}-{mark}")


def find_place(repo: str | None = None) -> Place:
    """The lab that a command means: `--repo`, else the repository around the working folder, or the one it was cloned from
    if that is what a controller of this user watches. Raises Refused outside of any repository."""
    if repo is not None:
        return place_of(repo)
    here = place_of(".")
    if here.used:
        return here
    origin = _git(Path(here.repo), "config", "--get", "remote.origin.url")
    if origin:
        there = place_of(origin if is_url(origin) else str(Path(here.repo, origin)))
        if there.used:
            return there
    return here


def is_url(repo: str) -> bool:
    """`https://…`, `ssh://…` or `host:path`; everything else is a path."""
    return "://" in repo or bool(re.match(r"[^/.][^/]*:", repo))


def _top(path: Path) -> Path:
    """The repository around a path: its work tree's top, or the bare repository itself."""
    if not path.exists():
        raise Refused(f"there is no {path}", hint="--repo takes the path or URL of a git repository")
    bare = _git(path, "rev-parse", "--is-bare-repository")
    found = _git(path, "rev-parse", "--absolute-git-dir" if bare == "true" else "--show-toplevel")
    if not found:
        where = "here" if path == Path() else f"at {path.absolute()}"
        raise Refused(f"no git repository {where}", hint="`lab init` makes a lab; `--repo` names one")
    return Path(found).resolve()


def _git(folder: Path, *arguments: str) -> str:
    ran = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    return ran.stdout.strip() if ran.returncode == 0 else ""
