"""Real git for the tests of repositories: people who commit, push, rebase and break things."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from labwright.adapters.repos.git import GitRepo
from labwright.adapters.results import GitResultsBranch

_CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
_ADA = {
    f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in (("NAME", "Ada"), ("EMAIL", "ada@example.org"))
}
ENV = {**_CLEAN, **_ADA, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


def git(where: Path, *args: str, stdin: bytes = b"", check: bool = True) -> str:
    done = subprocess.run(["git", *args], cwd=where, env=ENV, input=stdin, capture_output=True)
    assert not check or done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8", "surrogateescape").strip()


def make_bare(path: Path, kind: str = "sha1") -> Path:
    path.mkdir(parents=True)
    git(path, "init", "-q", "--bare", "-b", "main", f"--object-format={kind}")
    return path


class GitWorld:
    """Commits made by fast-import in the remote itself, so that any tree can be made: no work tree has a say."""

    def __init__(self, top: Path, *, kind: str = "sha1", url: str = "{}", **how: object) -> None:
        self.remote = make_bare(top / "remote.git", kind)
        self.mirror = top / "mirror.git"
        self.how = how
        self.url = url.format(self.remote)
        self.repo = self.open()

    def open(self) -> GitRepo:
        return GitRepo(self.url, self.mirror, **self.how)  # type: ignore[arg-type]

    def commit(
        self,
        files: Mapping[str, bytes | None],
        *,
        branch: str = "main",
        message: str = "change",
        trailers: Sequence[tuple[str, str]] = (),
        modes: Mapping[str, str] | None = None,
        clear: bool = False,
    ) -> str:
        ref = f"refs/heads/{branch}"
        text = (
            message + "".join(f"{chr(10) if n else chr(10) * 2}{k}: {v}" for n, (k, v) in enumerate(trailers))
        ).encode()
        old = git(self.remote, "rev-parse", "--verify", "--quiet", ref, check=False)
        head = b"commit %s\ncommitter Ada <ada@example.org> now\ndata %d\n%s\n" % (os.fsencode(ref), len(text), text)
        parts = [head, f"from {old}\n".encode() if old else b"", b"deleteall\n" if clear else b""]
        for path, data in files.items():
            name = b'"%s"' % os.fsencode(path).replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
            if data is None:
                parts.append(b"D %s\n" % name)
        for path, data in files.items():
            name = b'"%s"' % os.fsencode(path).replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
            mode = (modes or {}).get(path, "100644").encode()
            if data is not None and mode == b"160000":
                parts.append(b"M 160000 %s %s\n" % (data, name))
            elif data is not None:
                parts.append(b"M %s inline %s\ndata %d\n%s\n" % (mode, name, len(data), data))
        git(self.remote, "fast-import", "--quiet", "--date-format=now", "--force", stdin=b"".join(parts))
        return git(self.remote, "rev-parse", ref)

    def set_ref(self, ref: str, commit: str) -> None:
        git(self.remote, "update-ref", ref, commit)

    def drop_branch(self, branch: str) -> None:
        git(self.remote, "update-ref", "-d", f"refs/heads/{branch}")

    def take_down(self) -> None:
        shutil.move(self.remote, self.remote.with_suffix(".away"))

    def close(self) -> None:
        self.repo.close()


class GitResultsWorld:
    def __init__(self, top: Path, *, kind: str = "sha1", **how: object) -> None:
        self.top = top
        self.how = how
        self.remote = make_bare(top / "remote.git", kind)
        self.branch = self.reopen()
        self._others = 0

    def reopen(self) -> GitResultsBranch:
        return GitResultsBranch(self.top / "mirror.git", self.remote, **self.how)  # type: ignore[arg-type]

    def other(self) -> GitResultsBranch:
        self._others += 1
        return GitResultsBranch(self.top / f"other-{self._others}.git", self.remote)

    def commits(self) -> int:
        return len(git(self.remote, "rev-list", "lab-results").splitlines())

    def reachable(self, yes: bool) -> None:
        away = self.remote.with_suffix(".away")
        shutil.move(*((away, self.remote) if yes else (self.remote, away)))
