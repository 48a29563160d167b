"""Paths that people write. Each rule takes one line of text and gives it back, or refuses with a Fault."""

import posixpath
import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from labwright.domain.forms import LIST_SCHEMA, Fault, lines

_URL = re.compile(r"(https?|ssh|git|file)://[^\s/@]*(@[^\s/@]+)?/\S+|[\w.-]+@[\w.-]+:\S+|/\S+")


def below(path: str) -> str:
    """Inside the task's folder: relative, with no way out."""
    if path.startswith(("/", "~")) or "\\" in path:
        raise Fault("must be a path below the task's folder", "relative, with `/`")
    if ".." in path.split("/"):
        raise Fault("must not leave the task's folder with `..`")
    return path


def tracked(path: str) -> str:
    """Inside the repository: relative to the task's folder, or from the repository's root with a leading `/`.

    Whether `../` leaves the repository is seen when the task's own place is known (`leaves`)."""
    if path.startswith("~") or "\\" in path:
        raise Fault("must be a path in the repository", "relative to the task's folder, or from the root with `/`")
    if path.startswith("/") and leaves(path, ""):
        raise Fault("leads out of the repository")
    return path


def leaves(path: str, folder: str) -> bool:
    """Whether a tracked path of a task in `folder` leads out of the repository."""
    whole = path.lstrip("/") if path.startswith("/") else posixpath.join(folder, path)
    return posixpath.normpath(whole or ".").split("/")[0] == ".."


def need(path: str) -> str:
    """`alpha/train` (below experiments/), or `../train` from the task's own folder."""
    if path.startswith("/"):
        raise Fault("must not begin with `/`", "name a task as `alpha/train` or `../train`")
    segments = path.split("/")
    if path.endswith("task.yaml"):
        raise Fault("must name the task's folder, not its file", "leave `/task.yaml` out")
    rest = segments[next((n for n, part in enumerate(segments) if part != ".."), len(segments)) :]
    if not rest or any(part in ("", ".", "..") for part in rest) or "\\" in path:
        raise Fault("is no task's path", "name a task as `alpha/train` or `../train`")
    return path


def remote(url: str) -> str:
    """Where a repository is cloned from."""
    if "://" in url and ":" in url.partition("://")[2].partition("/")[0].rpartition("@")[0]:
        raise Fault("must not hold a password", "the machine that clones brings its own credentials")
    if not _URL.fullmatch(url):
        raise Fault("must be a repository's address", "such as https://github.com/owner/name")
    return url


def revision(name: str) -> str:
    """A branch, tag or commit."""
    if name.startswith("-") or re.search(r"[\s~^:?*\[\\]|\.\.", name):
        raise Fault("must be a branch, a tag or a commit")
    return name


Below = Annotated[tuple[str, ...], BeforeValidator(lines(below)), WithJsonSchema(LIST_SCHEMA)]
Tracked = Annotated[tuple[str, ...], BeforeValidator(lines(tracked)), WithJsonSchema(LIST_SCHEMA)]
Needs = Annotated[tuple[str, ...], BeforeValidator(lines(need)), WithJsonSchema(LIST_SCHEMA)]
