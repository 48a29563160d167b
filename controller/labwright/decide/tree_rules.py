"""Which files of an untrusted tree may become a job's files (R15, R16). What breaks a rule makes its own task invalid, no other.

Git can store names and links that some file system, shell or archive reads as something else: out of the folder, into .git,
over another file. Links are followed here in memory, step by step, as the kernel would follow them.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from labwright.domain.errors import Problem
from labwright.domain.snapshot import Entry

_FILES = frozenset({"100644", "100755"})
_LINK = "120000"
_SUBMODULE = "160000"
_OURS = frozenset({"readme.md", "manifest.json", "metrics.parquet"})  # on the results branch, with plots/*.svg
_MOST_HOPS = 40  # as Linux
_MOST_PROBLEMS = 50
_INVISIBLE = frozenset(
    map(chr, (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x2070), 0x2028, 0x2029, 0xFEFF))
)  # zero width, direction overrides, line separators; HFS+ ignores most of them in names


@dataclass(frozen=True, slots=True)
class Limits:
    files: int = 10_000
    total_bytes: int = 512 << 20
    path_bytes: int = 1024  # leaves room for the job's own folder below the 4,096 of Linux
    name_bytes: int = 255


LIMITS = Limits()


def check_tree(
    entries: Mapping[str, Entry],
    targets: Mapping[str, str | bytes],
    sizes: Mapping[str, int] | None = None,
    limits: Limits = LIMITS,
) -> Sequence[Problem]:
    """Of one bundle: paths relative to its root, what its symlinks say by path, and its blobs' sizes by object id.

    Problems by path, at most 50, the last then counting the rest; empty when all is well."""
    links = {path: _text(target) for path, target in targets.items()}
    found = [*_amount(entries, sizes or {}, limits), *_collisions(entries)]
    for path, entry in entries.items():
        found += _problems(path, _path_rules(path, limits))
        found += _problems(path, _mode_rules(path, entry, links))
    found.sort()
    more = len(found) - _MOST_PROBLEMS
    return (
        found if more <= 0 else [*found[:_MOST_PROBLEMS], Problem("", 1, 1, f"and {more:,} more problems like these")]
    )


def check_path(path: str, limits: Limits = LIMITS) -> Sequence[Problem]:
    """Of one name alone, such as the folder that a task lies in, which is part of its identity."""
    return list(_problems(path, _path_rules(path, limits)))


def check_folder(path: str, limits: Limits = LIMITS) -> Sequence[Problem]:
    """Of the folder that a task lies in: results are kept by its name, beside the files that we write there."""
    ours = (name for name in path.split("/") if name.casefold() in _OURS or name.casefold().endswith(".svg"))
    taken = ((f"a task's folder cannot be called `{_shown(name)}`", "rename the folder") for name in ours)
    return [*check_path(path, limits), *_problems(path, taken)]


def _problems(path: str, sentences: Iterator[tuple[str, str]]) -> Iterator[Problem]:
    return (Problem(_shown(path), 1, 1, sentence, hint) for sentence, hint in sentences)


def _amount(entries: Mapping[str, Entry], sizes: Mapping[str, int], limits: Limits) -> Iterator[Problem]:
    if len(entries) > limits.files:
        text = f"the task has {len(entries):,} files, and {limits.files:,} are allowed"
        yield Problem("", 1, 1, text, "keep data outside the repository, or narrow `inputs`")
    total = sum(sizes.get(entry.oid, 0) for entry in entries.values())
    if total > limits.total_bytes:
        text = f"the task's files have {total:,} bytes, and {limits.total_bytes:,} are allowed"
        yield Problem("", 1, 1, text, "keep data outside the repository, or narrow `inputs`")


def _path_rules(path: str, limits: Limits) -> Iterator[tuple[str, str]]:
    names = path.split("/")
    rename = "rename the file"
    if path.startswith("/"):
        yield "an absolute path", rename
    elif any(name in {"", ".", ".."} for name in names):
        yield "a path with empty, `.` or `..` parts", rename
    if any(unicodedata.category(c) == "Cc" for c in path):
        yield "a name with control characters", rename
    if any(c in _INVISIBLE for c in path):
        yield "a name with invisible or direction-changing characters", rename
    if "\\" in path:
        yield "a name with a backslash", rename
    if any("\udc80" <= c <= "\udcff" for c in path):
        yield "a name that is not UTF-8", rename
    if any(_like_git(name) for name in names):
        yield "a name that some systems read as `.git`", rename
    if len(_bytes(path)) > limits.path_bytes:
        yield f"a path longer than {limits.path_bytes:,} bytes", "use shorter names"
    elif any(len(_bytes(name)) > limits.name_bytes for name in names):
        yield f"a name longer than {limits.name_bytes} bytes", "use a shorter name"


def _like_git(name: str) -> bool:
    """As NTFS and HFS+ see it: case, invisible characters, trailing dots and blanks, streams and short names do not count."""
    seen = "".join(c for c in name if c not in _INVISIBLE and not "\u206a" <= c <= "\u206f").casefold()
    return seen.split(":")[0].rstrip(" .") in {".git", "git~1"}


def _collisions(entries: Mapping[str, Entry]) -> Iterator[Problem]:
    """Two spellings of one path, folders included: a link `A` and a file `a/x` are one place where case does not count."""
    spelled: dict[str, str] = {}
    told: set[str] = set()
    for path in sorted(entries):
        end = len(path)
        while end > 0:
            part = path[:end]
            key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", part).casefold())
            other = spelled.setdefault(key, part)
            if other != part and part not in told:
                told.add(part)
                same = unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", part)
                why = "only in how Unicode composes its letters" if same else "only in case"
                text = f"differs from `{_shown(other)}` {why}"
                yield Problem(_shown(part), 1, 1, text, "rename one of them")
            end = path.rfind("/", 0, end)


def _mode_rules(path: str, entry: Entry, links: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if entry.mode == _LINK:
        yield from _link_rules(path, links)
    elif entry.mode == _SUBMODULE:
        yield "a submodule: its files are not in this repository", "copy the files, or use `github_repo_url`"
    elif entry.mode not in _FILES:
        yield f"a file of mode {entry.mode}; only plain files and symlinks can run", "commit it again with today's git"


def _link_rules(path: str, links: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    target = links.get(path)
    stay = "let the link point to a file of the same task"
    if not target:
        yield "a symlink to nothing", stay
    elif target.startswith("/"):
        yield f"a symlink to the absolute path `{_shown(target)}`", stay
    elif "\\" in target or any(unicodedata.category(c) == "Cc" for c in target):
        yield "a symlink whose target has backslashes or control characters", stay
    elif (why := _escape(path, links)) is not None:
        yield f"a symlink to `{_shown(target)}`, which {why}", stay


def _escape(path: str, links: Mapping[str, str]) -> str | None:
    """Why following this link does not stay below the root; None when it does (also where nothing is there)."""
    at: list[str] = path.split("/")[:-1]
    todo = links[path].split("/")[::-1]
    hops = 1
    while todo:
        name = todo.pop()
        if name in {"", "."}:
            continue
        if name == "..":
            if not at:
                return "leaves the task's files"
            at.pop()
            continue
        target = links.get("/".join([*at, name]))
        if target is None:
            at.append(name)
            continue
        hops += 1
        if hops > _MOST_HOPS:
            return "goes round in a circle"
        if target.startswith("/"):
            return "leaves the task's files"
        todo += target.split("/")[::-1]
    return None


def _text(target: str | bytes) -> str:
    return target if isinstance(target, str) else target.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _shown(text: str) -> str:
    """Fit for a message: what cannot be seen is spelled out."""
    odd = (c in _INVISIBLE or unicodedata.category(c) in {"Cc", "Cs"} for c in text)
    safe = "".join(ascii(c)[1:-1] if strange else c for c, strange in zip(text, odd, strict=True))
    return safe if len(safe) <= 200 else safe[:199] + "…"
