"""Gates: what a metric must be."""

import math
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from labwright.decide.requirement import judge, parse_requirement
from labwright.decide.versus import Sample
from labwright.domain.forms import Fault
from labwright.domain.requirement import MOST_CHARS, Requires

floats = st.floats(allow_nan=True, allow_infinity=True)
samples = st.builds(Sample, st.integers(0, 5), floats, st.floats(0, allow_nan=False))
TEXTS = [
    "m <= base + 0.01",
    "m >= 0.9",
    "m < base * 1.02",
    "m <= base + 1 sd",
    "m > base - 2 %",
    "m < 1.5 * base",
    "m >= base",
]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("val_loss <= base + 0.01", ("val_loss", "<=", True, 1, 0.01, 0, 0)),
        ("accuracy >= 0.9", ("accuracy", ">=", False, 0, 0.9, 0, 0)),
        ("loss < base * 1.02", ("loss", "<", True, 1.02, 0, 0, 0)),
        ("loss<1.02*base", ("loss", "<", True, 1.02, 0, 0, 0)),
        ("val_loss <= base + 1 sd", ("val_loss", "<=", True, 1, 0, 0, 1)),
        ("acc > base - 2sd", ("acc", ">", True, 1, 0, 0, -2)),
        ("acc > base-2%", ("acc", ">", True, 1, 0, -0.02, 0)),
        ("reward >= base", ("reward", ">=", True, 1, 0, 0, 0)),
        ("reward>-1e-3", ("reward", ">", False, 0, -0.001, 0, 0)),
        ("reward > - .5", ("reward", ">", False, 0, -0.5, 0, 0)),
        ("eval/top-1.acc ≥ 5.", ("eval/top-1.acc", ">=", False, 0, 5, 0, 0)),
        ("loss ≤ base × -2", ("loss", "<=", True, -2, 0, 0, 0)),
        ('"val loss <1>" < 3', ("val loss <1>", "<", False, 0, 3, 0, 0)),
        ('"base" < base', ("base", "<", True, 1, 0, 0, 0)),
        ('"0.9" < 1', ("0.9", "<", False, 0, 1, 0, 0)),
        ("größe@k=5 < 1", None),
        ("größe@k < 1", ("größe@k", "<", False, 0, 1, 0, 0)),
    ],
)
def test_a_requirement_is_a_metric_a_comparison_and_a_limit(text: str, parts: tuple[object, ...] | None) -> None:
    if parts is None:
        with pytest.raises(Fault):
            parse_requirement(text)
    else:
        assert astuple(parse_requirement(f"  {text} ")) == (text, *parts)


def test_the_comparison_says_which_end_is_the_good_one() -> None:
    assert [parse_requirement(f"m {c} 1").lower_is_better for c in ("<", "<=", ">", ">=")] == [True, True, False, False]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must not be empty"),
        ("loss", "`<=`, `<`, `>=` or `>` at character 5, not the end"),
        ("loss = 1", "at character 6, not `=`"),
        ("loss == 1", "at character 6, not `==`"),
        ("loss =< 1", "at character 6, not `=<`"),
        ("loss != 1", "at character 6, not `!`"),
        ("my loss < 1", "at character 4, not `loss`"),
        ("loss <", "a number or `base` at character 7, not the end"),
        ("loss < bose", "a number or `base` at character 8, not `bose`"),
        ("loss < base.other", "a number or `base` at character 8"),
        ("loss < baseline", "a number or `base` at character 8"),
        ("loss < nan", "a number or `base` at character 8, not `nan`"),
        ("loss < inf", "a number or `base` at character 8, not `inf`"),
        ("loss < 1e999", "must not have a number as large as `1e999`"),
        ("loss < base + 1e999", "must not have a number as large"),
        ("loss < base +", "a number at character 14, not the end"),
        ("loss < base + base", "a number at character 15, not `base`"),
        ("loss < base + -1", "a number at character 15, not `-1`"),
        ("loss < base / 2", "its end at character 13, not `/`"),
        ("loss < base + 1 sds", "its end at character 17, not `sds`"),
        ("loss < 2 * 3", "`base` at character 12, not `3`"),
        (
            "accuracy >= 90%",
            "its end at character 15, not `%` (one comparison each: several are a list; 90 % is written 0.9)",
        ),
        ("a < 1 and b < 2", "its end at character 7, not `and`"),
        ("a < 1 < 2", "its end at character 7, not `<`"),
        ("a < 1.2.3", "a number or `base` at character 5"),
        ("a < 1_000", "its end at character 6"),
        ("0.9 <= accuracy", "a metric's name at character 1, not `0.9` (the metric comes first"),
        ("base < 1", "a metric's name at character 1, not `base`"),
        ("< 1", "must begin with a metric's name"),
        ('"" < 1', "must begin with a metric's name"),
        ('"  " < 1', "must begin with a metric's name"),
        ('"loss < 1', "must begin with a metric's name"),
        ("loss < 1\nacc > 1", "must be one line"),
        ("x" * MOST_CHARS + "< 1", "at most 500 characters"),
        ("loss <\u202e 1", "at character 7, not this text"),
        ("\ud800 ! 1", "at character 3"),
    ],
)
def test_what_is_wrong_is_told_by_its_place(text: str, words: str) -> None:
    with pytest.raises(Fault) as told:
        parse_requirement(text)
    assert words in str(told.value)


