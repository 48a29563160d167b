"""A pull request's metrics against the base branch's."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.decide.versus import Delta, Point, Sample, compare, effect, groups, pooled, sample

LOWER = {"loss": True}


@dataclass(frozen=True)
class Run:
    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    task: str = "alpha/train"


def runs(*values: float, name: str = "loss") -> Sequence[Mapping[str, float]]:
    return [{name: value} for value in values]


def one(head: Sequence[float], base: Sequence[float], lower: bool | None = True) -> Delta:
    (delta,) = compare(runs(*head), runs(*base), {"loss": lower})
    return delta


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


def test_a_difference_beyond_the_spread_is_better_or_worse() -> None:
    base = [1.0, 1.1, 0.9]  # a standard deviation of 0.1
    better, worse = one([0.7, 0.8, 0.6], base), one([1.3, 1.4, 1.2], base)
    assert (better.better, worse.better) == (True, False)
    assert better.delta == pytest.approx(-0.3)
    assert better.spread == pytest.approx(0.1)
    assert one([0.7, 0.8, 0.6], base, lower=False).better is False


def test_a_difference_within_the_spread_is_neither() -> None:
    assert one([0.95, 1.05, 0.85], [1.0, 1.1, 0.9]).better is None
    assert one([1.0, 3.0], [2.5, 3.5]).better is None


def test_one_side_s_seeds_are_spread_enough() -> None:
    assert one([1.05], [1.0, 1.1, 0.9]).better is None
    assert one([1.2], [1.0, 1.1, 0.9]).better is False
    assert one([1.0, 1.1, 0.9], [1.05]).better is None


def test_of_single_runs_any_difference_counts_and_no_spread_is_known() -> None:
    found = one([0.99], [1.0])
    assert (found.better, found.spread) == (True, None)
    assert one([1.0], [1.0]).better is None
    assert one([0.1 + 0.2], [0.3]).better is None  # rounding is no difference


def test_seeds_that_all_agree_leave_no_doubt_about_a_difference() -> None:
    found = one([0.5, 0.5], [0.6, 0.6])
    assert (found.better, found.spread, effect(found)) == (True, 0.0, math.inf)


def test_without_a_direction_nothing_is_better() -> None:
    assert one([9.0], [1.0], lower=None).better is None
    assert compare(runs(9.0), runs(1.0), {})[0].better is None


def test_pooled_spread_weighs_each_side_by_its_degrees_of_freedom() -> None:
    assert pooled(Sample(3, 0, 1.0), Sample(5, 0, 2.0)) == pytest.approx(math.sqrt((2 * 1 + 4 * 4) / 6))
    assert pooled(Sample(1, 0), Sample(1, 0)) is None
    assert pooled(Sample(0, 0), Sample(2, 0, 1.0)) == 1.0


def test_a_metric_of_one_side_alone_is_shown_and_not_judged() -> None:
    new, gone = compare([{"new": 1.0}], [{"gone": 2.0}], {"new": True, "gone": True})[::-1]
    assert (new.metric, new.base, new.head, new.delta, new.better) == ("new", None, Sample(1, 1.0), None, None)
    assert (gone.metric, gone.base, gone.head) == ("gone", Sample(1, 2.0), None)


def test_a_head_that_diverged_is_worse_whichever_way_is_better() -> None:
    for value in (math.nan, math.inf, -math.inf):
        for lower, better in ((True, False), (False, False), (None, None)):
            found = one([0.1, value], [1.0], lower)
            assert (found.delta, found.better) == (None, better)


def test_a_base_that_diverged_is_nothing_to_compare_with() -> None:
    assert (one([0.1], [math.nan]).delta, one([0.1], [math.nan]).better) == (None, None)


def test_the_largest_effect_comes_first() -> None:
    base = [{"a": 1.0, "b": 100.0, "c": 5.0, "same": 1.0, "nan": 1.0, "gone": 1.0}, {"a": 1.2, "b": 101.0, "c": 5.1}]
    head = [{"a": 1.3, "b": 110.0, "c": 9.0, "same": 1.0, "nan": math.nan, "new": 1.0}]
    found = compare(head, base, {})
    assert [d.metric for d in found] == ["nan", "c", "b", "a", "same", "gone", "new"]
    sizes = [effect(d) for d in found[1:5]]
    assert sizes == sorted(sizes, reverse=True)


def test_nothing_compares_with_nothing() -> None:
    assert compare([], [], LOWER) == ()
    assert compare([{"x": "text"}, {"y": None}], [], LOWER) == ()  # type: ignore[dict-item]


numbers = st.one_of(st.floats(), st.integers(), st.booleans(), st.none())
metrics = st.lists(st.dictionaries(st.sampled_from("abc"), numbers), max_size=4)


@given(metrics, metrics, st.dictionaries(st.sampled_from("abc"), st.sampled_from([True, False, None])))
def test_whatever_was_reported_every_metric_has_one_verdict(
    head: list[dict[str, float]], base: list[dict[str, float]], lower: dict[str, bool | None]
) -> None:
    found = compare(head, base, lower)
    assert len({d.metric for d in found}) == len(found)
    for delta in found:
        assert not math.isnan(effect(delta))
        if delta.better is not None:
            assert lower[delta.metric] is not None
            assert delta.head is not None
        if delta.better:
            assert delta.head is not None
            assert math.isfinite(delta.head.mean)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8))
def test_mean_and_spread_are_those_of_the_book(values: list[float]) -> None:
    found = sample(values)
    assert found is not None
    assert found.mean == pytest.approx(statistics.fmean(values), abs=1e-6)
    assert found.sd == pytest.approx(statistics.stdev(values), rel=1e-9, abs=1e-6)
