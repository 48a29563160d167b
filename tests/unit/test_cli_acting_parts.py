"""Values, names, exit statuses and texts of the commands that act."""

import io
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from labwright.cli import completion
from labwright.cli.asking import Answered
from labwright.cli.following import exit_status
from labwright.cli.logging import configure
from labwright.cli.retry import newest
from labwright.cli.targets import parameters
from labwright.cli.terminal import clean, clean_lines
from labwright.decide.parse import parse_task
from labwright.domain.errors import Refused
from labwright.domain.job import Act, ActKind
from labwright.domain.lifecycle import State

TASK = parse_task(
    b"""
name: t
run: x
parameters:
  lr: {type: float, default: 0.1, min: 0, max: 1}
  steps: {type: int, default: 1}
  name: {type: string, default: a}
  fast: {type: bool, default: false}
  size: {type: enum, options: ["1", big], default: big}
  free: 7
sweeps: {sweep_config: {depth: [1, 2]}}
""",
    "experiments/a/t/task.yaml",
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("lr=1e-4", 1e-4),
        ("lr=1", 1.0),
        ("steps=1e3", 1000),
        ("name=5", "5"),
        ("name=", ""),
        ("name=a=b", "a=b"),
        ("fast=true", True),
        ("fast=yes", True),
        ("size=1", "1"),
        ("free='7'", "7"),
        ("free=no", "no"),
        ("free=null", None),
        ("depth=3", 3),
    ],
)
def test_a_parameter_is_a_yaml_scalar_of_the_declared_type(text: str, value: object) -> None:
    found = parameters(TASK, [text])[text.partition("=")[0]]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lr=2", "lr must be at most 1"),
        ("lr=x", "lr must be a number"),
        ("lr=.inf", "lr must be"),
        ("steps=1.5", "steps must be a whole number"),
        ("size=small", "size must be one of 1, big"),
        ("stepz=1", "did you mean steps?"),
        ("lr", "name=value"),
        ("=1", "name=value"),
    ],
)
def test_a_value_that_the_task_does_not_take_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(Refused) as told:
        parameters(TASK, [text])
    assert words in str(told.value)


@given(st.text())
def test_nothing_that_steers_a_terminal_gets_through(text: str) -> None:
    assert clean(text).isprintable()
    assert all(line.isprintable() for line in clean_lines(text).split("\n"))


def test_clean_text_stays_readable() -> None:
    assert clean("a\x1b[31mred\x1b[0m\x1b]0;title\x07 \u202eb\nc") == "ared b c"
    assert clean_lines("10%\r50%\r100%\nnext\tx\r\n") == "100%\nnext    x\n"


def _job(state: State, name: str = "a") -> Any:
    return SimpleNamespace(id=name, state=state)


@pytest.mark.parametrize(
    ("states", "code", "status"),
    [
        ([], None, 0),
        ([State.COMPLETE], 0, 0),
        ([State.FAILED], 7, 7),
        ([State.FAILED], 0, 1),
        ([State.FAILED], None, 1),
        ([State.STOPPED], 143, 5),
        ([State.COMPLETE, State.STOPPED], None, 5),
        ([State.STOPPED, State.FAILED], 3, 3),
        ([State.HELD], None, 1),
    ],
)
def test_the_exit_status_is_the_jobs_outcome(states: list[State], code: int | None, status: int) -> None:
    jobs = [_job(state, str(n)) for n, state in enumerate(states)]
    assert exit_status(jobs, {job.id: SimpleNamespace(exit_code=code) for job in jobs}) == status  # type: ignore[misc]


def test_jobs_are_read_out_of_an_answer() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    act = Act(
        "cli:1",
        ActKind.RUN,
        "elevenletter/x",
        "me",
        at,
        {},
        at,
        "launched abcdefghijkl bcdefghijklm; reused cdefghijklmn",
    )
    assert Answered(act).jobs == ["abcdefghijkl", "bcdefghijklm", "cdefghijklmn"]
    assert Answered(Act("cli:2", ActKind.RUN, "x", "me", at, {}, at, "refused: abcdefghijkl is RUNNING")).jobs == []


def test_of_each_content_the_newest_job_is_retried() -> None:
    jobs = [SimpleNamespace(work=w, generation=g, id=f"{w}{g}") for w, g in (("x", 1), ("x", 0), ("y", 0))]
    assert [job.id for job in newest(jobs)] == ["x1", "y0"]  # type: ignore[arg-type]


@pytest.fixture
def _structlog() -> Any:
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_structlog")
@pytest.mark.parametrize("format", ["human", "json", "auto"])
def test_what_a_commit_names_cannot_steer_the_log(format: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    configure(format)
    structlog.get_logger("labwright").info("planned", task="\x1b[31mred\nnext", n=1)
    text = out.getvalue()
    assert "\x1b" not in text
    assert text.count("\n") == 1
    if format != "human":
        assert json.loads(text)["n"] == 1


@pytest.mark.usefixtures("_structlog")
def test_quiet_lets_warnings_through(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    configure("json", quiet=True)
    log = structlog.get_logger("labwright").bind(branch="main")
    log.info("planned")
    log.warning("refused")
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["refused"]


def test_completion_is_silent_where_there_is_nothing(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABWRIGHT_STATE", str(tmp_path))
    assert (
        completion.tasks("") == completion.jobs("") == completion.providers("") == completion.tasks_and_jobs("a") == []
    )
