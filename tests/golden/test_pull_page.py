"""A pull request's comment against kept copies, and rules that hold for any. `UPDATE_GOLDEN=1` writes the copies again."""

import json
import math
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.decide.pull_page import LEAST, full_plan, marker, plan_json, render, status_words
from labwright.decide.versus import sample
from labwright.domain.errors import Problem
from labwright.domain.forge import Light
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


def figures_of(values: list[float]) -> Figures:
    found = sample(values)
    assert found is not None
    return Figures(found.mean, found.sd, found.n)


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
    if os.environ.get("UPDATE_GOLDEN"):
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


def big(tasks: int, trials: int, text: str = "x") -> PullPage:
    """Much of everything, with a text of somebody's in every place that has one."""
    many = range(tasks)
    base = finished()
    return replace(
        base,
        base_branch=text,
        digest="d1" * 32,
        tasks=tuple(
            replace(
                train(trials),
                task=f"{text}/{n}",
                provider=f"{text}{n}",
                refused=(text,) * (n % 3),
                cpus=text,
                cost=text,
                queue=text,
                accelerators=text,
                reuse=(Reused(text, (text,)), Reused("pull:1", (text, text)), Reused(text, (text,))),
            )
            for n in many
        ),
        files=tuple(FileLine(f"{text}/{n}", Change.CHANGED, PLAIN_MODE, EXEC_MODE, "a" * 40) for n in many),
        cautions=tuple(Caution(f"{text}/{n}", n, text, Doubt.LONG) for n in many),
        problems=tuple(Problem(f"{text}/{n}", 1, 1, text, text) for n in many),
        banners=tuple(Notice(kind, text) for kind in Banner),
        gates=tuple(Gate(text, n % 3 == 0, text) for n in range(min(tasks, 60))),
        approved_by=(text,) * 20,
        jobs=tuple(
            JobLine(f"{text}{n}", f"{text}/{n}", n, list(State)[n % 9], text, {text: text}, 1.0, 2.0, "", text * 20)
            for n in many
        ),
        deltas=tuple(replace(base.deltas[n % 5], task=f"{text}/{n}", metric=text) for n in many),
        requirements=tuple(Requirement(text, None, text) for _ in many),
        plots=tuple(Plot(text, f"{text}.svg") for _ in many),
        room=text,
    )


PLAIN_MODE, EXEC_MODE = "100644", "100755"
WHOLE = re.compile(r"<details><summary>[^\n]*</summary>\n\n.*?\n\n</details>", re.DOTALL)


