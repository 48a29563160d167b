"""What a task at a commit asks for: its trials with their digests (docs/adr/0003-identity.md)."""

import json
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from labwright.decide.discover import REGULAR, TASK_FILE, TaskFile, Tree, resolve
from labwright.decide.discover import resolve_need as resolve_need
from labwright.decide.expand import expand, trial_count
from labwright.decide.grants import given_to, withheld
from labwright.domain.bundle import Bundle, BundleFile
from labwright.domain.errors import Problem
from labwright.domain.ids import Digest, digest, work_digest
from labwright.domain.job import Trial
from labwright.domain.lab import Lab
from labwright.domain.task import Task

NOTES = "README.md"  # in a task's folder these two are about the task, not part of what runs
MOST_TRIALS = 100_000


@dataclass(frozen=True, slots=True)
class Asked:
    """Of one task at one commit: its trials, or what stands against them."""

    task: str
    trials: tuple[Trial, ...] = ()
    problems: tuple[Problem, ...] = ()  # the file is wrong: the task is INVALID
    refusals: tuple[str, ...] = ()  # the file is right, but its provider or this controller cannot honour it
    contents: Mapping[Digest, str] = field(default_factory=dict)  # spec and bundle of `trials`, by content key
    spec: Task | None = None
    shared: Mapping[str, object] = field(default_factory=dict)  # of the work digest: all but the point's parameters


