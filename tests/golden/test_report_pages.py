"""The report's pages against kept copies, and rules that hold for any lab. `LAB_WRITE_GOLDEN=1` writes the copies again."""

import math
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from labwright.decide.plot import Curve, line_plot, number, scatter_plot
from labwright.decide.report import experiment_page, index_line, index_page
from labwright.domain.manifest import Manifest, ManifestAttempt, MetricSummary

GOLDEN = Path(__file__).parent / "report"
T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOSTILE = "```\n@org/all <script>alert(1)</script> | [x](http://e) #12 \x1b[31m\u202e"


def manifest(n: int, task: str = "alpha/train", state: str = "COMPLETE", **changes: object) -> Manifest:
    lr, seed = 10.0 ** -(n % 5 + 1), n // 5
    loss = round(0.2 + 0.05 * (n % 5 - 2) ** 2 + 0.01 * seed, 6)
    metrics = {"eval/loss": loss, "eval/acc": 1 - loss / 2}
    end = T0 + timedelta(minutes=n, seconds=90 + n)
    given: dict[str, object] = {
        "schema": "labwright/manifest/1",
        "job": f"job{n:09d}",
        "task": task,
        "generation": 0,
        "trial": n,
        "work_digest": "a" * 64,
        "bundle_digest": "b" * 64,
        "state": state,
        "commit": f"{n:040x}",
        "branch": "main",
        "parameters": {"lr": lr, "seed": seed, "model": "resnet18"},
        "score": {"eval/loss": loss} if state == "COMPLETE" else {},
        "created": T0 + timedelta(minutes=n),
        "ended": end,
        "provider": "laptop",
        "attempts": (
            ManifestAttempt(n=1, provider="laptop", outcome="ok", started=T0 + timedelta(minutes=n), ended=end),
        ),
        "metrics": {k: MetricSummary(last=v, min=v, max=1, count=20, last_step=19) for k, v in metrics.items()}
        if state == "COMPLETE"
        else {},
        "sweep_metric": "eval/loss",
    }
    return Manifest(**(given | changes))  # type: ignore[arg-type]


def lab() -> tuple[list[Manifest], dict[str, dict[str, list[tuple[int | None, float]]]]]:
    jobs = [manifest(n) for n in range(12)]
    jobs.append(
        manifest(12, state="FAILED", reason="error: exit code 1", log_tail="Traceback\nValueError: lr too high\n")
    )
    jobs.append(manifest(13, state="STOPPED", reason="superseded by job000000014"))
    jobs.append(manifest(14, "alpha/evaluate", sweep_metric="", score={"accuracy": 0.91}, parameters={}))
    curves = {
        job.job: {"train/loss": [(step, 2 * math.exp(-step / 5) + min(job.score.values())) for step in range(20)]}
        for job in jobs
        if job.state == "COMPLETE"
    }
    return jobs, curves


def check(pages: Mapping[str, bytes]) -> None:
    if os.environ.get("LAB_WRITE_GOLDEN"):
        for path, data in pages.items():
            (GOLDEN / path).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / path).write_bytes(data)
    for path, data in pages.items():
        assert data.decode() == (GOLDEN / path).read_text(), path


def test_the_page_of_an_experiment_is_as_kept() -> None:
    pages = experiment_page("alpha", *lab())
    assert sorted(pages) == [
        "results/alpha/README.md",
        "results/alpha/plots/evaluate-train-loss.svg",
        "results/alpha/plots/train-eval-loss-by-lr.svg",
        "results/alpha/plots/train-train-loss.svg",
    ]
    check(pages)


def test_the_page_of_all_experiments_is_as_kept() -> None:
    jobs, _ = lab()
    experiments = {"beta": [manifest(20, "beta")], "alpha": jobs, "empty": []}
    check(index_page({name: index_line(name, found) for name, found in experiments.items()}))


def test_the_order_in_which_jobs_are_given_changes_nothing() -> None:
    jobs, curves = lab()
    assert experiment_page("alpha", jobs[::-1], dict(reversed(curves.items()))) == experiment_page(
        "alpha", jobs, curves
    )


def readme(jobs: list[Manifest]) -> str:
    return experiment_page("alpha", jobs, {})["results/alpha/README.md"].decode()


@pytest.mark.parametrize("lower", [True, False])
def test_the_best_complete_job_is_first_and_bold_by_the_tasks_own_direction(lower: bool) -> None:
    jobs = [manifest(n, score={"eval/loss": float(n)}, lower_is_better=lower) for n in (2, 1, 3)]
    jobs.append(manifest(4, state="FAILED", score={"eval/loss": 0.0 if lower else 9.0}, lower_is_better=lower))
    rows = [line for line in readme(jobs).splitlines() if "manifest.json" in line]
    assert [row[:4] == "| **" for row in rows] == [True, False, False, False]
    best = "job000000001" if lower else "job000000003"
    assert best in rows[0]
    assert "job000000004" in rows[3]


def test_where_nobody_said_what_is_better_no_result_is_called_the_best() -> None:
    jobs = [manifest(n, score={"accuracy": float(n)}, sweep_metric="") for n in range(3)]
    assert "lower first; the task has no `sweep_metric`" in readme(jobs)
    assert "**" not in readme(jobs)
    assert "**[job" in readme(jobs[:1])


