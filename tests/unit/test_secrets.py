"""Secrets: where their values come from, what is said when they do not come, and what is taken out of what jobs say."""

import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import structlog

from labwright.control.masks import MaskedLog, Masks, mask
from labwright.control.secrets import resolve
from labwright.domain.errors import Refused
from labwright.domain.lab import SecretSource
from labwright.domain.lifecycle import State
from labwright.domain.pull_page import JobLine

PYTHON = sys.executable


def source(**how: object) -> dict[str, SecretSource]:
    return {"TOKEN": SecretSource(**how)}  # type: ignore[arg-type]


def test_a_value_comes_from_a_variable_a_file_or_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "one")
    (tmp_path / "token").write_text("two\n")
    assert resolve(["TOKEN"], source(env="HERE")) == {"TOKEN": "one"}
    assert resolve(["TOKEN"], source(file=str(tmp_path / "token"))) == {"TOKEN": "two"}
    assert resolve(["TOKEN"], source(command=[PYTHON, "-c", "print('three')"])) == {"TOKEN": "three"}
    assert resolve([], {}) == {}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"env": "LAB_TEST_NOT_SET"}, "secret TOKEN: the controller's environment has no variable LAB_TEST_NOT_SET"),
        ({"file": "/nowhere/token"}, "secret TOKEN: /nowhere/token cannot be read: FileNotFoundError"),
        ({"command": ["/nowhere/program"]}, "secret TOKEN: `/nowhere/program` failed: FileNotFoundError"),
        ({"command": [PYTHON, "-c", "print('half'); raise SystemExit(3)"]}, "ended with exit code 3"),
    ],
)
def test_what_cannot_be_had_is_said_by_name_and_without_a_value(how: dict[str, object], words: str) -> None:
    with pytest.raises(Refused) as met:
        resolve(["TOKEN"], source(**how))
    assert words in str(met.value)
    assert "half" not in str(met.value)
    assert met.value.__cause__ is None


def test_a_secret_that_lab_yaml_does_not_have_is_refused_with_what_to_write() -> None:
    with pytest.raises(Refused, match=r"secret TOKEN is not in lab\.yaml") as met:
        resolve(["TOKEN"], {})
    assert met.value.hint == "add `secrets: {TOKEN: {env: TOKEN}}`"


def test_a_program_is_asked_once_for_the_masks(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    script = f"open({str(asked)!r}, 'a').write('x'); print('s3cret')"
    masks, sources = Masks(), source(command=[PYTHON, "-c", script])
    for _ in range(3):
        assert masks.of(["TOKEN"], sources) == [b"s3cret"]
    assert asked.read_text() == "x"


def test_every_value_that_was_handed_out_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = Masks()
    for value in ("old-value", "newer-value"):
        monkeypatch.setenv("HERE", value)
        masks.resolve(["TOKEN"], source(env="HERE"))
    monkeypatch.delenv("HERE")
    assert masks.of(["TOKEN"], source(env="HERE")) == [b"newer-value", b"old-value"]


def test_a_value_is_masked_as_json_spells_it_and_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", 'first "line"\nsecond-é')
    found = Masks().of(["TOKEN"], source(env="HERE"))
    for spelling in (rb"first \"line\"", b'first "line"', "second-é".encode(), rb"second-\u00e9", rb"\"line\"\nsecond"):
        assert any(spelling in value for value in found), spelling
    assert found == sorted(found, key=len, reverse=True)


@pytest.mark.parametrize("value", ["it's $(x) a", "a&b <c>", "p/q+r=", "t\tab\\s", "é über"])
def test_a_value_is_found_as_shells_urls_and_pythons_errors_write_it(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERE", value)
    masks = Masks()
    values = masks.of(["TOKEN"], source(env="HERE"))
    spelled = [
        value,
        repr(value)[1:-1],
        repr(value.encode())[2:-1],
        shlex.quote(value),
        subprocess.run(["bash", "-xc", ': "$HERE"'], capture_output=True, text=True, check=True).stderr[4:-1],
        quote(value, safe=""),
        quote_plus(value),
    ]
    for text in spelled:
        assert set(mask(text.encode(), values).decode()) <= set("*'$"), text
        assert set(masks.clean(f"{text}{text}")) <= set("*'$"), text


def test_an_error_is_told_without_the_values_that_it_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "hunter22")
    masks, told = Masks(), list[dict[str, object]]()

    def keep(logger: object, method: str, event: dict[str, object]) -> dict[str, object]:
        told.append(event)
        raise structlog.DropEvent

    log = MaskedLog(structlog.wrap_logger(None, processors=[keep]), masks)
    masks.resolve(["TOKEN"], source(env="HERE"))
    try:
        try:
            raise OSError("the line with hunter22 broke")
        except OSError as error:
            raise ValueError("no") from error
    except ValueError as error:
        log.bind(job="hunter22").error("hunter22 failed", error=repr(error), exc_info=error, more=[{"hunter22": 1}])
    assert "hunter22" not in repr(told)
    assert "the line with ******** broke" in str(told[0]["exception"])
    plain = KeyError("x")
    log.error("failed", exc_info=plain)
    assert told[1]["exc_info"] is plain


def test_texts_in_values_of_any_shape_are_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "hunter22")
    masks = Masks()
    masks.resolve(["TOKEN"], source(env="HERE"))
    page = JobLine("j", "t", 0, State.FAILED, "hunter22", {"hunter22": ["hunter22", 1]}, log_tail="a hunter22\n")
    found = masks.cleaned((page, None, b"x"))
    assert "hunter22" not in repr(found)
    assert (found[0].state, found[0].trial, found[1:]) == (State.FAILED, 0, (None, b"x"))


def test_values_that_are_everywhere_are_not_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "abc")
    assert Masks().of(["TOKEN"], source(env="HERE")) == []


def test_what_is_masked_is_as_long_as_it_was() -> None:
    assert mask(b"a hunter22 and hunter", [b"hunter22", b"hunter"]) == b"a ******** and ******"
