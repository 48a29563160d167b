"""`lab render` at a cluster: the files of a real submission, without a word to the cluster."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from labwright.adapters.clock import SystemClock
from labwright.adapters.providers.slurm import Ours, SlurmProvider
from labwright.adapters.providers.slurm.preview import preview
from labwright.domain import lab
from labwright.domain.errors import Refused
from labwright.domain.ids import JobId, Token
from labwright.domain.task import Task
from labwright.ports.provider import Submission
from labwright.testing.provider_bench import Blobs
from tests.unit.slurm_login import Login

SDK = Path(__file__).parents[2] / "sdk" / "src" / "lab"
NAMES = ("job.sh", "run.sh", "main.sh", "setup.sh", "environment.sh")
TASK = {
    "name": "train",
    "run": "use {{secret.TOKEN}} $GREETING",
    "setup": "true",
    "envs": {"GREETING": "hello"},
    "timeout": "1h",
    "environment": {"python": "3.12"},
    "resources": {"cpus": 2, "memory": "4 GB"},
}
SETTINGS = {"type": "slurm", "partition": "gpu", "env": {"WHERE": "{{secret.PLACE}}"}, "sbatch": ["--nice=5"]}


def trials(blobs: Blobs, count: int, **task: Any) -> list[Submission]:
    made = []
    for n in range(count):
        job = JobId(f"{'abcdefgh'[n] * 12}")
        made.append(
            Submission(
                token=Token(f"demo-{job}-1"),
                job=job,
                attempt=1,
                task_path="alpha/train",
                task=Task.model_validate({**TASK, **task}),
                bundle=blobs.bundle({"train.py": b"pass"}),
                parameters={"lr": n},
                variables={"LAB_COMMIT": "c" * 40, "LAB_AUTHOR": "Ada <ada@example.org>", "LAB_TRIAL": str(n)},
                secrets={"TOKEN": "***", "PLACE": "***"},
            )
        )
    return made


def shown(
    folder: Path, submissions: list[Submission], number: int = 0, **settings: Any
) -> tuple[dict[str, str], dict[str, str]]:
    made = lab.SlurmProvider.model_validate({**SETTINGS, **settings})
    (folder / "preview").mkdir()
    return preview(submissions, number, made, "demo", blobs.read, sdk=SDK, templates={}, folder=folder / "preview")


blobs = Blobs()


@pytest.mark.parametrize("count", [1, 3])
def test_it_is_what_a_submission_places_on_the_cluster(tmp_path: Path, count: int) -> None:
    login, submissions = Login(tmp_path), trials(blobs, count)
    login.say("sbatch", "echo 7")
    settings = lab.SlurmProvider.model_validate({**SETTINGS, "workdir": "~/clusters"})
    ours = Ours(tmp_path / "spool", "demo", "owner", SDK)
    provider = SlurmProvider("cluster", settings, ours, blobs.read, SystemClock(), lambda _: login)
    assert all(str(answer).endswith(("@7", "@7_0", "@7_1", "@7_2")) for answer in provider.submit(submissions).values())
    (batch,) = (login.home / "clusters" / "demo" / "batches").iterdir()
    placed = {name: (batch / name).read_text() for name in NAMES}
    files, _ = shown(tmp_path, submissions, workdir=str(login.home / "clusters"))
    files = {name: files[name].replace(".00000000", f".{batch.name.rpartition('.')[2]}") for name in NAMES}
    assert {name: _known(text) for name, text in files.items()} == {name: _known(text) for name, text in placed.items()}


def _known(text: str) -> str:
    """Without what only the login node knows: its uv and its platform."""
    return "\n".join(line for line in text.splitlines() if "/environments/" not in line and "uv" not in line)


def test_a_trial_of_a_sweep_is_shown_within_its_array(tmp_path: Path) -> None:
    files, variables = shown(tmp_path, trials(blobs, 3, sweeps={"max_parallel": 2}), 1)
    assert "#SBATCH --array=0-2%2\n" in files["job.sh"]
    assert "# 3 trials of alpha/train" in files["job.sh"]
    assert '"lr": 1' in files["config.json"]
    assert variables["LAB_PARAM_LR"] == "1"


def test_the_lab_s_folder_is_below_a_home_that_nobody_asked_for(tmp_path: Path) -> None:
    files, variables = shown(tmp_path, trials(blobs, 1))
    assert "root='~/labwright/demo'" in files["job.sh"]
    assert variables["LAB_JOB_DIR"] == "~/labwright/demo/jobs/demo-aaaaaaaaaaaa-1"


def test_a_committer_s_own_account_is_the_one_in_the_script(tmp_path: Path) -> None:
    users: Mapping[str, Any] = {"ada@example.org": {"user": "ada", "account": "speech", "workdir": "/scratch/ada"}}
    files, _ = shown(tmp_path, trials(blobs, 1), host="login", users=users)
    assert "#SBATCH --account=speech\n" in files["job.sh"]
    assert "root=/scratch/ada/demo\n" in files["job.sh"]


def test_secrets_are_shown_as_stars_alone(tmp_path: Path) -> None:
    files, variables = shown(tmp_path, trials(blobs, 1))
    assert files["main.sh"] == "use ${LAB_SECRET_TOKEN} $GREETING\n"
    assert (variables["WHERE"], variables["LAB_SECRET_TOKEN"]) == ("***", "***")


def test_a_template_that_asks_for_something_else_is_refused(tmp_path: Path) -> None:
    settings = lab.SlurmProvider.model_validate(SETTINGS)
    (tmp_path / "preview").mkdir()
    own = {"slurm/job.sh.j2": "#!/bin/bash\n#SBATCH --partition=other\n"}
    with pytest.raises(Refused, match="was planned"):
        preview(trials(blobs, 1), 0, settings, "demo", blobs.read, sdk=None, templates=own, folder=tmp_path / "preview")
