"""Random stories of a provider, told to the real reconcile and a real ledger."""

import pytest
from hypothesis import settings

from labwright.domain.lifecycle import FINAL, LIVE, TABLE, IllegalMove, Outcome, State, move
from labwright.domain.seen import Phase, Seen
from tests.property.story import OK, Story


class TestStories(Story.TestCase):  # type: ignore[misc, name-defined]
    settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.mark.slow
class TestManyStories(Story.TestCase):  # type: ignore[misc, name-defined]
    settings = settings(max_examples=1000, stateful_step_count=40, deadline=None)


STEPS = {
    State.HELD: "",
    State.QUEUED: "admit",
    State.LAUNCHING: "admit launch:yes a_run_goes_on_or_is_requeued:1 observe",
    State.RUNNING: "admit launch:yes a_run_goes_on_or_is_requeued:2 observe",
    State.STOPPING: "admit launch:yes stop observe",
    State.LOST: "admit launch:yes the_provider_forgets_or_remembers:1 observe",
    State.COMPLETE: "admit launch:yes a_run_ends:ok observe",
    State.FAILED: "admit launch:yes a_run_ends:bad observe",
    State.STOPPED: "stop provider_is_unreachable",
}


@pytest.mark.parametrize("state", State)
def test_a_story_reaches_every_state(state: State) -> None:
    given = {
        "yes": "yes",
        "1": 1,
        "2": 2,
        "ok": OK,
        "bad": Seen(Phase.ENDED, Outcome.ERROR, 1),
    }
    story = Story()
    story.begin(budget=0, user=0, admitted=False)
    for step in STEPS[state].split():
        name, _, argument = step.partition(":")
        getattr(story, name)(*[given[argument]] if argument else [])
    assert story.job.state is state
    story.teardown()


def test_every_state_can_be_reached_and_from_every_state_each_end_that_makes_sense() -> None:
    def reach(start: State) -> set[State]:
        found, new = set[State](), {start}
        while new:
            found |= new
            new = {after for state in new for after in TABLE[state]} - found
        return found

    assert reach(State.HELD) == set(State)
    assert all(State.STOPPED in reach(state) and reach(state) & FINAL for state in LIVE)
    assert reach(State.STOPPING) == {State.STOPPING, State.COMPLETE, State.STOPPED, *reach(State.LOST)}


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_a_pair_outside_the_table_is_illegal(before: State, after: State) -> None:
    if after in TABLE[before]:
        assert move(before, after) is after
    else:
        with pytest.raises(IllegalMove, match=f"{before} → {after}"):
            move(before, after)
