"""Pull requests in the loop: what is planned, what may run, and what happens when the world moves between two looks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labwright.domain.lifecycle import State
from tests.unit.pull_bench import PullBench, task_text


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PullBench]:
    bench = PullBench(tmp_path)
    yield bench
    bench.close()


def test_an_open_pull_request_is_planned_and_launches_nothing(bench: PullBench) -> None:
    bench.propose()
    bench.settle()
    assert bench.pulled == []
    assert "alpha/train" in bench.comment()
    assert "1 job to launch" in bench.comment()


def test_R2_a_label_alone_only_requests(bench: PullBench) -> None:
    bench.propose()
    bench.label()
    bench.settle()
    assert bench.pulled == []
    assert "1 approving review" in bench.comment()


def test_an_approved_and_asked_for_plan_runs_and_its_results_come_back(bench: PullBench) -> None:
    bench.propose()
    bench.approve()
    bench.until_idle()
    (job,) = bench.pulled
    assert (job.state, job.branch, job.author) == (State.COMPLETE, "pull:1", "ada")
    assert job.id in bench.comment()


def test_merging_runs_nothing_again(bench: PullBench) -> None:
    bench.propose()
    bench.approve()
    bench.until_idle()
    bench.push(**{"alpha/train": task_text("one")})
    bench.at.shut(1, merged=True)
    bench.hook()
    bench.until_idle()
    assert [job.task for job in bench.jobs] == ["base", "alpha/train"]
