"""What jobs print is kept as it was printed, once, without secrets."""

from pathlib import Path

import pytest

from labwright.control.logs import LINE, Logs
from labwright.domain.ids import Handle
from labwright.ports.provider import Chunk

SECRET = [b"hunter22"]


def chunk(data: bytes, offset: int = 0) -> Chunk:
    return Chunk(Handle("h"), "log.txt", offset, data)


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(tmp_path)


def kept(logs: Logs) -> bytes:
    return logs.path("job", 1).read_bytes()


def test_bytes_are_appended_as_they_come(logs: Logs) -> None:
    assert logs.append("job", 1, chunk(b"one\ntw"), (), last=False) == 6
    assert logs.append("job", 1, chunk(b"o\n", 6), (), last=False) == 2
    assert kept(logs) == b"one\ntwo\n"


def test_with_secrets_only_whole_lines_are_taken_until_the_end(logs: Logs) -> None:
    assert logs.append("job", 1, chunk(b"a\nhunt"), SECRET, last=False) == 2
    assert logs.append("job", 1, chunk(b"hunter22\nb", 2), SECRET, last=False) == 9
    assert logs.append("job", 1, chunk(b"b", 11), SECRET, last=True) == 1
    assert kept(logs) == b"a\n********\nb"


def test_a_line_without_end_is_taken_in_the_end(logs: Logs) -> None:
    assert logs.append("job", 1, chunk(b"x" * LINE), SECRET, last=False) == 0
    assert logs.append("job", 1, chunk(b"x" * (LINE + 8)), SECRET, last=False) == LINE + 1


@pytest.mark.parametrize("end", range(9))
@pytest.mark.parametrize("secrets", [SECRET, [b"hunter22", b"22and"], [b"hunter22", b"r2"]])
def test_a_secret_in_a_line_without_end_is_cut_nowhere(logs: Logs, end: int, secrets: list[bytes]) -> None:
    whole = b"x" * LINE + b"hunter22and" * 5 + b"y" * LINE
    first = LINE + 33 + end
    taken = logs.append("job", 1, chunk(whole[:first]), secrets, last=False)
    assert taken > LINE
    logs.append("job", 1, chunk(whole[taken:], taken), secrets, last=True)
    assert len(kept(logs)) == len(whole)
    assert b"hunt" not in kept(logs) and b"ter22" not in kept(logs)


def test_a_line_of_nothing_but_secrets_is_taken_all_the_same(logs: Logs) -> None:
    assert logs.append("job", 1, chunk(b"h" * (LINE + 9)), [b"hhhh"], last=False) > 0
    assert set(kept(logs)) == {ord("*"), ord("h")} or set(kept(logs)) == {ord("*")}
    assert b"hhhh" not in kept(logs)


def test_what_was_written_before_a_crash_is_not_written_again(logs: Logs) -> None:
    logs.append("job", 1, chunk(b"one\ntwo\n"), (), last=False)
    assert logs.append("job", 1, chunk(b"one\ntwo\nthree\n"), (), last=False) == 14
    assert logs.append("job", 1, chunk(b"two\n", 4), (), last=False) == 4
    assert kept(logs) == b"one\ntwo\nthree\n"


def test_each_attempt_has_its_own_file(logs: Logs) -> None:
    logs.append("job", 1, chunk(b"1"), (), last=True)
    logs.append("job", 2, chunk(b"2"), (), last=True)
    assert (logs.tail("job", 1), logs.tail("job", 2), logs.tail("job", 3)) == ("1", "2", "")


def test_a_tail_begins_with_a_whole_line(logs: Logs) -> None:
    logs.append("job", 1, chunk(b"first\nsecond\nthird\n"), (), last=True)
    assert logs.tail("job", 1, 10) == "third\n"
    assert logs.tail("job", 1, 100) == "first\nsecond\nthird\n"


def test_a_tail_of_what_is_no_text_is_text(logs: Logs) -> None:
    logs.append("job", 1, chunk(b"\xff\xfe\n"), (), last=True)
    assert logs.tail("job", 1) == "��\n"
