"""Slurm's words for a job's state, of squeue(1) and sacct(1) from 22.05 to 26.05, and what an exit status is."""

import pytest

from labwright.adapters.providers.slurm.states import ENDED, RUNNING, WAITING, codes, meaning
from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase

WORDS: dict[str, Phase | Outcome] = {
    "BOOT_FAIL": Outcome.NODE_FAILED,
    "CANCELLED": Outcome.CANCELLED,
    "COMPLETED": Outcome.OK,
    "COMPLETING": Phase.RUN,
    "CONFIGURING": Phase.QUEUED,
    "DEADLINE": Outcome.TIMEOUT,
    "EXPEDITING": Phase.QUEUED,  # since 25.11: about to be requeued before others
    "FAILED": Outcome.ERROR,
    "LAUNCH_FAILED": Outcome.NODE_FAILED,
    "NODE_FAIL": Outcome.NODE_FAILED,
    "OUT_OF_MEMORY": Outcome.OOM,
    "PENDING": Phase.QUEUED,
    "POWER_UP_NODE": Phase.QUEUED,  # nodes are chosen and being booted
    "PREEMPTED": Outcome.PREEMPTED,
    "RECONFIG_FAIL": Outcome.NODE_FAILED,
    "REQUEUED": Phase.QUEUED,
    "REQUEUE_FED": Phase.QUEUED,
    "REQUEUE_HOLD": Phase.QUEUED,
    "RESIZING": Phase.RUN,
    "RESV_DEL_HOLD": Phase.QUEUED,
    "REVOKED": Outcome.LOST,
    "RUNNING": Phase.RUN,
    "SIGNALING": Phase.RUN,
    "SPECIAL_EXIT": Phase.QUEUED,
    "STAGE_OUT": Phase.RUN,
    "STOPPED": Phase.RUN,
    "SUSPENDED": Phase.RUN,
    "TIMEOUT": Outcome.TIMEOUT,
    "UPDATE_DB": Phase.RUN,
}


@pytest.mark.parametrize("word", WORDS)
def test_every_state_of_slurm_has_one_meaning(word: str) -> None:
    found, meant = meaning(word), WORDS[word]
    assert found == meaning(f" {word.lower()} ")
    if isinstance(meant, Outcome):
        assert (found.phase, found.outcome, found.by) == (Phase.ENDED, meant, "")
    else:
        assert (found.phase, found.outcome) == (meant, None)


def test_no_word_is_in_two_tables_and_none_is_left_out_here() -> None:
    assert sorted([*WAITING, *RUNNING, *ENDED]) == sorted(WORDS)


@pytest.mark.parametrize("word", [word for word in WORDS if len(word) > 10])
def test_a_word_cut_to_ten_columns_is_still_the_word(word: str) -> None:
    assert meaning(f"{word[:9]}+") == meaning(word)


@pytest.mark.parametrize("word", WORDS)
def test_a_mark_behind_a_whole_word_changes_nothing(word: str) -> None:
    assert meaning(f"{word}+") == meaning(word)


def test_who_cancelled_is_told() -> None:
    assert meaning("CANCELLED by 1000").by == "1000"
    assert meaning("CANCELLED by 1000").outcome is Outcome.CANCELLED
    assert meaning("CANCELLED+").by == ""


@pytest.mark.parametrize(
    "word",
    [
        "",
        " ",
        "+",
        "C+",
        "COMP+",
        "RE+",
        "STATE_OF_2031",
        "STATE_OF_+",
        "COMPLETE",
        "FAILEDX",
        "OUT_OF_ME",
        "1",
        "\0",
        "½",
    ],
)
def test_a_word_that_is_new_or_says_two_things_says_nothing(word: str) -> None:
    assert meaning(word) == meaning("no such state")
    assert meaning(word).phase is Phase.UNKNOWN


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0:0", (0, None)),
        ("3:0", (3, None)),
        ("255:0", (255, None)),
        ("0:9", (137, 9)),
        ("0:15", (143, 15)),
        ("0:53", (181, 53)),  # Slurm's own: a job whose output file could not be opened
        ("1:9", (137, 9)),
    ],
)
def test_an_exit_status_is_as_shells_say_it(text: str, found: tuple[int, int | None]) -> None:
    assert codes(text) == found


@pytest.mark.parametrize(
    "text", ["", "0", ":", "0:", ":9", "a:0", "-1:0", "0:-9", "0:0:0", " 3:0", "²:0", "3:²", "1.0:0", f"{'9' * 5000}:0"]
)
def test_what_is_no_exit_status_is_none(text: str) -> None:
    assert codes(text) == (None, None)
