from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from labwright.decide.ending import duration
from labwright.decide.reconcile import NOTHING, Decision, Rules, reconcile
from labwright.domain.ids import Digest, Handle, JobId, Token
from labwright.domain.job import Attempt, Job
from labwright.domain.lifecycle import INFRASTRUCTURE, Outcome, State
from labwright.domain.seen import Phase, Seen
from labwright.domain.task import Retry

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALL = Retry(preempted=9, node_failed=9, no_capacity=9, lost=9, error=9, setup_error=9, timeout=9, oom=9)
NONE = Retry(preempted=0, node_failed=0, no_capacity=0, lost=0)
OK = Seen(Phase.ENDED, Outcome.OK, exit_code=0)


def a_job(state: State = State.RUNNING, stop: str = "", *, since: float = 0) -> Job:
    hashes = Digest("a" * 64), Digest("b" * 64), Digest("c" * 64)
    return Job(
        JobId("j"), "alpha/train", hashes[0], 0, {}, hashes[1], hashes[2], "laptop", 0, "d" * 40, "main", "ada", NOW,
        state=state, stop_asked=stop, updated=NOW - timedelta(seconds=since), attempt=1,
    )  # fmt: skip


def an_attempt(n: int = 1, outcome: Outcome | None = None) -> Attempt:
    return Attempt(JobId("j"), n, Token(f"lab-j-{n}"), "laptop", NOW, handle=Handle(f"h{n}"), outcome=outcome)


def ended(
    outcome: Outcome | None, code: int | None = None, signal: int | None = None, node: str = "", detail: str = ""
) -> Seen:
    return Seen(Phase.ENDED, outcome, exit_code=code, signal=signal, node=node, detail=detail)


def decide(
    seen: Seen | None, job: Job | None = None, *attempts: Attempt, retry: Retry = NONE, limit_s: float | None = None
) -> Decision:
    return reconcile(job or a_job(), attempts or (an_attempt(),), seen, NOW, retry, limit_s=limit_s)


def end(decision: Decision) -> tuple[State, str]:
    assert decision.move
    return decision.move.to, decision.move.reason


AT_PROVIDER = (State.QUEUED, State.LAUNCHING, State.RUNNING, State.STOPPING, State.LOST)


@pytest.mark.parametrize("state", AT_PROVIDER)
@pytest.mark.parametrize("stop", ["", "by ada"])
def test_an_unreachable_provider_changes_no_state(state: State, stop: str) -> None:
    assert decide(None, a_job(state, stop)) == NOTHING


@pytest.mark.parametrize("state", AT_PROVIDER)
def test_exit_code_0_completes_from_every_state(state: State) -> None:
    decision = decide(OK, a_job(state))
    assert end(decision) == (State.COMPLETE, "exit code 0")
    assert decision.move and decision.move.attempt and decision.move.attempt.outcome is Outcome.OK


@pytest.mark.parametrize("seen", [ended(Outcome.OK), ended(None), ended(Outcome.OK, 3), ended(Outcome.OK, 0, 9)])
def test_complete_needs_evidence_of_exit_code_0(seen: Seen) -> None:
    assert end(decide(seen))[0] is State.FAILED


def test_an_end_without_a_word_is_lost_not_success() -> None:
    decision = decide(ended(None))
    assert end(decision) == (State.FAILED, "ended without an exit code")
    assert decision.move and decision.move.attempt and decision.move.attempt.outcome is Outcome.LOST


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (ended(Outcome.ERROR, 3), "exit code 3"),
        (ended(None, 3), "exit code 3"),
        (ended(Outcome.ERROR, 137, 9), "killed by signal 9 (SIGKILL)"),
        (ended(Outcome.ERROR, 250, 122), "killed by signal 122"),
        (ended(Outcome.ERROR), "no exit code"),
        (ended(Outcome.SETUP_ERROR, 2), "setup failed: exit code 2"),
        (ended(Outcome.TIMEOUT, 143, 15), "time limit of 10 min reached"),
        (ended(Outcome.OOM, 137, 9), "out of memory"),
        (ended(Outcome.PREEMPTED), "preempted"),
        (ended(Outcome.PREEMPTED, detail="the node is wanted"), "preempted: the node is wanted"),
        (ended(Outcome.TIMEOUT, detail="the queue's limit"), "time limit of laptop reached: the queue's limit"),
        (ended(Outcome.NODE_FAILED, node="n7"), "node n7 failed"),
        (ended(Outcome.NODE_FAILED), "its node failed"),
        (ended(Outcome.NO_CAPACITY), "laptop has no capacity"),
    ],
)
def test_a_failure_says_why_in_words_of_a_researcher(seen: Seen, reason: str) -> None:
    assert end(decide(seen, limit_s=600)) == (State.FAILED, reason)