Read = Callable[[TaskFile], Task | Sequence[Problem]]
Locate = Callable[[TaskFile, tuple[str | int, ...]], tuple[int, int]]
Check = Callable[[TaskFile, Bundle], Sequence[Problem]]
Refuse = Callable[[str, Task], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Reader:
    """What evaluation asks of the world, as functions: cached, and total over any content."""

    task: Read
    locate: Locate  # (line, column) of a key in a task.yaml
    check: Check  # rules of the tree (decide/tree_rules.py) that a bundle breaks
    refuse: Refuse  # (provider, task) → why it cannot run there


class Evaluation:
    """Asks for tasks by name and remembers the answers: a needed task is evaluated once for all that wait for it."""

    def __init__(self, tree: Tree, lab: Lab, reader: Reader, branch: str = "") -> None:
        """`branch`: as the part of which the commit is planned, `pull:7` of a pull request; empty: as none."""
        self.tree, self.lab, self.reader, self.branch = tree, lab, reader, branch
        self._asked: dict[str, Asked] = {}

    def ask(self, tasks: Iterable[str]) -> Mapping[str, Asked]:
        """Of these tasks that the commit has, and of all that they need; what is needed comes before what needs it."""
        for task in tasks:
            if task in self.tree.tasks:
                self._ask(task)
        return self._asked

    def _ask(self, root: str) -> None:
        """Depth first over `needs`, without recursion: a chain of a thousand tasks is legal."""
        specs: dict[str, Task | Sequence[Problem]] = {}
        path: list[str] = [root]
        while path:
            task = path[-1]
            if task in self._asked:
                path.pop()
                continue
            file = self.tree.tasks[task]
            if task not in specs:
                specs[task] = _read(file, self.reader)
            spec = specs[task]
            if not isinstance(spec, Task):
                self._asked[task] = Asked(task, problems=tuple(spec))
                continue
            following = self._next_need(file, spec, path)
            if isinstance(following, Problem):
                self._asked[task] = Asked(task, problems=(following,))
            elif following is not None:
                path.append(following)
            else:
                self._asked[task] = self._trials(file, spec)

    def _next_need(self, file: TaskFile, spec: Task, path: Sequence[str]) -> str | Problem | None:
        """The first needed task that is not evaluated yet; a Problem where a need cannot be met; None when all are."""
        for at, need in enumerate(spec.needs):
            name = resolve_need(file.task, need)
            if name not in self.tree.tasks:
                return self._problem(file, at, f"needs `{need}`, and there is no task experiments/{name}/{TASK_FILE}")
            if name in path:
                circle = " → ".join([*path[path.index(name) :], name])
                return self._problem(file, at, f"needs go round in a circle: {circle}")
            if name not in self._asked:
                return name
            if self._asked[name].problems:
                return self._problem(file, at, f"needs `{need}`, whose {TASK_FILE} is not valid")
        return None

    def _problem(self, file: TaskFile, at: int, message: str) -> Problem:
        line, column = self.reader.locate(file, ("needs", at))
        return Problem(file.path, line, column, message)

    def _input_problem(self, file: TaskFile, at: int, pattern: str) -> Problem:
        line, column = self.reader.locate(file, ("inputs", at))
        hint = "globs are relative to the task's folder; a leading / means the repository's root"
        outside = resolve(file.folder, pattern) is None
        what = "leads out of the repository" if outside else "matches nothing in the repository"
        return Problem(file.path, line, column, f"inputs: `{pattern}` {what}", hint)

    def _environment_problems(self, file: TaskFile, spec: Task, bundle: Bundle) -> Iterator[Problem]:
        files = {f.path for f in bundle.files}
        for key in ("requirements", "lock"):
            name = getattr(spec.environment, key, None)
            if name is not None and posixpath.normpath(posixpath.join(bundle.folder, name)) not in files:
                line, column = self.reader.locate(file, ("environment", key))
                hint = "add it to the task's folder or to `inputs`"
                yield Problem(file.path, line, column, f"environment: {name} is not among the task's files", hint)

    def refusals(self, provider: str, spec: Task, task: str) -> list[str]:
        """Why a task cannot run there."""
        secrets = withheld(given_to(spec, self.lab, provider), self.lab, task, self.branch)
        return [*unsupported(spec), *self.reader.refuse(provider, spec), *secrets]

    def _trials(self, file: TaskFile, spec: Task) -> Asked:
        bundle, unmatched = bundle_of(self.tree, file, spec)
        problems = [self._input_problem(file, at, spec.inputs[at]) for at in unmatched]
        problems += () if problems else self._environment_problems(file, spec, bundle)
        problems += () if problems else self.reader.check(file, bundle)
        if trial_count(spec) > MOST_TRIALS:
            line, column = self.reader.locate(file, ("sweeps",))
            message = f"the sweep has {trial_count(spec):,} trials; at most {MOST_TRIALS:,} are allowed"
            problems.append(Problem(file.path, line, column, message))
        if problems:
            return Asked(file.task, problems=tuple(problems), spec=spec)
        needs = tuple(
            (trial.task, trial.work)
            for need in spec.needs
            for trial in self._asked[resolve_need(file.task, need)].trials
        )
        provider, refusals = choose_provider(spec, self.lab)
        refusals = refusals or self.refusals(provider, spec, file.task)
        spec_text = spec.to_json()
        spec_key = digest(spec_text)
        shared = shared_fields(spec, file, bundle, needs)
        trials = tuple(
            Trial(
                task=file.task,
                work=work_digest({**shared, "parameters": point}),
                generation=spec.rerun,
                parameters=point,
                spec=spec_key,
                bundle=bundle.digest,
                provider=provider,
                priority=spec.priority,
                needs=needs,
            )
            for point in expand(spec)
        )
        contents = {spec_key: spec_text, bundle.digest: bundle_text(bundle)}
        return Asked(file.task, trials, (), tuple(refusals), contents, spec, shared)


def _read(file: TaskFile, reader: Reader) -> Task | Sequence[Problem]:
    if file.mode not in REGULAR:
        return [Problem(file.path, 1, 1, f"{TASK_FILE} must be an ordinary file, not a link or a submodule")]
    return reader.task(file)


def bundle_of(tree: Tree, file: TaskFile, spec: Task) -> tuple[Bundle, Sequence[int]]:
    """Every file of the task's folder, with its inputs where it has some; and which inputs matched nothing."""
    own = list(tree.below(file.folder))
    if not spec.inputs:
        cut = len(file.folder) + 1
        return Bundle(tuple(BundleFile(p[cut:], tree.entries[p].mode, tree.entries[p].oid) for p in own)), ()
    paths, unmatched = set(own), []
    for at, pattern in enumerate(spec.inputs):
        resolved = resolve(file.folder, pattern)
        found = tree.matching(resolved) if resolved else ()
        paths.update(found)
        if not found:
            unmatched.append(at)
    files = tuple(BundleFile(p, tree.entries[p].mode, tree.entries[p].oid) for p in sorted(paths))
    return Bundle(files, file.folder), unmatched


def bundle_text(bundle: Bundle) -> str:
    return json.dumps(bundle.to_json(), separators=(",", ":"))


def shared_fields(
    spec: Task, file: TaskFile, bundle: Bundle, needs: Sequence[tuple[str, Digest]]
) -> Mapping[str, object]:
    """Everything that can change a result, but for the point of the sweep. Names and scheduling fields are not in it."""
    own = {str(PurePosixPath(bundle.folder, name)) for name in (TASK_FILE, NOTES)}
    environment = spec.environment
    asked = spec.resources.accelerators
    return {
        "run": spec.run,
        "setup": spec.setup,
        "envs": dict(spec.envs),
        "code": [[f.path, f.mode, f.oid] for f in bundle.files if f.path not in own],
        "environment": environment.model_dump(exclude_defaults=True) if environment else None,
        "github": [spec.github_repo_url, spec.github_repo_dir, spec.github_repo_branch],
        "accelerators": [asked.type, asked.count] if asked else None,
        "num_nodes": spec.resources.num_nodes,
        "image_id": spec.resources.image_id,
        "file_mounts": dict(spec.file_mounts) if isinstance(spec.file_mounts, Mapping) else spec.file_mounts,
        "needs": [list(need) for need in needs],
    }


def choose_provider(spec: Task, lab: Lab) -> tuple[str, list[str]]:
    """The provider's name as lab.yaml spells it, and a refusal where it has none of that name."""
    names = list(lab.providers)
    asked = spec.resources.compute_provider or lab.default_provider
    if asked is None:
        return (names[0], []) if names else ("", ["lab.yaml names no provider"])
    for name in names:
        if name.lower() == asked.lower():
            return name, []
    known = ", ".join(names) or "none"
    return asked, [f"there is no provider `{asked}` in lab.yaml (it has: {known})"]


def unsupported(spec: Task) -> list[str]:
    """Fields that this controller reads and cannot honour yet: refused, never dropped."""
    later = {
        "notify": spec.notify is not None,
        "on.label": spec.on.label is not None,
        "on.schedule": spec.on.schedule is not None,
    }
    return [
        f"`{name}` is not available in this version of Labwright: remove it" for name, used in later.items() if used
    ]
