"""Everything that is wrong with a lab's files, each at its place."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labwright.control.overrides import read_overrides
from labwright.control.reading import Parsed, reader, refuse_by
from labwright.control.settings import LAB_FILE, refuse_unsupported
from labwright.decide.discover import EXPERIMENTS, TaskFile, Tree
from labwright.decide.document import Document
from labwright.decide.document import read as read_document
from labwright.decide.grants import may_have, withheld
from labwright.decide.identity import Asked, Evaluation
from labwright.decide.parse import parse_lab
from labwright.decide.provider_types import refuse_unknown
from labwright.domain.errors import Invalid, Problem, Refused
from labwright.domain.lab import Lab
from labwright.domain.secrets import secret_names
from labwright.domain.snapshot import Snapshot
from labwright.domain.task import Task
from labwright.settings import Place

_FIELD = re.compile(r"`?([a-z_]+(?:\.[a-z_]+)*)`?(?::| is )")
_KEYS = frozenset(field.alias or name for name, field in Task.model_fields.items())
_MISSPELT = re.compile(r"(?:experiments/(?:.+/)?)?(?:task\.ya?ml|Task\.yaml|TASK\.YAML)|[Ll]ab\.yml|Lab\.yaml")


@dataclass(frozen=True, slots=True)
class Checked:
    problems: Sequence[Problem]
    tasks: int
    trials: int


def check_lab(place: Place, repo: Any, snapshot: Snapshot) -> Checked:
    """`repo` reads blobs (ports.repo.Repo.read and sizes); nothing else is asked of it."""
    from labwright.wiring import judges

    tree = Tree(snapshot)
    lab, problems = _lab(repo, snapshot)
    templates, wrong = _templates(repo, snapshot)
    problems += wrong
    with judges(place, repo, lab or Lab(), templates) as providers:
        refuse = refuse_by(providers) if lab else lambda *_: ()
        asking = reader(repo, Parsed(repo), refuse)
        asked = Evaluation(tree, lab or Lab(), asking).ask(sorted(tree.tasks))
    for task in asked.values():
        file = tree.tasks[task.task]
        problems += task.problems
        if lab and not task.problems:
            problems += _refusals(repo, file, task, lab)
            problems += _secrets(repo, file, task, lab)
    problems += _misplaced(snapshot)
    return Checked(sorted(set(problems)), len(tree.tasks), sum(len(task.trials) for task in asked.values()))


def _lab(repo: Any, snapshot: Snapshot) -> tuple[Lab | None, list[Problem]]:
    """None for a file that is wrong: what hangs on it cannot be judged then."""
    entry = snapshot.entries.get(LAB_FILE)
    if entry is None:
        return Lab(), []
    try:
        data = next(iter(repo.read([entry.oid], limit=1 << 20)))
        lab = parse_lab(data, LAB_FILE)
    except Invalid as error:
        return None, list(error.problems)
    except Refused as error:
        return None, [Problem(LAB_FILE, 1, 1, error.message, error.hint)]
    document = read_document(data, LAB_FILE)
    problems = list(_unknown_types(document, lab))
    try:
        refuse_unsupported(lab)
    except Refused as error:
        names, _, rest = error.message.partition(":")
        problems += [
            document.problem(tuple(name.split(".")), f"`{name}`:{rest}", error.hint, key=True)
            for name in names.split(", ")
        ]
    return lab, problems


def _unknown_types(document: Document, lab: Lab) -> Iterator[Problem]:
    for name, provider in lab.providers.items():
        try:
            refuse_unknown(provider.type)
        except Refused as error:
            where = ("providers", name, "type")
            yield document.problem(where, f"`{'.'.join(where)}`: {error.message}", error.hint)


def _templates(repo: Any, snapshot: Snapshot) -> tuple[Mapping[str, str], Sequence[Problem]]:
    from labwright.wiring import shipped_templates

    try:
        return read_overrides(repo, snapshot, shipped_templates()), ()
    except Invalid as error:
        return {}, error.problems


def _refusals(repo: Any, file: TaskFile, task: Asked, lab: Lab) -> Iterator[Problem]:
    """What the file's provider cannot honour: the sentence begins with the field that it is about."""
    at_reference = withheld(secret_names(task.spec), lab, task.task, "") if task.spec else ()
    sentences = [x for x in task.refusals if x not in at_reference]
    if not sentences:
        return
    document = read_document(_bytes(repo, file), file.path)
    for sentence in sentences:
        named = _FIELD.match(sentence)
        path = tuple(named[1].split(".")) if named else ()
        if not path or path[0] not in _KEYS:
            path = ("resources", "compute_provider")
        inner = ("task", *path) if document.has(("task",)) and not document.has(path[:1]) else path
        yield document.problem(inner, sentence, key=len(path) == 1)


def _secrets(repo: Any, file: TaskFile, task: Asked, lab: Lab) -> Iterator[Problem]:
    names = sorted(secret_names(task.spec)) if task.spec else []
    wrong = {name: why for name in names if (why := may_have(name, lab, task.task, ""))}
    text = _bytes(repo, file).decode("utf-8", "replace") if wrong else ""
    for name, why in wrong.items():
        found = re.search(r"\{\{\s*secrets?\." + name + r"\s*\}\}", text)
        before = text[: found.start()] if found else ""
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message, _, hint = why.partition(" (")
        yield Problem(file.path, line, column, message, hint.removesuffix(")"))


def _bytes(repo: Any, file: TaskFile) -> bytes:
    data: bytes = next(iter(repo.read([file.oid])))
    return data


def _misplaced(snapshot: Snapshot) -> Iterator[Problem]:
    """Files that look like ours and that nobody will ever read."""
    known = Tree(snapshot).tasks
    for path in snapshot.entries:
        if not _MISSPELT.fullmatch(path):
            continue
        folder, _, name = path.rpartition("/")
        if name == "task.yaml" and folder.removeprefix(EXPERIMENTS) in known:
            continue
        if name == "task.yaml":
            yield Problem(
                path, 1, 1, "no task: it lies in no experiment", f"move it to {EXPERIMENTS}<experiment>/<task>/"
            )
        else:
            right = "lab.yaml" if name.lower().startswith("lab") else "task.yaml"
            yield Problem(path, 1, 1, f"is not read: the file must be called {right}", "rename it")


def under(problems: Sequence[Problem], paths: Sequence[str]) -> Sequence[Problem]:
    """Those of these files and folders (relative to the repository's top)."""
    wanted = [path.strip("/") for path in paths]
    if not wanted or "." in wanted or "" in wanted:
        return problems
    return [p for p in problems if any(p.path == path or p.path.startswith(path + "/") for path in wanted)]


def as_json(problem: Problem) -> Mapping[str, object]:
    return {
        "path": problem.path,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
        "hint": problem.hint,
    }


def annotation(problem: Problem) -> str:
    """A line that GitHub Actions shows beside the code."""
    where = f"file={_escaped(problem.path, True)},line={problem.line},col={problem.column}"
    text = problem.message + (f" ({problem.hint})" if problem.hint else "")
    return f"::error {where}::{_escaped(text, False)}"


def _escaped(text: str, inside: bool) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if inside else text
