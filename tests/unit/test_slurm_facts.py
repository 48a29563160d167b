"""What a cluster has, of texts as sinfo and scontrol print them; and what it cannot honour of a task."""

from typing import Any

import pytest

from labwright.adapters.providers.slurm.facts import Facts, Nodes, parse, refuse, seconds
from labwright.domain.slurm import SlurmProvider
from labwright.domain.task import Task
from tests.unit.slurm_trials import cluster, resources, task

CONFIG = """\
slurm 23.11.4
AccountingStorageType   = accounting_storage/slurmdbd
ClusterName             = tiny
MaxArraySize            = 2001
PreemptMode             = GANG,REQUEUE
.
"""
MIXED = """\
cpu|up|128|257000|(null)|2-00:00:00|40|mix|2:64:1
cpu|up|96|190000|(null)|2-00:00:00|8|idle|2:48:1
gpu|up|64|512000|gpu:a100:4(S:0-1)|1-00:00:00|6|alloc|2:32:1
gpu|up|48|380000|gpu:v100:2(S:0),gpu:v100:2(S:1)|1-00:00:00|2|idle|2:24:1
long|up|64|512000|gpu:a100:4(S:0-1)|infinite|2|idle|2:32:1
old|inact|16|64000|gpu:2|12:00:00|3|down*|2:8:1
.
"""


def cluster_with(*lines: str, **config: str) -> Facts:
    said = "".join(f"{name} = {value}\n" for name, value in config.items())
    return parse(f"slurm 22.05.8\n{said}.\n" + "".join(f"{line}\n" for line in lines) + ".\n")


def gpus(gres: str) -> dict[str, int]:
    (nodes,) = cluster_with(f"gpu|up|64|1|{gres}|infinite|1|idle|1:1:1").nodes
    return dict(nodes.gpus)


# reading


def test_a_cluster_is_its_version_its_settings_and_its_nodes() -> None:
    found = parse(CONFIG + MIXED)
    assert found.version == "23.11.4"
    assert found.config["PreemptMode"] == "GANG,REQUEUE"
    assert len(found.nodes) == 6
    assert found.nodes[2] == Nodes("gpu", 6, 64, 512000, {"a100": 4}, 86400.0, "alloc", True)
    assert found.nodes[4].limit_s is None
    assert (found.nodes[5].up, found.nodes[5].gpus) == (False, {"": 2})
    assert found.gpu_types == ["a100", "v100"]


@pytest.mark.parametrize(
    ("gres", "found"),
    [
        ("(null)", {}),
        ("", {}),
        ("gpu:2", {"": 2}),
        ("gpu:a100:4", {"a100": 4}),
        ("gpu:a100:4(S:0-1)", {"a100": 4}),
        ("gpu:h100:8(S:0,1,3)", {"h100": 8}),
        ("gpu:nvidia_a100_80gb_pcie:2(S:0)", {"nvidia_a100_80gb_pcie": 2}),
        ("gpu:a100:3(S:0),gpu:a100:1(S:1)", {"a100": 4}),
        ("gpu:a100:4,gpu:v100:2,gpu:1", {"a100": 4, "v100": 2, "": 1}),
        ("shard:64,gpu:a100:4(S:0-1),mps:a100:400", {"a100": 4}),
        ("craynetwork:4", {}),
        ("gpu", {"": 1}),
        ("gpu:a100", {"a100": 1}),
        ("gpu:2g.10gb:7", {"2g.10gb": 7}),
        ("bandwidth:lustre:no_consume:4G,gpu:t4:1", {"t4": 1}),
    ],
)
def test_gres_are_gpus_by_type_whatever_stands_beside(gres: str, found: dict[str, int]) -> None:
    assert gpus(gres) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("infinite", None), ("UNLIMITED", None), ("n/a", None), ("", None), ("INVALID", None), ("1:2:3:4", None), ("x-1:00", None), ("²:00", None),
        ("30:00", 1800.0), ("0:30", 30.0), ("1:00:00", 3600.0), ("12:00:00", 43200.0), ("1-00:00:00", 86400.0), ("7-12:30:15", 649815.0),
        ("2-00", 172800.0), ("1-12:30", 131400.0), ("365-00:00:00", 31536000.0),
    ],
)  # fmt: skip
def test_a_time_is_read_as_slurm_writes_it(text: str, found: float | None) -> None:
    assert seconds(text) == found


