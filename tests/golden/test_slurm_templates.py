"""What a batch on a Slurm cluster consists of, for fixed trials. `UPDATE_GOLDEN=1 pytest tests/golden` writes the files anew: read the
diff."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from labwright.adapters.providers.local.environment import Wanted
from labwright.adapters.providers.local.source import Source
from labwright.adapters.providers.slurm.facts import parse
from labwright.adapters.providers.slurm.scripts import Goods
from labwright.adapters.templates import find
from labwright.domain.ids import Digest
from labwright.domain.slurm import Account
from tests.unit.slurm_trials import GOODS, ROOT, cluster, group, scripts, task

HERE = Path(__file__).parent / "slurm"
FACTS = parse("slurm 23.11.4\nMaxArraySize = 1001\n.\ngpu|up|64|512000|gpu:a100:4(S:0-1)|1-00:00:00|8|idle|2:16:2\n.\n")


@dataclass(frozen=True)
class Case:
    task: Mapping[str, Any] = field(default_factory=dict)
    trials: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    goods: Goods = GOODS
    account: Account | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""


BUILT = Wanted(
    Digest("0" * 64),
    PurePosixPath("/environments/it's"),
    {
        "uv": "/opt/uv",
        "folder": "/environments/it's",
        "digest": "0" * 64,
        "python": "3.11",
        "lock_kind": "",
        "project": "",
        "requirements": "",
    },
)
CASES: dict[str, Case] = {
    "single": Case(folder="experiments/alpha"),
    "array": Case(
        {
            "resources": {"accelerators": "A100:4", "cpus": 7.5, "memory": "100000KB"},
            "timeout": "90m",
            "sweeps": {"max_parallel": 3},
        },
        10,
        {
            "partition": "gpu",
            "account": "ml",
            "qos": "high",
            "constraint": "a100&nvlink",
            "sbatch": ["--exclusive", "--mail-type=END"],
        },
    ),
    "nodes": Case(
        {"resources": {"num_nodes": 2, "accelerators": 4}},
        settings={"modules": ["cuda/12.4", "it's"], "requeue": False, "notice": 0},
        account=Account(user="ada", account="ada-lab", qos="low"),
    ),
    "packed": Case({"resources": {"pack": {"trials": 4, "at_once": 2}}, "timeout": "1h"}, 10),
    "sealed": Case(secrets={"TOKEN": "hunter22"}),
    "apptainer": Case({"resources": {"image_id": "docker://it's#one:1"}}, settings={"containers": "apptainer"}),
    "pyxis": Case({"resources": {"image_id": "nvcr.io#nvidia/it's:1"}}, settings={"containers": "pyxis"}),
    "everything": Case(
        {"setup": "true", "timeout": "90m", "artifacts": ["*.pt", "out/**/*.json", "$(rm -rf ~)"]},
        settings={"notice": 300, "grace": 60},
        goods=Goods(GOODS.bundle, Source("https://x", "f00", "", Path("/spool/sources/4567")), BUILT, "", {}),
    ),
}
KEPT = {
    "job": ("single", "array", "nodes", "packed", "sealed"),
    "run": ("single", "nodes", "apptainer", "pyxis", "everything"),
}


def made(case: Case) -> dict[str, str]:
    of = group(case.trials, task(**case.task), secrets=case.secrets, folder=case.folder)
    return scripts(of, cluster(**case.settings), account=case.account, facts=FACTS, goods=case.goods)


@pytest.mark.parametrize(("script", "name"), [(script, name) for script, names in KEPT.items() for name in names])
def test_a_script_of_a_batch_is_what_was_reviewed(script: str, name: str) -> None:
    text = made(CASES[name])[f"{script}.sh"]
    kept = HERE / f"{script}-{name}.sh"
    if os.environ.get("UPDATE_GOLDEN"):
        HERE.mkdir(exist_ok=True)
        kept.write_text(text)
    assert text == kept.read_text()


@pytest.mark.parametrize("name", CASES)
def test_every_script_of_a_batch_is_bash_and_no_value_is_code(name: str) -> None:
    files = made(CASES[name])
    assert {"job.sh", "run.sh", "main.sh"} <= files.keys()
    assert ("setup.sh" in files, "environment.sh" in files) == (name == "everything", name == "everything")
    assert ("node.sh" in files) == (name in ("nodes", "pyxis"))
    for text in files.values():
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert "hunter22" not in "".join(files.values())
    assert ROOT not in files["job.sh"].partition("\nroot=")[2], "quoted, it reads otherwise"


def test_what_is_not_rendered_is_bash_too() -> None:
    for name in ("slurm/remote.sh", "slurm/node.sh"):
        subprocess.run(["bash", "-n"], input=find(name), text=True, check=True)
