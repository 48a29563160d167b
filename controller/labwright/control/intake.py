"""From a change of the repository to jobs in the ledger: fetch, plan the branches that moved, apply the plan."""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase

from labwright.control.pushes import Pushes
from labwright.control.reading import Parsed, reader, refuse_by
from labwright.control.settings import Settings
from labwright.control.world import World, later
from labwright.decide import rows
from labwright.decide.discover import Tree, affected
from labwright.decide.identity import Asked, Evaluation
from labwright.decide.offer import offer_digest
from labwright.decide.plan import Known, Tip, plan
from labwright.decide.smoke import smoked
from labwright.decide.trailers import rerun_acts
from labwright.domain.errors import LabError, Unavailable
from labwright.domain.forge import is_smoke
from labwright.domain.ids import JobId
from labwright.domain.job import Job, Wanted
from labwright.domain.plan import Plan
from labwright.domain.snapshot import CommitInfo, Snapshot
from labwright.ports.ledger import PlanRow
from labwright.ports.records import Batch

PATIENCE = 5.0  # seconds until a branch that could not be planned is looked at again


@dataclass(frozen=True, slots=True)
class Looked:
    """A branch's tip, evaluated."""

    made: "Evaluated"
    tree: Tree
    info: CommitInfo
    commits: Sequence[CommitInfo]  # new since it was planned last
    first_sight: bool
    author: str  # of what it launches: who pushed, where a forge tells, else what the commit says
    doubt: str = ""  # why what it launches must be confirmed


