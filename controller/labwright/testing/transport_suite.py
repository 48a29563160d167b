"""What every transport promises. Subclass TransportSuite and give the fixtures `transport` and `folder` (a path on its
machine that is empty and may be written to); pytest runs the rest."""

from pathlib import PurePosixPath

import pytest

from labwright.domain.errors import OutcomeUnknown
from labwright.ports.transport import Transport


class TransportSuite:
    @pytest.fixture
    def transport(self) -> Transport:
        raise NotImplementedError

    @pytest.fixture
    def folder(self) -> str:
        raise NotImplementedError

    def test_a_command_answers_with_its_code_and_both_outputs(self, transport: Transport) -> None:
        ran = transport.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
        assert (ran.code, ran.out, ran.text, ran.err) == (3, b"out\n", "out\n", "err\n")

    def test_arguments_reach_the_command_as_they_are(self, transport: Transport) -> None:
        odd = ["a b", "it's", '"q"', "$(echo no)", "`id`", "*", "", "two\nlines", "-n", "ü", ";", "\\", "!x"]
        ran = transport.run(["printf", "%s\\0", *odd])
        assert ran.text.split("\0")[:-1] == odd

    def test_standard_input_reaches_the_command(self, transport: Transport) -> None:
        data = bytes(range(256)) * 1000 + b"no end of line"
        assert transport.run(["cat"], stdin=data).out == data
        assert transport.run(["cat"]).out == b""

    def test_a_command_that_reads_no_input_is_no_error(self, transport: Transport) -> None:
        assert transport.run(["true"], stdin=b"x\n" * 2_500_000).code == 0

    def test_a_command_that_is_not_there_says_so_with_127(self, transport: Transport) -> None:
        ran = transport.run(["no-such-command-here"])
        assert ran.code == 127
        assert "no-such-command-here" in ran.err

    def test_much_output_on_both_sides_does_not_block(self, transport: Transport) -> None:
        ran = transport.run(
            ["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero | tr '\\0' y >&2"]
        )
        assert (len(ran.out), len(ran.err)) == (300_000, 300_000)

    def test_output_that_is_not_utf_8_is_no_error(self, transport: Transport) -> None:
        ran = transport.run(["printf", "\\377"])
        assert (ran.out, ran.text) == (b"\xff", "�")

    def test_a_time_that_is_up_leaves_the_outcome_unknown(self, transport: Transport) -> None:
        with pytest.raises(OutcomeUnknown):
            transport.run(["sleep", "60"], timeout=0.2)

    def test_what_is_put_is_got_back(self, transport: Transport, folder: str) -> None:
        path = str(PurePosixPath(folder) / "new folder" / "it's $(here)")
        data = bytes(range(256)) * 10
        transport.put(data, path)
        assert transport.get(path) == data
        transport.put(b"shorter", path)
        assert transport.get(path) == b"shorter"
        assert transport.run(["stat", "-c", "%a", path]).text == "600\n"
        transport.put(b"", path, mode=0o755)
        assert (transport.get(path), transport.run(["stat", "-c", "%a", path]).text) == (b"", "755\n")

    def test_putting_leaves_nothing_else_behind(self, transport: Transport, folder: str) -> None:
        transport.put(b"x", str(PurePosixPath(folder) / "only"))
        assert transport.list(folder) == ["only"]

    def test_reading_by_offset_neither_loses_nor_repeats(self, transport: Transport, folder: str) -> None:
        path = str(PurePosixPath(folder) / "log")
        transport.put(b"0123456789", path)
        assert transport.get(path, offset=4) == b"456789"
        assert transport.get(path, offset=4, limit=2) == b"45"
        assert transport.get(path, offset=10) == transport.get(path, offset=99) == b""

    def test_a_file_that_is_not_there_is_named_so(self, transport: Transport, folder: str) -> None:
        with pytest.raises(FileNotFoundError):
            transport.get(str(PurePosixPath(folder) / "nothing"))

    def test_a_folder_is_listed_in_order_and_a_missing_one_is_empty(self, transport: Transport, folder: str) -> None:
        for name in ("b", "a b", "c"):
            transport.put(b"", str(PurePosixPath(folder) / name))
        assert transport.list(folder) == ["a b", "b", "c"]
        assert transport.list(str(PurePosixPath(folder) / "nothing")) == []

    def test_closing_twice_is_no_error_and_a_later_call_opens_it_anew(self, transport: Transport) -> None:
        for _ in range(2):
            transport.close()
        assert transport.run(["echo", "again"]).text == "again\n"
