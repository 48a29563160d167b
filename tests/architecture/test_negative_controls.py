"""A check that cannot fail proves nothing: each is shown a violation and must turn red, and green without it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
LINT = [BIN / "lint-imports", "--no-cache"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
Check = Callable[[Sequence[object]], subprocess.CompletedProcess[str]]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for part in ("controller", "sdk"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.fixture
def check(copy: Path) -> Check:
    path = f"{copy}/controller{os.pathsep}{copy}/sdk/src"

    def run(command: Sequence[object]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(part) for part in command], cwd=copy, env={**os.environ, "PYTHONPATH": path},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    return run


def plant(copy: Path, module: str, line: str) -> None:
    path = copy / "controller" / "labwright" / module
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(f"\n{line}\n")


def test_a_type_error_turns_mypy_red(copy: Path, check: Check) -> None:
    target = "controller/labwright/domain/lifecycle.py"
    mypy = [BIN / "mypy", "--cache-dir", copy / "cache", target]
    assert check(mypy).returncode == 0
    plant(copy, "domain/lifecycle.py", 'planted: int = "not a number"')
    done = check(mypy)
    assert done.returncode == 1 and "Incompatible types in assignment" in done.stdout


def test_the_import_contracts_hold_and_are_checked_on_the_copy(copy: Path, check: Check) -> None:
    done = check(LINT)
    assert done.returncode == 0 and "0 broken" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("domain/lifecycle.py", "import subprocess", "Nouns and verbs touch nothing outside"),
        ("decide/reconcile.py", "import time", "Nouns and verbs touch nothing outside"),
        ("domain/lifecycle.py", "import labwright.ports.clock", "Imports go one way"),
        ("ports/clock.py", "import labwright.decide.reconcile", "Imports go one way"),
        ("control/__init__.py", "import labwright.adapters.clock", "Only the wiring knows adapters"),
        ("cli/__init__.py", "import labwright.adapters.clock", "Only the wiring knows adapters"),
        ("adapters/clock.py", "import labwright.adapters.lease", "Adapters do not know each other"),
        ("cli/__init__.py", "import labwright.testing.clock", "Fakes and suites are not used in production"),
        ("control/__init__.py", "import lab", "share a file format and no code"),
    ],
)
def test_a_forbidden_import_turns_the_contracts_red(
    copy: Path, check: Check, module: str, line: str, contract: str
) -> None:
    plant(copy, module, line)
    done = check(LINT)
    broken = [text for text in done.stdout.splitlines() if " BROKEN" in text]
    assert done.returncode == 1 and any(contract in text for text in broken), done.stdout


def test_the_sdk_may_not_know_the_controller(copy: Path, check: Check) -> None:
    with (copy / "sdk" / "src" / "lab" / "__init__.py").open("a") as file:
        file.write("\nimport labwright.domain.ids\n")
    assert "The SDK does not know the controller BROKEN" in check(LINT).stdout