def test_a_time_limit_of_unknown_length_is_still_named() -> None:
    assert end(decide(ended(Outcome.TIMEOUT)))[1] == "time limit reached"


def test_durations_are_read_at_a_glance() -> None:
    assert [duration(s) for s in (1, 59, 60, 90, 600, 3600, 5400, 90_000)] == [
        "1 s", "59 s", "1 min", "1 min 30 s", "10 min", "1 h", "1 h 30 min", "25 h",
    ]  # fmt: skip


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.OK, Outcome.CANCELLED}))
def test_an_outcome_within_its_budget_gets_a_new_attempt(outcome: Outcome) -> None:
    decision = decide(ended(outcome, 1), retry=Retry(**{**NONE.model_dump(), outcome.value: 1}))
    state, reason = end(decision)
    assert state is State.QUEUED and reason.endswith("; attempt 2 follows")
    assert decision.move and decision.move.attempt
    assert decision.move.attempt.outcome is outcome and decision.move.attempt.ended == NOW
    assert set(decision.move.changes) == {"not_before"}, "the number of the newest attempt stays until there is one"


def test_a_used_up_budget_fails_and_says_so() -> None:
    attempts = [an_attempt(1, Outcome.PREEMPTED), an_attempt(2, Outcome.LOST), an_attempt(3)]
    seen = ended(Outcome.PREEMPTED)
    assert end(decide(seen, None, *attempts, retry=Retry(preempted=2)))[0] is State.QUEUED
    assert end(decide(seen, None, *attempts, retry=Retry(preempted=1))) == (
        State.FAILED,
        "preempted; no new attempt after 2 such ends",
    )


def test_each_outcome_has_a_budget_of_its_own() -> None:
    attempts = [an_attempt(n, Outcome.PREEMPTED) for n in range(1, 20)] + [an_attempt(20)]
    assert end(decide(ended(Outcome.LOST), None, *attempts, retry=Retry()))[0] is State.QUEUED


def test_by_default_nobodys_fault_is_retried_and_the_users_own_is_not() -> None:
    for outcome in set(Outcome) - {Outcome.OK, Outcome.CANCELLED}:
        to, _ = end(decide(ended(outcome, 1), retry=Retry()))
        assert (to is State.QUEUED) == (outcome in INFRASTRUCTURE)


def test_the_wait_before_a_new_attempt_doubles_up_to_a_cap() -> None:
    waits = []
    for n in (1, 2, 3, 8, 9, 5000):
        move = reconcile(
            a_job(), [an_attempt(n)], ended(Outcome.PREEMPTED), NOW, ALL, rules=Rules(backoff_cap_s=300)
        ).move
        assert move
        waits.append((move.changes["not_before"] - NOW).total_seconds())
    assert waits == [2, 4, 8, 256, 300, 300]


def test_cancelled_at_the_provider_by_somebody_else_is_stopped_and_not_retried() -> None:
    assert end(decide(ended(Outcome.CANCELLED, 143, 15), retry=ALL)) == (
        State.STOPPED,
        "cancelled at laptop, not by Labwright",
    )
    assert (
        end(decide(ended(Outcome.CANCELLED, detail="by root")))[1] == "cancelled at laptop, not by Labwright: by root"
    )


@pytest.mark.parametrize("state", AT_PROVIDER)
@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.OK}))
def test_stop_wins_over_retry_and_over_failure(state: State, outcome: Outcome) -> None:
    assert end(decide(ended(outcome, 1), a_job(state, "stopped by ada"), retry=ALL)) == (
        State.STOPPED,
        "stopped by ada",
    )


def test_success_wins_over_stop() -> None:
    assert end(decide(OK, a_job(State.STOPPING, "by ada")))[0] is State.COMPLETE


@pytest.mark.parametrize("state", [State.HELD, State.QUEUED])
@pytest.mark.parametrize("attempts", [[], [an_attempt(1, Outcome.PREEMPTED)]], ids=["never tried", "between attempts"])
def test_what_is_nowhere_is_stopped_at_once(state: State, attempts: list[Attempt]) -> None:
    decision = reconcile(a_job(state, "by ada"), attempts, None, NOW, ALL)
    assert end(decision) == (State.STOPPED, "by ada") and not decision.cancel
    assert reconcile(a_job(state), attempts, None, NOW, ALL) == NOTHING


@pytest.mark.parametrize("state", [State.QUEUED, State.LAUNCHING, State.RUNNING, State.LOST])
@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.SETUP, Phase.RUN, Phase.UNKNOWN])
def test_a_stop_of_what_is_at_the_provider_is_sent(state: State, phase: Phase) -> None:
    decision = decide(Seen(phase), a_job(state, "by ada"))
    assert end(decision) == (State.STOPPING, "by ada") and decision.cancel


