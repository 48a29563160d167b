from pathlib import Path
from typing import Any

import pytest

from labwright.domain import lab
from labwright.domain.task import Task
from tests.contract.local_bench import LocalBench


def refused(folder: Path, settings: lab.LocalProvider, **task: Any) -> list[str]:
    bench = LocalBench(folder)
    bench.settings = settings
    return list(bench.fresh().refuse(Task.model_validate({"name": "t", "run": "true", **task})))


SMALL = lab.LocalProvider(type="local", cpus=2, memory=4, gpus=0)
GPUS = lab.LocalProvider(type="local", gpus=2, gpu_type="RTX3090")


@pytest.mark.parametrize(
    ("field", "task"),
    [
        ("resources.num_nodes", {"resources": {"num_nodes": 2}}),
        ("resources.use_spot", {"resources": {"use_spot": True}}),
        ("resources.region", {"resources": {"region": "eu"}}),
        ("resources.zone", {"resources": {"zone": "eu-1"}}),
        ("resources.cloud", {"resources": {"cloud": "aws"}}),
        ("resources.instance_type", {"resources": {"instance_type": "p4d"}}),
        ("resources.fleet_name", {"resources": {"fleet_name": "f"}}),
        ("resources.image_id", {"resources": {"image_id": "ami"}}),
        ("resources.cpus", {"resources": {"cpus": 3}}),
        ("resources.memory", {"resources": {"memory": 5}}),
        ("resources.disk_space", {"resources": {"disk_space": 10**9}}),
        ("resources.accelerators", {"resources": {"accelerators": "A100:1"}}),
        ("environment.image", {"environment": {"image": "x"}}),
        ("file_mounts", {"file_mounts": {"/data": "data"}}),
        ("github_repo_url", {"github_repo_url": "http://host/owner/repo"}),
    ],
)
def test_a_field_that_this_machine_cannot_honour_is_named_with_what_to_do(
    tmp_path: Path, field: str, task: dict[str, Any]
) -> None:
    (sentence,) = refused(tmp_path, SMALL, **task)
    assert sentence.startswith(f"{field}:")
    assert ";" in sentence


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ("RTX3090:1", True),
        ("rtx3090:2", True),
        ("NVIDIA", True),
        (2, True),
        ("AMD", False),
        ("A100:1", False),
        (3, False),
    ],
)
def test_accelerators_fit_by_type_vendor_and_number(tmp_path: Path, asked: Any, fits: bool) -> None:
    assert (refused(tmp_path, GPUS, resources={"accelerators": asked}) == []) is fits


def test_what_fits_is_not_refused(tmp_path: Path) -> None:
    asked = {"cpus": 2, "memory": 4, "num_nodes": 1}
    assert refused(tmp_path, SMALL, resources=asked, file_mounts=True, github_repo_url="git@host:a/b") == []


def test_sizes_left_out_are_the_machines(tmp_path: Path) -> None:
    bench = LocalBench(tmp_path)
    capacity = bench.provider.capacity()
    assert capacity.cpus >= 1
    assert capacity.memory_gb > 0
    bench.settings = SMALL
    capacity = bench.fresh().capacity()
    assert (capacity.cpus, capacity.memory_gb, capacity.gpus) == (2, 4, ())
    bench.settings = GPUS
    capacity = bench.fresh().capacity()
    assert (capacity.gpus, capacity.gpu_type) == (("0", "1"), "RTX3090")


def test_gpus_are_found_by_the_drivers_own_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho '0, NVIDIA A100-SXM4-80GB'; echo '1, NVIDIA A100-SXM4-80GB'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    bench = LocalBench(tmp_path)
    bench.settings = lab.LocalProvider(type="local")
    capacity = bench.fresh().capacity()
    assert (capacity.gpus, capacity.gpu_type) == (("0", "1"), "NVIDIA A100-SXM4-80GB")
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert bench.fresh().capacity().gpus == ()
