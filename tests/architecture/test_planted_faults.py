"""Faults that would cost a researcher a result, planted in a copy of the product: the tests that guard against them turn red."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECRET = ("a leaked secret", "controller/labwright/adapters/providers/local/variables.py",
          "return secrets.to_shell(text)", "return secrets.substitute(text, values)",
          "tests/contract/test_provider_local.py -k a_secret_reaches_the_job_and_no_file_log_or_argv")  # fmt: skip
LOST = ("a lost point", "controller/labwright/decide/read_events.py",
        "read.points += _points(", "read.points += _points(event, job, attempt, rank, at)[1:] or _points(",
        "tests/unit/test_read_events.py")  # fmt: skip
DOUBLED = ("a doubled launch", "templates/local/run.sh.j2",
           "set -o noclobber", "set +o noclobber",
           "tests/contract/test_local_claim.py")  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for part in ("controller", "sdk", "templates", "tests", "schemas", "docs", "example-lab-repo"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def check(copy: Path, tests: str) -> int:
    env = {**os.environ, "PYTHONPATH": f"{copy}/controller{os.pathsep}{copy}/sdk/src"}
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:randomly", *tests.split(" ")]
    return subprocess.run(argv, cwd=copy, env=env, capture_output=True, check=False, timeout=280).returncode


@pytest.mark.parametrize(
    ("what", "file", "right", "wrong", "tests"), [SECRET, LOST, DOUBLED], ids=lambda v: str(v)[:20]
)
def test_a_planted_fault_turns_its_tests_red(
    copy: Path, what: str, file: str, right: str, wrong: str, tests: str
) -> None:
    path = copy / file
    text = path.read_text()
    assert right in text, f"{file} has changed: plant {what} anew"
    path.write_text(text.replace(right, wrong))
    assert check(copy, tests) == 1, f"{what} went unnoticed"
    path.write_text(text)
    assert check(copy, tests) == 0, "the same tests are green without it"
