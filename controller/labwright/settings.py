"""Where a lab's state lies, and which lab a command means."""

import hashlib
import json
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

    def make(self) -> None:
        """The folder and the one above it, which `parents` alone would leave as open as the umask lets it."""
        for folder in (self.state.parent, self.state):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

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

    @property
    def artifacts(self) -> Path:
        return self.state / "artifacts"

    def spool(self, provider: str) -> Path:
        return self.state / "spool" / provider

    @property
    def used(self) -> bool:
        return self.ledger.exists() or (self.state / "repo").exists()

    @property
    def served(self) -> bool:
        """Whether a controller of this machine seems to run here: what its lease says, without touching the lock."""
        try:
            os.kill(int(json.loads((self.state / "lease").read_text())["pid"]), 0)
        except PermissionError:
            return True
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return True


def state_home() -> Path:
    """$LABWRIGHT_STATE, else the user's state folder (XDG): nothing is ever kept anywhere else."""
    own = os.environ.get("LABWRIGHT_STATE")
    if own:
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "labwright"


def place_of(repo: str) -> Place:
    """Of a URL or a path. The folder's name is readable, and unique by the address."""
    return _named(repo if is_url(repo) else str(_top(Path(repo))))


def _named(address: str) -> Place:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(address.rstrip("/")).name.removesuffix(".git")) or "lab"
    mark = hashlib.sha256(address.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return Place(address, state_home() / f"{stem}-{mark}")


def find_place(repo: str | None = None) -> Place:
    """The lab that a command means: `--repo`, else the repository around the working folder, or the one it was cloned from
    if that is what a controller of this user watches. Raises Refused outside of any repository."""
    if repo is not None:
        return place_of(repo)
    here = place_of(".")
    origin = _git(Path(here.repo), "config", "--get", "remote.origin.url")
    there = _remote_place(here, origin) if origin else here
    if there.used and (there.served or not here.used):
        return there
    return here


def _remote_place(here: Place, origin: str) -> Place:
    """Of what a clone came from; also when that is away for now."""
    if is_url(origin):
        return place_of(origin)
    path = Path(here.repo, origin)
    try:
        return place_of(str(path))
    except Refused:
        return _named(str(path.resolve()))


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
