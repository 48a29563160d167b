"""Small things that a newcomer met, each said in words that help."""

import io
import json
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labwright.adapters.providers.local.machine import refuse
from labwright.adapters.records.duckdb import DuckDbRecords
from labwright.cli.asking import Answered, report
from labwright.cli.main import program
from labwright.cli.output import write_answer
from labwright.decide.parse import parse_task
from labwright.domain.errors import Invalid
from labwright.domain.job import Act, ActKind
from labwright.ports.provider import Capacity
from labwright.ports.records import QueryLimits
from labwright.settings import Place

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lab_says_its_version() -> None:
    done = CliRunner().invoke(program(["check", "plan"]), ["--version"])
    assert (done.exit_code, done.output) == (0, f"labwright {version('labwright')}\n")


@pytest.mark.parametrize("name", ["gpus", "gpu", "GPUs", "num_gpus"])
def test_gpus_are_called_accelerators(name: str) -> None:
    with pytest.raises(Invalid, match=r"did you mean `accelerators`\?"):
        parse_task(f"name: t\nrun: x\nresources: {{{name}: 1}}\n".encode(), "t.yaml")
    with pytest.raises(Invalid, match=r"did you mean `resources.accelerators`\?"):
        parse_task(f"name: t\nrun: x\n{name}: 1\n".encode(), "t.yaml")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("memory: 10TB", "resources.memory: 10240 GB (10 TB) asked and laptop has 0.25 GB (256 MB) of memory;"),
        ("memory: 10240", "resources.memory: 10240 GB (10 TB) asked"),
        ("memory: 512MB", "resources.memory: 0.5 GB (512 MB) asked"),
        ("memory: 16GB", "resources.memory: 16 GB asked"),
        ("memory: 1.5", "resources.memory: 1.5 GB asked"),
        ("disk_space: 2TB", "resources.disk_space: 2048 GB (2 TB) asked and laptop has 62.7 GB of disk;"),
        ("cpus: 2.5", "resources.cpus: 2.5 CPUs asked and laptop has 1 CPU;"),
    ],
)
def test_a_size_is_told_in_the_unit_that_it_was_written_in(written: str, said: str) -> None:
    task = parse_task(f"name: t\nrun: x\nresources: {{{written}}}\n".encode(), "t.yaml")
    (sentence,) = refuse(task, Capacity(cpus=1, memory_gb=0.25, disk_gb=62.7), "laptop")
    assert sentence.startswith(said)


STEERING = "a\x1b[31m\x9b31m\x7f\u202e\r\tb\nc"


@pytest.mark.parametrize("format", ["json", "csv"])
def test_an_answer_does_not_steer_a_terminal(format: str) -> None:
    with closing(DuckDbRecords()) as records:
        ask = f"SELECT '{STEERING}' AS x"
        shown, piped = Terminal(), io.StringIO()
        for out in (shown, piped):
            write_answer(records.query(ask, QueryLimits()), format, out, io.StringIO())
    seen = shown.getvalue()
    assert [c for c in seen if not c.isprintable() and c not in "\n\t"] == []
    assert "\x9b" in piped.getvalue(), "a pipe has the bytes as they are"
    if format == "json":
        assert json.loads(seen) == json.loads(piped.getvalue()) == [{"x": STEERING}]
    else:
        assert r"a\x1b[31m\x9b31m\x7f\u202e\r" in seen


def jobs(count: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return " ".join(letters[n // 26] + letters[n % 26] + "a" * 10 for n in range(count))


@pytest.mark.parametrize(("count", "end"), [(10, "ajaaaaaaaaaa\n"), (11, "… and 1 more\n"), (60, "… and 50 more\n")])
def test_of_many_jobs_that_are_stopped_ten_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, count: int, end: str
) -> None:
    answered = Answered(Act("x", ActKind.STOP, "a", "ada", NOW, done=NOW, answer=f"stopping {jobs(count)}"))
    place = Place(str(tmp_path), tmp_path)
    report(place, [answered])
    assert capsys.readouterr().out == f"stopping {jobs(min(count, 10))} {end}".replace("ajaaaaaaaaaa aj", "aj")
    report(place, [answered], as_json=True)
    assert len(json.loads(capsys.readouterr().out)[0]["jobs"]) == count
