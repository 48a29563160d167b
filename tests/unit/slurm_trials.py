"""Trials as a controller would submit them to a cluster, and the scripts of their batch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from labwright.adapters.providers.slurm.batch import Group, groups
from labwright.adapters.providers.slurm.facts import Facts
from labwright.adapters.providers.slurm.options import Run
from labwright.adapters.providers.slurm.scripts import Goods, Writer
from labwright.domain.bundle import Bundle
from labwright.domain.ids import JobId, Token
from labwright.domain.slurm import Account, SlurmProvider
from labwright.domain.task import Task
from labwright.ports.provider import Submission

ROOT = "/home/lab's/labwright/lab"
GOODS = Goods(f"{ROOT}/bundles/0123", None, None, "", {})
RUN = Run("lab-abcdefghijkl-1", f"{ROOT}/batches/one.01", ROOT, "task=alpha/train")


def task(**keys: Any) -> Task:
    return Task.model_validate({"name": "train", "run": "python train.py", **keys})


def resources(**keys: Any) -> Task:
    return task(resources=keys)


def cluster(**keys: Any) -> SlurmProvider:
    return SlurmProvider.model_validate({"type": "slurm", **keys})


def trial(n: int = 0, of: Task | None = None, *, folder: str = "", **more: Any) -> Submission:
    """The n-th of a sweep."""
    job = JobId(
        "abcdefghijk" + "abcdefghijklmnopqrstuvwxyz"[n % 26]
        if n < 26
        else f"abcdefgh{chr(97 + n // 26 % 26)}{chr(97 + n % 26)}xy"
    )
    made = Submission(
        token=Token(f"lab-{job}-1"),
        job=job,
        attempt=1,
        task_path="alpha/train",
        task=of or task(),
        bundle=Bundle((), folder),
        parameters={"lr": n / 10},
        variables={"LAB_COMMIT": "c" * 40, "LAB_AUTHOR": "Ada <ada@example.org>"},
    )
    return replace(made, **more)


def sweep(trials: int, of: Task | None = None, **more: Any) -> list[Submission]:
    return [trial(n, of, **more) for n in range(trials)]


def group(trials: int = 1, of: Task | None = None, **more: Any) -> Group:
    """All in one."""
    (made,) = groups(sweep(trials, of, **more), 1000)
    return made


def scripts(
    of: Group,
    settings: SlurmProvider | None = None,
    *,
    templates: Mapping[str, str] | None = None,
    root: str = ROOT,
    account: Account | None = None,
    facts: Facts | None = None,
    goods: Goods = GOODS,
) -> dict[str, str]:
    writer = Writer(settings or cluster(), templates or {}, root, account, facts or Facts())
    return {name: data.decode() for name, data in writer.scripts(of, goods, f"{of.job}.01").items()}


def header(script: str) -> Sequence[str]:
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH")]
