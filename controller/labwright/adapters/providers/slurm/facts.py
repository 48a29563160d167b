"""What a cluster has and allows, as sinfo and scontrol say; and what it therefore cannot honour of a task."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from labwright.adapters.providers.local import source
from labwright.decide.place import type_matches
from labwright.domain.slurm import SlurmProvider
from labwright.domain.task import Task

_ELSEWHERE = ("region", "zone", "cloud", "instance_type", "fleet_name")
_VENDORS = ("nvidia", "amd", "intel", "gpu")
_DEFAULT_ARRAY = 1001  # of Slurm


@dataclass(frozen=True, slots=True)
class Nodes:
    """Alike nodes of one partition."""

    partition: str
    count: int
    cpus: int
    memory_mb: int
    gpus: Mapping[str, int]  # type (or empty) → how many on each
    limit_s: float | None  # longest time limit; None: unlimited
    state: str = ""
    up: bool = True
    default: bool = False  # of jobs that name no partition


@dataclass(frozen=True, slots=True)
class Facts:
    version: str = ""
    config: Mapping[str, str] = field(default_factory=dict)
    nodes: Sequence[Nodes] = ()

    def array_max(self, settings: SlurmProvider) -> int:
        """Elements of one array: MaxArraySize is one more than the largest index."""
        said = self.config.get("MaxArraySize", "")
        return max(1, min(settings.array_max, (int(said) if said.isdigit() else _DEFAULT_ARRAY) - 1))

    def offered(self, task: Task, settings: SlurmProvider) -> Sequence[Nodes]:
        """Those that the task may run on, as far as the partition says."""
        wanted = settings.spot_partition if task.resources.use_spot else settings.partition
        if wanted:
            return [n for n in self.nodes if n.partition in wanted.split(",")]
        return [n for n in self.nodes if n.default] or self.nodes

    def longest(self, task: Task, settings: SlurmProvider) -> float | None:
        """Seconds that a job may run there; None: unlimited, or unknown."""
        limits = [n.limit_s for n in self.offered(task, settings)]
        return None if None in limits else max((s for s in limits if s is not None), default=None)

    @property
    def gpu_types(self) -> Sequence[str]:
        return sorted({kind for n in self.nodes for kind in n.gpus if kind})

    def gpu_type(self, task: Task, settings: SlurmProvider) -> str | None:
        """The type in the cluster's GRES; None where any will do."""
        asked = task.resources.accelerators
        if asked is None or not asked.type:
            return None
        mapped = {name.lower(): kind for name, kind in settings.gres.items()}.get(asked.type.lower())
        if mapped or asked.type.lower() in _VENDORS:
            return mapped
        same = [kind for kind in self.gpu_types if kind.lower() == asked.type.lower()]
        near = [kind for kind in self.gpu_types if type_matches(asked.type, kind)]
        return (same or near or [asked.type])[0]


def parse(answer: str) -> Facts:
    """Of remote.sh's `facts`."""
    head, _, rest = f"\n{answer}".partition("\n.\n")
    lines = head.split("\n")
    version = next((line.removeprefix("slurm ").strip() for line in lines if line.startswith("slurm ")), "")
    pairs = (line.partition("=") for line in lines if "=" in line)
    config = {name.strip(): value.strip() for name, _, value in pairs}
    nodes = [found for line in rest.split("\n") if (found := _nodes(line))]
    return Facts(version, config, nodes)


def _nodes(line: str) -> Nodes | None:
    cells = line.split("|")
    if len(cells) < 8:
        return None
    partition, available, cpus, memory, gres, limit, count, state = cells[:8]
    return Nodes(
        partition=partition.removesuffix("*"),
        count=int(count) if count.isdigit() else 0,
        cpus=_whole(cpus),
        memory_mb=_whole(memory),
        gpus=_gpus(gres),
        limit_s=seconds(limit),
        state=state,
        up=available == "up",
        default=partition.endswith("*"),
    )


def _whole(text: str) -> int:
    found = re.match(r"\d+", text)
    return int(found[0]) if found else 0


def _gpus(text: str) -> dict[str, int]:
    """`gpu:h100:8(S:0-1),gpu:2,shard:4`."""
    found: dict[str, int] = {}
    for part in re.sub(r"\([^)]*\)", "", text).split(","):
        name, *rest = part.split(":")
        if name == "gpu":
            count = _whole(rest.pop()) if rest and re.fullmatch(r"[0-9]+[KMG]?", rest[-1]) else 1
            kind = rest[0] if rest else ""
            found[kind] = found.get(kind, 0) + count
    return found