class Intake:
    def __init__(self, world: World) -> None:
        self.world = world
        self.settings = Settings(world)
        self.parsed = Parsed(world.repo, world.book.ledger)
        self.tips: Mapping[str, str] = {}
        self.default = ""
        self.fetched = False  # at least once since the start
        self.failing = 0
        self.pushes = Pushes(world)
        self._trees: dict[str, Tree] = {}  # by branch, of the commit planned last
        self._read: dict[str, Tree] = {}  # by commit, of tips that are being looked at
        self._existing: set[str] = set()  # branches whose baseline was launched, as options.launch_existing asks
        self._next = world.now()
        self.dirty = False  # tips not planned yet
        self.stuck = False  # some of them cannot be, for now
        self._later = world.now()
        self._replan: set[str] = set()  # branches whose refusals may be others since the settings changed
        world.pushed.set()

    def recover(self) -> None:
        """The last turn was not written: what was planned in it is not."""
        self.dirty, self._later = True, self.world.now()
        self._trees.clear()
        self._existing.clear()
        self.settings.recover()

    def step(self, now: datetime) -> datetime | None:
        world = self.world
        fetching = world.calls.busy("fetch")
        if (world.pushed.is_set() or now >= self._next) and not fetching:
            world.pushed.clear()
            world.calls.start("fetch", world.repo.fetch, self._fetched, self._unreachable)
            fetching = True
        news, self.pushes.news = self.pushes.news, False
        if self.dirty and (news or now >= self._later):
            self._plan_all(now)
        dues = [] if fetching else [self._next]  # a fetch's end wakes the loop
        return min([*dues, self._later] if self.dirty else dues, default=None)

    @property
    def up_to_date(self) -> bool:
        """Every tip that was fetched is planned, but for branches that cannot be."""
        return self.fetched and not (self.dirty and not self.stuck)

    def _fetched(self, tips: Mapping[str, str]) -> None:
        if tips != self.tips or not self.fetched:
            self.dirty, self._later = True, self.world.now()
        self.tips, self.fetched, self.failing = tips, True, 0
        self.pushes.keep(tips)
        self.world.alarms.clear("repository")
        self._again(self.world.options.poll_seconds)

    def _unreachable(self, error: Exception) -> None:
        if not isinstance(error, LabError | OSError):
            self.world.log.error("fetch failed", error=repr(error), exc_info=error)
        self.failing += 1
        self.world.alarms.raise_("repository", str(error) if isinstance(error, LabError) else repr(error))
        wait = error.retry_in if isinstance(error, Unavailable) else 60.0
        self._again(min(wait * 2 ** min(self.failing - 1, 6), 300.0))

    def _again(self, seconds: float) -> None:
        self._next = later(self.world.now(), seconds * random.uniform(0.8, 1.2))  # noqa: S311  # jitter, not a secret

    def _plan_all(self, now: datetime) -> None:
        """Every branch by itself: one that cannot be read or planned waits, loudly, and the others go on."""
        world = self.world
        self.dirty, self.stuck = False, False
        with self._by_itself("settings", now):
            self._read_settings()
        if world.lab is None:
            return
        for branch in watched(self.tips, world.lab.watch.branches):
            ready = None
            with self._by_itself(f"branch {branch}", now):
                try:
                    ready = self._look(branch)
                except _NotYet:
                    again = self.pushes.due(now)
                    self.dirty, self.stuck, self._later = True, again is not None, again or later(now, PATIENCE)
            if ready is not None:
                self._carry_out(ready, now)

    @contextmanager
    def _by_itself(self, what: str, now: datetime) -> Iterator[None]:
        try:
            yield
            self.world.alarms.clear(what)
        except Exception as error:
            self.dirty, self.stuck, self._later = True, True, later(now, PATIENCE)
            if not isinstance(error, LabError | OSError):
                self.world.log.error("defect", doing=f"planning {what}", error=repr(error), exc_info=error)
            self.world.alarms.raise_(
                what, f"{error if isinstance(error, LabError) else repr(error)}; not planned for now"
            )

    def _read_settings(self) -> None:
        world = self.world
        self.default = world.repo.default_branch()
        if self.default in self.tips:
            changed = self.settings.read(self.tree(self.default).snapshot, self.default)
        elif world.lab is None:
            changed = self.settings.read(Snapshot("", {}))
        else:
            raise Unavailable(f"the default branch {self.default} is not there; the settings before stay in force")
        if changed and world.lab is not None:
            self._replan.update(self.tips)

    def tree(self, branch: str) -> Tree:
        commit = self.tips[branch]
        known = self._trees.get(branch)
        if known is not None and known.snapshot.commit == commit:
            return known
        if commit not in self._read:
            snapshot = self.world.repo.snapshot(commit, known.snapshot if known else None)
            self._read = {commit: Tree.after(known, snapshot) if known else Tree(snapshot)}
        return self._read[commit]

    def _look(self, branch: str) -> "Looked | None":
        """What the tip asks for; None when it is planned already. Writes nothing."""
        world, ledger, commit = self.world, self.world.book.ledger, self.tips[branch]
        planned = ledger.cursor(f"planned:{branch}")
        existing = world.options.launch_existing and branch not in self._existing
        if planned == commit and branch not in self._replan and not existing:
            return None
        push = self.pushes.of(branch, commit)
        if push is None:
            raise _NotYet
        tree = self.tree(branch)
        names = self._affected(branch, planned, tree)
        if branch in self._replan:  # the settings changed, so refusals may have too
            names |= {w.task for w in ledger.wants(branch) if w.how in (Wanted.REFUSED, Wanted.INVALID)}
        if existing:
            names |= {w.task for w in ledger.wants(branch) if w.how is Wanted.BASELINE}
        first_sight = planned is None and not existing
        made = self.evaluate(tree, names, branch, first_sight=first_sight, existing=existing, doubt=push.held)
        commits = world.repo.between(planned, commit) if planned else ()
        info = world.repo.commits([commit])[commit]
        author = push.by or info.email or info.author
        return Looked(made, tree, info, commits, first_sight=planned is None, author=author, doubt=push.held)

    def _carry_out(self, seen: "Looked", now: datetime) -> None:
        """Bring the ledger to what the tip asks for."""
        made, ledger = seen.made.plan, self.world.book.ledger
        with self.world.book.transaction():
            self._apply(made, seen, now)
            for act in rerun_acts(seen.commits, seen.tree.tasks, now, made.branch):
                if ledger.put_act(act) and seen.doubt:
                    ledger.finish_act(act.id, now, f"refused: {seen.doubt}; `lab rerun {act.target}` runs it")
                self.world.asked.set()
            ledger.set_cursor(f"planned:{made.branch}", made.commit)
        self._trees[made.branch] = seen.tree
        self._replan.discard(made.branch)
        self._existing.add(made.branch)
        self._say(made, first_sight=seen.first_sight)

    def _affected(self, branch: str, planned: str | None, tree: Tree) -> set[str]:
        known = self._trees.get(branch)
        before = known.snapshot if known is not None and known.snapshot.commit == planned else None
        if before is None and planned:
            try:
                before = self.world.repo.snapshot(planned)
            except LabError:
                before = None  # the commit is gone from the mirror: look at every task
        self.parsed.learn(tree.tasks.values())
        return affected(before, tree, self.parsed.links(tree))

    def evaluate(
        self,
        tree: Tree,
        names: Collection[str],
        branch: str,
        *,
        first_sight: bool,
        existing: bool = False,
        doubt: str = "",
    ) -> "Evaluated":
        """`existing`: a baseline is no reason any more to leave a trial alone."""
        gone = [name for name in names if name not in tree.tasks]
        tip = Tip(branch, tree.snapshot.commit, first_sight, empty=not tree.tasks, doubt=doubt)
        return self.weigh(tree, names, gone, tip, existing=existing)

    def weigh(
        self, tree: Tree, names: Collection[str], gone: Collection[str], tip: Tip, *, existing: bool = False
    ) -> "Evaluated":
        """`gone`: tasks that this branch or pull request has nothing to ask of any more."""
        world, ledger, branch = self.world, self.world.book.ledger, tip.branch
        lab = world.lab
        assert lab is not None  # noqa: S101  # planned only once there are settings
        refuse = world.masks.quiet(refuse_by(world.providers))
        evaluation = Evaluation(tree, lab, reader(world.repo, self.parsed, refuse), branch)
        asked = evaluation.ask(sorted(names))
        if is_smoke(branch) and (smoke := lab.policy.approve.smoke) is not None:
            asked = smoked(asked, smoke, evaluation.refusals)
        if tip.touched is not None:
            tip = replace(tip, offer=offer_digest(asked, tip.touched))
        tasks = [*asked, *gone]
        wants = ledger.wants(None, tasks) if tasks else ()
        known = Known(
            jobs=ledger.jobs(tasks=tasks) if tasks else (),
            wants=[w for w in wants if w.branch == branch and not (existing and w.how is Wanted.BASELINE)],
            elsewhere={w.job for w in wants if w.branch != branch and w.job},
        )
        return Evaluated(plan(asked, gone, known, tip, lab.policy.limits), asked)

    def _apply(self, made: Plan, seen: Looked, now: datetime) -> None:
        book, ledger, info = self.world.book, self.world.book.ledger, seen.info
        for task in dict.fromkeys(launch.trial.task for launch in made.launch):
            ledger.put_contents(seen.made.asked[task].contents)
        book.insert(jobs_of(made, seen.author, now))
        if not made.held:
            by_reason: dict[str, list[Job]] = {}
            for stop in made.stop:
                by_reason.setdefault(stop.reason, []).append(book.live[stop.job])
            for reason, jobs in by_reason.items():
                book.amend(jobs, stop_asked=reason)
        ledger.set_wants(made.branch, made.wants)
        if not made.empty or made.refuse or made.invalid:
            row = plan_row(made, now)
            ledger.put_plan(row)
            self.world.notes.append(Batch(plans=[rows.plan_row(row)]))
        self.world.notes.append(Batch(commits=[rows.commit_row(info, made.branch, "" if made.empty else made.digest)]))

    def _say(self, made: Plan, *, first_sight: bool) -> None:
        log = self.world.log.bind(branch=made.branch, commit=made.commit[:10])
        for problem in made.invalid:
            log.warning("invalid task", problem=str(problem))
        for refusal in made.refuse:
            log.warning("refused", task=refusal.task, why=refusal.reason)
        if made.held:
            log.warning("held until confirmed", plan=made.digest[:12], why=made.held)
        counts = {"launch": len(made.launch), "reuse": len(made.reuse), "stop": len(made.stop)}
        if first_sight and made.baseline:
            log.info(
                "baseline: what is there is recorded, and nothing is launched",
                trials=made.baseline,
                to_launch="change a task and push, `lab run TASK`, or `lab serve --launch-existing`",
            )
        else:
            log.info("planned", **{name: n for name, n in counts.items() if n})


