"""The example lab's scripts, each run as its task.yaml says, with the SDK and without a controller."""

import csv
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uv

from labwright.adapters.records.duckdb import DuckDbRecords
from labwright.decide.expand import expand
from labwright.decide.parse import parse_lab, parse_task
from labwright.domain.task import Task
from labwright.ports.records import QueryLimits

ROOT = Path(__file__).parents[2]
LAB = ROOT / "example-lab-repo"
TASKS = {str(path.parent.relative_to(LAB / "experiments")): path for path in LAB.rglob("task.yaml")}


def task(name: str) -> Task:
    return parse_task(TASKS[name].read_bytes(), str(TASKS[name].relative_to(LAB)))


@dataclass(frozen=True)
class Ended:
    code: int
    text: str
    job: Path

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.job / "events.jsonl").read_text().splitlines()]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["e"] == kind]

    def series(self, name: str) -> list[tuple[int, float]]:
        return [(event["step"], event["m"][name]) for event in self.of("metric") if name in event["m"]]

    @property
    def score(self) -> Mapping[str, float]:
        (finish,) = self.of("finish")
        return finish["score"]


@dataclass(frozen=True)
class Bench:
    """A copy of the lab, and a Python that has what its requirements ask for."""

    python: Path
    lab: Path
    jobs: Path

    def run(self, name: str, parameters: Mapping[str, Any] | None = None, **variables: str) -> Ended:
        """One job of the task, with these instead of its defaults. `needs` are looked for in the job's folder of that name."""
        job = self.jobs / f"{name.replace('/', '-')}-{len(list(self.jobs.iterdir()))}"
        return self.run_in(job, name, parameters, **variables)

    def run_in(self, job: Path, name: str, parameters: Mapping[str, Any] | None = None, **variables: str) -> Ended:
        spec = task(name)
        values = {**expand(spec)[0], **(parameters or {})}
        job.mkdir(exist_ok=True)
        (job / "config.json").write_text(
            json.dumps({"parameters": values, "task": name, "job": "abcdefghijkl", "attempt": 1})
        )
        env = {
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
            "HOME": str(self.jobs),
            "PYTHONPATH": str(ROOT / "sdk/src"),
            "LAB_JOB_DIR": str(job),
            "LAB_JOB_ID": "abcdefghijkl",
            "LAB_TASK": name,
            "LAB_CPUS": "1",
            **{f"LAB_PARAM_{key.upper()}": str(value) for key, value in values.items()},
            **spec.envs,
            **variables,
        }
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", spec.run],
            cwd=self.lab / "experiments" / name,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return Ended(done.returncode, done.stdout, job)


@pytest.fixture(scope="session")
def python() -> Path:
    """Of .build/example-venv, which has the example's requirements; made once, by whichever test process comes first."""
    folder = ROOT / ".build/example-venv"
    requirements = LAB / "experiments/digits/train/requirements.txt"
    stamp = folder / ".made-of"
    want = requirements.read_text() + sys.version
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / "example-venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != want:
            shutil.rmtree(folder, ignore_errors=True)
            tool = uv.find_uv_bin()
            subprocess.run([tool, "venv", "-q", "--python", sys.executable, folder], check=True)
            inside = ["--python", folder / "bin/python"]
            subprocess.run([tool, "pip", "install", "-q", *inside, "-r", requirements], check=True)
            stamp.write_text(want)
    return folder / "bin/python"


@pytest.fixture
def bench(python: Path, tmp_path: Path) -> Iterator[Bench]:
    (tmp_path / "jobs").mkdir()
    yield Bench(python, shutil.copytree(LAB, tmp_path / "lab"), tmp_path / "jobs")


def test_every_file_of_the_example_lab_is_valid() -> None:
    parse_lab((LAB / "lab.yaml").read_bytes(), "lab.yaml")
    trials = {name: len(expand(task(name))) for name in TASKS}
    assert trials == {
        "digits/train": 1,
        "digits/evaluate": 1,
        "diabetes/ridge": 12,
        "diabetes/broken": 1,
        "hello/shell": 1,
    }


def test_the_tasks_share_one_environment() -> None:
    assert len({path.read_text() for path in LAB.rglob("requirements.txt")}) == 1


def test_quoted_numbers_of_a_sweep_are_numbers() -> None:
    assert [point["alpha"] for point in expand(task("diabetes/ridge"))][::2] == [0.01, 0.1, 1, 10, 100, 1000]


