"""What squeue and sacct print, made tables."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labwright.adapters.providers.slurm.handles import Known
from labwright.adapters.providers.slurm.queue import Entry, Queue, by_kind, sacct, squeue
from labwright.domain.ids import Token

AT = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
SECONDS = str(int(AT.timestamp()))


def known(id_text: str) -> Known:
    job, _, index = id_text.partition("_")
    return Known(Token("lab-abcdefghijkl-1"), job, int(index) if index else None)


def states(queue: Queue, *ids: str) -> list[str | None]:
    return [found.state if (found := queue.get(known(id_text))) else None for id_text in ids]


# squeue


def test_a_line_is_an_entry() -> None:
    queue = squeue([f"12|RUNNING|None|node[1-2]|{SECONDS}|lab-abcdefghijkl-1", "13|PENDING|Resources||N/A|x"])
    assert queue.get(known("12")) == Entry("RUNNING", "", "node[1-2]", AT, name="lab-abcdefghijkl-1")
    assert queue.get(known("13")) == Entry("PENDING", "Resources", name="x")
    assert queue.get(known("14")) is None


@pytest.mark.parametrize("said", ["None", "(null)", "N/A", ""])
def test_no_reason_is_none(said: str) -> None:
    (entry,) = squeue([f"12|PENDING|{said}||N/A|x"]).single.values()
    assert entry.reason == ""


def test_a_reason_stands_without_its_brackets() -> None:
    (entry,) = squeue(["12|PENDING|(Nodes required for job are DOWN, DRAINED or reserved)||N/A|x"]).single.values()
    assert entry.reason == "Nodes required for job are DOWN, DRAINED or reserved"


@pytest.mark.parametrize("said", ["N/A", "", "Unknown", "NONE", "2026-11-20T14:00:00", "-1", "²", "9" * 30])
def test_a_time_that_is_none_is_none(said: str) -> None:
    (entry,) = squeue([f"12|PENDING|None||{said}|x"]).single.values()
    assert entry.start is None


def test_a_name_may_have_the_separator_in_it() -> None:
    (entry,) = squeue([f"12|RUNNING|None|n1|{SECONDS}|a|b|c"]).single.values()
    assert (entry.state, entry.name) == ("RUNNING", "a|b|c")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "|||||",
        "x|RUNNING|None||1|n",
        "12|RUNNING",
        "squeue: error: Invalid user",
        "12+0|RUNNING|None||1|het",
        "12_|R|N||1|n",
        "12_[|R|N||1|n|",
        "12_x|R|N||1|n",
        "-1|R|N||1|n",
    ],
)
def test_a_line_that_is_none_is_passed_over(line: str) -> None:
    queue = squeue([line, "13|PENDING|None||N/A|x"])
    assert states(queue, "12", "12_0", "13") == [None, None, "PENDING"]


def test_elements_of_an_array_that_wait_stand_in_one_line() -> None:
    queue = squeue(["123_[0-5,7,10-20:2%4]|PENDING|JobArrayTaskLimit||N/A|x", "123_6|RUNNING|None|n1|1|x"])
    waiting = {*range(6), 7, 10, 12, 14, 16, 18, 20}
    assert {n for n in range(30) if queue.get(known(f"123_{n}"))} == waiting | {6}
    assert states(queue, "123_6", "123_7", "123", "12_3") == ["RUNNING", "PENDING", None, None]


@pytest.mark.parametrize("spans", ["7", "7%1", "0-7", "5-9%2", "7-7", "1,7", "1-7:3", "7-20:0"])
def test_every_way_to_write_a_range_has_its_elements(spans: str) -> None:
    assert states(squeue([f"1_[{spans}]|PENDING|None||N/A|x"]), "1_7") == ["PENDING"]


def test_an_element_of_its_own_counts_more_than_a_range() -> None:
    lines = ["1_[0-9]|PENDING|None||N/A|x", "1_3|RUNNING|None||1|x"]
    assert states(squeue(lines), "1_3", "1_4") == states(squeue(lines[::-1]), "1_3", "1_4") == ["RUNNING", "PENDING"]


def test_ranges_of_one_array_in_several_lines_are_all_there() -> None:
    queue = squeue(["1_[0-3]|PENDING|Priority||N/A|x", "1_[4-6]|PENDING|JobHeldUser||N/A|x"])
    assert [entry.reason for n in (3, 4) if (entry := queue.get(known(f"1_{n}")))] == ["Priority", "JobHeldUser"]
    assert sorted(job for job, _ in queue.jobs()) == ["1", "1"]


def test_several_peoples_queues_come_into_one() -> None:
    queue = squeue(["1|RUNNING|None||1|x"])
    assert squeue(["2|PENDING|None||N/A|y"], queue) is queue
    assert states(queue, "1", "2") == ["RUNNING", "PENDING"]


# sacct


def test_the_accounting_tells_code_and_times() -> None:
    queue = sacct(
        [f"12|FAILED|3:0|{SECONDS}|{SECONDS}|node1|lab-a", "13|PENDING|0:0|Unknown|Unknown|None assigned|lab-b|c"]
    )
    assert queue.get(known("12")) == Entry("FAILED", "", "node1", AT, AT, "3:0", "lab-a")
    assert queue.get(known("13")) == Entry("PENDING", codes="0:0", name="lab-b|c")


def test_of_a_requeued_job_the_last_row_counts() -> None:
    rows = [f"12|{state}|0:0|1|2|node1|n" for state in ("PREEMPTED", "NODE_FAIL", "COMPLETED")]
    assert states(sacct(rows), "12") == ["COMPLETED"]


def test_the_accounting_too_has_ranges() -> None:
    queue = sacct(
        [
            "123_[5-9]|CANCELLED by 1000|0:0|None|2|None assigned|n",
            "123_4|COMPLETED|0:0|1|2|n1|n",
            "123_[11%2]|PENDING|0:0|Unknown|Unknown||n",
        ]
    )
    assert states(queue, "123_4", "123_5", "123_9", "123_10", "123_11") == [
        "COMPLETED",
        "CANCELLED by 1000",
        "CANCELLED by 1000",
        None,
        "PENDING",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "12|COMPLETED|0:0",
        "12+0|COMPLETED|0:0|1|2|n1|n",
        "12.batch|COMPLETED|0:0|1|2|n1|n",
        "12.0|FAILED|1:0|1|2|n1|n",
        "12|FAILED|1:0|1|2|n1",
        "sacct: error: x",
    ],
)
def test_parts_of_a_job_and_what_is_no_row_do_not_count(line: str) -> None:
    assert sacct([line]) == Queue()


# both, whatever is printed

INDICES = st.integers(0, 60)
SPAN = st.one_of(
    INDICES.map(lambda n: (str(n), {n})),
    st.tuples(INDICES, INDICES, st.integers(1, 7)).map(
        lambda t: (f"{t[0]}-{t[1]}" + (f":{t[2]}" if t[2] > 1 else ""), set(range(t[0], t[1] + 1, t[2])))
    ),
)
ARRAY = st.tuples(st.lists(SPAN, min_size=1, max_size=5), st.sampled_from(["", "%1", "%40"])).map(
    lambda t: (",".join(text for text, _ in t[0]) + t[1], set[int]().union(*(found for _, found in t[0])))
)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["1", "12", "123"]), ARRAY, st.sampled_from(["PENDING", "REQUEUE_HOLD"])), max_size=4
    ),
    st.lists(st.tuples(st.sampled_from(["1", "12"]), INDICES), max_size=4),
)
def test_a_table_of_ranges_tells_the_same_as_one_of_elements(
    arrays: list[tuple[str, tuple[str, set[int]], str]], elements: list[tuple[str, int]]
) -> None:
    expanded: dict[str, str] = {}
    for job, (_, indices), state in reversed(arrays):
        expanded |= {f"{job}_{n}": state for n in indices}
    expanded |= {f"{job}_{n}": "RUNNING" for job, n in elements}
    lines = [f"{job}_[{text}]|{state}|None||N/A|x" for job, (text, _), state in arrays]
    queue = squeue([*lines, *(f"{job}_{n}|RUNNING|None||1|x" for job, n in elements)])
    for job in ("1", "12", "123"):
        assert {n: s for n in range(70) if (s := states(queue, f"{job}_{n}")[0])} == {
            n: expanded[f"{job}_{n}"] for n in range(70) if f"{job}_{n}" in expanded
        }


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from("0123456789_[]-,:%|+.²٣ ab\t"), max_size=40)))
def test_no_text_breaks_a_table(lines: list[str]) -> None:
    for read in (squeue, sacct):
        queue = read(lines)
        for id_text in ("1", "1_1", "12_3"):
            queue.get(known(id_text))
        list(queue.jobs())


# answers


def test_an_answer_is_lines_by_their_kind() -> None:
    found = by_kind("E\ttoken\t{}\nQ\t1|a\nQ\t2|b\nstray\n\n.\n")
    assert found == {"E": ["token\t{}"], "Q": ["1|a", "2|b"]}
    assert by_kind(".\n") == {}


@pytest.mark.parametrize("answer", ["", "Q\t1|a\n", "Q\t1|a\n.Q", ".\nQ\t1\nQ\t2\n"])
def test_an_answer_without_its_end_is_none(answer: str) -> None:
    with pytest.raises(ValueError, match="cut short"):
        by_kind(answer)


def test_an_answer_that_ends_with_trouble_is_whole() -> None:
    assert by_kind("E\ta\t{}\nX\tslurm_load_jobs error\nmore\n") == {"E": ["a\t{}"], "X": ["slurm_load_jobs error"]}