class _NotYet(Exception):
    """The forge has not said who pushed."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    plan: Plan
    asked: Mapping[str, Asked]


def watched(tips: Mapping[str, str], patterns: Collection[str]) -> list[str]:
    return [branch for branch in sorted(tips) if any(fnmatchcase(branch, pattern) for pattern in patterns)]


def jobs_of(made: Plan, author: str, now: datetime, digest: str = "") -> list[Job]:
    digest = digest or made.digest  # of all that is launched: computed once, not once a job
    return [
        Job(
            id=JobId(launch.job),
            task=launch.trial.task,
            work=launch.trial.work,
            generation=launch.generation,
            parameters=launch.trial.parameters,
            spec=launch.trial.spec,
            bundle=launch.trial.bundle,
            provider=launch.trial.provider,
            priority=launch.trial.priority,
            commit=made.commit,
            branch=made.branch,
            author=author,
            created=now,
            reason=f"limit: {made.held}" if made.held else "planned",
            needs=launch.needs,
            plan=digest,
            trial=launch.place,
        )
        for launch in made.launch
    ]


def plan_row(made: Plan, now: datetime) -> PlanRow:
    return PlanRow(
        digest=made.digest,
        commit=made.commit,
        branch=made.branch,
        at=now,
        launched=len(made.launch),
        reused=len(made.reuse),
        superseded=len(made.stop),
        refused=len(made.refuse) + len(made.invalid),
        held=bool(made.held),
        detail={
            "why_held": made.held,
            "stop": {stop.job: stop.reason for stop in made.stop},
            "refuse": [[r.task, r.provider, r.reason] for r in made.refuse],
            "invalid": [str(problem) for problem in made.invalid],
            "gpu_hours": made.gpu_hours,
        },
    )
