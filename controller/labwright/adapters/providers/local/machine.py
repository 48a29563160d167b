"""What this machine has, and what it therefore cannot honour."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from labwright.adapters.providers.local import source
from labwright.decide.place import type_matches
from labwright.domain import lab
from labwright.domain.task import Resources, Task
from labwright.ports.provider import Capacity

_ELSEWHERE = ("region", "zone", "cloud", "instance_type", "fleet_name", "image_id")


def capacity(settings: lab.LocalProvider, spool: Path) -> Capacity:
    """lab.yaml's sizes, and the machine's where it gives none. Asks nvidia-smi, so ask once."""
    gpus, kind = tuple(str(n) for n in range(settings.gpus or 0)), settings.gpu_type
    if settings.gpus is None:
        gpus, found = nvidia()
        kind = kind or found
    return Capacity(
        cpus=settings.cpus or float(len(os.sched_getaffinity(0))),
        memory_gb=settings.memory_gb or psutil.virtual_memory().total / 2**30,
        gpus=gpus,
        gpu_type=kind,
        disk_gb=psutil.disk_usage(str(spool)).total / 2**30,
    )


def nvidia() -> tuple[tuple[str, ...], str | None]:
    """Indices and model of the GPUs that nvidia-smi lists; none where it is missing, fails or takes 10 s."""
    if not shutil.which("nvidia-smi"):
        return (), None
    query = ["nvidia-smi", "--query-gpu=index,name", "--format=csv,noheader"]
    try:
        ran = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return (), None
    rows = [line.partition(",") for line in ran.stdout.splitlines() if "," in line]
    names = {name.strip() for _, _, name in rows}
    return tuple(index.strip() for index, _, _ in rows), " / ".join(sorted(names)) or None


def refuse(task: Task, has: Capacity, name: str) -> Iterator[str]:
    """One sentence for each field that jobs on this machine cannot honour."""
    asked = task.resources
    if asked.num_nodes > 1:
        yield f"resources.num_nodes: {asked.num_nodes} nodes are asked and {name} is one machine; use 1 or another provider"
    if asked.use_spot:
        yield f"resources.use_spot: {name} has no spot capacity; remove it or use a cloud provider"
    for field in _ELSEWHERE:
        if value := getattr(asked, field):
            yield f"resources.{field}: {value!r} means nothing on {name}, a single machine; remove it or use another provider"
    yield from _sizes(asked, has, name)
    yield from _accelerators(asked, has, name)
    if task.environment and task.environment.image:
        yield f"environment.image: {name} runs no containers; use environment.requirements or another provider"
    if problem := source.problem(task):
        yield problem
    if isinstance(task.file_mounts, Mapping) and task.file_mounts:
        yield f"file_mounts: {name} mounts nothing; list files under `inputs` or read them from their place"
    for glob in task.artifacts:
        if glob.startswith("/") or ".." in glob.split("/"):
            yield f"artifacts: {glob!r} leaves the job's folder; write a glob relative to it"


def _sizes(asked: Resources, has: Capacity, name: str) -> Iterator[str]:
    for field, wants, there, shown, kind in (
        ("cpus", asked.cpus, has.cpus, _cpus, ""),
        ("memory", asked.memory_gb, has.memory_gb, _size, " of memory"),
        ("disk_space", asked.disk_gb, has.disk_gb, _size, " of disk"),
    ):
        if wants is not None and there is not None and wants > there:
            yield (
                f"resources.{field}: {shown(wants)} asked and {name} has {shown(there)}{kind}; "
                "ask for less or use another provider"
            )


def _cpus(count: float) -> str:
    return f"{count:g} CPU" + ("" if count == 1 else "s")


def _size(gb: float) -> str:
    """In GB, and in the unit that somebody may have written instead: `10240 GB (10 TB)`, `0.5 GB (512 MB)`."""
    other = f" ({gb / 1024:.4g} TB)" if gb >= 1024 else f" ({gb * 1024:.4g} MB)" if gb < 1 else ""
    return (f"{gb:.4g}" if gb < 1000 else f"{gb:.0f}") + f" GB{other}"


def _accelerators(asked: Resources, has: Capacity, name: str) -> Iterator[str]:
    wants = asked.accelerators
    if wants is None or wants.count == 0:
        return
    if not has.gpus:
        yield f"resources.accelerators: {name} has no GPU; remove it or use another provider"
    elif wants.count > len(has.gpus):
        yield f"resources.accelerators: {wants.count} asked and {name} has {len(has.gpus)}; ask for fewer"
    elif not type_matches(wants.type, has.gpu_type):
        yield f"resources.accelerators: {wants.type} asked and {name} has {has.gpu_type}; ask for that or use another provider"
