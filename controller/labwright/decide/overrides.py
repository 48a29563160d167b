"""A lab repository's own templates: files below `templates/` of its default branch, in place of shipped ones of the same name."""

import difflib
from collections.abc import Iterator, Mapping

from labwright.decide.render import asked, faults
from labwright.domain.errors import Invalid, Problem
from labwright.domain.snapshot import Entry, Snapshot

FOLDER = "templates/"
MOST = 64  # files
LARGEST = 256 << 10  # bytes of one
_REGULAR = ("100644", "100755")


def listed(snapshot: Snapshot) -> Mapping[str, Entry]:
    """What lies there, by path; with what is no folder in its place."""
    entries = snapshot.entries.items()
    return {path: entry for path, entry in entries if path.startswith(FOLDER) or path == FOLDER[:-1]}


def misplaced(found: Mapping[str, Entry], sizes: Mapping[str, int], shipped: Mapping[str, str]) -> list[Problem]:
    """What can be no template, by its name and kind; `sizes` by object id, `shipped` template texts by name."""
    if len(found) > MOST:
        return [Problem(min(found), 1, 1, f"{FOLDER} holds {len(found)} files: at most {MOST} are read")]
    problems = []
    for path, entry in found.items():
        name = path.removeprefix(FOLDER)
        if name not in shipped:
            near = difflib.get_close_matches(name, shipped, 1)
            meant = f"did you mean {FOLDER}{near[0]}? " if near else ""
            hint = f"{meant}there are: {', '.join(sorted(shipped))}"
            problems.append(Problem(path, 1, 1, "there is no template of this name to put another in place of", hint))
        elif entry.mode not in _REGULAR:
            problems.append(Problem(path, 1, 1, "a template must be a regular file", "no link, no submodule"))
        elif sizes.get(entry.oid, 0) > LARGEST:
            problems.append(Problem(path, 1, 1, f"the file is larger than {LARGEST >> 10} KiB"))
    return problems


def parsed(files: Mapping[str, bytes], shipped: Mapping[str, str]) -> Mapping[str, str]:
    """Path → bytes as name → text. Raises Invalid with everything that is wrong."""
    problems = [problem for path, data in files.items() for problem in _problems(path, data, shipped)]
    if problems:
        raise Invalid(problems)
    return {path.removeprefix(FOLDER): data.decode() for path, data in files.items()}


def _problems(path: str, data: bytes, shipped: Mapping[str, str]) -> Iterator[Problem]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        yield Problem(path, data[: error.start].count(b"\n") + 1, 1, "the file is not UTF-8")
        return
    if "\0" in text:
        yield Problem(path, text[: text.index("\0")].count("\n") + 1, 1, "the file holds a NUL character")
        return
    for line, message, hint in faults(text, asked(shipped[path.removeprefix(FOLDER)])):
        yield Problem(path, line, 1, message, hint)
