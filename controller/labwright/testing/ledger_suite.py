"""What every ledger promises. Subclass LedgerSuite (or KeptLedgerSuite for one that outlives its process) and give the
fixtures that it names; pytest runs the rest."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from labwright.domain.errors import Stale
from labwright.domain.ids import Digest, JobId, Token
from labwright.domain.job import Attempt, Job, Move, Transition
from labwright.domain.lifecycle import IllegalMove, Outcome, State
from labwright.ports.ledger import Ledger
from labwright.testing.ledger_suite_texts import TextsSuite

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def a_job(number: int = 1, **changes: Any) -> Job:
    made = Job(
        id=JobId(f"job{number:09d}"),
        task="alpha/train",
        work=Digest("a" * 64),
        generation=0,
        parameters={"lr": 0.1, "layers": [1, 2], "name": "x"},
        spec=Digest("b" * 64),
        bundle=Digest("c" * 64),
        provider="laptop",
        priority=0,
        commit="d" * 40,
        branch="main",
        author="Ada <ada@example.org>",
        created=NOON + timedelta(microseconds=number),
    )
    return replace(made, **changes)


def an_attempt(job: Job, n: int = 1, **changes: Any) -> Attempt:
    return replace(Attempt(job.id, n, Token(f"lab-{job.id}-{n}"), "laptop", NOON), **changes)


def queued(job: Job, at: datetime = NOON, **more: Any) -> Move:
    return Move(job, State.QUEUED, "admitted", at, **more)


class LedgerSuite(TextsSuite):
    """Needs the fixture `ledger`: an empty one for each test."""

    def test_a_job_comes_back_as_it_was_put_in(self, ledger: Ledger) -> None:
        full = a_job(
            1,
            needs=(JobId("job2"),),
            reason="quota: 3 left",
            updated=NOON,
            not_before=NOON,
            stop_asked="by ada",
            plan="p",
            trial=7,
        )
        assert ledger.insert([full, a_job(2)]) == [full.id, a_job(2).id]
        assert ledger.jobs() == [full, a_job(2)]

    def test_inserting_the_same_id_twice_changes_nothing(self, ledger: Ledger) -> None:
        ledger.insert([a_job(1)])
        assert ledger.insert([a_job(1, reason="other"), a_job(2), a_job(2, reason="other")]) == [a_job(2).id]
        assert ledger.jobs() == [a_job(1), a_job(2)]
        assert len(ledger.history(a_job(1).id)) == 1

    def test_nothing_to_do_is_no_error(self, ledger: Ledger) -> None:
        assert ledger.insert([]) == [] and ledger.move([]) == []
        ledger.put_attempts([])
        ledger.set_wants("main", {})
        ledger.put_contents({})
        ledger.put_parsed({})

    def test_jobs_are_narrowed_by_all_conditions_and_come_oldest_first(self, ledger: Ledger) -> None:
        one, two, three = a_job(3), a_job(2, task="beta"), a_job(1, task="beta", state=State.QUEUED)
        ledger.insert([one, two, three])
        assert [job.id for job in ledger.jobs()] == [three.id, two.id, one.id]
        assert ledger.jobs(tasks=["beta"], states=[State.QUEUED]) == [three]
        assert ledger.jobs(ids=[one.id, two.id, "unknown"]) == [two, one]
        assert ledger.jobs(states={State.HELD}, ids=[one.id], tasks=("beta",)) == []

    def test_lists_of_ten_thousand_are_taken(self, ledger: Ledger) -> None:
        many = [f"task/{number}" for number in range(10_000)]
        mine = a_job(1, task="task/9999")
        ledger.insert([mine, a_job(2, task="other")])
        assert ledger.jobs(tasks=many) == [mine]
        assert ledger.jobs(tasks=many, ids=[*many, mine.id, mine.id]) == [mine]
        assert ledger.contents([Digest(one) for one in many]) == {}

    def test_a_move_writes_state_reason_time_changes_attempt_and_history(self, ledger: Ledger) -> None:
        job = a_job(1)
        ledger.insert([job])
        later = NOON + timedelta(seconds=1)
        attempt = an_attempt(job)
        (moved,) = ledger.move([queued(job, later, attempt=attempt, changes={"attempt": 1, "not_before": later})])
        want = replace(
            job, state=State.QUEUED, reason="admitted", updated=later, attempt=1, not_before=later, version=1
        )
        assert moved == want and ledger.jobs() == [want]
        assert ledger.attempts([job.id]) == [attempt]
        assert ledger.history(job.id) == [
            Transition(job.id, job.created, None, State.HELD, ""),
            Transition(job.id, later, State.HELD, State.QUEUED, "admitted"),
        ]

    def test_a_move_of_what_changed_meanwhile_is_stale(self, ledger: Ledger) -> None:
        job = a_job(1)
        ledger.insert([job])
        ledger.move([queued(job)])
        with pytest.raises(Stale):
            ledger.move([Move(job, State.STOPPED, "late", NOON)])
        assert ledger.jobs()[0].state is State.QUEUED
        with pytest.raises(Stale):
            ledger.move([queued(a_job(9))])

    def test_one_stale_move_undoes_the_whole_batch(self, ledger: Ledger) -> None:
        jobs = [a_job(n) for n in (1, 2, 3)]
        ledger.insert(jobs)
        ledger.amend([jobs[1]], reason="changed")
        before = ledger.jobs()
        moves = [queued(job, attempt=an_attempt(job)) for job in jobs]
        with pytest.raises(Stale):
            ledger.move(moves)
        with ledger.transaction(), pytest.raises(Stale):
            ledger.move(moves)
        assert ledger.jobs() == before and ledger.attempts() == []
        assert len(ledger.history(jobs[0].id)) == 1

    def test_the_same_job_twice_in_a_batch_is_stale(self, ledger: Ledger) -> None:
        ledger.insert([a_job(1)])
        with pytest.raises(Stale):
            ledger.move([queued(a_job(1)), queued(a_job(1))])
        assert ledger.jobs() == [a_job(1)]

    def test_a_move_that_the_table_of_states_lacks_is_illegal_and_undoes_the_batch(self, ledger: Ledger) -> None:
        ledger.insert([a_job(1), a_job(2)])
        with pytest.raises(IllegalMove):
            ledger.move([queued(a_job(1)), Move(a_job(2), State.COMPLETE, "", NOON)])
        assert ledger.jobs() == [a_job(1), a_job(2)]

    def test_a_thousand_moves_are_one_batch(self, ledger: Ledger) -> None:
        jobs = [a_job(number) for number in range(1000)]
        ledger.insert(jobs)
        assert ledger.move([queued(job, attempt=an_attempt(job)) for job in jobs]) == ledger.jobs(states=[State.QUEUED])
        assert len(ledger.attempts()) == 1000

    def test_amend_changes_columns_without_history(self, ledger: Ledger) -> None:
        job = a_job(1)
        ledger.insert([job])
        (after,) = ledger.amend([job], reason="quota: none left", stop_asked="by ada", not_before=NOON)
        assert after == replace(job, reason="quota: none left", stop_asked="by ada", not_before=NOON, version=1)
        assert ledger.jobs() == [after] and len(ledger.history(job.id)) == 1
        with pytest.raises(Stale):
            ledger.amend([job], reason="late")
        with pytest.raises(TypeError):
            ledger.amend([after], state=State.COMPLETE)

    def test_a_thousand_jobs_are_amended_as_one_or_not_at_all(self, ledger: Ledger) -> None:
        jobs = [a_job(number) for number in range(1000)]
        ledger.insert(jobs)
        after = ledger.amend(jobs, attempt=1)
        assert after == [replace(job, attempt=1, version=1) for job in jobs]
        assert {job.attempt for job in ledger.jobs()} == {1}
        ledger.amend([after[7]], reason="changed meanwhile")
        with pytest.raises(Stale):
            ledger.amend(after, attempt=2)
        assert {job.attempt for job in ledger.jobs()} == {1}

    def test_history_of_an_unknown_job_is_empty(self, ledger: Ledger) -> None:
        assert ledger.history(JobId("nobody")) == []

    def test_an_attempt_is_inserted_or_replaced(self, ledger: Ledger) -> None:
        job = a_job(1)
        ledger.insert([job])
        full = an_attempt(
            job, 2, handle="h", placement={"cpus": 1.5, "gpus": ["0"]}, submitted=NOON, started=NOON, running=NOON,
            ended=NOON, outcome=Outcome.OOM, exit_code=137, signal=9, node="n1", detail="d", collected=True, published=True,
        )  # fmt: skip
        ledger.put_attempts([an_attempt(job, 2), an_attempt(job, 10), an_attempt(job, 1)])
        ledger.put_attempts([full])
        assert ledger.attempts([job.id]) == [an_attempt(job, 1), full, an_attempt(job, 10)]

    def test_an_attempt_of_an_unknown_job_is_a_defect(self, ledger: Ledger) -> None:
        ledger.insert([a_job(1)])
        with pytest.raises(LookupError):
            ledger.put_attempts([an_attempt(a_job(1)), an_attempt(a_job(2))])
        with pytest.raises(LookupError):
            ledger.move([queued(a_job(1), attempt=an_attempt(a_job(2)))])
        assert ledger.attempts() == [] and ledger.jobs() == [a_job(1)]

    def test_unpublished_attempts_are_the_ended_ones(self, ledger: Ledger) -> None:
        one, two = a_job(1), a_job(2)
        ledger.insert([one, two])
        ended = an_attempt(one, 1, ended=NOON)
        ledger.put_attempts([ended, an_attempt(one, 2), an_attempt(two, 1, ended=NOON, published=True)])
        assert ledger.attempts(unpublished=True) == [ended]
        assert ledger.attempts([two.id], unpublished=True) == []
        assert [(a.job, a.n) for a in ledger.attempts()] == [(one.id, 1), (one.id, 2), (two.id, 1)]

    def test_leftovers_are_published_attempts_with_a_handle_by_their_ends_and_in_pages(self, ledger: Ledger) -> None:
        jobs = [a_job(n) for n in range(1, 6)]
        ledger.insert(jobs)
        over = {"published": True, "collected": True, "handle": "h", "outcome": Outcome.OK}
        first, second, third = (an_attempt(jobs[n], 1, ended=NOON, **over) for n in (2, 0, 1))
        again = an_attempt(jobs[0], 2, ended=NOON, **over)
        later = an_attempt(jobs[3], 1, ended=NOON + timedelta(microseconds=1), **over)
        gone = an_attempt(jobs[4], 1, ended=NOON, **(over | {"handle": None}))
        waits = an_attempt(jobs[4], 2, ended=NOON, **(over | {"published": False}))
        ledger.put_attempts([first, second, third, again, later, gone, waits, an_attempt(jobs[4], 3, handle="h")])
        soon = NOON + timedelta(seconds=1)
        in_order = [second, again, third, first, later]
        assert ledger.leftovers(soon) == in_order
        assert ledger.leftovers(NOON + timedelta(microseconds=1)) == in_order[:-1]
        assert ledger.leftovers(NOON) == []
        assert ledger.leftovers(soon, most=2) == in_order[:2]
        assert ledger.leftovers(soon, after=again, most=2) == in_order[2:4]
        assert ledger.leftovers(soon, after=later) == []
        ledger.put_attempts([replace(second, handle=None)])
        assert ledger.leftovers(soon) == in_order[1:]

    def test_a_transaction_that_fails_leaves_nothing(self, ledger: Ledger) -> None:
        ledger.set_cursor("at", "1")
        with pytest.raises(ZeroDivisionError), ledger.transaction():
            ledger.insert([a_job(1)])
            with ledger.transaction():
                ledger.move([queued(a_job(1), attempt=an_attempt(a_job(1)))])
                ledger.set_cursor("at", "2")
            assert ledger.jobs()[0].state is State.QUEUED
            raise ZeroDivisionError
        assert ledger.jobs() == [] and ledger.attempts() == [] and ledger.cursor("at") == "1"
        assert ledger.history(a_job(1).id) == []

    def test_transactions_nest_and_the_outermost_commits(self, ledger: Ledger) -> None:
        with ledger.transaction():
            ledger.insert([a_job(1)])
            with ledger.transaction():
                ledger.insert([a_job(2)])
        ledger.insert([a_job(3)])
        assert len(ledger.jobs()) == 3


class KeptLedgerSuite(LedgerSuite):
    """Needs also `again`: opens the same ledger once more, as another process would."""

    def test_what_was_committed_is_there_after_reopening(self, ledger: Ledger, again: Callable[[], Ledger]) -> None:
        ledger.insert([a_job(1)])
        (moved,) = ledger.move([queued(a_job(1))])
        ledger.close()
        assert again().jobs() == [moved]

    def test_a_reader_sees_the_last_commit_while_a_writer_is_at_work(
        self, ledger: Ledger, again: Callable[[], Ledger]
    ) -> None:
        reader = again()
        ledger.insert([a_job(1)])
        with ledger.transaction():
            ledger.insert([a_job(2)])
            assert reader.jobs() == [a_job(1)]
        assert reader.jobs() == [a_job(1), a_job(2)]

    def test_of_two_writers_the_second_is_stale(self, ledger: Ledger, again: Callable[[], Ledger]) -> None:
        other = again()
        ledger.insert([a_job(1)])
        other.amend([a_job(1)], reason="first")
        with pytest.raises(Stale):
            ledger.move([queued(a_job(1))])
