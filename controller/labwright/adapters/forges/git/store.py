"""Objects of pull requests, brought into the mirror only as far as somebody asks: tags of what is closed stay where they are."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from labwright.adapters.forges.git.signatures import moment
from labwright.adapters.repos.git.heads import FETCH, TIMEOUT, make_mirror
from labwright.adapters.repos.git.pulls import KEPT
from labwright.adapters.repos.git.remotes import Remote
from labwright.adapters.repos.git.run import attempt, failure, run
from labwright.adapters.repos.git.source import find_source
from labwright.domain.errors import Refused, Unavailable

LARGEST = 64 << 10  # bytes of a tag that is read
MOST_KEPT = 50_000  # tags remembered
_TAG = re.compile(
    rb"object (?P<commit>[0-9a-f]{40,64})\ntype commit\ntag (?P<name>[^\n]+)\ntagger [^\n]*> (?P<at>[0-9]+) [+-][0-9]{4}\n"
    rb"(?:[^\n]+\n)*\n(?P<text>.*)\Z",
    re.DOTALL,
)
_SEAL = b"\n-----BEGIN SSH SIGNATURE-----\n"
_BAD = re.compile(rb"object [0-9a-f]{40,64}: ([A-Za-z]+: [^\n]{0,200})\n(?:[^\n]*\n)*?fatal: fsck error")
_TRAILER = re.compile(r"(?mi)^(lab-[a-z]+): *(.*?) *$")


@dataclass(frozen=True, slots=True)
class Tag:
    """An annotated tag of a commit, as its object says it: who may believe it is asked elsewhere."""

    name: str
    commit: str
    at: datetime
    trailers: Mapping[str, str]  # of its last paragraph; keys in lower case


class Store:
    def __init__(self, mirror: Path, remote: Remote) -> None:
        self.mirror, self._remote = mirror, remote
        self._tags: dict[str, Tag | None] = {}
        self._kept: dict[int, str] = {}

    def open(self) -> None:
        if not (self.mirror / "HEAD").exists():
            make_mirror(self.mirror, self._remote, find_source(self._remote) if self._remote.path else None)

    def bring(self, wanted: Iterable[tuple[str, str]]) -> None:
        """These refs of the remote, which it said are at these objects. Raises Unavailable, too, where they moved meanwhile, and
        Refused for objects that are no good."""
        refs = dict(wanted)
        if not (lacking := self._lacking(refs)):
            return
        shallow = ("--update-shallow",) if self._remote.path else ()
        asked = "".join(f"{name}\n" for name in lacking).encode("utf-8", "surrogateescape")
        target = ("--stdin", "--", self._remote.url)
        done = attempt(self.mirror, *FETCH, *shallow, *target, stdin=asked, remote=self._remote, timeout=TIMEOUT)
        if bad := _BAD.search(done.stderr):  # whose fault it is, and of which object: the others can be read
            raise Refused(
                f"git does not take an object of {', '.join(lacking[:5])}: {bad[1].decode('utf-8', 'replace')}",
                hint="delete that branch or tag",
            )
        if done.returncode:
            raise failure("fetch", done.stderr, self._remote)
        if moved := self._lacking(refs):
            raise Unavailable(f"{moved[0]} of {self._remote.shown} moved while it was read", retry_in=2)

    def _lacking(self, refs: Mapping[str, str]) -> list[str]:
        kinds = self.kinds(set(refs.values()))
        return [name for name, sha in refs.items() if sha not in kinds]

    def kinds(self, shas: Collection[str]) -> Mapping[str, tuple[str, int]]:
        """Type and size of those that are there."""
        asked = "".join(f"{sha}\n" for sha in shas).encode()
        out = run(self.mirror, "cat-file", "--batch-check", stdin=asked).decode().splitlines()
        words = (line.split() for line in out)
        return {sha: (kind, int(size)) for sha, kind, size in (each for each in words if len(each) == 3)}

    def tags(self, shas: Collection[str]) -> Mapping[str, Tag]:
        """Of those that are annotated tags of a commit; a light one, or a tag of a tag, is nobody's word."""
        new = [sha for sha in shas if sha not in self._tags]
        if new:
            if len(self._tags) > MOST_KEPT:
                self._tags = {sha: tag for sha, tag in self._tags.items() if sha in shas}
            kinds = self.kinds(new)
            read = [sha for sha in new if kinds.get(sha, ("", 0))[0] == "tag" and kinds[sha][1] <= LARGEST]
            self._tags.update(dict.fromkeys(new))
            self._tags.update(self._read(read))
        return {sha: tag for sha in shas if (tag := self._tags[sha]) is not None}

    def _read(self, shas: Collection[str]) -> Mapping[str, Tag | None]:
        out = run(self.mirror, "cat-file", "--batch", stdin="".join(f"{sha}\n" for sha in shas).encode())
        found, at = dict[str, Tag | None](), 0
        for sha in shas:
            line = out.index(b"\n", at)
            size = int(out[at:line].split()[2])
            found[sha] = _tag(out[line + 1 : line + 1 + size])
            at = line + size + 2
        return found

    def keep(self, heads: Mapping[int, str]) -> None:
        """What pull requests were last seen at, for when their branch is gone."""
        new = {number: sha for number, sha in heads.items() if self._kept.get(number) != sha}
        if new:
            orders = "".join(f"update {KEPT}{number} {sha}\n" for number, sha in new.items())
            run(self.mirror, "update-ref", "--stdin", stdin=orders.encode())
            self._kept.update(new)

    def kept(self, number: int) -> str:
        done = attempt(self.mirror, "rev-parse", "--verify", "--quiet", f"{KEPT}{number}^{{commit}}")
        return done.stdout.decode().strip()


def _tag(data: bytes) -> Tag | None:
    found = _TAG.match(data)
    if not found:
        return None
    text, _, _ = found["text"].rpartition(_SEAL) if _SEAL in found["text"] else (found["text"], b"", b"")
    last = text.decode("utf-8", "replace").strip().rpartition("\n\n")[2]
    trailers = {name.lower(): value for name, value in _TRAILER.findall(last)}
    name = found["name"].decode("utf-8", "surrogateescape")
    return Tag(name, found["commit"].decode(), moment(found["at"].decode()), trailers)