def test_at_least_so_many_are_so_many() -> None:
    (nodes,) = cluster_with("gpu|up|64+|191000+|(null)|infinite|3|mix|2+:16+:2").nodes
    assert (nodes.cpus, nodes.memory_mb) == (64, 191000)


@pytest.mark.parametrize(
    "answer",
    ["", ".\n.\n", ".\n", "slurm 22.05.8\n.\n.\n", "slurm 22.05.8\n.\nslurm_load_partitions: Unable to contact slurm controller\n.\n", "bash: scontrol: command not found\n", "MaxArraySize = x\n.\na|b|c\n.\n"],
)  # fmt: skip
def test_a_cluster_that_does_not_say_is_one_of_which_nothing_is_known(answer: str) -> None:
    found = parse(answer)
    assert (found.nodes, found.gpu_types) == ([], [])
    assert found.version in ("", "22.05.8")
    assert found.array_max(cluster()) == 1000
    assert list(refuse(task(), found, cluster(), "hpc")) == []


def test_settings_are_read_where_the_version_is_not_told() -> None:
    found = parse("MaxArraySize = 11\n.\n" + MIXED)
    assert (found.version, found.config["MaxArraySize"], len(found.nodes)) == ("", "11", 6)


@pytest.mark.parametrize(
    ("said", "ours", "most"),
    [
        ("1001", 1000, 1000),
        ("11", 1000, 10),
        ("4000001", 1000, 1000),
        ("4000001", 90000, 90000),
        ("1", 1000, 1),
        ("0", 1000, 1),
        ("", 50, 50),
    ],
)
def test_no_array_has_an_index_that_the_cluster_does_not_allow(said: str, ours: int, most: int) -> None:
    found = cluster_with(**({"MaxArraySize": said} if said else {}))
    assert found.array_max(cluster(array_max=ours)) == most
    assert not said or most - 1 < max(1, int(said))


# GPUs by name


@pytest.mark.parametrize(
    ("asked", "settings", "found"),
    [
        ("A100:2", {}, "a100"),
        ("V100", {}, "v100"),
        ("a100:2", {}, "a100"),
        ("A100:2", {"gres": {"a100": "a100_80"}}, "a100_80"),
        ("H100", {}, "H100"),
        (4, {}, None),
        ("NVIDIA:2", {}, None),
        ("gpu:2", {}, None),
        ("NVIDIA", {"gres": {"nvidia": "v100"}}, "v100"),
    ],
)
def test_a_type_is_the_clusters_own_name_of_it(asked: object, settings: dict[str, Any], found: str | None) -> None:
    assert parse(CONFIG + MIXED).gpu_type(resources(accelerators=asked), cluster(**settings)) == found


def test_a_longer_name_of_the_same_type_will_do_and_the_same_name_is_preferred() -> None:
    pcie = "gpu|up|64|1|gpu:nvidia_a100_80gb_pcie:2|infinite|1|idle|1:1:1"
    assert cluster_with(pcie).gpu_type(resources(accelerators="A100"), cluster()) == "nvidia_a100_80gb_pcie"
    both = cluster_with(pcie, "gpu|up|64|1|gpu:A100:2|infinite|1|idle|1:1:1")
    assert both.gpu_type(resources(accelerators="a100"), cluster()) == "A100"


# refusing


def refused(of: Task, settings: SlurmProvider | None = None, text: str = CONFIG + MIXED) -> list[str]:
    return list(refuse(of, parse(text), settings or cluster(), "hpc"))


@pytest.mark.parametrize(
    "of",
    [
        task(),
        resources(cpus=128, memory="250GB"),
        resources(accelerators="A100:4"),
        resources(accelerators="V100:4"),
        resources(accelerators=2),
        resources(accelerators="NVIDIA:4", num_nodes=2),
        task(timeout="366d"),
        resources(pack={"trials": 8, "at_once": 4}),
        task(file_mounts=True),
        task(artifacts=["out/**", "a..b"]),
    ],
)
def test_what_the_cluster_has_is_not_refused(of: Task) -> None:
    assert refused(of) == []


