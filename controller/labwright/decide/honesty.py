"""What the diff of a change may not show its reviewer (R21), and what may be another thing tomorrow (R22).

Nothing here proves that code is good. It says where a person must look closer, within bounds that no file can stretch: a part of
each file, so many warnings of a kind, and work that grows with the length of the text alone."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from labwright.decide.attributes import Attributes
from labwright.decide.honest_text import Finding, findings, findings_of_task, unlike_text
from labwright.domain.pull_page import Caution, Doubt
from labwright.domain.snapshot import Entry
from labwright.domain.task import Task

MOST_BYTES = 1 << 20  # of a file that are looked at
MOST_OF_A_KIND = 40  # so that many harmless ones push no grave one out
MOST_IN_A_FILE = 5  # of one kind
NO_TASKS: Mapping[str, Task] = {}
Changed = tuple[str, Entry | None, Entry | None, bytes]
_LINK = "120000"
_FILES = ("100644", "100755")
_HIDES = {
    "diff": "its diff is not shown",
    "linguist-generated": "forges fold its diff away as generated",
    "linguist-vendored": "forges may fold its diff away as somebody else's",
    "linguist-documentation": "forges may treat it as documentation",
    "filter": "a filter makes other bytes of it at a checkout (jobs get what is in git)",
    "ident": "a checkout changes its text (jobs get what is in git)",
    "working-tree-encoding": "a checkout changes its bytes (jobs get what is in git)",
    "export-ignore": "archives leave it out (jobs get it)",
    "export-subst": "archives change its text (jobs get what is in git)",
}


def warnings_of(
    changed: Iterable[Changed], git_attributes: Mapping[str, bytes], tasks: Mapping[str, Task] = NO_TASKS
) -> tuple[Caution, ...]:
    """Of (path, entry before, entry after, bytes after) of files of bundles, the repository's .gitattributes by path, and tasks
    by the path of their task.yaml: the gravest kind first, then by path and line. At most 5 of a kind in a file and 40 of a kind
    in all; a last one counts those left out."""
    known = Attributes.read(git_attributes, _HIDES.__contains__)
    found = _Found()
    for path, before, after, data in changed:
        for caution in _of_file(path, before, after, data, known):
            found.add(caution)
        if after is not None and path in tasks:
            for finding in findings_of_task(tasks[path]):
                found.add_unless_told(path, finding)
    if known.unread:
        found.add(Caution(known.unread, 0, "has more rules than are read here: it may hide any file", Doubt.HIDDEN))
    return found.told()


class _Found:
    def __init__(self) -> None:
        self.kept: dict[Doubt, list[Caution]] = {}
        self.seen: Counter[tuple[str, Doubt]] = Counter()
        self.left: Counter[Doubt] = Counter()

    def add(self, caution: Caution) -> None:
        kept = self.kept.setdefault(caution.doubt, [])
        self.seen[caution.path, caution.doubt] += 1
        if len(kept) < MOST_OF_A_KIND and self.seen[caution.path, caution.doubt] <= MOST_IN_A_FILE:
            kept.append(caution)
        else:
            self.left[caution.doubt] += 1

    def add_unless_told(self, path: str, finding: Finding) -> None:
        """What the text of the file has shown, with its line, is not said again."""
        kept = self.kept.get(finding.doubt, ())
        if not any(caution.path == path and caution.words == finding.words for caution in kept):
            self.add(Caution(path, 0, finding.words, finding.doubt))

    def told(self) -> tuple[Caution, ...]:
        """A place that was found in two ways is told once."""
        ordered = [c for kind in Doubt for c in sorted(self.kept.get(kind, ()), key=lambda c: (c.path, c.line))]
        told = list(dict.fromkeys(ordered))
        if self.left:
            kinds = ", ".join(f"{self.left[kind]:,} of the kind `{kind}`" for kind in Doubt if self.left[kind])
            told.append(Caution("", 0, f"and more that are not listed: {kinds}", Doubt.MORE))
        return tuple(told)


def _of_file(path: str, before: Entry | None, after: Entry | None, data: bytes, known: Attributes) -> Iterator[Caution]:
    if after is None:
        return
    yield from (Caution(path, 0, words, Doubt.HIDDEN) for words in _hidden(path, known))
    yield from (Caution(path, 0, words, Doubt.MODE) for words in _mode(before, after))
    if after.mode not in _FILES:
        return
    if len(data) > MOST_BYTES:
        words = f"only the first {MOST_BYTES:,} of its {len(data):,} bytes were looked at"
        yield Caution(path, 0, words, Doubt.BINARY)
    head = data[:MOST_BYTES]
    if why := unlike_text(head, cut=len(data) > MOST_BYTES):
        yield Caution(path, 0, f"a binary file ({why}): a diff does not show what is in it", Doubt.BINARY)
    yield from (Caution(path, f.line, f.words, f.doubt) for f in _findings(path, head))


def _findings(path: str, data: bytes) -> Iterator[Finding]:
    """Of a binary file too: a shell runs the lines before its first odd byte."""
    return findings(path, data.decode("utf-8", "replace"), whole=not unlike_text(data, cut=True))


def _hidden(path: str, known: Attributes) -> Iterator[str]:
    for name, state in known.of(path).items():
        off = state.value in ("unset", "unspecified", "false")
        if (state.value in ("unset", "false")) if name == "diff" else not off:
            written = (
                f"-{name}" if state.value == "unset" else name if state.value == "set" else f"{name}={state.value}"
            )
            yield f"`{written}` ({state.source}:{state.line}): {_HIDES[name]}"


def _mode(before: Entry | None, after: Entry) -> Iterator[str]:
    old, new = before.mode if before else "", after.mode
    if old == new:
        return
    if new == _LINK:
        yield f"became a symlink (mode {old} → {new})" if old else "a new symlink"
    elif old == _LINK:
        yield f"was a symlink and is a file now (mode {old} → {new})"
    elif new == "100755":
        yield f"is executable now (mode {old} → {new})" if old else "a new executable file"
    elif old == "100755":
        yield f"is no longer executable (mode {old} → {new})"
