"""The scripts of a batch and what they refer to: made the same way for a submission and for `lab render`."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import uv

from labwright.adapters import templates
from labwright.adapters.providers.local import environment, source, stage, variables
from labwright.adapters.providers.local.spool import Spool
from labwright.adapters.providers.slurm import options as sbatch
from labwright.adapters.providers.slurm.batch import Group
from labwright.adapters.providers.slurm.facts import Facts
from labwright.decide.render import render
from labwright.domain.slurm import Account, SlurmProvider
from labwright.ports.provider import ReadBlobs, Submission


@dataclass(frozen=True, slots=True)
class Goods:
    """What the trials of a group share, and where on the cluster it lies."""

    bundle: str
    source: source.Source | None
    wanted: environment.Wanted | None
    sdk: str
    bring: Mapping[str, Path]  # place below the lab's folder there → folder or file here


def gather(
    spool: Spool,
    submission: Submission,
    read_blobs: ReadBlobs,
    sdk: Path | None,
    root: str,
    *,
    uv_there: str | None,
    platform: str,
) -> Goods:
    """`root` is the lab's folder there, `platform` and `uv_there` are the login node's. Raises Refused for what cannot be,
    Unavailable and OSError for what may pass."""
    task, bundle = submission.task, submission.bundle
    folder = stage.materialise(spool, bundle, read_blobs)
    code = source.provide(spool, task, {})
    uv_name = f"uv-{_uv().stat().st_size}"
    uv_at = uv_there or f"{root}/tools/{uv_name}/uv"
    at = PurePosixPath(root, "environments")
    wanted = environment.wanted(at, task.environment, bundle, folder / bundle.folder, uv_at=uv_at, platform=platform)
    bring: dict[str, Path] = {f"bundles/{bundle.digest}": folder}
    if code:
        bring[f"sources/{code.folder.name}"] = code.folder
    if sdk:
        bring[f"tools/sdk-{sdk.name}"] = sdk
    if wanted and not uv_there:
        bring[f"tools/{uv_name}"] = _uv()
    sdk_at = f"{root}/tools/sdk-{sdk.name}" if sdk else ""
    return Goods(f"{root}/bundles/{bundle.digest}", code, wanted, sdk_at, bring)


@cache  # to look for it takes longer than all the rest
def _uv() -> Path:
    return Path(uv.find_uv_bin())


@dataclass(frozen=True, slots=True)
class Writer:
    settings: SlurmProvider
    templates: Mapping[str, str]  # the lab repository's own, by name
    root: str  # of the lab, on the cluster
    account: Account | None
    facts: Facts

    def scripts(self, group: Group, goods: Goods, name: str) -> dict[str, bytes]:
        """Raises Refused for templates that do not do what was planned."""
        first, task = group.first, group.first.task
        run = sbatch.Run(
            job=group.job,
            folder=f"{self.root}/batches/{name}",
            root=self.root,
            comment=comment_of(first, len(group.members)),
            array=group.array,
            rounds=-(-group.pack // group.at_once),
            gpu=self.facts.gpu_type(task, self.settings),
            longest_s=self.facts.longest(task, self.settings),
        )
        planned = sbatch.options(task, self.settings, self.account, run)
        values = self._job_values(group, name, sbatch.lines(planned))
        files = {"job.sh": self._render("slurm/job.sh.j2", values)}
        sbatch.verify(files["job.sh"].decode(), planned)
        files["run.sh"] = self._render("local/run.sh.j2", self._run_values(first, goods))
        files["main.sh"] = variables.as_shell(task.run, first.secrets).encode() + b"\n"
        if task.setup:
            files["setup.sh"] = variables.as_shell(task.setup, first.secrets).encode() + b"\n"
        if goods.wanted:
            files["environment.sh"] = self._render("local/environment.sh.j2", goods.wanted.values)
        if task.resources.num_nodes > 1 or (image_of(first) and self.settings.containers == "pyxis"):
            files["node.sh"] = templates.find("slurm/node.sh", self.templates).encode()
        return files

    def _render(self, name: str, values: Mapping[str, object]) -> bytes:
        return render(templates.find(name, self.templates), values, name=name).encode()

    def _job_values(self, group: Group, name: str, lines: Sequence[str]) -> Mapping[str, object]:
        asked = group.first.task.resources
        return {
            "options": lines,
            "task": sbatch.comment(task=group.first.task_path).removeprefix("task="),
            "size": len(group.members),
            "root": self.root,
            "name": name,
            "modules": self.settings.modules,
            "nodes": asked.num_nodes,
            "local_world": asked.accelerators.count if asked.accelerators else 1,
            "sealed": group.sealed,
            "pack": group.pack if group.pack > 1 else 0,
            "at_once": group.at_once,
        }

    def _run_values(self, submission: Submission, goods: Goods) -> Mapping[str, object]:
        task, folder, image = submission.task, submission.bundle.folder, image_of(submission)
        root, containers = self.root, self.settings.containers
        limit, notice = task.limit_seconds, self.settings.notice_s
        pyxis = f" --container-image={shlex.quote(image or '')} --container-mounts={shlex.quote(f'{root}:{root}')}"
        return {
            "scheduler": True,
            "root": root,
            "work": str(PurePosixPath("work", folder)),
            "folder": folder,
            "bundle": goods.bundle,
            "source": f"{root}/sources/{goods.source.folder.name}" if goods.source else None,
            "ended_dir": f"{root}/ended",
            "grace": self.settings.grace_s,
            "limit": limit,
            "notice": notice if limit and 0 < notice < limit else None,
            "setup": bool(task.setup),
            "environment": goods.wanted.folder if goods.wanted else None,
            "artifacts": task.artifacts,
            "nodes": task.resources.num_nodes,
            "image": image,
            "containers": containers,
            "pyxis": pyxis if image and containers == "pyxis" else "",
        }


def comment_of(submission: Submission, size: int) -> str:
    said = submission.variables
    return sbatch.comment(
        task=submission.task_path,
        commit=said.get("LAB_COMMIT", "")[:12],
        user=said.get("LAB_AUTHOR", ""),
        trials=str(size),
    )


def image_of(submission: Submission) -> str | None:
    task = submission.task
    return task.resources.image_id or (task.environment.image if task.environment else None)


def account_of(submission: Submission, settings: SlurmProvider) -> Account | None:
    """Of `users`, by the commit author's address; None: the provider's own user."""
    author = submission.variables.get("LAB_AUTHOR", "").strip().lower()
    by_address = {address.lower(): account for address, account in settings.users.items()}
    return by_address.get(author) or by_address.get(author.rpartition("<")[2].removesuffix(">"))