@pytest.mark.parametrize(
    ("of", "settings", "said"),
    [
        (resources(cpus=129), {}, "resources.cpus: 129 asked, and the largest node of hpc has 128; ask for less"),
        (resources(memory="600GB"), {}, "resources.memory: 600 GB asked, and the largest node of hpc has 500 GB; ask for less"),
        (resources(num_nodes=99), {}, "resources.num_nodes: 99 asked, and hpc has 48; ask for fewer"),
        (resources(num_nodes=9), {"partition": "gpu,long"}, "resources.num_nodes: 9 asked, and hpc has 8; ask for fewer"),
        (resources(num_nodes=9), {"partition": "gpu"}, "resources.num_nodes: 9 asked, and hpc has 8; ask for fewer"),
        (resources(accelerators="A100:8"), {}, "resources.accelerators: A100:8 asked on each node, and nodes of hpc have 4 a100, 2 of any type, 4 v100; ask for one of these"),
        (resources(accelerators="H100:1"), {}, "resources.accelerators: H100:1 asked on each node, and nodes of hpc have 4 a100, 2 of any type, 4 v100; ask for one of these, or map H100 under `gres` in lab.yaml"),
        (resources(accelerators="V100:1"), {"partition": "long"}, "resources.accelerators: V100:1 asked on each node, and nodes of hpc have 4 a100; ask for one of these, or map V100 under `gres` in lab.yaml"),
        (resources(accelerators=5), {"partition": "gpu"}, "resources.accelerators: GPU:5 asked on each node, and nodes of hpc have 4 a100, 4 v100; ask for one of these"),
        (resources(accelerators=1), {"partition": "cpu"}, "resources.accelerators: GPU:1 asked on each node, and nodes of hpc have none; remove it, or use another partition or provider"),
        (task(timeout="25h"), {"partition": "gpu"}, "timeout: 25 h asked, and hpc lets jobs run for 24 h at most"),
        (task(timeout="13h", resources={"pack": 2}), {"partition": "gpu"}, "timeout: 13 h asked for each of 2 trials one after another, and hpc lets jobs run for 24 h at most"),
        (task(), {"partition": "nope"}, "partition 'nope': hpc has cpu, gpu, long, old; correct lab.yaml"),
        (resources(use_spot=True), {}, "resources.use_spot: hpc names no spot_partition in lab.yaml; add it there, or remove use_spot"),
        (resources(region="eu"), {}, "resources.region: 'eu' means nothing on hpc, a Slurm cluster; remove it or use another provider"),
        (resources(image_id="x"), {}, "image 'x': hpc runs no containers; set `containers: apptainer` or `pyxis` in lab.yaml, or remove it"),
        (task(environment={"image": "y"}), {}, "image 'y': hpc runs no containers"),
        (task(file_mounts={"/data": "data"}), {}, "file_mounts: hpc mounts nothing"),
        (resources(pack=2, num_nodes=2), {}, "resources.pack: packed trials share one node; remove num_nodes or pack"),
    ],
)  # fmt: skip
def test_what_the_cluster_cannot_honour_is_said_with_what_it_has(of: Task, settings: dict[str, Any], said: str) -> None:
    (found,) = refused(of, cluster(**settings))
    assert found.startswith(said)


def test_a_limit_of_all_that_the_partition_allows_is_not_refused() -> None:
    assert refused(task(timeout="1d"), cluster(partition="gpu")) == []
    assert refused(task(timeout="25h"), cluster(partition="gpu,long")) == [], "one of them has no limit"


def test_a_task_that_names_no_partition_is_judged_by_the_clusters_default() -> None:
    found = parse(CONFIG + MIXED.replace("gpu|up", "gpu*|up"))
    assert {nodes.partition for nodes in found.nodes} == {"cpu", "gpu", "long", "old"}
    assert list(refuse(resources(num_nodes=8), found, cluster(), "hpc")) == []
    (said,) = refuse(resources(num_nodes=9), found, cluster(), "hpc")
    assert said == "resources.num_nodes: 9 asked, and hpc has 8; ask for fewer"


def test_every_field_that_cannot_be_is_named_at_once() -> None:
    found = refused(resources(cpus=999, memory="9TB", accelerators="H100:99", num_nodes=999, zone="z"))
    assert [sentence.partition(":")[0] for sentence in found] == [
        "resources.zone",
        "resources.cpus",
        "resources.memory",
        "resources.num_nodes",
        "resources.accelerators",
    ]


def test_before_the_cluster_has_said_anything_only_lab_yaml_counts() -> None:
    assert list(refuse(resources(cpus=9999, accelerators="H100:99"), None, cluster(partition="nope"), "hpc")) == []
    assert len(list(refuse(resources(region="eu", use_spot=True), None, cluster(), "hpc"))) == 2


def test_spot_jobs_are_judged_by_the_spot_partition() -> None:
    settings = cluster(partition="gpu", spot_partition="cpu")
    assert refused(resources(accelerators=1), settings) == []
    assert refused(resources(accelerators=1, use_spot=True), settings) != []
