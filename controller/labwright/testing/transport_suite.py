"""What every transport promises. Subclass TransportSuite and give the fixtures `transport` (keeping at most `MOST` bytes of a
command's output, on a machine whose home may be written to) and `folder` (a path there, empty and writable); pytest runs the rest."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

import pytest

from labwright.domain.errors import OutcomeUnknown, Refused, Unavailable
from labwright.ports.transport import Transport


def sh(transport: Transport, script: str, *words: str, stdin: bytes = b"", timeout: float = 60) -> str:
    return transport.run(["sh", "-c", script, "sh", *words], stdin=stdin, timeout=timeout).text


class TransportSuite:
    MOST = 16 << 20

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
        odd = [
            "a b", "it's", '"q"', "$(echo no)", "`id`", "*", "", "two\nlines", "-n", "ü", ";", "\\", "!x", "~", "a=b", "{a,b}", "#", "\t",
            "$HOME", "%s", "end\n", "\r\n", "&&", "()", "\x1b[0m", "\x7f", "'", "''", "\udcff", "\udcc3", "x" * 100_000,
        ]  # fmt: skip
        ran = transport.run(["printf", "%s\\0", *odd])
        assert ran.out.decode(errors="surrogateescape").split("\0")[:-1] == odd
        assert transport.run(["printf", "%s", *odd[3:4] * 2000]).text == odd[3] * 2000

    @pytest.mark.parametrize("argv", [[], ["echo", "a\0b"]])
    def test_what_can_be_no_command_is_refused(self, transport: Transport, argv: list[str]) -> None:
        with pytest.raises(Refused):
            transport.run(argv)

    def test_standard_input_reaches_the_command(self, transport: Transport) -> None:
        data = bytes(range(256)) * 1000 + b"no end of line"
        assert transport.run(["cat"], stdin=data).out == data
        assert transport.run(["cat"]).out == b""

    def test_a_command_that_reads_no_input_is_no_error(self, transport: Transport) -> None:
        assert transport.run(["true"], stdin=b"x\n" * 2_500_000).code == 0

    def test_input_that_a_command_left_is_not_the_next_commands(self, transport: Transport) -> None:
        script = b"\0echo never\necho never\0" * 100_000
        for argv in (["true"], ["head", "-c", "3"], ["sh", "-c", "exec <&-; sleep 0.1"]):
            transport.run(argv, stdin=script)
            assert transport.run(["cat"]).out == b""
            assert transport.run(["echo", "next"]).text == "next\n"

    def test_a_command_ended_by_a_signal_answers_128_and_its_number(self, transport: Transport) -> None:
        assert transport.run(["sh", "-c", "kill -9 $$"]).code == 137

    def test_what_a_child_in_the_background_writes_belongs_to_its_command(self, transport: Transport) -> None:
        ran = transport.run(["sh", "-c", "(sleep 0.3; echo late; echo too >&2) & echo soon"])
        assert (ran.text, ran.err) == ("soon\nlate\n", "too\n")

    def test_calls_from_many_threads_do_not_mix(self, transport: Transport) -> None:
        def call(number: int) -> bool:
            data = f"{number} ".encode() * (1 + number % 7 * 3000)
            ran = transport.run(["sh", "-c", 'cat; echo "$1" >&2; exit "$1"', "sh", str(number)], stdin=data)
            return (ran.out, ran.err, ran.code) == (data, f"{number}\n", number)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(call, range(80)))

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
        assert transport.run(["echo", "next"]).text == "next\n"

    def test_a_command_whose_time_is_up_does_not_outlive_us_for_long(self, transport: Transport, folder: str) -> None:
        with pytest.raises(OutcomeUnknown):
            sh(transport, 'cd "$1"; (sleep 600 & echo $! >pid; wait) & wait', folder, timeout=2)
        alive = 'cd "$1"; kill -0 "$(cat pid)" && [ "$(cut -d" " -f3 "/proc/$(cat pid)/stat")" != Z ] && echo yes'
        until = time.monotonic() + 30
        while sh(transport, alive, folder):
            assert time.monotonic() < until
            time.sleep(0.2)

    def test_more_output_than_is_kept_leaves_the_outcome_unknown(self, transport: Transport) -> None:
        assert len(transport.run(["head", "-c", str(self.MOST), "/dev/zero"]).out) == self.MOST
        with pytest.raises(OutcomeUnknown, match="output"):
            transport.run(["head", "-c", str(self.MOST + 1), "/dev/zero"])
        with pytest.raises(OutcomeUnknown, match="output"):
            transport.run(["sh", "-c", "yes >&2"])
        assert transport.run(["echo", "next"]).text == "next\n"

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

    def test_a_file_larger_than_what_is_kept_of_output_is_read_whole(self, transport: Transport, folder: str) -> None:
        path, data = f"{folder}/large", bytes(range(256)) * (self.MOST // 200)
        transport.put(data, path)
        assert transport.get(path) == data
        assert transport.get(path, offset=5, limit=len(data) - 6) == data[5:-1]

    def test_a_tilde_is_the_home_there(self, transport: Transport, folder: str) -> None:
        transport.put(b"x", "~/a folder/file")
        assert transport.get("~/a folder/file") == b"x"
        assert transport.list("~/a folder") == ["file"]
        assert "a folder" in transport.list("~")
        assert sh(transport, 'cat "$HOME/a folder/file"; rm -r "$HOME/a folder"') == "x"
        transport.put(b"y", f"{folder}/~/file")
        assert transport.get(f"{folder}/~/file") == b"y"

    def test_a_path_that_cannot_be_written_is_unavailable(self, transport: Transport, folder: str) -> None:
        transport.put(b"x", f"{folder}/file")
        transport.put(b"x", f"{folder}/folder/-file")
        for path in ("file/below", "folder"):
            with pytest.raises(Unavailable):
                transport.put(b"y", f"{folder}/{path}")
        with pytest.raises(Unavailable):
            transport.get(f"{folder}/folder")
        assert sh(transport, 'find "$1" -type f | sort', folder) == f"{folder}/file\n{folder}/folder/-file\n"

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
            transport.get(f"{folder}/nothing")
        transport.put(b"x", f"{folder}/file")
        with pytest.raises(FileNotFoundError):
            transport.get(f"{folder}/file/below")

    def test_a_folder_is_listed_in_order_and_a_missing_one_is_empty(self, transport: Transport, folder: str) -> None:
        for name in ("b", "a b", "c", ".d", "-e", "\n", "\udcff"):
            transport.put(b"", f"{folder}/{name}")
        transport.put(b"", f"{folder}/below/it")
        assert transport.list(folder) == sorted(["b", "a b", "c", ".d", "-e", "\n", "\udcff", "below"])
        assert transport.list(f"{folder}/nothing") == transport.list(f"{folder}/b") == []

    def test_closing_twice_is_no_error_and_a_later_call_opens_it_anew(self, transport: Transport) -> None:
        for _ in range(2):
            transport.close()
        assert transport.run(["echo", "again"]).text == "again\n"
