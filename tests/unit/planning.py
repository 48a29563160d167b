"""A lab repository in a few words, planned as the controller plans it: what the tests of planning share."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from labwright.control.intake import jobs_of
from labwright.control.reading import Parsed, reader
from labwright.decide.discover import Tree, affected
from labwright.decide.identity import Asked, Evaluation
from labwright.decide.parse import parse_lab
from labwright.decide.plan import Known, Tip, plan
from labwright.domain.ids import JobId
from labwright.domain.job import Job, Move
from labwright.domain.lifecycle import State
from labwright.domain.plan import Plan
from labwright.domain.snapshot import CommitInfo
from labwright.domain.task import Task
from labwright.testing.memory_ledger import MemoryLedger
from labwright.testing.memory_repo import MemoryRepo

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
Files = Mapping[str, str | None]


def refuse_nothing(provider: str, task: Task) -> Sequence[str]:
    return ()


def refuse_big(provider: str, task: Task) -> Sequence[str]:
    return ["too many cores"] if (task.resources.cpus or 0) > 64 else ()


def task(run: str = "python x.py", **more: str) -> str:
    """A task.yaml: keys and their YAML."""
    return f"name: t\nrun: {run}\n" + "".join(f"{key}: {value}\n" for key, value in more.items())


class Lab:
    """A repository and a ledger; `push` plans a branch's new tip and carries the plan out."""

    def __init__(self, settings: str = "", refuse: object = refuse_big) -> None:
        self.repo, self.ledger = MemoryRepo(), MemoryLedger()
        self.lab = parse_lab(settings.encode(), "lab.yaml")
        self.parsed = Parsed(self.repo)
        self.refuse = refuse
        self.planned: dict[str, Tree] = {}
        self.now = NOW

    def commit(self, files: Files, branch: str = "main") -> Tree:
        data = {path: text if text is None else text.encode() for path, text in files.items()}
        return Tree(self.repo.snapshot(self.repo.commit(data, branch=branch)))

    def ask(self, files: Files, *tasks: str) -> Mapping[str, Asked]:
        tree = self.commit(files)
        return self._asked(tree, tasks or sorted(tree.tasks))

    def one(self, files: Files, name: str = "a") -> Asked:
        return self.ask(files, name)[name]

    def _asked(self, tree: Tree, tasks: Collection[str]) -> Mapping[str, Asked]:
        return Evaluation(tree, self.lab, reader(self.repo, self.parsed, self.refuse)).ask(sorted(tasks))  # type: ignore[arg-type]

    def plan(self, tree: Tree, branch: str = "main", *, first: bool = False, whole: bool = False) -> Plan:
        self.parsed.learn(tree.tasks.values())
        before = self.planned.get(branch)
        names = affected(before and before.snapshot, tree, self.parsed.links(tree))
        if whole:
            names = set(tree.tasks) | (set(before.tasks) if before else set())
        asked = self._asked(tree, names)
        gone = [name for name in sorted(names) if name not in tree.tasks]
        wants = self.ledger.wants()
        known = Known(
            self.ledger.jobs(),
            [want for want in wants if want.branch == branch],
            {want.job for want in wants if want.branch != branch and want.job},
        )
        tip = Tip(branch, tree.snapshot.commit, first, empty=not tree.tasks)
        return plan(asked, gone, known, tip, self.lab.policy.limits)

    def push(self, files: Files, branch: str = "main", *, first: bool = False) -> Plan:
        tree = self.commit(files, branch)
        made = self.plan(tree, branch, first=first)
        self.planned[branch] = tree
        self.apply(made)
        return made

    def apply(self, made: Plan) -> None:
        self.now += timedelta(minutes=1)
        info = CommitInfo(made.commit, (), "Ada", "ada@example.org", self.now, "")
        self.ledger.insert(jobs_of(made, info, self.now))
        for stop in () if made.held else made.stop:
            self.ledger.amend([self.job(stop.job)], stop_asked=stop.reason)
            if self.job(stop.job).state in (State.HELD, State.QUEUED):
                self.become(stop.job, State.STOPPED, stop.reason)
        self.ledger.set_wants(made.branch, made.wants)

    def job(self, job: str) -> Job:
        return self.ledger.jobs(ids=[job])[0]

    def become(self, job: str, *states: State | str, reason: str = "") -> Job:
        """Walk the job through these states; the last may be followed by a reason."""
        words = [s for s in states if not isinstance(s, State)]
        for state in (s for s in states if isinstance(s, State)):
            self.ledger.move([Move(self.job(job), state, reason or " ".join(words), self.now)])
        return self.job(JobId(job))

    def run(self, job: str, end: State | None = State.COMPLETE) -> Job:
        steps = [State.QUEUED, State.RUNNING]
        return self.become(job, *steps, *([end] if end else []))


def launched(made: Plan) -> list[str]:
    return sorted(launch.trial.task for launch in made.launch)
