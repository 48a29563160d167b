"""A defect in one job is that job's trouble alone, and is said."""

from datetime import timedelta
from typing import Any

import pytest
import structlog

from labwright.control.trouble import AGAIN, MOST_CALLS, Troubles, apart
from labwright.control.world import Alarms
from labwright.domain.errors import Unavailable
from labwright.domain.ids import JobId
from tests.unit.planning import NOW

A, B = JobId("a"), JobId("b")


class Sink:
    def __init__(self) -> None:
        self.said: list[Any] = []

    def error(self, event: str, **words: Any) -> None:
        self.said.append((event, words))

    info = error


def test_an_unknown_error_puts_its_job_aside_for_a_while_and_is_said_once() -> None:
    sink = Sink()
    alarms = Alarms(sink)
    troubles = Troubles(alarms, sink)
    for _ in range(3):
        with troubles.containing(A, "observing", NOW):
            raise ZeroDivisionError
    assert (troubles.aside(A, NOW), troubles.aside(B, NOW), troubles.aside(A, NOW + AGAIN)) == (True, False, False)
    assert list(alarms.on) == ["job a"]
    assert [event for event, _ in sink.said] == ["defect", "alarm"]


def test_a_job_that_gets_well_is_put_aside_no_more() -> None:
    troubles = Troubles(Alarms(Sink()), Sink())
    troubles.met(A, "observing", ZeroDivisionError(), NOW)
    with troubles.containing(A, "observing", NOW + timedelta(hours=1)):
        pass
    assert not troubles.some


@pytest.mark.parametrize("error", [Unavailable("later"), OSError("disk")])
def test_errors_that_say_something_of_the_world_pass(error: Exception) -> None:
    troubles = Troubles(Alarms(structlog.get_logger()), Sink())
    with pytest.raises(type(error)), troubles.containing(A, "observing", NOW):
        raise error
    assert not troubles.some


def calling(bad: set[int], made: list[list[int]] | None = None) -> Any:
    def call(items: Any) -> list[int]:
        if made is not None:
            made.append(list(items))
        if bad & set(items):
            raise ValueError(f"bad: {bad & set(items)}")
        return list(items)

    return call


def test_without_an_error_one_call_does() -> None:
    made: list[list[int]] = []
    assert apart(calling(set(), made), range(100)) == ([list(range(100))], {})
    assert len(made) == 1


def test_the_culprits_are_found_and_all_others_answered() -> None:
    answers, culprits = apart(calling({13, 70}), range(100))
    assert sorted(x for answer in answers for x in answer) == [x for x in range(100) if x not in (13, 70)]
    assert sorted(culprits) == [13, 70]


def test_where_too_many_fail_nobody_is_to_blame() -> None:
    made: list[list[int]] = []
    with pytest.raises(ValueError, match="bad"):
        apart(calling(set(range(1000)), made), range(1000))
    assert len(made) == MOST_CALLS + 1


def test_an_error_of_the_world_is_nobodys_fault() -> None:
    def call(items: Any) -> None:
        raise Unavailable("no route")

    with pytest.raises(Unavailable):
        apart(call, [1, 2])
