"""Stopping: who is named to scancel, and how those are asked that share an allocation."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.adapters.providers.slurm import stop
from labwright.adapters.providers.slurm.handles import Known
from labwright.adapters.providers.slurm.stop import Stopper, ids, spans
from labwright.domain.errors import Unavailable
from labwright.domain.ids import Token


class Desk:
    """Keeps what remote.sh was asked: (how, ids, tokens)."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, list[str]]] = []
        self.down = False

    def call(self, command: str, how: str, ids: str, *, stdin: bytes, timeout: float) -> bytes:
        assert command == "cancel"
        if self.down:
            raise Unavailable("the login node does not answer")
        self.asked.append((how, ids, stdin.decode().split()))
        return b""


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(stop, "time", made)
    return made


def known(id_text: str, slot: int = 0, of: int = 1, user: str = "") -> Known:
    job, _, index = id_text.partition("_")
    return Known(Token(f"lab-{id_text}-{slot}"), job, int(index) if index else None, user, slot, of)


def cancelled(stopper: Stopper, *attempts: Known) -> list[tuple[str, str, list[str]]]:
    desk: Any = Desk()
    stopper.cancel(desk, attempts)
    return list(desk.asked)


def expanded(text: str) -> set[str]:
    found = set()
    for word in text.split():
        job, _, rest = word.partition("_")
        for span in rest.strip("[]").split(",") if rest else ():
            a, _, b = span.partition("-")
            found |= {f"{job}_{n}" for n in range(int(a), int(b or a) + 1)}
        found |= set() if rest else {job}
    return found


# names for scancel


@pytest.mark.parametrize(
    ("indices", "text"),
    [([7], "7"), ([1, 2, 3, 7], "1-3,7"), ([3, 1, 2], "1-3"), ([0, 2, 4], "0,2,4"), ([5, 5], "5"), ([], "")],
)
def test_indices_are_spans(indices: Iterable[int], text: str) -> None:
    assert spans({*indices}) == text


def test_elements_of_one_array_are_one_word() -> None:
    some = [known(text) for text in ("12", "34_1", "56_9", "34_3", "34_2", "12", "34_7")]
    assert ids(some) == "12 34_[1-3,7] 56_[9]"
    assert ids([]) == ""


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.none() | st.integers(0, 40))))
def test_who_is_named_to_scancel_is_who_shall_stop(some: list[tuple[int, int | None]]) -> None:
    names = [f"{job}" if index is None else f"{job}_{index}" for job, index in some]
    assert expanded(ids(known(name) for name in names)) == set(names)


# how they are asked


def test_all_are_asked_in_one_call() -> None:
    some = [known("12"), known("34_1"), known("34_2")]
    assert cancelled(Stopper(30), *some) == [("TERM", "12 34_[1-2]", [k.token for k in some])]
    assert cancelled(Stopper(30)) == []


def test_what_goes_on_after_its_grace_is_made_to_end_and_only_that(clock: Clock) -> None:
    stopper = Stopper(30)
    assert [how for how, *_ in cancelled(stopper, known("12"))] == ["TERM"]
    clock.now += 49
    assert [how for how, *_ in cancelled(stopper, known("12"))] == ["TERM"]
    clock.now += 2
    assert cancelled(stopper, known("12"), known("13")) == [("TERM", "13", ["lab-13-0"]), ("hard", "12", ["lab-12-0"])]


def test_a_question_that_was_never_answered_counts_as_asked(clock: Clock) -> None:
    stopper, desk = Stopper(30), Desk()
    desk.down = True
    with pytest.raises(Unavailable):
        stopper.cancel(desk, [known("12")])  # type: ignore[arg-type]
    clock.now += 60
    assert [how for how, *_ in cancelled(stopper, known("12"))] == ["hard"]


def test_one_of_those_that_share_an_allocation_never_takes_the_others(clock: Clock) -> None:
    stopper = Stopper(30)
    for _ in range(3):
        assert cancelled(stopper, known("7_2", 1, 3)) == [("USR2", "7_[2]", ["lab-7_2-1"])]
        clock.now += 1000


def test_when_all_that_share_an_allocation_shall_stop_it_ends(clock: Clock) -> None:
    stopper = Stopper(30)
    assert [how for how, *_ in cancelled(stopper, known("7", 0, 3), known("7", 2, 3))] == ["USR2"]
    assert cancelled(stopper, known("7", 1, 3)) == [("TERM", "7", ["lab-7-1"])]
    clock.now += 100
    everyone = [known("7", slot, 3) for slot in range(3)]
    assert cancelled(stopper, *everyone) == [("hard", "7", ["lab-7-0", "lab-7-1", "lab-7-2"])]


def test_allocations_of_the_same_number_are_told_apart() -> None:
    stopper = Stopper(30)
    some = [known("7_1", 0, 2), known("7_2", 1, 2), known("8", 0, 2), known("8", 1, 2), known("9")]
    assert cancelled(stopper, *some) == [
        ("TERM", "8 9", ["lab-8-0", "lab-8-1", "lab-9-0"]),
        ("USR2", "7_[1-2]", ["lab-7_1-0", "lab-7_2-1"]),
    ]
    assert cancelled(stopper, known("7_1", 1, 2, user="ada")) == [("USR2", "7_[1]", ["lab-7_1-1"])]


def test_what_was_stopped_a_day_ago_is_not_remembered(clock: Clock) -> None:
    stopper = Stopper(30)
    cancelled(stopper, known("12"))
    clock.now += 86401
    cancelled(stopper, known("13"))
    assert stopper.since.keys() == {"lab-13-0"}
