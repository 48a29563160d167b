"""What became of an attempt that left no record of its own."""

from datetime import UTC, datetime

import pytest

from labwright.adapters.providers.slurm.handles import Known
from labwright.adapters.providers.slurm.judge import ABSENT_S, LAG_S, Memory, absent, from_past, from_queue, ours
from labwright.adapters.providers.slurm.queue import Entry
from labwright.domain.ids import Token
from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase, Seen

TOKEN = Token("lab-abcdefghijkl-1")
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def memory(**more: object) -> Memory:
    return Memory(Known(TOKEN, "7"), folder=True, begun=True, **more)  # type: ignore[arg-type]


def judged(state: str, codes: str = "0:0", now: float = 100.0, found: Memory | None = None, **said: str) -> Seen:
    entry = Entry(state, start=AT, end=AT, codes=codes)
    return from_past(found or memory(), entry, lambda command, _: said.get(command, ""), AT, now)


@pytest.mark.parametrize(
    ("state", "codes", "said", "outcome"),
    [
        ("FAILED", "3:0", {}, Outcome.ERROR),
        ("FAILED", "78:0", {"words": "lab: module load cuda does not work"}, Outcome.SETUP_ERROR),
        ("TIMEOUT", "0:15", {}, Outcome.TIMEOUT),
        ("TIMEOUT", "0:15", {"saved": "step-3.json\n"}, Outcome.PREEMPTED),
        ("COMPLETED", "0:0", {"termed": "term\n"}, Outcome.PREEMPTED),
        ("PREEMPTED", "0:0", {}, Outcome.PREEMPTED),
        ("NODE_FAIL", "1:0", {}, Outcome.NODE_FAILED),
        ("OUT_OF_MEMORY", "0:125", {}, Outcome.OOM),
        ("CANCELLED by 1000", "0:0", {}, Outcome.CANCELLED),
    ],
)
def test_slurms_word_counts_where_there_is_no_record(
    state: str, codes: str, said: dict[str, str], outcome: Outcome
) -> None:
    seen = judged(state, codes, **said)
    assert (seen.phase, seen.outcome) == (Phase.ENDED, outcome)


def test_its_own_words_are_told() -> None:
    assert "module load cuda" in judged("FAILED", "78:0", words="x\nlab: module load cuda does not work\n").detail
    assert "step-3" in judged("TIMEOUT", "0:15", saved="step-3.json\n").detail


def test_completed_without_a_record_is_waited_for_and_then_no_success() -> None:
    found = memory()
    assert judged("COMPLETED", found=found).phase is Phase.UNKNOWN
    seen = judged("COMPLETED", now=100 + LAG_S + 1, found=found)
    assert (seen.phase, seen.outcome) == (Phase.ENDED, Outcome.LOST)


def test_what_we_stopped_and_slurm_calls_failed_was_cancelled() -> None:
    assert judged("FAILED", "0:15", found=memory(stopped=True)).outcome is Outcome.CANCELLED


def test_what_nobody_knows_is_missing_after_a_while_and_not_while_one_is_silent() -> None:
    found = memory()
    assert absent(found, silent=False, now=100).phase is Phase.UNKNOWN
    assert absent(found, silent=True, now=100 + ABSENT_S + 1).phase is Phase.UNKNOWN
    assert absent(found, silent=False, now=100 + ABSENT_S + 1).phase is Phase.MISSING


def test_a_number_that_slurm_gave_out_again_is_not_our_job() -> None:
    known = Known(TOKEN, "7")
    assert ours(known, Entry("RUNNING", name=TOKEN))
    assert not ours(known, Entry("RUNNING", name="lab-zzzzzzzzzzzz-1"))
    assert not ours(Known(TOKEN, "7", 3), Entry("RUNNING", name="somebody's"))
    assert ours(Known(TOKEN, "7", 3), Entry("RUNNING", name="lab-0123456789ab-a40"))


def test_an_estimate_that_moves_a_little_reads_the_same() -> None:
    found = memory()
    told = set()
    for second in (1, 100, 599):
        found.entry = Entry("PENDING", "Resources", start=datetime.fromtimestamp(AT.timestamp() + 600 + second, UTC))
        told.add(from_queue(found, AT).detail)
    assert len(told) == 1
