"""The book: live jobs in memory, never ahead of the ledger."""

from dataclasses import replace

import pytest

from labwright.control.book import Book
from labwright.control.queue import Queue
from labwright.control.waiting import Waiting
from labwright.domain.errors import Unavailable
from labwright.domain.ids import Handle, JobId, Token
from labwright.domain.job import Attempt, Job, Move
from labwright.domain.lifecycle import Outcome, State
from tests.unit.loop_bench import FrailLedger
from tests.unit.planning import NOW
from tests.unit.test_admit import job as plain_job


def a_job(name: str = "a", state: State = State.HELD, **more: object) -> Job:
    return replace(plain_job(name, state), **more)  # type: ignore[arg-type]


def an_attempt(job: Job, n: int = 1, **more: object) -> Attempt:
    made = Attempt(job.id, n, Token(f"lab-{job.id}-{n}"), "local", NOW)
    return replace(made, **more)  # type: ignore[arg-type]


def book_of(*jobs: Job) -> Book:
    book = Book(FrailLedger())
    book.insert(jobs)
    return book


def over(attempt: Attempt) -> Attempt:
    return replace(attempt, outcome=Outcome.OK, ended=NOW, handle=Handle("h"))


def test_a_turn_that_changes_nothing_commits_nothing() -> None:
    ledger = FrailLedger()
    book = Book(ledger)
    with book.turn():
        book.job(JobId("x"))
    assert ledger.commits == 0


def test_everything_written_in_a_turn_is_one_commit() -> None:
    book = book_of(a_job("a"), a_job("b"))
    before = book.ledger.commits  # type: ignore[attr-defined]
    with book.turn():
        book.move([Move(book.live[JobId("a0")], State.QUEUED, "", NOW)])
        with book.transaction():
            book.amend([book.live[JobId("b0")]], stop_asked="x")
            book.put_attempts([an_attempt(a_job("a"))])
    assert book.ledger.commits == before + 1  # type: ignore[attr-defined]
    assert len(book.ledger.attempts()) == 1


@pytest.mark.parametrize("error", [Unavailable("disk full"), ZeroDivisionError()])
def test_after_a_turn_that_failed_memory_is_what_the_ledger_says(error: Exception) -> None:
    book = book_of(a_job("a"))
    with pytest.raises(type(error)), book.turn():
        book.move([Move(book.live[JobId("a0")], State.QUEUED, "", NOW)])
        book.insert([a_job("b")])
        book.put_attempts([an_attempt(a_job("a"))])
        raise error
    assert {job.id: job.state for job in book.live.values()} == {"a0": State.HELD}
    assert book.count(State.HELD) == 1
    assert book.open == {}
    assert book.attempts == {"a0": []}
    assert Book(book.ledger).live == book.live


def test_while_the_ledger_cannot_be_read_no_turn_begins() -> None:
    book = book_of(a_job("a"))
    ledger = book.ledger
    assert isinstance(ledger, FrailLedger)
    ledger.gone = "connection lost"
    with pytest.raises(Unavailable), book.turn():
        book.move([Move(book.live[JobId("a0")], State.QUEUED, "", NOW)])
    begun = False
    with pytest.raises(Unavailable), book.turn():
        begun = True
    assert not begun
    ledger.gone = ""
    with book.turn():
        assert book.live[JobId("a0")].state is State.HELD


def test_an_attempt_of_this_turn_is_not_read_back_from_before_it() -> None:
    """Memory of an ended job may be dropped in the turn in which it ended."""
    book = book_of(a_job("a", State.RUNNING))
    book.put_attempts([an_attempt(a_job("a"))])
    with book.turn():
        book.move([Move(book.live[JobId("a0")], State.COMPLETE, "", NOW, over(an_attempt(a_job("a"))))])
        book.dirty.clear()
        book.forget_ended([])
        assert [a.outcome for a in book.attempts_of(JobId("a0"))] == [Outcome.OK]


def test_what_nothing_looks_at_any_more_is_forgotten_and_can_be_asked_for() -> None:
    book = book_of(a_job("a", State.RUNNING), a_job("b", State.RUNNING))
    for name in ("a0", "b0"):
        book.move([Move(book.live[JobId(name)], State.COMPLETE, "", NOW)])
    book.dirty.clear()
    book.forget_ended([JobId("a0")])
    assert book._ended.keys() == {"a0"}
    assert book.attempts.keys() == {"a0"}
    found = book.job(JobId("b0"))
    assert found is not None
    assert found.state is State.COMPLETE


