"""What comes late: a forge's answers, and results of jobs that have ended."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from labwright.domain.lifecycle import State
from tests.unit.pull_bench import PullBench


def test_a_forge_that_answers_slowly_holds_no_approved_job_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look is a dozen requests: on a busy server they take longer than its word may be old."""
    bench = PullBench(tmp_path)
    talk = bench.at.talk

    def slowly(number: int) -> Any:
        said = talk(number)
        bench.clock.advance(3)
        return said

    monkeypatch.setattr(bench.at, "talk", slowly)
    bench.propose()
    bench.approve()
    bench.until_idle()
    assert [job.state for job in bench.pulled] == [State.COMPLETE]
    bench.close()


def test_R3_an_answer_that_took_too_long_lets_nothing_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = PullBench(tmp_path)
    talk = bench.at.talk

    def crawling(number: int) -> Any:
        said = talk(number)
        bench.clock.advance(40)
        return said

    bench.propose()
    bench.settle()
    with monkeypatch.context() as patch:
        patch.setattr(bench.at, "talk", crawling)
        bench.approve()
        bench.settle(20)
        assert not [job for job in bench.pulled if job.attempt]
        assert "took 40 s" in bench.alarms["forge is slow"]
    bench.until_idle()
    assert [job.state for job in bench.pulled] == [State.COMPLETE]
    assert "forge is slow" not in bench.alarms
    bench.close()


def test_an_answer_that_comes_while_a_turn_is_under_way_counts_in_that_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time goes on within a turn: a word may be newer than what the turn takes for now."""
    bench = PullBench(tmp_path)
    now = bench.world.clock.now

    def ticking() -> datetime:
        bench.clock.advance(0.001)
        return now()

    monkeypatch.setattr(bench.world, "now", ticking)
    bench.propose()
    bench.approve()
    bench.until_idle()
    assert [job.state for job in bench.pulled] == [State.COMPLETE]
    bench.close()


def test_a_list_that_words_its_changes_in_its_own_way_makes_nobody_read_all_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = PullBench(tmp_path)
    pulls, talk, read = bench.at.pulls, bench.at.talk, []
    monkeypatch.setattr(
        bench.at, "pulls", lambda: [replace(pull, updated=f"listed {pull.updated}") for pull in pulls()]
    )
    monkeypatch.setattr(bench.at, "talk", lambda number: (read.append(number), talk(number))[1])
    bench.propose()
    bench.settle(20)
    bench.settle(20)  # our own comment has changed it
    read.clear()
    for _ in range(3):
        bench.settle()
    assert read == []
    bench.label()
    bench.settle()
    assert read
    bench.close()


def test_results_that_are_known_later_than_the_end_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = PullBench(tmp_path)
    later = bench.controller.collector.step
    monkeypatch.setattr(bench.controller.collector, "step", lambda now: None)
    bench.propose()
    bench.approve()
    bench.until(lambda: [job.state for job in bench.pulled] == [State.COMPLETE])
    bench.settle(40)
    assert "1 job ended" in bench.comment() and "loss=0.5" not in bench.comment()
    monkeypatch.setattr(bench.controller.collector, "step", later)
    bench.until_idle()
    bench.settle()
    assert "0.5" in bench.comment().partition("| job |")[2].partition("</details>")[0]
    bench.close()
