"""One pull request, planned: what it touches against its base, what that would launch, and whether it may."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from labwright.control.intake import Evaluated, Intake
from labwright.control.pulls.owners import owners_of
from labwright.control.pulls.watch import Seen
from labwright.control.world import World
from labwright.decide.approve import Judgement, Offer, judge
from labwright.decide.discover import Tree, affected, changed_paths
from labwright.decide.offer import offer_digest, offer_of
from labwright.decide.plan import Tip
from labwright.domain.forge import lane_of
from labwright.domain.snapshot import CommitInfo, Snapshot
from labwright.ports.ledger import PlanRow


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

    @property
    def number(self) -> int:
        return self.seen.talk.pull.number

    @property
    def name(self) -> str:
        return lane_of(self.number)

    @property
    def head(self) -> str:
        return self.tree.snapshot.commit


class Lanes:
    """Makes lanes. Reads the repository and the ledger; writes nothing but what it learnt of task files."""

    def __init__(self, world: World, intake: Intake) -> None:
        self.world, self.intake = world, intake
        self._trees: dict[int, Tree] = {}

    def plan(self, seen: Seen, now: datetime) -> Lane | None:
        """None for one whose base branch is not there. Raises Unavailable and Refused of the repository."""
        pull, repo = seen.talk.pull, self.world.repo
        tip = self.intake.tips.get(pull.base)
        if tip is None:
            return None
        fork_point = repo.merge_base(pull.head, tip)
        base = repo.snapshot(fork_point, self._known(pull.number)) if fork_point else Snapshot("", {})
        tree = self._tree(pull.number, pull.head, base)
        self.intake.parsed.learn(tree.tasks.values())
        names = affected(base, tree, self.intake.parsed.links(tree))
        touched = frozenset(name for name in names if name in tree.tasks)
        paths = frozenset(changed_paths(base, tree.snapshot))
        made = self._weigh(lane_of(pull.number), pull.base, tree, touched)
        offer = self._offer(made, pull.number, pull.head, touched, self._owners(paths, tip, now))
        info = repo.commits([pull.head])[pull.head]
        lane = Lane(seen, base, tree, touched, paths, made, offer, info, Judgement(()))
        return self.judged(lane, seen)

    def judged(self, lane: Lane, seen: Seen) -> Lane:
        assert self.world.lab is not None  # noqa: S101  # planned only with settings
        return replace(
            lane, seen=seen, judgement=judge(seen.talk, self.world.lab.policy.approve, lane.offer, seen.people)
        )

    def forget(self, number: int) -> None:
        self._trees.pop(number, None)

    def _known(self, number: int) -> Snapshot | None:
        tree = self._trees.get(number)
        return tree.snapshot if tree else None

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

    def _offer(
        self, made: Evaluated, number: int, head: str, touched: Collection[str], owners: Mapping[str, frozenset[str]]
    ) -> Offer:
        digest = offer_digest(made.asked, touched)
        same = {row.commit for row in self.world.book.ledger.plans(digest=digest) if row.branch == lane_of(number)}
        return offer_of(made.plan, made.asked, digest, same | {head}, owners)

    def _owners(self, paths: Collection[str], tip: str, now: datetime) -> Mapping[str, frozenset[str]]:
        lab = self.world.lab
        assert lab is not None  # noqa: S101
        return owners_of(self.world.repo, self.world.repo.snapshot(tip), paths, lab) if lab.forge else {}


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
