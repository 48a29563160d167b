"""The repository in which somebody types: its top, its refs, and the files of its working tree as a snapshot."""

import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from labwright.domain.errors import Refused, Unavailable
from labwright.domain.snapshot import Entry, Snapshot

_LINK, _MODULE = "120000", "160000"


def git(folder: Path | str, *arguments: str) -> str | None:
    """What git printed; None when it said no."""
    try:
        ran = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise Unavailable("git is not installed", hint="install git 2.34 or newer") from None
    return os.fsdecode(ran.stdout).strip("\n") if ran.returncode == 0 else None


def commit_id(folder: Path | str, name: str) -> str | None:
    """The full id of what somebody calls a commit: a branch, a tag, HEAD~1, the beginning of an id."""
    return git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")


def need_commit(folder: Path | str, name: str) -> str:
    found = commit_id(folder, name)
    if found is None:
        empty = name == "HEAD" and commit_id(folder, "HEAD") is None
        raise Refused("there is no commit yet" if empty else f"there is no commit {name}", hint="git log")
    return found


def current_branch(folder: Path | str) -> str | None:
    return git(folder, "symbolic-ref", "--quiet", "--short", "HEAD")


def person(folder: Path | str) -> str:
    """Who asks: the address that git knows, else the login name."""
    import getpass

    try:
        found = re.search(r"<([^<>]+)>", git(folder, "var", "GIT_AUTHOR_IDENT") or "")
        return found[1] if found else getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return str(os.getuid())


class WorkTree:
    """Files as they lie on the disk, tracked or new, but not ignored ones. Object ids are made up: nothing is hashed, and a
    file is read only when somebody asks for its bytes."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self._paths: dict[str, str] = {}
        entries = {}
        for number, path in enumerate(_listed(top)):
            mode = _mode(top / path)
            if mode is not None:
                oid = f"{number:040x}"
                entries[path], self._paths[oid] = Entry(mode, oid), path
        self.snapshot = Snapshot("0" * 40, entries)

    def read(self, oids: Sequence[str], *, limit: int = 64 << 20) -> Iterator[bytes]:
        for oid in oids:
            path = self.top / self._paths[oid]
            try:
                if path.is_symlink():
                    yield os.fsencode(path.readlink())
                    continue
                with path.open("rb") as file:
                    yield file.read(limit)
            except OSError as error:
                raise Refused(f"{path}: {error.strerror}") from None

    def sizes(self, oids: Sequence[str]) -> Mapping[str, int]:
        return {oid: (self.top / self._paths[oid]).lstat().st_size for oid in oids}


def _listed(top: Path) -> list[str]:
    """By git where this is a repository, else all that is there."""
    listed = git(top, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed is not None:
        return sorted({path for path in listed.split("\0") if path and not path.endswith("/")})
    return sorted(
        str(Path(folder, name).relative_to(top))
        for folder, inner, names in os.walk(top)
        for name in [*names, *(n for n in inner if Path(folder, n).is_symlink())]
    )


def _mode(path: Path) -> str | None:
    """As git would store it; None for what is gone or is no file."""
    try:
        found = path.lstat().st_mode
    except OSError:
        return None
    if stat.S_ISLNK(found):
        return _LINK
    if stat.S_ISDIR(found):
        return _MODULE
    return ("100755" if found & stat.S_IXUSR else "100644") if stat.S_ISREG(found) else None
