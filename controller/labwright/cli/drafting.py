"""What the controller would do with a commit, worked out here: the same questions to the same functions as control/intake.py."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from labwright.cli.gitwork import commit_id, current_branch, git
from labwright.cli.published import published
from labwright.control.intake import watched
from labwright.control.reading import Parsed, reader, refuse_by
from labwright.control.settings import LAB_FILE, refuse_unsupported
from labwright.decide.discover import Tree, affected
from labwright.decide.identity import Asked, Evaluation
from labwright.decide.parse import parse_lab
from labwright.decide.plan import Known, Tip, plan
from labwright.decide.trailers import rerun_acts
from labwright.domain.errors import LabError
from labwright.domain.job import Act, Want, Wanted
from labwright.domain.lab import Lab
from labwright.domain.plan import Plan
from labwright.domain.snapshot import Snapshot
from labwright.ports.ledger import Ledger
from labwright.ports.repo import Repo
from labwright.settings import Place


@dataclass(frozen=True, slots=True)
class Desk:
    """A commit of the repository here, and what its tasks are judged by."""

    work: Place  # the repository in which somebody types
    repo: Repo
    lab: Lab
    parsed: Parsed
    providers: Mapping[str, Any]
    tree: Tree
    settings: Snapshot  # what lab.yaml was read from
    branch: str  # as the part of which the commit is planned
    unwatched: str = ""  # the branch that was meant, where the lab does not watch it

    def ask(self, tree: Tree, names: Collection[str]) -> Mapping[str, Asked]:
        asking = reader(self.repo, self.parsed, refuse_by(self.providers))
        return Evaluation(tree, self.lab, asking, self.branch).ask(sorted(names))


@dataclass(frozen=True, slots=True)
class Draft:
    tree: Tree
    plan: Plan
    asked: Mapping[str, Asked]
    before: Snapshot | None  # what the change is seen against
    first_sight: bool
    reruns: Sequence[Act] = ()  # by a commit's trailer, carried out after the plan
    unwatched: str = ""  # as Desk's


class _Cache:
    """A ledger's parsed files for reading: what is new is not written."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def parsed(self) -> Mapping[str, str]:
        return self._ledger.parsed()

    def put_parsed(self, parsed: Mapping[str, str]) -> None:
        pass


@contextmanager
def desk(work: Place, commit: str, branch: str | None = None, ledger: Ledger | None = None) -> Iterator[Desk]:
    """`branch` None: the one that is checked out if the lab watches it, else the one that it would be merged into."""
    from labwright.wiring import judges, reading

    with reading(work) as (repo, _):
        parsed = Parsed(repo, _Cache(ledger) if ledger else None)  # type: ignore[arg-type]
        tree = Tree(repo.snapshot(commit))
        default = repo.default_branch()
        here = branch or current_branch(work.repo) or default
        settings = tree.snapshot if here == default else _tip(work, repo, default) or tree.snapshot
        lab = lab_of(repo, settings)
        unwatched = "" if watched({here: commit}, lab.watch.branches) else here
        if branch is None and unwatched:
            here = default if watched({default: commit}, lab.watch.branches) else lab.watch.branches[0]
        with judges(work, repo, lab) as providers:
            yield Desk(work, repo, lab, parsed, providers, tree, settings, here, unwatched)


def _tip(work: Place, repo: Repo, branch: str) -> Snapshot | None:
    for name in (f"refs/remotes/origin/{branch}", f"refs/heads/{branch}"):
        if found := commit_id(work.repo, name):
            return repo.snapshot(found)
    return None


def lab_of(repo: Repo, snapshot: Snapshot) -> Lab:
    """Raises Invalid and Refused."""
    entry = snapshot.entries.get(LAB_FILE)
    lab = parse_lab(next(iter(repo.read([entry.oid]))) if entry else b"", LAB_FILE)
    refuse_unsupported(lab)
    return lab


def draft_by_ledger(at: Desk, ledger: Ledger, *, launch_existing: bool = False) -> Draft:
    """Against what a controller of this machine knows: the same plan as its own."""
    planned = ledger.cursor(f"planned:{at.branch}")
    before = _snapshot(at.repo, planned) if planned else None
    names = _affected(at, before)
    standing = [w for w in ledger.wants(at.branch) if w.how in (Wanted.REFUSED, Wanted.INVALID)]
    names |= {want.task for want in standing}
    asked = at.ask(at.tree, names)
    gone = [name for name in names if name not in at.tree.tasks]
    tasks = [*asked, *gone]
    wants = ledger.wants(None, tasks) if tasks else ()
    known = Known(
        jobs=ledger.jobs(tasks=tasks) if tasks else (),
        wants=[w for w in wants if w.branch == at.branch],
        elsewhere={w.job for w in wants if w.branch != at.branch and w.job},
    )
    first_sight = planned is None and not launch_existing
    made = _plan(at, at.tree, asked, gone, known, first_sight=first_sight)
    reruns = _reruns(at, planned) if planned and before else ()
    known_acts = {act.id for act in ledger.acts(pending=False)} if reruns else set()
    fresh = [act for act in reruns if act.id not in known_acts]
    return Draft(at.tree, made, asked, before, first_sight, fresh, at.unwatched)


def draft_by_base(at: Desk, base: str | None, *, launch_existing: bool = False) -> Draft:
    """Without a controller's knowledge: against the jobs on the results branch, with the base as what was there before."""
    before = at.repo.snapshot(base) if base else None
    names = _affected(at, before)
    gone = [name for name in names if name not in at.tree.tasks]
    asked = at.ask(at.tree, names)
    tasks = {*asked, *gone}
    jobs = published(at.work.repo, at.lab.results.branch, tasks)
    wants: list[Want] = []
    if before is not None:
        old = Tree(before)
        at.parsed.learn(old.tasks.values())
        known = Known(jobs, ())
        seen = _plan(at, old, at.ask(old, tasks & old.tasks.keys()), (), known, first_sight=True)
        wants = [want for group in seen.wants.values() for want in group]
    first_sight = before is None and not launch_existing
    made = _plan(at, at.tree, asked, gone, Known(jobs, wants), first_sight=first_sight)
    return Draft(at.tree, made, asked, before, first_sight, _reruns(at, base) if base else (), at.unwatched)


def _plan(
    at: Desk, tree: Tree, asked: Mapping[str, Asked], gone: Collection[str], known: Known, *, first_sight: bool
) -> Plan:
    tip = Tip(at.branch, tree.snapshot.commit, first_sight, empty=not tree.tasks)
    return plan(asked, gone, known, tip, at.lab.policy.limits)


def _affected(at: Desk, before: Snapshot | None) -> set[str]:
    at.parsed.learn(at.tree.tasks.values())
    return affected(before, at.tree, at.parsed.links(at.tree))


def _snapshot(repo: Repo, commit: str) -> Snapshot | None:
    try:
        return repo.snapshot(commit)
    except LabError:
        return None  # not in this clone: every task is looked at


def _reruns(at: Desk, since: str) -> Sequence[Act]:
    commits = at.repo.between(since, at.tree.snapshot.commit)
    return rerun_acts(commits, at.tree.tasks, datetime(1970, 1, 1, tzinfo=UTC))


def base_of(work: Place, default: str, commit: str) -> str | None:
    """What the commit would be merged into: the remote's default branch, else the local one if that is another commit."""
    remote = commit_id(work.repo, f"refs/remotes/origin/{default}")
    local = commit_id(work.repo, f"refs/heads/{default}")
    found = remote or (local if local != commit else None)
    return (git(work.repo, "merge-base", found, commit) or found) if found else None
