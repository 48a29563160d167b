"""A repository on this machine, read where it lies: its refs, and the folder of its objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labwright.adapters.repos.git.remotes import Remote
from labwright.adapters.repos.git.run import attempt, failure, run
from labwright.domain.errors import Refused, Unavailable


@dataclass(frozen=True, slots=True)
class Source:
    git_dir: Path  # the common one of all its work trees
    objects: str
    object_format: str
    bare: bool
    shallow: bool

    def tips(self) -> Mapping[str, str]:
        """Every branch by short name."""
        out = run(self.git_dir, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/")
        pairs = (line.split(" ", 1) for line in out.decode("utf-8", "surrogateescape").splitlines())
        return {name.removeprefix("refs/heads/"): sha for sha, name in pairs}

    def default_branch(self, tips: Mapping[str, str]) -> str:
        """Of a bare repository its HEAD. A work tree's HEAD is only what somebody works on: origin's word comes first."""
        head = self._symbolic("HEAD").removeprefix("refs/heads/")
        origin = self._symbolic("refs/remotes/origin/HEAD").removeprefix("refs/remotes/origin/")
        usual = ("main", "master")
        order = (head, *usual) if self.bare else (origin, *usual, head)
        return next((name for name in order if name in tips), head or "main")

    def _symbolic(self, name: str) -> str:
        return attempt(self.git_dir, "symbolic-ref", "--quiet", name).stdout.decode("utf-8", "surrogateescape").strip()


def find_source(remote: Remote, *, known: bool = False) -> Source:
    """Of a remote on this machine. Raises Refused for a folder that is no repository, Unavailable if it was one before (`known`)."""
    path = Path(remote.url)
    asked = ("--is-bare-repository", "--is-shallow-repository", "--show-object-format", "--git-common-dir")
    folder = _git_dir(path) if path.is_dir() else None
    if folder is None:
        text = f"{remote.shown} is no git repository"
        raise Unavailable(text) if known else Refused(text, hint="git init there, or give another folder or URL")
    done = attempt(folder, "rev-parse", *asked)
    if done.returncode:
        raise failure("rev-parse", done.stderr, remote)
    bare, shallow, kind, common = done.stdout.decode("utf-8", "surrogateescape").splitlines()
    git_dir = (folder / common).resolve() if common != str(folder) else folder
    return Source(git_dir, _quoted(str(git_dir / "objects")), kind, bare == "true", shallow == "true")


def _git_dir(path: Path) -> Path | None:
    """`path` or its `.git`; of a linked work tree or a submodule, what its `.git` file names."""
    inner = path / ".git"
    if inner.is_dir():
        return inner
    if inner.is_file():
        return (path / inner.read_text().removeprefix("gitdir:").strip()).resolve()
    return path if (path / "HEAD").is_file() and (path / "objects").is_dir() else None


def _quoted(folder: str) -> str:
    """For a list of folders that git splits at `:`."""
    if ":" not in folder and not folder.startswith('"'):
        return folder
    return '"' + folder.replace("\\", "\\\\").replace('"', '\\"') + '"'
