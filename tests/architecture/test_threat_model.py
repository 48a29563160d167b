"""docs/threat-model.md names code that is there and tests that are there, for every rule once."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "threat-model.md").read_text()
ROWS = re.findall(r"^\| R(\d+) \| (.+) \| (.+) \| (.+) \|$", TEXT, re.MULTILINE)
RULES = range(1, 45)


@cache
def defined(path: Path) -> frozenset[str]:
    """Names of its functions and classes, at any depth."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return frozenset(node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds))


def quoted(text: str) -> Iterator[tuple[str, str]]:
    """Of each `path`, `path:name` and `path::name`: path and name."""
    for word in re.findall(r"`([^`\s]+\.(?:py|md)(?::{1,2}\w+)?)`", text):
        path, _, name = word.replace("::", ":").partition(":")
        yield path, name


def test_every_rule_is_there_once_in_order() -> None:
    assert [int(row[0]) for row in ROWS] == list(RULES)
    assert len(re.findall(r"^\| R\d", TEXT, re.MULTILINE)) == len(RULES), "a row that is not of four cells"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"R{row[0]}")
def test_code_that_a_rule_names_is_there(row: tuple[str, ...]) -> None:
    found = list(quoted(row[2]))
    assert found, "no code is named"
    for path, name in found:
        file = ROOT / "controller" / "labwright" / path
        assert file.is_file(), path
        assert not name or name in defined(file), f"{path} has no {name}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"R{row[0]}")
def test_tests_that_a_rule_names_are_there(row: tuple[str, ...]) -> None:
    found = list(quoted(row[3]))
    assert found or "ot yet" in row[3], "neither a test nor why there is none"
    for path, name in found:
        assert (ROOT / path).is_file(), path
        assert name.startswith("test_") and name in defined(ROOT / path), f"{path} has no {name}"


def test_a_test_that_names_a_rule_names_one_that_is_there() -> None:
    named = {
        int(number)
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in defined(path)
        for number in re.findall(r"_[rR](\d{1,2})(?=_)", name if name.startswith("test_") else "")
    }
    assert named and named <= set(RULES)
