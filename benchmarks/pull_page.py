"""A pull request that plans 10,000 trials: its comment within a forge's limit, the full plan, and what its diff hides.

    python -m benchmarks.pull_page

All of it is pure; the floor of the full plan is joining the same jobs' ids and parameters without escaping anything.
"""

import json
import sys
from dataclasses import replace

from benchmarks.git import clocked
from labwright.decide.honesty import warnings_of
from labwright.decide.pull_page import full_plan, plan_json, render, status_words
from labwright.domain.lifecycle import State
from labwright.domain.pull_page import (
    Change,
    Delta,
    Figures,
    FileLine,
    Gate,
    JobLine,
    Links,
    PullPage,
    Reused,
    TaskLine,
    TrialLine,
)
from labwright.domain.snapshot import Entry

LIMIT = 60_000
TASKS, TRIALS, FILES = 100, 100, 2_000
STATES = [State.COMPLETE] * 6 + [State.RUNNING] * 2 + [State.FAILED, State.QUEUED]
SCRIPT = (
    "import torch\n\nfor step in range(1000):\n    loss = model(step)  # größe\n    lab.log({'loss': loss}, step=step)\n"
    * 40
)


def page() -> PullPage:
    return PullPage(
        lane="pull:7",
        number=7,
        lab="vision",
        head="a" * 40,
        base_branch="main",
        digest="d" * 64,
        signature="s" * 43,
        tasks=tuple(_task(task) for task in range(TASKS)),
        files=tuple(
            FileLine(f"experiments/e{n}/train.py", Change.CHANGED, "100644", "100644", "b" * 40) for n in range(FILES)
        ),
        gates=(Gate("approval", False, "1 approving review of `aaaaaaa` by alice or @org/leads"),),
        links=Links("https://forge.example/ml/vision/src/branch/{branch}/{path}"),
        plan_path="plans/7/dddd.md",
    )


def _task(task: int) -> TaskLine:
    trials = tuple(
        TrialLine(f"{task:06d}{n:06d}", {"lr": 10.0**-n, "seed": n, "model": "resnet18"}, n) for n in range(TRIALS)
    )
    reused = (Reused("main", tuple(f"r{n}" for n in range(20))),)
    return TaskLine(
        f"e{task}/train",
        launch=trials,
        reuse=reused,
        provider="cluster",
        cpus="8",
        memory_gb=32,
        accelerators="A100:1",
        limit_seconds=7200,
        gpu_hours=200.0,
        expected_gpu_hours=90.0,
        metric="loss",
        lower_is_better=True,
    )


def running(planned: PullPage) -> PullPage:
    jobs = (
        JobLine(
            trial.job,
            task.task,
            trial.place,
            STATES[trial.place % 10],
            "error: exit code 1" if STATES[trial.place % 10] is State.FAILED else "",
            trial.parameters,
            0.5,
            60.0,
            log_tail="Traceback (most recent call last):\n" * 30,
        )
        for task in planned.tasks
        for trial in task.launch
    )
    figures = Figures(0.5, 0.1, 60), Figures(0.4, 0.1, 60)
    return replace(
        planned, jobs=tuple(jobs), deltas=tuple(Delta(t.task, "loss", True, *figures) for t in planned.tasks)
    )


def floor(planned: PullPage) -> None:
    "\n".join(f"| {trial.job} | {trial.parameters} |" for task in planned.tasks for trial in task.launch)


def run() -> str:
    planned = page()
    working = running(planned)
    changed = [(file.path, None, Entry("100644", "b"), SCRIPT.encode()) for file in planned.files]
    rules = {".gitattributes": b"*.png binary\n*.ipynb linguist-generated\ndocs/** -diff\n*.csv filter=lfs\n" * 5}
    told = [warnings_of(changed, rules)]
    lines = [
        ("comment of the plan", clocked(lambda: render(planned, LIMIT)), f"{len(render(planned, LIMIT)):,} characters"),
        (
            "comment while it runs, with results",
            clocked(lambda: render(working, LIMIT)),
            f"{len(render(working, LIMIT)):,} characters",
        ),
        ("line of the commit's status", clocked(lambda: status_words(working)), ""),
        (
            "full plan, every job and file",
            clocked(lambda: full_plan(planned)),
            f"{len(full_plan(planned)) / 1e6:.1f} MB",
        ),
        ("of it: joining the ids and parameters (floor)", clocked(lambda: floor(planned)), ""),
        ("full plan as JSON", clocked(lambda: json.dumps(plan_json(planned))), ""),
        (
            f"what the diff of {FILES:,} scripts ({len(SCRIPT.encode()) * FILES / 1e6:.0f} MB) hides",
            clocked(lambda: warnings_of(changed, rules)),
            f"{len(told[0])} warnings",
        ),
    ]
    head = f"| {TASKS * TRIALS:,} trials of {TASKS} tasks, {FILES:,} files | takes | |\n|---|---|---|\n"
    return head + "\n".join(f"| {what} | {took:.0f} ms | {note} |" for what, took, note in lines)


def main() -> None:
    sys.stdout.write(run() + "\n")


if __name__ == "__main__":
    main()
