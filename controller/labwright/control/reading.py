"""Task files read through two caches: parsed once per blob id, in memory and, across restarts, in the ledger."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from labwright.decide.discover import TASK_FILE, Links, TaskFile, Tree
from labwright.decide.document import read as read_document
from labwright.decide.identity import Reader
from labwright.decide.parse import parse_task
from labwright.decide.tree_rules import check_folder, check_tree
from labwright.domain.bundle import Bundle
from labwright.domain.errors import Invalid, Problem
from labwright.domain.snapshot import Entry
from labwright.domain.task import Task
from labwright.ports.ledger import Ledger
from labwright.ports.provider import Provider
from labwright.ports.repo import Repo

LARGEST = 256 << 10
ANYWHERE = "/".join(["x"] * 33 + [TASK_FILE])  # so deep that no `../` is found to leave the repository
_BAD = "!"  # how the cached text of an invalid file starts; its problems follow as JSON


class Parsed:
    """Blob id → what the file says, as text; a text is made a Task only when somebody asks."""

    def __init__(self, repo: Repo, ledger: Ledger | None = None) -> None:
        self._repo, self._ledger = repo, ledger
        self._texts: dict[str, str] = dict(ledger.parsed()) if ledger else {}
        self._links: dict[str, Links] = {}  # by blob id, of those that have any
        self._link(self._texts)

    def learn(self, files: Iterable[TaskFile]) -> None:
        """Read and parse those that are not known yet, and remember them."""
        new = {file.oid: file for file in files if file.oid not in self._texts}
        if not new:
            return
        fresh = {oid: self._parse(new[oid], data) for oid, data in self._blobs(list(new))}
        self._texts.update(fresh)
        self._link(fresh)
        if self._ledger:
            self._ledger.put_parsed(fresh)

    def _blobs(self, oids: Sequence[str]) -> Iterable[tuple[str, bytes | None]]:
        sizes = self._repo.sizes(oids)
        small = [oid for oid in oids if sizes.get(oid, 0) <= LARGEST]
        yield from zip(small, self._repo.read(small), strict=True)
        yield from ((oid, None) for oid in oids if sizes.get(oid, 0) > LARGEST)

    def _parse(self, file: TaskFile, data: bytes | None) -> str:
        try:
            if data is None:
                raise Invalid([Problem(file.path, 1, 1, f"the file is larger than {LARGEST >> 10} KiB")])
            # without its place: a file of the same content elsewhere has the same verdict (decide/identity.py sees to inputs)
            return parse_task(data, ANYWHERE).to_json()
        except Invalid as error:
            return _BAD + json.dumps([[p.line, p.column, p.message, p.hint] for p in error.problems])

    def task(self, file: TaskFile) -> Task | Sequence[Problem]:
        self.learn([file])
        text = self._texts[file.oid]
        if text.startswith(_BAD):
            return [Problem(file.path, *row) for row in json.loads(text[len(_BAD) :])]
        return Task.from_json(text)

    def links(self, tree: Tree) -> Mapping[str, Links]:
        """Of the tasks that have inputs or needs."""
        if not self._links:
            return {}
        return {name: link for name, file in tree.tasks.items() if (link := self._links.get(file.oid)) is not None}

    def _link(self, texts: Mapping[str, str]) -> None:
        """A text names only what is not a default, so most need no more than a look at it."""
        for oid, text in texts.items():
            if ('"inputs":' in text or '"needs":' in text) and not text.startswith(_BAD):
                task = Task.from_json(text)
                if task.inputs or task.needs:
                    self._links[oid] = Links(task.inputs, task.needs)


def reader(repo: Repo, parsed: Parsed, refuse: Callable[[str, Task], Sequence[str]]) -> Reader:
    """The functions that decide/identity.py asks the world with."""

    def locate(file: TaskFile, path: tuple[str | int, ...]) -> tuple[int, int]:
        document = read_document(next(iter(repo.read([file.oid]))), file.path)
        return document.where(
            ("task", *path) if document.has(("task",)) and not document.has(path[:1]) else path
        )  # below the old wrapper key

    def check(file: TaskFile, bundle: Bundle) -> Sequence[Problem]:
        links = [f for f in bundle.files if f.mode == "120000"]
        targets = dict(zip((f.path for f in links), repo.read([f.oid for f in links]), strict=True)) if links else {}
        entries = {f.path: Entry(f.mode, f.oid) for f in bundle.files}
        sizes = repo.sizes([f.oid for f in bundle.files if f.mode != "160000"]) if len(bundle.files) > 1 else {}
        problems = [*check_folder(file.folder), *check_tree(entries, targets, sizes)]
        return [replace(p, path=file.path, line=1, column=1, message=f"{p.path}: {p.message}") for p in problems]

    return Reader(parsed.task, locate, check, refuse)


def refuse_by(providers: Mapping[str, Provider]) -> Callable[[str, Task], Sequence[str]]:
    """A provider's own word on what it cannot honour; nothing for one that is not there (choose_provider says that)."""

    def refuse(name: str, task: Task) -> Sequence[str]:
        provider = providers.get(name)
        if provider is None:
            return [f"provider `{name}` is not available in this version of Labwright"]
        return provider.refuse(task)

    return refuse
