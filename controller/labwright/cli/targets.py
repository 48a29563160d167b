"""What people name in commands that act: a task of a branch, a job by the start of its id; and values of parameters."""

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labwright.cli.names import task_path
from labwright.cli.terminal import clean
from labwright.domain.errors import Invalid, Refused, Unavailable
from labwright.domain.ids import JobId
from labwright.settings import Place

if TYPE_CHECKING:
    from labwright.domain.job import Job
    from labwright.domain.lab import Lab
    from labwright.domain.task import Task
    from labwright.ports.repo import Repo


def find_job(place: Place, text: str) -> "Job | None":
    """By its id or the start of one. Raises Refused where several begin so."""
    from labwright.wiring import open_ledger

    if not place.used or not 3 < len(text) <= 12 or not text.isalnum():
        return None
    ledger = open_ledger(place, read_only=True)
    try:
        found = ledger.jobs(ids=[JobId(text)])
        found = found or ([job for job in ledger.jobs() if job.id.startswith(text)] if len(text) < 12 else [])
    finally:
        ledger.close()
    if len(found) > 1:
        some = ", ".join(f"{job.id} ({clean(job.task)})" for job in found[:4])
        raise Refused(f"{text} is the start of {len(found)} jobs: {some}", hint="type more of it")
    return found[0] if found else None


def jobs_of_task(place: Place, text: str) -> "Sequence[Job]":
    """All that ever were, oldest first."""
    from labwright.wiring import open_ledger

    if not place.used:
        return ()
    ledger = open_ledger(place, read_only=True)
    try:
        return ledger.jobs(tasks=[task_path(text, place.repo)])
    finally:
        ledger.close()


def jobs_of_lane(place: Place, lane: str) -> "Sequence[Job]":
    """Those that a pull request launched and that are not over."""
    from labwright.cli.lanes import lanes_with
    from labwright.domain.lifecycle import LIVE
    from labwright.wiring import open_ledger

    if not place.used:
        return ()
    ledger = open_ledger(place, read_only=True)
    try:
        return [job for job in ledger.jobs(states=LIVE) if job.branch in lanes_with(lane)]
    finally:
        ledger.close()


class Desk:
    """A branch's tip, as the controller would read it for `lab run`."""

    def __init__(self, place: Place, repo: "Repo", tips: Mapping[str, str], branch: str | None) -> None:
        from labwright.decide.discover import Tree

        self.place, self.repo = place, repo
        default = _default(repo, tips)
        self.branch = branch or default
        if not tips:
            raise Refused("there is no commit yet", hint="commit a task first")
        if self.branch not in tips:
            raise Refused(f"there is no branch {clean(self.branch)}", hint=f"there are: {', '.join(sorted(tips)[:10])}")
        self.tree: Tree = Tree(repo.snapshot(tips[self.branch]))
        self._settings = repo.snapshot(tips[default]) if default in tips else self.tree.snapshot

    def task(self, text: str) -> "tuple[str, Task]":
        """Its path and what its file says. Raises Invalid and Refused."""
        from labwright.control.reading import Parsed
        from labwright.domain.task import Task

        name = self.name(text)
        if name is None:
            near = difflib.get_close_matches(task_path(text, self.place.repo), list(self.tree.tasks), 1)
            hint = f"did you mean {near[0]}?" if near else "`lab check` counts what there is; is it committed?"
            raise Refused(f"there is no task {clean(text)} at {self.branch}", hint=hint)
        spec = Parsed(self.repo).task(self.tree.tasks[name])
        if not isinstance(spec, Task):
            raise Invalid(spec)
        return name, spec

    def name(self, text: str) -> str | None:
        name = task_path(text, self.place.repo)
        return name if name in self.tree.tasks else None

    def lab(self) -> "Lab":
        from labwright.cli.drafting import lab_of

        return lab_of(self.repo, self._settings)

    def provider(self, text: str, spec: "Task") -> str:
        """As lab.yaml spells it. Raises Refused where it is missing or cannot run the task."""
        from labwright.wiring import judges

        lab = self.lab()
        name = next((name for name in lab.providers if name.lower() == text.lower()), None)
        if name is None:
            raise Refused(f"lab.yaml has no provider {clean(text)}", hint=f"it has: {', '.join(lab.providers)}")
        with judges(self.place, self.repo, lab) as providers:
            if name not in providers:
                raise Refused(f"provider {name} is not available in this version of Labwright")
            refusals = providers[name].refuse(spec)
        if refusals:
            raise Refused("; ".join(refusals))
        return name


def _default(repo: "Repo", tips: Mapping[str, str]) -> str:
    try:
        return repo.default_branch()
    except Unavailable:  # a remote that cannot be asked just now
        return next((name for name in ("main", "master") if name in tips), next(iter(tips), "main"))


def parameters(spec: "Task", given: Sequence[str]) -> Mapping[str, Any]:
    """`name=value` texts as values that the task's declarations accept. Raises Refused."""
    declared = {name: dict(parameter) for name, parameter in spec.parameters.items()}
    known: dict[str, dict[str, Any]] = {name: {} for name in spec.sweeps.config} if spec.sweeps else {}
    known.update(declared)
    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise Refused(f"-p {clean(text)}: write it as name=value", hint="such as -p learning_rate=0.1")
        if name not in known:
            near = difflib.get_close_matches(name, list(known), 1)
            hint = f"did you mean {near[0]}?" if near else f"it has: {', '.join(sorted(known)) or 'none'}"
            raise Refused(f"the task has no parameter {clean(name)}", hint=hint)
        values[name] = _value(name, value, known[name])
    return values


def _value(name: str, text: str, declared: Mapping[str, Any]) -> Any:
    """A scalar of YAML 1.2; text where the parameter is text or its options are."""
    from labwright.decide.document import scalar
    from labwright.domain.forms import Fault
    from labwright.domain.parameters import fit

    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    plain = text[1:-1] if quoted else text
    tries = [plain] if quoted or declared.get("type") == "string" else [scalar(text), plain]
    faults = []
    for value in tries:
        try:
            return fit(value, declared)
        except Fault as fault:
            faults.append(fault)
    raise Refused(f"{clean(name)} {faults[0].message}", hint=faults[0].hint)
