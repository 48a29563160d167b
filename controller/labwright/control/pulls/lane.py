"""One pull request, planned: what it touches against its base, what that would launch, and whether it may."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from labwright.control.intake import Evaluated, Intake, watched
from labwright.control.pulls.owners import owners_of
from labwright.control.pulls.watch import Seen
from labwright.control.world import World
from labwright.decide.approve import Judgement, Offer, judge, judge_smoke
from labwright.decide.discover import Tree, affected, changed_paths
from labwright.decide.offer import offer_digest, offer_of
from labwright.decide.plan import Tip
from labwright.domain.errors import LabError
from labwright.domain.forge import Pull, lane_of
from labwright.domain.ids import Digest
from labwright.domain.lab import Lab
from labwright.domain.snapshot import CommitInfo, Snapshot
from labwright.ports.ledger import PlanRow

MOST_REVIEWED = 10  # former heads that are read again
MOST_BASES = 16  # commits at which pull requests left their base, of which the tree is kept


@dataclass(frozen=True, slots=True)
class Lane:
    seen: Seen
    base: Snapshot  # where the pull request parted from its base branch
    tree: Tree  # of its head
    touched: frozenset[str]  # tasks
    paths: frozenset[str]  # changed ones
    made: Evaluated
    offer: Offer
    info: CommitInfo
    judgement: Judgement
    smoke: bool = False  # the short run of it

    @property
    def number(self) -> int:
        return self.seen.talk.pull.number

    @property
    def name(self) -> str:
        return lane_of(self.number, smoke=self.smoke)

    @property
    def head(self) -> str:
        return self.tree.snapshot.commit


@dataclass(frozen=True, slots=True)
class _Read:
    base: Snapshot
    tree: Tree
    touched: frozenset[str]
    paths: frozenset[str]
    info: CommitInfo


class Lanes:
    """Makes lanes. Reads the repository and the ledger; writes nothing but what it learnt of task files."""

    def __init__(self, world: World, intake: Intake) -> None:
        self.world, self.intake = world, intake
        self._trees: dict[int, Tree] = {}
        self._asked: dict[tuple[str, str, bool], Digest] = {}  # (reviewed commit, base's tip, smoke) → what it asks for
        self._lab: Lab | None = None  # under which settings
        self._bases: dict[str, Snapshot] = {}  # by commit
        self._known: dict[int, _Read] = {}

    def plan(self, seen: Seen, now: datetime, *, smoke: bool = False) -> Lane | None:
        """None for one whose base branch is not there. Raises Unavailable and Refused of the repository."""
        pull = seen.talk.pull
        tip = self.intake.tips.get(pull.base)
        if tip is None:
            return None
        read = self._read(pull, self._parted(pull.head, tip, pull.base))
        made = self._weigh(lane_of(pull.number, smoke=smoke), pull.base, read.tree, read.touched)
        digest = offer_digest(made.asked, read.touched)
        same = self._same(seen, tip, digest, smoke)
        offer = offer_of(made.plan, made.asked, digest, same, self._owners(read.paths, pull.base))
        offer = replace(offer, shut=self._shut(pull.base))
        lane = Lane(seen, read.base, read.tree, read.touched, read.paths, made, offer, read.info, Judgement(()), smoke)
        return self.judged(lane, seen)

    def _read(self, pull: Pull, base: Snapshot) -> _Read:
        """What git says of it: the same as long as neither its head nor the commit moved at which it left its base."""
        known = self._known.get(pull.number)
        if known is None or (known.tree.snapshot.commit, known.base.commit) != (pull.head, base.commit):
            tree = self._tree(pull.number, pull.head, base)
            paths = frozenset(changed_paths(base, tree.snapshot))
            info = self.world.repo.commits([pull.head])[pull.head]
            known = self._known[pull.number] = _Read(base, tree, self._touched(base, tree), paths, info)
        return known

    def judged(self, lane: Lane, seen: Seen) -> Lane:
        assert self.world.lab is not None  # noqa: S101  # planned only with settings
        decide = judge_smoke if lane.smoke else judge
        return replace(
            lane, seen=seen, judgement=decide(seen.talk, self.world.lab.policy.approve, lane.offer, seen.people)
        )

    def _shut(self, base: str) -> str:
        """Whoever may push a branch writes the CODEOWNERS there, so only bases that launch by themselves count."""
        watch = self.world.lab.watch if self.world.lab else None
        if watch is None or not watch.pull_requests:
            return "`watch: {pull_requests: true}` in lab.yaml"
        return (
            "" if watched({base: ""}, watch.branches) else f"a base branch that lab.yaml watches, which {base} is not"
        )

    def forget(self, number: int) -> None:
        self._trees.pop(number, None)
        self._known.pop(number, None)

    def _parted(self, head: str, tip: str, branch: str) -> Snapshot:
        """The base branch where this head left it. Many left it at the same few commits."""
        fork_point = self.world.repo.merge_base(head, tip)
        if fork_point is None:
            return Snapshot("", {})
        if fork_point not in self._bases:
            near = self.intake.tree(branch).snapshot
            self._bases[fork_point] = self.world.repo.snapshot(fork_point, near)
            while len(self._bases) > MOST_BASES:
                del self._bases[next(iter(self._bases))]
        return self._bases[fork_point]

    def _touched(self, base: Snapshot, tree: Tree) -> frozenset[str]:
        self.intake.parsed.learn(tree.tasks.values())
        names = affected(base, tree, self.intake.parsed.links(tree))
        return frozenset(name for name in names if name in tree.tasks)

    def _same(self, seen: Seen, tip: str, digest: Digest, smoke: bool) -> set[str]:
        """Commits that people reviewed and that ask for exactly this as well, as they read now; the head is one of them."""
        head = seen.talk.pull.head
        reviewed = list(dict.fromkeys(review.commit for review in reversed(seen.talk.reviews)))
        others = [commit for commit in reviewed[:MOST_REVIEWED] if commit and commit != head]
        return {head} | {commit for commit in others if self._asks(commit, tip, seen.talk.pull.base, smoke) == digest}

    def _asks(self, commit: str, tip: str, branch: str, smoke: bool) -> Digest | None:
        """The digest of a former head; None where it cannot be read any more."""
        if self._lab is not self.world.lab:
            self._asked, self._lab = {}, self.world.lab
        if (commit, tip, smoke) not in self._asked:
            try:
                base = self._parted(commit, tip, branch)
                tree = Tree(self.world.repo.snapshot(commit, base if base.commit else None))
                touched = self._touched(base, tree)
                asked = self._weigh(lane_of(0, smoke=smoke), "", tree, touched).asked
                self._asked[commit, tip, smoke] = offer_digest(asked, touched)
            except LabError:
                return None
        return self._asked[commit, tip, smoke]

    def _tree(self, number: int, head: str, base: Snapshot) -> Tree:
        known = self._trees.get(number)
        if known is None or known.snapshot.commit != head:
            since = known.snapshot if known else base if base.commit else None
            self._trees[number] = Tree(self.world.repo.snapshot(head, since))
        return self._trees[number]

    def _weigh(self, lane: str, target: str, tree: Tree, touched: Collection[str]) -> Evaluated:
        before = {want.task for want in self.world.book.ledger.wants(lane)}
        gone = sorted(before - set(touched))  # touched no more: what it asked for before is not wanted for its sake
        tip = Tip(lane, tree.snapshot.commit, first_sight=False, target=target, touched=frozenset(touched))
        return self.intake.weigh(tree, touched, gone, tip)

    def _owners(self, paths: Collection[str], base: str) -> Mapping[str, frozenset[str]]:
        lab = self.world.lab
        assert lab is not None  # noqa: S101  # planned only with settings
        return owners_of(self.world.repo, self.intake.tree(base).snapshot, paths, lab)


def row_of(lane: Lane, now: datetime) -> PlanRow:
    """What the ledger keeps of an offer: that this head asked for exactly this."""
    plan = lane.made.plan
    return PlanRow(
        digest=lane.offer.digest,
        commit=lane.head,
        branch=lane.name,
        at=now,
        launched=len(plan.launch),
        reused=len(plan.reuse),
        superseded=len(plan.stop),
        refused=len(plan.refuse) + len(plan.invalid),
        held=bool(plan.held),
        detail={
            "why_held": plan.held,
            "stop": {stop.job: stop.reason for stop in plan.stop},
            "refuse": [[r.task, r.provider, r.reason] for r in plan.refuse],
            "invalid": [str(problem) for problem in plan.invalid],
            "gpu_hours": plan.gpu_hours,
        },
    )