def test_a_stop_is_sent_again_until_the_job_ends() -> None:
    decision = decide(Seen(Phase.RUN), a_job(State.STOPPING, "by ada"))
    assert decision.move is None and decision.cancel


@pytest.mark.parametrize("stop", ["", "by ada"])
def test_an_intent_without_a_handle_waits_for_find(stop: str) -> None:
    intent = replace(an_attempt(), handle=None)
    assert decide(None, a_job(State.QUEUED, stop), intent) == NOTHING


def test_a_stopped_intent_that_find_does_not_know_is_stopped() -> None:
    intent = replace(an_attempt(), handle=None)
    decision = decide(Seen(Phase.MISSING), a_job(State.QUEUED, "by ada"), intent)
    assert end(decision) == (State.STOPPED, "by ada")
    assert decision.move and decision.move.attempt and decision.move.attempt.outcome is Outcome.CANCELLED
    assert decide(Seen(Phase.MISSING), a_job(State.QUEUED), intent) == NOTHING, "the same attempt is submitted again"


@pytest.mark.parametrize("state", [State.QUEUED, State.LAUNCHING, State.RUNNING, State.STOPPING])
def test_what_the_provider_does_not_know_is_lost_first(state: State) -> None:
    assert end(decide(Seen(Phase.MISSING), a_job(state), retry=ALL)) == (State.LOST, "laptop does not know it any more")


def test_a_lost_job_gets_time_to_reappear_then_a_new_attempt_or_its_end() -> None:
    missing = Seen(Phase.MISSING)
    assert decide(missing, a_job(State.LOST, since=119), retry=ALL) == NOTHING
    decision = decide(missing, a_job(State.LOST, since=120), retry=Retry(lost=1))
    assert end(decision) == (State.QUEUED, "lost: laptop does not know it any more; attempt 2 follows")
    assert decision.move and decision.move.attempt and decision.move.attempt.outcome is Outcome.LOST
    assert end(decide(missing, a_job(State.LOST, since=120)))[0] is State.FAILED
    assert end(decide(missing, a_job(State.LOST, "by ada", since=120), retry=ALL)) == (State.STOPPED, "by ada")


@pytest.mark.parametrize(
    ("phase", "known", "to", "reason"),
    [
        (Phase.QUEUED, {}, State.QUEUED, "seen again: waits at the provider"),
        (Phase.SETUP, {}, State.LAUNCHING, "seen again: setup on n1"),
        (Phase.RUN, {}, State.RUNNING, "seen again: running on n1"),
        (Phase.SETUP, {"started": NOW, "running": NOW}, State.RUNNING, "seen again: running on n1"),
    ],
)
def test_a_lost_job_that_reappears_goes_on_where_it_was(
    phase: Phase, known: dict[str, datetime], to: State, reason: str
) -> None:
    attempt = replace(an_attempt(), node="n1", **known)  # type: ignore[arg-type]
    assert end(decide(Seen(phase), a_job(State.LOST, since=9999), attempt)) == (to, reason)


def test_observations_may_skip_states() -> None:
    decision = decide(Seen(Phase.RUN, node="n1"), a_job(State.QUEUED))
    assert end(decision) == (State.RUNNING, "running on n1")
    assert decision.move and decision.move.attempt and decision.move.attempt.running == NOW


@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.SETUP])
def test_observations_never_go_backwards(phase: Phase) -> None:
    assert (
        decide(Seen(phase), replace(a_job(State.RUNNING)), replace(an_attempt(), started=NOW, running=NOW)) == NOTHING
    )


@pytest.mark.parametrize("state", [State.QUEUED, State.LAUNCHING, State.LOST])
def test_an_unknown_word_of_the_provider_keeps_the_state(state: State) -> None:
    assert decide(Seen(Phase.UNKNOWN), a_job(state), replace(an_attempt(), started=NOW)) == NOTHING


def test_the_same_answer_twice_changes_nothing() -> None:
    seen = Seen(Phase.RUN, started=NOW, running=NOW, node="n1")
    first = decide(seen, a_job(State.QUEUED))
    assert first.move and first.move.attempt
    assert decide(seen, a_job(State.RUNNING), first.move.attempt) == NOTHING


def test_a_node_learnt_later_is_written_without_a_change_of_state() -> None:
    attempt = replace(an_attempt(), started=NOW, running=NOW)
    decision = decide(Seen(Phase.RUN, node="n2"), a_job(), attempt)
    assert decision.move is None and decision.attempt == replace(attempt, node="n2")


@pytest.mark.parametrize("state", [State.COMPLETE, State.FAILED, State.STOPPED])
def test_nothing_moves_a_final_state(state: State) -> None:
    for seen in (None, OK, Seen(Phase.RUN), Seen(Phase.MISSING)):
        assert decide(seen, a_job(state, "by ada")) == NOTHING