@pytest.mark.parametrize("query", sorted((LAB / "queries").glob("*.sql")), ids=lambda path: path.stem)
def test_a_saved_query_runs_on_the_tables_of_the_records(query: Path) -> None:
    records = DuckDbRecords()
    try:
        answer = records.query(query.read_text(), QueryLimits())
        assert list(answer.batches()) == []
    finally:
        records.close()


@pytest.mark.slow
def test_training_reads_more_than_nine_in_ten_digits(bench: Bench) -> None:
    ended = bench.run("digits/train")
    assert ended.code == 0, ended.text
    assert 0.9 < ended.score["eval/accuracy"] < 0.99
    assert [step for step, _ in ended.series("eval/accuracy")] == list(range(1, 41))
    losses = [loss for _, loss in ended.series("train/loss")]
    assert losses[-1] < losses[0] / 10
    assert [(event["path"], event["kind"]) for event in ended.of("artifact")] == [("model.joblib", "model")]
    assert (ended.job / "artifacts/model.joblib").stat().st_size > 10_000


@pytest.mark.slow
def test_an_interrupted_training_goes_on_and_ends_as_if_unbroken(bench: Bench) -> None:
    first = bench.run("digits/train", {"epochs": 12})
    second = bench.run("digits/train", LAB_RESUME_FROM=str(first.job / "checkpoints"), LAB_ATTEMPT="2")
    assert second.code == 0, second.text
    whole = bench.run("digits/train")
    assert second.series("train/loss") == whole.series("train/loss")[10:]
    assert second.score == whole.score


@pytest.mark.slow
def test_evaluation_reads_the_model_of_the_task_that_it_needs(bench: Bench) -> None:
    trained = bench.run("digits/train")
    needed = bench.jobs / "evaluate/needs/digits/train/abcdefghijkl"
    shutil.copytree(trained.job / "artifacts", needed)
    ended = bench.run_in(bench.jobs / "evaluate", "digits/evaluate")
    assert ended.code == 0, ended.text
    assert ended.score["eval/error"] == pytest.approx(1 - trained.score["eval/accuracy"])
    (metrics,) = (event["m"] for event in ended.of("metric"))
    assert sorted(metrics) == [f"accuracy/{digit}" for digit in range(10)]
    assert ended.score["eval/error_worst_digit"] == pytest.approx(1 - min(metrics.values()))
    (kept,) = task("digits/evaluate").artifacts
    rows = list(csv.reader((bench.lab / "experiments/digits/evaluate" / kept).open()))
    assert sum(int(cell) for row in rows[1:] for cell in row[1:]) == 360


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alpha", "degree", "rmse"),
    [(1, 1, 54.542), (0.01, 2, 58.203), (100, 2, 55.326), (1000, 1, 62.288)],
)
def test_a_trial_of_the_sweep_is_off_by_what_the_notes_say(
    bench: Bench, alpha: float, degree: int, rmse: float
) -> None:
    ended = bench.run("diabetes/ridge", {"alpha": alpha, "degree": degree})
    assert ended.code == 0, ended.text
    assert ended.score["eval/rmse"] == pytest.approx(rmse, abs=0.01)
    assert len(ended.series("fold/rmse")) == 5


@pytest.mark.slow
def test_the_broken_task_fails_and_says_why_in_one_sentence(bench: Bench) -> None:
    ended = bench.run("diabetes/broken")
    sentence = "the diabetes data has no column 'glucose'; it has age, sex, bmi, bp, s1, s2, s3, s4, s5, s6"
    assert ended.code == 1
    assert ended.text.splitlines()[-1] == sentence
    assert [event["m"] for event in ended.of("error")] == [sentence]


@pytest.mark.slow
def test_the_broken_task_works_once_it_asks_for_a_column_that_is_there(bench: Bench) -> None:
    ended = bench.run("diabetes/broken", {"column": "bmi"})
    assert ended.code == 0, ended.text
    assert ended.score["correlation"] == pytest.approx(0.586, abs=0.001)


@pytest.mark.slow
def test_bash_and_awk_take_part_without_the_sdk(bench: Bench) -> None:
    ended = bench.run("hello/shell", PYTHONPATH="")
    assert ended.code == 0, ended.text
    assert len(ended.series("pi")) == 10
    assert ended.series("pi")[-1][1] == pytest.approx(3.14159, abs=1e-5)
    assert ended.score["error"] < 1e-5
    assert re.search(r"^200000 terms", ended.text)