def test_open_are_the_attempts_that_are_not_over() -> None:
    book = book_of(a_job("a", State.QUEUED), a_job("b", State.QUEUED))
    book.put_attempts([an_attempt(a_job("a")), an_attempt(a_job("b"), outcome=Outcome.PREEMPTED, ended=NOW)])
    assert {name: list(at) for name, at in book.open.items() if at} == {"local": ["a0"]}
    assert (book.is_open(JobId("a0")), book.is_open(JobId("b0"))) == (True, False)
    book.put_attempts([an_attempt(a_job("b"), 2)])
    assert book.open["local"][JobId("b0")].n == 2
    book.put_attempts([over(an_attempt(a_job("a")))])
    assert list(book.open["local"]) == ["b0"]
    assert Book(book.ledger).open == {"local": {JobId("b0"): an_attempt(a_job("b"), 2)}}


def test_ended_attempts_are_uncollected_then_unpublished_then_gone() -> None:
    book = book_of(a_job("a", State.QUEUED))
    ended = over(an_attempt(a_job("a")))
    book.put_attempts([ended])
    assert (len(book.uncollected), len(book.unpublished)) == (1, 1)
    collected = book.change_attempt(ended, collected=True)
    assert (len(book.uncollected), len(book.unpublished)) == (0, 1)
    assert (len(Book(book.ledger).uncollected), len(Book(book.ledger).unpublished)) == (0, 1)
    book.change_attempt(collected, published=True)
    assert (len(book.uncollected), len(book.unpublished)) == (0, 0)


def test_every_change_makes_a_jobs_rows_old() -> None:
    book = book_of(a_job("a"))
    book.dirty.clear()
    book.amend([book.live[JobId("a0")]], reason="x")
    assert list(book.dirty) == ["a0"]
    before = book.changes
    book.put_attempts([an_attempt(a_job("a"))])
    assert book.changes > before


# who waits for whom


def test_jobs_that_need_the_same_share_an_entry() -> None:
    waiting = Waiting()
    both = (JobId("x"), JobId("y"))
    one, two = a_job("a", needs=both), a_job("b", needs=both)
    for job in (one, two, a_job("c"), a_job("d", needs=(JobId("y"),))):
        waiting.add(job)
    assert [list(group.jobs) for group in waiting.groups([JobId("x")])] == [["a0", "b0"]]
    assert [list(group.jobs) for group in waiting.groups([JobId("y"), JobId("x")])] == [["a0", "b0"], ["d0"]]
    waiting.drop(one)
    waiting.drop(two)
    waiting.drop(two)
    assert waiting.groups([JobId("x")]) == []
    assert waiting.groups([JobId("z")]) == []


def test_a_job_waits_while_it_is_held() -> None:
    book = book_of(a_job("b", needs=(JobId("a0"),)))
    assert len(book.waiting.groups([JobId("a0")])) == 1
    book.move([Move(book.live[JobId("b0")], State.QUEUED, "", NOW)])
    assert book.waiting.groups([JobId("a0")]) == []


# the queue


def queue_of(*jobs: Job) -> tuple[Book, Queue]:
    book = book_of(*jobs)
    queue = Queue(book)
    queue.take_in()
    return book, queue


def best(queue: Queue) -> list[str]:
    return [job.id for job in queue.best("cluster", NOW)]


def test_the_queue_is_by_priority_age_and_place() -> None:
    jobs = [
        a_job(name, State.QUEUED, **more) for name, more in {"a": {"trial": 1}, "b": {}, "c": {"priority": 1}}.items()
    ]  # type: ignore[arg-type]
    assert best(queue_of(*jobs)[1]) == ["c0", "b0", "a0"]


def test_what_is_under_way_stopped_or_not_yet_due_is_passed_over() -> None:
    from datetime import timedelta

    book, queue = queue_of(
        a_job("a", State.QUEUED),
        a_job("b", State.QUEUED, stop_asked="x"),
        a_job("c", State.QUEUED, not_before=NOW + timedelta(seconds=9)),
        a_job("d", State.QUEUED),
        a_job("e", State.HELD),
    )
    book.put_attempts([an_attempt(a_job("d"))])
    assert best(queue) == ["a0"]
    assert queue.next_time == NOW + timedelta(seconds=9)
    assert not queue.came_due(NOW)
    assert queue.came_due(NOW + timedelta(seconds=9))
    assert queue.next_time is None


def test_a_job_comes_back_into_the_queue_for_its_next_attempt_once() -> None:
    book, queue = queue_of(a_job("a", State.QUEUED))
    book.put_attempts([an_attempt(a_job("a"))])
    queue.drop("cluster", {JobId("a0")})
    assert queue.providers() == []
    ended = replace(an_attempt(a_job("a")), outcome=Outcome.PREEMPTED, ended=NOW)
    for _ in range(2):
        book.move([Move(book.live[JobId("a0")], State.QUEUED, "again", NOW, ended)])
        queue.take_in()
    assert best(queue) == ["a0"]
