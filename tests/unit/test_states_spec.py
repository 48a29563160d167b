"""docs/spec/states.md says what the code does: every state, move, outcome and default."""

import re
from pathlib import Path

import pytest

from labwright.decide.reconcile import Rules
from labwright.domain.job import Held
from labwright.domain.lifecycle import TABLE, Outcome, State
from labwright.domain.task import Retry

PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "states.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("state", State)
def test_each_state_is_explained(state: State) -> None:
    (meaning,) = [row[1] for row in ROWS if row[0] == state and len(row) == 2]
    assert ("Final" in meaning) == (not TABLE[state])


def test_the_moves_named_are_exactly_those_of_the_table() -> None:
    named = [(row[0], row[1]) for row in ROWS if row[0] in set(State) and len(row) == 3]
    assert len(named) == len(set(named))
    assert set(named) == {(before.value, after.value) for before, afters in TABLE.items() for after in afters}


@pytest.mark.parametrize("outcome", Outcome)
def test_each_outcome_is_explained_with_its_default_budget(outcome: Outcome) -> None:
    (budget,) = [row[2] for row in ROWS if row[0] == outcome]
    assert budget == str(getattr(Retry(), outcome, {"ok": "–", "cancelled": "never"}.get(outcome)))


@pytest.mark.parametrize("why", Held)
def test_each_reason_to_hold_is_explained(why: Held) -> None:
    assert re.search(rf"`{why}` \(", PAGE)


def test_the_times_named_are_those_of_the_code() -> None:
    assert f"After {Rules().lost_after:g} seconds" in PAGE
    assert f"seconds, {Rules().backoff_cap_s:g} at most" in PAGE and Rules().backoff_s == 1
