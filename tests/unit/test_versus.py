"""Runs of a task as samples."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.decide.versus import Point, Sample, groups, sample


@dataclass(frozen=True)
class Run:
    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    task: str = "alpha/train"


def test_a_sample_is_count_mean_and_sample_standard_deviation() -> None:
    assert sample([1.0, 2.0, 3.0]) == Sample(3, 2.0, 1.0)
    assert sample([4]) == Sample(1, 4.0, 0.0)
    assert sample([]) is None


def test_what_is_no_number_is_left_out_of_a_sample() -> None:
    assert sample([None, "1", True, [2], 3.0]) == Sample(1, 3.0)
    assert sample([False, "x"]) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 10**400, -(10**400)])
def test_a_run_that_diverged_makes_its_whole_sample_so(bad: float) -> None:
    found = sample([1.0, bad, 2.0])
    assert found is not None
    assert found.n == 3
    assert not math.isfinite(found.mean)


def test_huge_values_have_a_mean() -> None:
    assert sample([1e308, 1e308]) == Sample(2, 1e308, 0.0)
    assert math.isnan((sample([math.inf, -math.inf]) or Sample(0, 0)).mean)


def test_runs_that_differ_in_their_seed_alone_are_one_group() -> None:
    jobs = [
        Run("a", {"lr": 0.1, "seed": 1}),
        Run("b", {"seed": 2, "lr": 0.1}),
        Run("c", {"lr": 0.1, "random_seed": 7, "Seed": 3}),
        Run("d", {"lr": 0.2, "seed": 1}),
        Run("e", {"lr": 0.1, "seed": 1}, task="beta"),
        Run("f", {"lr": 0.1, "seed_count": 1}),
        Run("g"),
    ]
    found = groups(jobs)
    assert [[job.name for job in group] for group in found.values()] == [["a", "b", "c"], ["d"], ["e"], ["f"], ["g"]]
    assert next(iter(found)) == Point("alpha/train", '{"lr":0.1}')


def test_the_same_point_has_the_same_key_on_both_sides() -> None:
    head, base = groups([Run("a", {"x": {"b": 1, "a": [1]}, "seed": 1})]), groups([Run("b", {"x": {"a": [1], "b": 1}})])
    assert head.keys() == base.keys()


@pytest.mark.parametrize("odd", [math.nan, {1, 2}, {1: 2, "a": 3}, "\ud800", object])
def test_values_that_json_has_no_word_for_are_grouped_too(odd: object) -> None:
    assert [len(g) for g in groups([Run("a", {"x": odd, "seed": 1}), Run("b", {"seed": 2, "x": odd})]).values()] == [2]


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8))
def test_mean_and_spread_are_those_of_the_book(values: list[float]) -> None:
    found = sample(values)
    assert found is not None
    assert found.mean == pytest.approx(statistics.fmean(values), abs=1e-6)
    assert found.sd == pytest.approx(statistics.stdev(values), rel=1e-9, abs=1e-6)
