"""Which tasks a commit has, and which of them a change touches. The tree comes as a value (domain/snapshot.py)."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

from labwright.domain.snapshot import Entry, Snapshot

EXPERIMENTS = "experiments/"
TASK_FILE = "task.yaml"
REGULAR = frozenset({"100644", "100755"})
_IN_FOLDER = "/" + TASK_FILE
_FOLDERS = "(?:.*?/)??"


class TaskFile(NamedTuple):
    """`task` is the name that people type (`alpha/train`); `folder` is where it lies (`experiments/alpha/train`)."""

    task: str
    folder: str
    oid: str  # blob id of its task.yaml
    mode: str

    @property
    def path(self) -> str:
        return f"{self.folder}/{TASK_FILE}"


@dataclass(frozen=True)
class Tree:
    """A snapshot with the look-ups that planning needs."""

    snapshot: Snapshot

    @classmethod
    def after(cls, before: "Tree", snapshot: Snapshot) -> "Tree":
        """The same as Tree(snapshot), and sooner: of a large tree only what changed is looked at."""
        tree, changed = cls(snapshot), changed_paths(before.snapshot, snapshot)
        if before.entries.keys() == snapshot.entries.keys():
            tree.__dict__["paths"] = before.paths
        tasks = dict(before.tasks)
        for path in changed:
            if name := _task_name(path):
                tasks.pop(name, None)
                if path in snapshot.entries:
                    tasks[name] = _task_file(name, snapshot.entries[path])
        tree.__dict__["tasks"] = tasks
        return tree

    @property
    def entries(self) -> Mapping[str, Entry]:
        return self.snapshot.entries

    @cached_property
    def paths(self) -> Sequence[str]:
        return sorted(self.entries)

    @cached_property
    def tasks(self) -> Mapping[str, TaskFile]:
        """Every task.yaml below experiments/<name>/, by task path."""
        return {name: _task_file(name, entry) for path, entry in self.entries.items() if (name := _task_name(path))}

    def below(self, folder: str) -> Iterator[str]:
        """Paths of the files in a folder and deeper, without those that belong to a task of its own further down."""
        prefix = folder + "/"
        paths = self.paths
        skip = "\0"
        for at in range(bisect_left(paths, prefix), len(paths)):
            path = paths[at]
            if not path.startswith(prefix):
                return
            if path.startswith(skip):
                continue
            nested = self._nested_task(folder, path)
            if nested:
                skip = nested + "/"
                continue
            yield path

    def _nested_task(self, folder: str, path: str) -> str:
        """The outermost folder strictly between `folder` and `path` that has a task.yaml, or an empty text."""
        at = path.find("/", len(folder) + 1)
        while at != -1:
            if f"{path[:at]}/{TASK_FILE}" in self.entries:
                return path[:at]
            at = path.find("/", at + 1)
        return ""

    def matching(self, pattern: str) -> Sequence[str]:
        """Paths of the repository that a glob names; the glob is relative to the repository's root."""
        fixed = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        match = glob_regex(pattern).fullmatch
        found = []
        for at in range(bisect_left(self.paths, fixed), len(self.paths)):
            path = self.paths[at]
            if not path.startswith(fixed):
                break
            if match(path):
                found.append(path)
        return found


def _task_name(path: str) -> str:
    """`alpha/train` of `experiments/alpha/train/task.yaml`; empty for any other path."""
    if path.endswith(_IN_FOLDER) and path.startswith(EXPERIMENTS):
        return path[len(EXPERIMENTS) : -len(_IN_FOLDER)]
    return ""


def _task_file(name: str, entry: Entry) -> TaskFile:
    return TaskFile(name, EXPERIMENTS + name, entry.oid, entry.mode)


@cache
def glob_regex(pattern: str) -> re.Pattern[str]:
    """`*` and `?` stay within one folder, `**` does not; a folder's name stands for all that is in it.

    What lies between two `**` is matched where it first fits and never tried again (an atomic group), which finds the same
    paths and keeps a pattern full of stars, which anybody may commit, from taking for ever."""
    *firsts, last = _runs(pattern.rstrip("/"))
    start = "".join(_run(*run, last=False) for run in firsts)
    return re.compile(start + _run(*last, last=True) + "(?:/.*)?", re.DOTALL)