def seconds(text: str) -> float | None:
    """`1-00:00:00`, `30:00`, `infinite`; of the way Slurm writes times."""
    if text.lower() in ("infinite", "unlimited", "n/a", "", "none"):
        return None
    found = re.fullmatch(r"(?:([0-9]{1,6})(-))?([0-9]{1,6}(?::[0-9]{1,6}){0,2})", text)
    if found is None:
        return None
    days, dash, clock = found.groups()
    parts = [int(part) for part in clock.split(":")]
    while len(parts) < 3:
        parts = [*parts, 0] if dash else [0, *parts]
    return int(days or 0) * 86400.0 + parts[0] * 3600 + parts[1] * 60 + parts[2]


def refuse(task: Task, facts: Facts | None, settings: SlurmProvider, name: str) -> Iterator[str]:
    """One sentence for each field that this cluster cannot honour, with what it has instead. `facts` None: nobody knows yet."""
    asked = task.resources
    for key in _ELSEWHERE:
        if value := getattr(asked, key):
            yield f"resources.{key}: {value!r} means nothing on {name}, a Slurm cluster; remove it or use another provider"
    image = asked.image_id or (task.environment.image if task.environment else None)
    if image and not settings.containers:
        yield f"image {image!r}: {name} runs no containers; set `containers: apptainer` or `pyxis` in lab.yaml, or remove it"
    if asked.use_spot and not settings.spot_partition:
        yield f"resources.use_spot: {name} names no spot_partition in lab.yaml; add it there, or remove use_spot"
    if isinstance(task.file_mounts, Mapping) and task.file_mounts:
        yield f"file_mounts: {name} mounts nothing; list files under `inputs` or read them from the cluster's file system"
    if asked.pack and asked.num_nodes > 1:
        yield "resources.pack: packed trials share one node; remove num_nodes or pack"
    if problem := source.problem(task):
        yield problem
    for glob in task.artifacts:
        if glob.startswith("/") or ".." in glob.split("/"):
            yield f"artifacts: {glob!r} leaves the job's folder; write a glob relative to it"
    if facts and facts.nodes:
        yield from _beyond(task, facts, settings, name)


def _beyond(task: Task, facts: Facts, settings: SlurmProvider, name: str) -> Iterator[str]:
    asked = task.resources
    there = facts.offered(task, settings)
    if not there:
        wanted = settings.spot_partition if asked.use_spot else settings.partition
        known = ", ".join(sorted({n.partition for n in facts.nodes}))
        yield f"partition {wanted!r}: {name} has {known}; correct lab.yaml"
        return
    yield from _sizes(task, there, name)
    yield from _accelerators(task, facts, there, settings, name)
    longest, rounds = facts.longest(task, settings), -(-asked.pack.trials // asked.pack.at_once) if asked.pack else 1
    if task.limit_seconds and longest and task.limit_seconds * rounds > longest:
        each = f" for each of {rounds} trials one after another" if rounds > 1 else ""
        yield f"timeout: {task.limit_seconds / 3600:.4g} h asked{each}, and {name} lets jobs run for {longest / 3600:.4g} h at most"


def _sizes(task: Task, there: Sequence[Nodes], name: str) -> Iterator[str]:
    asked = task.resources
    most_cpus, most_mb = max(n.cpus for n in there), max(n.memory_mb for n in there)
    if asked.cpus and math.ceil(asked.cpus) > most_cpus:
        yield f"resources.cpus: {asked.cpus:g} asked, and the largest node of {name} has {most_cpus}; ask for less"
    if asked.memory_gb and asked.memory_gb * 1024 > most_mb:
        yield f"resources.memory: {asked.memory_gb:g} GB asked, and the largest node of {name} has {most_mb / 1024:.4g} GB; ask for less"
    nodes = max(sum(n.count for n in there if n.partition == one) for one in {n.partition for n in there})
    if asked.num_nodes > nodes:
        yield f"resources.num_nodes: {asked.num_nodes} asked, and {name} has {nodes}; ask for fewer"


def _accelerators(
    task: Task, facts: Facts, there: Sequence[Nodes], settings: SlurmProvider, name: str
) -> Iterator[str]:
    asked = task.resources.accelerators
    if asked is None:
        return
    kind = facts.gpu_type(task, settings)
    most = max((n.gpus.get(kind, 0) if kind else max(n.gpus.values(), default=0) for n in there), default=0)
    if most >= asked.count:
        return
    offers = sorted({(k or "of any type", c) for n in there for k, c in n.gpus.items()})
    nearest = ", ".join(f"{c} {k}" for k, c in offers)
    what = f"{asked.type or 'GPU'}:{asked.count}"
    yield (
        f"resources.accelerators: {what} asked on each node, and nodes of {name} have "
        + (f"{nearest}; ask for one of these" if offers else "none; remove it, or use another partition or provider")
        + ("" if most or not offers or not asked.type else f", or map {asked.type} under `gres` in lab.yaml")
    )