@given(st.text() | st.text("mbase <>=+-*%sd0.9e\"'!\n"))
def test_any_text_is_understood_or_refused_with_a_fault(text: str) -> None:
    try:
        found = parse_requirement(text)
    except Fault as fault:
        assert fault.message
    else:
        assert found.metric
        assert all(math.isfinite(x) for x in (found.factor, found.offset, found.share, found.sds))
        assert parse_requirement(found.text) == found


def test_a_form_takes_one_requirement_or_a_list_and_names_the_wrong_one() -> None:
    form = TypeAdapter(Requires)
    assert form.validate_python("a < 1") == ("a < 1",)
    assert form.validate_python([" a < 1", "b > base "]) == ("a < 1", "b > base")
    with pytest.raises(ValidationError, match="at character 3"):
        form.validate_python(["a < 1", "b = 2"])


def passed(text: str, head: float, base: Sample | None = None) -> bool | None:
    return judge(parse_requirement(text), Sample(1, head), base).passed


def test_a_number_is_the_limit() -> None:
    assert passed("m >= 0.9", 0.9) is True
    assert passed("m >= 0.9", 0.89) is False
    assert passed("m > 0.9", 0.9) is False
    assert passed("m < 0.9", 0.9) is False
    assert passed("m <= 0.9", 0.9) is True
    assert passed("m < 0.9", 0.8) is True


def test_a_limit_may_lie_beside_the_base_branch() -> None:
    base = Sample(1, 2.0)
    assert passed("m <= base + 0.5", 2.5, base) is True
    assert passed("m <= base + 0.5", 2.6, base) is False
    assert passed("m < base * 1.1", 2.19, base) is True
    assert passed("m < 1.1 * base", 2.21, base) is False
    assert passed("m >= base - 10 %", 1.8, base) is True
    assert passed("m >= base - 10 %", 1.79, base) is False
    assert passed("m >= base - 10 %", -2.2, Sample(1, -2.0)) is True  # hundredths of its size
    assert passed("m >= base - 10 %", -2.3, Sample(1, -2.0)) is False


def test_the_rounding_of_floats_decides_nothing() -> None:
    assert 0.8 > 0.7 + 0.1  # what a computer makes of it
    assert passed("m <= base + 0.1", 0.8, Sample(1, 0.7)) is True
    assert passed("m < base + 0.1", 0.1 + 0.2, Sample(1, 0.2)) is False


def test_standard_deviations_are_those_of_the_base_branch_s_runs() -> None:
    assert passed("m <= base + 2 sd", 1.2, Sample(3, 1.0, 0.1)) is True
    assert passed("m <= base + 2 sd", 1.21, Sample(3, 1.0, 0.1)) is False
    alone = judge(parse_requirement("m <= base + 1 sd"), Sample(5, 1.0, 0.3), Sample(1, 1.0))
    assert alone.passed is None
    assert "has one run, and a standard deviation needs two" in alone.words


def test_what_cannot_be_told_is_no_success() -> None:
    wanted = parse_requirement("m <= base + 1")
    assert judge(wanted, None, Sample(1, 1.0)).words == "m: no job has reported it"
    assert judge(wanted, Sample(0, 1.0), Sample(1, 1.0)).passed is None
    for base in (None, Sample(0, 1.0), Sample(1, math.nan), Sample(1, math.inf), Sample(2, -math.inf)):
        assert judge(wanted, Sample(1, 0.0), base).passed is None
    assert "the base branch has no result of it" in judge(wanted, Sample(1, 0.0), None).words
    assert passed("m <= base * 1e10", 0.0, Sample(1, 1e308)) is None
    assert passed("m <= base + 1 sd", 0.0, Sample(2, 1.0, math.inf)) is None
    assert passed("m <= base", 0.5, Sample(2, 1.0, math.inf)) is True


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("text", TEXTS)
def test_what_is_not_finite_never_passes(text: str, value: float) -> None:
    told = judge(parse_requirement(text), Sample(3, value), Sample(3, 1.0, 0.1))
    assert told.passed is False
    assert f"m is {value}" in told.words
    assert judge(parse_requirement(text), Sample(3, value), None).passed is not True


@given(st.sampled_from(TEXTS), st.none() | samples, st.none() | samples)
def test_success_needs_a_finite_value_and_a_finite_limit(text: str, head: Sample | None, base: Sample | None) -> None:
    wanted = parse_requirement(text)
    told = judge(wanted, head, base)
    assert "\n" not in told.words
    if told.passed:
        assert head is not None
        assert head.n > 0
        assert math.isfinite(head.mean)
        assert not wanted.of_base or (base is not None and base.n > 0 and math.isfinite(base.mean))


def test_the_words_say_value_limit_and_base() -> None:
    base = Sample(1, 0.42)
    assert judge(parse_requirement("m <= base + 0.01"), Sample(1, 0.41), base).words == "m 0.41 <= 0.43 (base 0.42)"
    assert (
        judge(parse_requirement("m <= base + 0.01"), Sample(1, 0.5), base).words == "m 0.5 is not <= 0.43 (base 0.42)"
    )
    assert judge(parse_requirement("m >= 0.9"), Sample(1, 0.9), None).words == "m 0.9 >= 0.9"
    assert judge(parse_requirement("m >= 0.9"), Sample(1, 0.89999999), None).words == "m 0.89999999 is not >= 0.9"