def check_whole(text: str) -> None:
    """Fences and details are closed, nothing of a user's has become a line or a mark of its own."""
    fences = re.findall(r"^(`{3,})(text)?$", text, re.MULTILINE)
    assert [ticks for ticks, _ in fences[::2]] == [ticks for ticks, _ in fences[1::2]]
    outside = re.sub(r"^(`{3,})text\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert outside.count("<details>") == outside.count("</details>") == len(WHOLE.findall(outside))
    assert text.count("<!--") == 1
    assert not re.search(r"^\s*/lab\b", text, re.MULTILINE)
    assert not re.search(r"^\s*/", outside, re.MULTILINE)  # what GitLab would do
    spans = re.sub(r"(?<![`\\])(`+)(?!`)(.+?)(?<!`)\1(?!`)|<code>[^<>]*</code>", "", outside)
    assert not re.search(r"(?<!\\)<(?!/?details>|/?summary>|!-- labwright:)", spans)
    assert "@org" not in spans
    for line in outside.splitlines():
        assert not line.startswith("|") or line.endswith(" |"), line


@pytest.mark.parametrize("text", ["x", HOSTILE, "|" * 300, "`" * 300, "\\" * 300, "@" * 300 + "\n/lab run"])
@pytest.mark.parametrize("tasks", [0, 1, 7, 300])
@pytest.mark.parametrize("limit", [LEAST, 8_000, 20_000, 60_000])
def test_r33_a_comment_is_within_its_limit_and_whole_whatever_it_is_about(text: str, tasks: int, limit: int) -> None:
    page = big(tasks, 3, text)
    made = render(page, limit)
    assert len(made) <= limit
    check_whole(made)
    assert made.splitlines()[-1] == marker(page)
    assert page.digest in made
    assert "ended" in made.split("\n")[0] or "aunch" in made.split("\n")[0]
    assert not tasks or "Gates: " in made


def test_where_there_is_room_nothing_is_left_out_and_where_there_is_none_it_says_what_and_where() -> None:
    page = replace(planned(), files=big(300, 1).files)
    assert "experiments" not in render(page, 60_000).split("<summary>Files")[1].split("</details>")[0]
    assert "x/99" in render(page, 60_000)
    tight = render(page, 6_000)
    assert "300 changed" in tight
    assert "[the full plan](https://forge.example/ml/vision/src/branch/lab-results/plans/7/d1d1d1.md)" in tight
    assert "alpha/train" in tight


def test_a_limit_that_holds_no_comment_and_a_marker_that_could_end_early_are_refused() -> None:
    with pytest.raises(ValueError, match="4,000"):
        render(planned(), LEAST - 1)
    for odd in ("a-->b", "", "a b", "a--b"):
        with pytest.raises(ValueError, match="marker"):
            render(replace(planned(), signature=odd))


@pytest.mark.parametrize("text", ["x", HOSTILE])
def test_the_full_plan_names_every_job_file_and_warning(text: str) -> None:
    page = big(50, 40, text)
    made = full_plan(page)
    check_whole(made + "<!-- labwright:")
    assert made.count("job000000039") == 50
    assert made.count("a" * 40) == 50
    json.dumps(plan_json(page), allow_nan=False)


@pytest.mark.parametrize(
    ("page", "light", "words"),
    [
        (replace(planned(), problems=(), tasks=planned().tasks[1:2], banners=()), Light.SUCCESS, "nothing to launch, 1 reused"),
        (replace(planned(), problems=(), tasks=planned().tasks[:1], banners=()), Light.PENDING, "12 jobs, 24 GPU-hours wait for: the label lab:run; 1 approving review of abc1234 by alice, bob or @org/leads; the forge did not say whether…"),
        (replace(planned(), problems=(), tasks=planned().tasks[:1], banners=(Notice(Banner.FORK),)), Light.ERROR, "from a fork: 12 jobs, 24 GPU-hours never launch"),
        (replace(planned(), problems=(), tasks=planned().tasks[:1]), Light.PENDING, "held: 240 GPU-hours, more than limits.gpu_hours_per_plan = 200; confirm with lab confirm d1d1d1d1d1d1"),
        (replace(finished(), requirements=()), Light.SUCCESS, "12 complete"),
    ],
)  # fmt: skip
def test_a_commits_status_says_in_one_line_what_is_next(page: PullPage, light: Light, words: str) -> None:
    assert status_words(page) == (light, words)


@pytest.mark.parametrize("text", [HOSTILE, "x" * 500, "`\n/lab run"])
def test_a_status_is_one_line_of_at_most_140_characters(text: str) -> None:
    _, words = status_words(
        replace(planned(), problems=(), tasks=planned().tasks[:1], banners=(), gates=(Gate("a", False, text),))
    )
    assert len(words) <= 140
    assert "\n" not in words


def test_a_difference_counts_only_beyond_the_spread_and_by_the_metrics_own_direction() -> None:
    low, high = Figures(1.0, 0.1, 4), Figures(2.0, 0.1, 4)
    for lower, base, head, mark in [
        (True, high, low, "🟢"),
        (True, low, high, "🔴"),
        (False, low, high, "🟢"),
        (None, low, high, "·"),
        (True, low, Figures(1.05, 0.1, 4), "⚪"),
        (True, Figures(1, None, 1), Figures(1.1, None, 1), "🔴"),
        (True, None, low, "·"),
        (True, low, Figures(math.nan, None, 1), "🔴"),
    ]:
        page = replace(finished(), deltas=(Delta("t", "m", lower, base, head),))
        assert f"| {mark} | `t` |" in render(page)


def test_jobs_that_are_held_for_an_approval_say_what_they_wait_for() -> None:
    page = running()
    held = replace(
        page,
        jobs=tuple(replace(job, state=State.HELD) for job in page.jobs),
        gates=(Gate("label", False, "the label `lab:run`"),),
    )
    assert render(held).split("\n")[:3] == [
        "⏳ **0 of 12 jobs ended**: 12 held · 37 reused · 2 superseded",
        "",
        "Waits for: the label `lab:run`.",
    ]
    assert status_words(held)[1] == "0 of 12 jobs ended: 12 held; waits for: the label lab:run"


def test_hours_that_nobody_can_know_are_not_told_as_none() -> None:
    endless = replace(train(), limit_seconds=None, gpu_hours=0.0, expected_gpu_hours=None)
    alone, mixed = replace(planned(), tasks=(endless,)), replace(planned(), tasks=(endless, train()))
    assert ", GPU-hours not known: there is no time limit · " in render(alone).split("\n")[0]
    assert ", 24 or more GPU-hours asked (≈ 9 from past runs); some jobs have no time limit" in render(mixed)


@given(st.text(max_size=60), st.integers(LEAST, 20_000))
@settings(max_examples=60, deadline=None)
def test_r33_any_text_at_any_limit_leaves_the_comment_whole(text: str, limit: int) -> None:
    made = render(big(4, 2, text), limit)
    assert len(made) <= limit
    check_whole(made)
