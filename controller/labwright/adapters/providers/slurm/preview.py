"""What would be submitted, made without a word to the cluster."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from labwright.adapters.providers.local import stage
from labwright.adapters.providers.local.spool import Spool
from labwright.adapters.providers.slurm.batch import certain, environment, groups, trial_files
from labwright.adapters.providers.slurm.facts import Facts
from labwright.adapters.providers.slurm.scripts import Writer, account_of, gather
from labwright.domain.slurm import SlurmProvider
from labwright.ports.provider import ReadBlobs, Submission

_PLATFORM = "Linux x86_64"  # what only the login node knows is assumed: this, no uv of its own, and where its home is
_WHEN = "00000000"  # in a batch's name: a digest of when it was made


def preview(
    submissions: Sequence[Submission],
    number: int,
    settings: SlurmProvider,
    lab: str,
    read_blobs: ReadBlobs,
    *,
    sdk: Path | None,
    templates: Mapping[str, str],
    folder: Path,
) -> tuple[dict[str, str], dict[str, str]]:
    """Files of the batch in which one of the submissions would be, its own config.json, and its variables.

    All submissions that are given are taken to be made together, as a sweep's are. `folder` is empty, and used up."""
    chosen = submissions[number]
    account, facts = account_of(chosen, settings), Facts()
    root = f"{_below_home((account and account.workdir) or settings.workdir)}/{lab}"
    spool = Spool(folder)
    spool.make()
    made = groups(submissions, facts.array_max(settings))
    group = next(g for g in made if any(s.token == chosen.token for s in g.members))
    certain(chosen.token)
    kit = stage.provide_sdk(spool, sdk) if sdk else None
    goods = gather(spool, group.first, read_blobs, kit, root, uv_there=None, platform=_PLATFORM)
    files = Writer(settings, templates, root, account, facts).scripts(group, goods, f"{group.job}.{_WHEN}")
    own, _ = trial_files(chosen, settings, root, goods.sdk, folders={}, resume="")
    files["config.json"] = own["config.json"]
    return {name: data.decode() for name, data in files.items()}, environment(chosen, settings, root, goods.sdk)


def _below_home(workdir: str) -> str:
    return workdir if workdir.startswith(("/", "~/")) else f"~/{workdir}"
