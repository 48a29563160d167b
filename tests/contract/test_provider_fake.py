from pathlib import Path

import pytest

from labwright.domain.errors import LabError, OutcomeUnknown, Unavailable
from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase
from labwright.ports.provider import Features, Submission
from labwright.testing.clock import FakeClock
from labwright.testing.fake_provider import FakeProvider, Story
from labwright.testing.provider_bench import HANGS, Bench, Script, leaves
from labwright.testing.provider_suite import ProviderSuite


class FakeBench(Bench):
    provider: FakeProvider

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        super().__init__(FakeProvider(self.clock, features=Features(find_settles=2)), folder)

    def pause(self) -> None:
        self.clock.advance(1)

    def prepare(self, submission: Submission, script: Script) -> None:
        story = Story(
            setup=1 if script.setup else 0,
            code=script.code,
            fails_in_setup=script.fails_in_setup,
            hangs=script.hangs,
            log=script.log,
            artifacts=script.artifacts or {},
        )
        self.provider.tell(submission.token, story)


@pytest.fixture
def bench(tmp_path: Path) -> FakeBench:
    return FakeBench(tmp_path)


class TestFakeProvider(ProviderSuite):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> FakeBench:
        return FakeBench(tmp_path)


def test_a_call_fails_as_often_as_it_was_told_to(bench: FakeBench) -> None:
    bench.provider.fail("observe", Unavailable("the line is cut"), times=2)
    for _ in range(2):
        with pytest.raises(Unavailable):
            bench.provider.observe([])
    assert bench.provider.observe([]) == {}


def test_an_unavailable_submit_accepts_nothing(bench: FakeBench) -> None:
    bench.provider.fail("submit", Unavailable("no"))
    with pytest.raises(Unavailable):
        bench.provider.submit([bench.submission(leaves(0))])
    assert bench.provider.accepted == []


def test_a_submission_whose_answer_was_lost_is_found_once_it_has_settled(bench: FakeBench) -> None:
    submission = bench.submission(leaves(0))
    bench.provider.fail("submit", OutcomeUnknown("the line was cut"), after=True)
    assert isinstance(bench.provider.submit([submission])[submission.token], LabError)
    assert bench.provider.find([submission.token]) == {submission.token: None}
    bench.clock.advance(2)
    assert bench.provider.find([submission.token])[submission.token] is not None
    assert bench.provider.accepted == [submission.token]


def test_a_job_ends_or_is_lost_when_the_test_says_so(bench: FakeBench) -> None:
    first, second = bench.submit(HANGS), bench.submit(HANGS)
    bench.provider.end(first, Outcome.PREEMPTED, detail="taken away")
    bench.provider.lose(second)
    assert (bench.see(first).outcome, bench.see(first).detail) == (Outcome.PREEMPTED, "taken away")
    assert bench.see(second).phase is Phase.MISSING


def test_without_steps_only_a_tick_makes_jobs_older(bench: FakeBench) -> None:
    provider = FakeProvider(bench.clock, Story(queued=1, setup=1, run=1), steps=False)
    submission = bench.submission(leaves(0))
    handle = provider.submit([submission])[submission.token]
    assert not isinstance(handle, LabError)
    phases = []
    for _ in range(5):
        phases.append(provider.observe([handle])[handle].phase)
        provider.tick()
    assert phases == [Phase.QUEUED, Phase.QUEUED, Phase.SETUP, Phase.RUN, Phase.ENDED]
