"""What a machine can hold of CONTRIBUTING.md beyond ruff, mypy and import-linter."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median, quantiles

import pytest

ROOT = Path(__file__).parents[2]
CODE = ROOT / "controller" / "labwright"
SDK = ROOT / "sdk" / "src" / "lab"


def files(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_file_is_longer_than_500_lines() -> None:
    assert [f"{path.relative_to(ROOT)}: {lines(path)}" for path in files(CODE, SDK) if lines(path) > 500] == []


def test_most_files_are_short() -> None:
    lengths = [lines(path) for path in files(CODE, SDK)]
    assert median(lengths) <= 120
    assert quantiles(lengths, n=10)[-1] <= 300


def test_no_function_is_longer_than_60_lines() -> None:
    assert [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
        for path in files(CODE, SDK)
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno >= 60
    ] == []


def imports(path: Path) -> Iterator[str]:
    """Top names of absolute imports."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


HOOKS = {"_hf.py": {"transformers"}}
"""Frameworks that an optional hook is made for; the hook is asked for only where the framework is there."""


def test_the_sdk_imports_the_standard_library_alone() -> None:
    allowed = sys.stdlib_module_names | {"lab"}
    assert {
        (path.name, name)
        for path in files(SDK)
        for name in imports(path)
        if name not in allowed and name not in HOOKS.get(path.name, set())
    } == set()


def protocols() -> dict[str, frozenset[str]]:
    """Ports by name, with the names of their methods."""
    return {
        node.name: frozenset(item.name for item in node.body if isinstance(item, ast.FunctionDef))
        for path in files(CODE / "ports")
        for node in tree(path).body
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "Protocol" for base in node.bases)
    }


def adapters() -> Iterator[tuple[str, str]]:
    """(class, port) of every class in adapters/ that has all methods of a port, its own or inherited there."""
    classes = {
        node.name: node
        for path in files(CODE / "adapters")
        for node in tree(path).body
        if isinstance(node, ast.ClassDef)
    }

    def methods(node: ast.ClassDef) -> set[str]:
        own = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
        bases = (classes[name] for base in node.bases if (name := ast.unparse(base)) in classes)
        return own.union(*map(methods, bases))

    for name, node in classes.items():
        for port, asked in protocols().items():
            if asked <= methods(node):
                yield name, port


def test_the_ports_are_found() -> None:
    assert {"Provider", "Ledger", "Lease", "Repo", "Records", "Clock", "ResultsBranch"} <= set(protocols())
    assert {("SqlLedger", "Ledger"), ("FileLease", "Lease"), ("SystemClock", "Clock")} <= set(adapters())


@pytest.mark.parametrize(("name", "port"), sorted(adapters()))
def test_every_adapter_is_held_to_its_ports_contract(name: str, port: str) -> None:
    folders = (ROOT / "tests" / "contract", ROOT / "tests" / "real")
    suites = "\n".join(path.read_text() for folder in folders for path in folder.rglob("test_*.py"))
    assert name in suites, f"{name} satisfies {port}: run the port's suite on it in tests/contract or tests/real"
