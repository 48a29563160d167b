"""A pull request's comment against kept copies, and rules that hold for any. `LAB_WRITE_GOLDEN=1` writes the copies again."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from labwright.decide.pull_page import full_plan, plan_json, render, status_words
from labwright.decide.pull_results import figures_of
from labwright.domain.errors import Problem
from labwright.domain.lifecycle import State
from labwright.domain.pull_page import (
    Banner,
    Caution,
    Change,
    Delta,
    Doubt,
    Figures,
    FileLine,
    Gate,
    JobLine,
    Links,
    Notice,
    Plot,
    PullPage,
    Requirement,
    Reused,
    TaskLine,
    TrialLine,
)

GOLDEN = Path(__file__).parent / "pull"
HOSTILE = "``` ``` @org/all <!-- marker --> | ![x](http://e/x) \u202e"
LINKS = Links(
    "https://forge.example/ml/vision/src/branch/{branch}/{path}", "https://forge.example/ml/vision/raw/{branch}/{path}"
)


def job_id(n: int) -> str:
    return f"job{n:09d}"


def train(trials: int = 12) -> TaskLine:
    return TaskLine(
        "alpha/train",
        launch=tuple(TrialLine(job_id(n), {"lr": 10.0**-n, "seed": n % 3}, n) for n in range(trials)),
        reuse=(Reused("pull:41", tuple(job_id(100 + n) for n in range(35))), Reused("main", (job_id(200),))),
        supersede=(job_id(300), job_id(301)),
        provider="cluster",
        cpus="8",
        memory_gb=32,
        accelerators="A100:1",
        limit_seconds=7200,
        gpu_hours=2.0 * trials,
        expected_gpu_hours=0.75 * trials,
        queue="≈ 20 min",
        metric="val_loss",
        lower_is_better=True,
    )


def planned() -> PullPage:
    return PullPage(
        lane="pull:7",
        number=7,
        lab="vision",
        head="abc1234" + "0" * 33,
        base_branch="main",
        digest="d1" * 32,
        signature="c2lnbmF0dXJl",
        tasks=(
            train(),
            TaskLine("alpha/evaluate", reuse=(Reused("main", (job_id(400),)),), provider="laptop", cpus="2"),
            TaskLine(
                "beta/sweep",
                refused=("there is no provider `moon` in lab.yaml (it has: laptop, cluster)",),
                refused_trials=1,
                provider="moon",
            ),
        ),
        files=(
            FileLine("experiments/alpha/train/train.py", Change.CHANGED, "100644", "100755", "a" * 40),
            FileLine("experiments/alpha/train/model.py", Change.ADDED, "", "100644", "b" * 40),
            FileLine("experiments/alpha/train/old.py", Change.REMOVED, "100644", ""),
            FileLine("experiments/alpha/train/task.yaml", Change.SAME, "100644", "100644", "c" * 40),
        ),
        cautions=(
            Caution(
                "experiments/alpha/train/train.py",
                12,
                "U+202E RIGHT-TO-LEFT OVERRIDE: it does not run as it reads",
                Doubt.CHARACTERS,
            ),
            Caution("experiments/alpha/train/train.py", 0, "is executable now: mode 100644 → 100755", Doubt.MODE),
        ),
        problems=(Problem("experiments/gamma/task.yaml", 3, 7, "must be a count, not `many`", "such as `4`"),),
        banners=(
            Notice(Banner.CONFIG),
            Notice(
                Banner.HELD,
                "240 GPU-hours, more than limits.gpu_hours_per_plan = 200; confirm with `lab confirm d1d1d1d1d1d1`",
            ),
        ),
        gates=(
            Gate("label", False, "the label `lab:run`"),
            Gate("approval", False, "1 approving review of `abc1234` by alice, bob or @org/leads"),
            Gate("quota", True, "1,200 of 2,000 GPU-hours are left"),
            Gate("protection", None, "the forge did not say whether `main` is protected"),
        ),
        links=LINKS,
        plan_path="plans/7/d1d1d1.md",
        room="team 1,200 of 2,000 GPU-hours",
    )


def running() -> PullPage:
    states = [State.COMPLETE] * 5 + [State.FAILED] * 2 + [State.RUNNING] * 3 + [State.QUEUED] * 2
    jobs = tuple(
        JobLine(
            job_id(n),
            "alpha/train",
            n,
            state,
            reason="error: exit code 1" if state is State.FAILED else "",
            parameters={"lr": 10.0**-n, "seed": n % 3},
            score=0.5 - n / 100 if state is State.COMPLETE else None,
            seconds=100.0 * n if state is not State.QUEUED else None,
            link=f"https://forge.example/results/{n}",
            log_tail=f"Traceback\n/lab stop\nValueError: {HOSTILE}\n" if state is State.FAILED else "",
        )
        for n, state in enumerate(states)
    )
    base = planned()
    return replace(
        base,
        jobs=jobs,
        banners=(),
        problems=(),
        approved_by=("alice", "bob"),
        tasks=base.tasks[:2],
        gates=tuple(replace(g, passed=True) for g in base.gates),
    )


def finished() -> PullPage:
    base = running()
    jobs = tuple(
        replace(j, state=State.COMPLETE, reason="", log_tail="", score=0.4 + j.trial / 100, seconds=60.0 + j.trial)
        for j in base.jobs
    )
    return replace(
        base,
        jobs=(*jobs, JobLine(job_id(400), "alpha/evaluate", 0, State.COMPLETE, reused=True, score=0.91)),
        deltas=(
            Delta("alpha/train", "val_loss", True, figures_of([0.42, 0.44, 0.43]), figures_of([0.39, 0.38, 0.4])),
            Delta("alpha/train", "accuracy", False, Figures(0.91, 0.01, 3), Figures(0.88, 0.01, 3)),
            Delta("alpha/train", "throughput", None, Figures(1200, None, 1), Figures(1250, None, 1)),
            Delta("alpha/evaluate", "f1", False, Figures(0.8, 0.05, 5), Figures(0.81, 0.05, 5)),
            Delta("alpha/evaluate", "auc", False, None, Figures(0.95, None, 1)),
        ),
        requirements=(
            Requirement("val_loss <= base + 0.01", True, "0.39 <= 0.43 + 0.01"),
            Requirement("accuracy >= base", False, "0.88 < 0.91"),
        ),
        plots=(Plot("val_loss of the best 10 jobs", "results/alpha/plots/train-val-loss.svg"),),
    )


def check(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("LAB_WRITE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), name


@pytest.mark.parametrize(("name", "page"), [("planned", planned()), ("running", running()), ("finished", finished())])
def test_the_comment_and_its_status_are_as_kept(name: str, page: PullPage) -> None:
    check(f"{name}.md", render(page) + "\n")
    light, words = status_words(page)
    check(f"{name}.status.txt", f"{light}: {words}\n")


def test_the_full_plan_is_as_kept_as_a_page_and_as_json() -> None:
    check("plan.md", full_plan(planned()))
    check("plan.json", json.dumps(plan_json(planned()), indent=1, ensure_ascii=False) + "\n")
