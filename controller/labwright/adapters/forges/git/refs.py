"""What the remote's branches and tags are called, and what that makes of them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from labwright.adapters.repos.git.remotes import Remote
from labwright.adapters.repos.git.run import run
from labwright.adapters.repos.git.source import find_source

OURS = "lab-pulls"  # the branch that we write
APPROVE, DENY, STOP, RERUN, SMOKE = KINDS = ("approve", "deny", "stop", "rerun", "smoke")
_NUMBER = "([1-9][0-9]{0,8})"
_PULL = re.compile(rf"pull/{_NUMBER}(?:-.*)?")
_APPROVALS = re.compile(rf"approvals/{_NUMBER}")
_TAG = re.compile(rf"({'|'.join(KINDS)})/{_NUMBER}/.+")
_HEADS, _TAGS = "refs/heads/", "refs/tags/"
_ASKED = ("HEAD", f"{_HEADS}*", *(f"{_TAGS}{kind}/*" for kind in KINDS))


@dataclass(frozen=True, slots=True)
class Listing:
    """Of the remote at one moment. Names are short ones."""

    default: str = ""  # the default branch
    heads: Mapping[str, str] = field(default_factory=dict)
    pulls: Mapping[int, tuple[str, ...]] = field(default_factory=dict)  # branches that claim the number
    approvals: Mapping[int, str] = field(default_factory=dict)  # tip of approvals/<number>
    tags: Mapping[int, Mapping[str, str]] = field(default_factory=dict)  # name → object


def listing(remote: Remote) -> Listing:
    """One question to the remote, however many there are. Raises Unavailable."""
    if remote.path is not None:
        return _of_folder(remote)
    out = run(None, "ls-remote", "--quiet", "--symref", "--", remote.url, *_ASKED, remote=remote)
    default, found = "", dict[str, str]()
    for line in out.decode("utf-8", "surrogateescape").splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: ") and name == "HEAD":
            default = value.removeprefix(f"ref: {_HEADS}")
        elif name.startswith("refs/") and not name.endswith("^{}"):
            found[name] = value
    return _sorted(default, found)


def _of_folder(remote: Remote) -> Listing:
    """Read where it lies, as the lab repository is: the two are to agree on what the default branch is."""
    source = find_source(remote, known=True)
    names = (_HEADS, *(f"{_TAGS}{kind}/" for kind in KINDS))
    out = run(source.git_dir, "for-each-ref", "--format=%(objectname) %(refname)", *names)
    pairs = (line.split(" ", 1) for line in out.decode("utf-8", "surrogateescape").splitlines())
    found = {name: sha for sha, name in pairs}
    heads = {name.removeprefix(_HEADS): sha for name, sha in found.items() if name.startswith(_HEADS)}
    return _sorted(source.default_branch(heads), found)


def _sorted(default: str, found: Mapping[str, str]) -> Listing:
    heads, tags = dict[str, str](), dict[int, dict[str, str]]()
    pulls, approvals = dict[int, tuple[str, ...]](), dict[int, str]()
    for name, sha in sorted(found.items()):
        if name.startswith(_HEADS):
            heads[name.removeprefix(_HEADS)] = sha
        elif tag := _TAG.fullmatch(short := name.removeprefix(_TAGS)):
            tags.setdefault(int(tag[2]), {})[short] = sha
    for name, sha in heads.items():
        if pull := _PULL.fullmatch(name):
            pulls[int(pull[1])] = (*pulls.get(int(pull[1]), ()), name)
        elif signed := _APPROVALS.fullmatch(name):
            approvals[int(signed[1])] = sha
    guesses = (default, "main", "master")
    return Listing(next((name for name in guesses if name in heads), default), heads, pulls, approvals, tags)


def kind_of(tag: str) -> str:
    return tag.partition("/")[0]


def interest(now: Listing, number: int, *, tags: bool = True) -> Iterator[tuple[str, str]]:
    """(full ref, object) of everything that is about one pull request."""
    for branch in now.pulls.get(number, ()):
        yield _HEADS + branch, now.heads[branch]
    if number in now.approvals:
        yield f"{_HEADS}approvals/{number}", now.approvals[number]
    for tag, sha in now.tags.get(number, {}).items() if tags else ():
        yield _TAGS + tag, sha


def shared(now: Listing) -> Iterator[tuple[str, str]]:
    """The same of what is about all of them."""
    for branch in {now.default, OURS}:
        if branch in now.heads:
            yield _HEADS + branch, now.heads[branch]