def test_the_page_stays_small_with_ten_thousand_jobs() -> None:
    jobs = [manifest(n, f"alpha/t{n % 3}") for n in range(9000)]
    jobs += [manifest(n, state="FAILED", reason="oom", log_tail="x\n" * 9000) for n in range(9000, 10_000)]
    pages = experiment_page("alpha", jobs, {})
    text = pages["results/alpha/README.md"].decode()
    assert "10,000 jobs: 9,000 complete, 1,000 failed." in text
    assert "And 2,950 more jobs" in text
    assert "The newest 10 of 1,000 failed jobs. Most often: 1,000× oom." in text
    assert len(text) < 60_000
    assert all(len(data) < 250_000 for data in pages.values())


def test_the_page_stays_small_with_many_tasks_parameters_and_metrics() -> None:
    many = {f"p{n}": n for n in range(300)}
    metrics = {f"m{n}": MetricSummary(last=1, min=1, max=1, count=1) for n in range(300)}
    jobs = [manifest(n, f"alpha/t{n}", parameters=many, metrics=metrics) for n in range(300)]
    assert "And 280 more tasks" in readme(jobs)
    assert len(readme(jobs)) < 60_000


def test_r33_nothing_that_a_user_wrote_leaves_its_place() -> None:
    jobs = [
        manifest(n, f"alpha/{HOSTILE}", parameters={HOSTILE: f"{HOSTILE}{n}"}, score={HOSTILE: n}, sweep_metric=HOSTILE)
        for n in range(3)
    ]
    jobs.append(
        manifest(9, f"alpha/{HOSTILE}", state="FAILED", reason=HOSTILE, log_tail=HOSTILE + "\n````\n</details>")
    )
    series = {job.job: {HOSTILE: [(0, 1.0), (1, 2.0)]} for job in jobs[:3]}
    pages = {**experiment_page(HOSTILE, jobs, series), **index_page({HOSTILE: index_line(HOSTILE, jobs)})}
    for path, data in pages.items():
        text = data.decode()
        assert "\x1b" not in text
        assert "\u202e" not in text
        if path.endswith(".svg"):
            assert "<script" not in text
            ET.fromstring(text)
            continue
        outside = re.sub(r"^(`{3,})text\n.*?^\1$", "", text, flags=re.S | re.M)
        outside = re.sub(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", "", outside)
        assert "@org" not in outside
        assert not re.search(r"(?<!\\)<(?!/?(details|summary|sub|code)>)", outside)
        assert all(line.count("|") - line.count("\\|") >= 3 for line in outside.splitlines() if line.startswith("|"))


def test_a_task_without_scores_has_no_score_column_and_no_plot() -> None:
    jobs = [manifest(n, score={}, metrics={}, sweep_metric="") for n in range(4)]
    pages = experiment_page("alpha", jobs, {})
    assert list(pages) == ["results/alpha/README.md"]
    assert "Ranked by" not in readme(jobs)


def test_an_experiment_without_jobs_has_a_page() -> None:
    assert "0 jobs: none finished." in readme([])


@pytest.mark.parametrize("values", [[float("nan")] * 3, [], [float("inf"), float("-inf")]])
def test_a_plot_of_no_finite_point_is_none(values: list[float]) -> None:
    points = [(float(n), value) for n, value in enumerate(values)]
    assert line_plot("t", "x", "y", [Curve("c", points)]) == scatter_plot("t", "x", "y", points) == ""


@pytest.mark.parametrize(
    "points",
    [
        [(0.0, 1.0)],
        [(0.0, 0.0), (0.0, 0.0)],
        [(1e-300, 1e300), (1e300, 1e-300)],
        [(-1e308, 1.0), (1e308, 1.0)],
        [(0.0, 1.0), (1.0, float("nan")), (2.0, 1.0)],
        [(1e15, 1.0), (1e15 + 1, 1.0 + 1e-15)],
        [(float(n), math.sin(n)) for n in range(100_000)],
    ],
)
def test_any_finite_points_make_a_picture_of_bounded_size(points: list[tuple[float, float]]) -> None:
    for svg in (line_plot("t", "x", "y", [Curve("c", points)]), scatter_plot("t", "x", "y", points)):
        if svg:
            ET.fromstring(svg)
            assert "nan" not in svg
            assert "inf" not in svg
        assert len(svg) < 250_000


def test_a_spike_survives_thinning() -> None:
    points = [(float(n), 1.0) for n in range(10_000)]
    points[5003] = (5003.0, 50.0)
    assert " 50.0" not in line_plot("t", "x", "y", [Curve("c", points[:5000])])
    svg = line_plot("t", "x", "y", [Curve("c", points)])
    heights = [float(pair.split(",")[1]) for pair in re.findall(r'points="([^"]*)"', svg)[0].split()]
    assert max(heights) - min(heights) > 200


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.1, "0.1"),
        (12345.6, "12,346"),
        (0.00012345, "1.234e-4"),
        (-2.5e9, "-2.5e9"),
        (1 / 3, "0.3333"),
        (100.0, "100"),
    ],
)
def test_numbers_have_at_most_four_digits_that_mean_something(value: float, text: str) -> None:
    assert number(value) == text
