"""What a pull request asks for, as one digest: what people approve. It does not change when jobs of it are launched, end, or
turn out to be there already, nor with a rebase of the same content."""

from collections.abc import Collection, Mapping

from labwright.decide.approve import Offer
from labwright.decide.identity import Asked
from labwright.domain.ids import Digest, digest
from labwright.domain.plan import Plan


def offer_digest(asked: Mapping[str, Asked], touched: Collection[str]) -> Digest:
    """Of everything that could be submitted for the touched tasks and for what they need: where it runs, its code, its task."""
    wanted = [
        [trial.task, trial.work, trial.generation, trial.provider, trial.bundle, trial.spec]
        for task in asked.values()
        for trial in task.trials
    ]
    return digest({"pull": sorted(wanted), "touched": sorted(touched)})


def offer_of(
    plan: Plan,
    asked: Mapping[str, Asked],
    digest: Digest,
    heads: Collection[str],
    owners: Mapping[str, frozenset[str]],
) -> Offer:
    specs = [asked[launch.trial.task].spec for launch in plan.launch]
    return Offer(
        digest=digest,
        heads=frozenset(heads),
        gpu_hours=plan.gpu_hours,
        jobs=len(plan.launch),
        nodes=max((spec.resources.num_nodes for spec in specs if spec), default=1),
        owners=owners,
    )