def _runs(pattern: str) -> list[tuple[str, list[str]]]:
    """The pattern cut at each `**`: what it stands for as a regex, and the texts between the `*` of what follows it."""
    runs: list[tuple[str, list[str]]] = [("", [""])]
    at = 0
    while at < len(pattern):
        if pattern.startswith("**", at):
            whole = pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/")  # any folders, or none
            at += 3 if whole else 2
            if not (whole and runs[-1] == (_FOLDERS, [""])):  # `**/**/` says no more than `**/`
                runs.append((_FOLDERS if whole else ".*?", [""]))
        elif pattern[at] == "*":
            runs[-1][1].append("")
            at += 1
        else:
            runs[-1][1][-1] += "[^/]" if pattern[at] == "?" else re.escape(pattern[at])
            at += 1
    return runs


def _run(gap: str, texts: Sequence[str], *, last: bool) -> str:
    first, *others = texts
    stars = [f"(?>[^/]*?{text})" for text in others]
    if last and others:
        stars[-1] = f"[^/]*{others[-1]}"
    body = gap + first + "".join(stars)
    return body if last or not gap else f"(?>{body})"


def resolve(folder: str, pattern: str) -> str | None:
    """An input glob as the repository's root sees it; None when it leaves the repository."""
    parts = [] if pattern.startswith("/") else folder.split("/")
    for part in pattern.strip("/").split("/"):
        if part in ("", "."):
            continue
        if part == "..":
            if not parts:
                return None
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def resolve_need(task: str, need: str) -> str:
    """`alpha/train` as it is; `../train` and `./sub` from where the task lies."""
    if not need.startswith("."):
        return need.strip("/").removeprefix(EXPERIMENTS)
    return resolve(task, need) or need


def changed_paths(before: Snapshot | None, after: Snapshot) -> set[str]:
    if before is None:
        return set(after.entries)
    old, new = before.entries, after.entries
    # a snapshot made of the one before shares its entries: most are the very same
    changed = {path for path, entry in new.items() if (was := old.get(path)) is not entry and was != entry}
    changed.update(path for path in old.keys() - new.keys())
    return changed


@dataclass(frozen=True, slots=True)
class Links:
    """What ties a task to things outside its folder, as its file says it."""

    inputs: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def affected(before: Snapshot | None, after: Tree, links: Mapping[str, Links]) -> set[str]:
    """Tasks that may be wanted differently now: touched, tied to something touched, gone, or waiting for such a task."""
    if before is None:
        return set(after.tasks)
    changed = changed_paths(before, after.snapshot)
    touched = _owners(changed, before, after)
    for task, link in links.items():
        if link.inputs and task not in touched and _reads(after.tasks[task].folder, link.inputs, changed):
            touched.add(task)
    return _with_dependants(touched, links)


def _owners(paths: Iterable[str], before: Snapshot, after: Tree) -> set[str]:
    """Every task, there or gone, in whose folder, at any depth, one of the paths lies."""
    owners: set[str] = set()
    for path in paths:
        if path.startswith(EXPERIMENTS):
            parts = path[len(EXPERIMENTS) :].split("/")
            names = ("/".join(parts[:n]) for n in range(1, len(parts)))
            owners.update(n for n in names if n in after.tasks or EXPERIMENTS + n + _IN_FOLDER in before.entries)
    return owners


def _reads(folder: str, inputs: Sequence[str], changed: Iterable[str]) -> bool:
    patterns = [glob_regex(at) for pattern in inputs if (at := resolve(folder, pattern)) is not None]
    return any(pattern.fullmatch(path) for path in changed for pattern in patterns)


def _with_dependants(tasks: set[str], links: Mapping[str, Links]) -> set[str]:
    waiting: dict[str, list[str]] = {}
    for task, link in links.items():
        for need in link.needs:
            waiting.setdefault(resolve_need(task, need), []).append(task)
    todo = list(tasks)
    while todo:
        for dependant in waiting.get(todo.pop(), ()):
            if dependant not in tasks:
                tasks.add(dependant)
                todo.append(dependant)
    return tasks
