"""What README shows is run: its task parses, its script logs, its commands do what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from labwright.decide.parse import parse_lab, parse_task
from tests.e2e.git import ENV

TOP = Path(__file__).resolve().parents[2]
README = (TOP / "README.md").read_text()
BIN = Path(sys.executable).parent


def fenced(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_every_link_of_readme_leads_to_a_file() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (TOP / link).exists()] == []


def test_its_task_and_its_lab_are_valid() -> None:
    task, forge, lab = fenced("yaml")
    assert parse_task(task.encode(), "experiments/alpha/train/task.yaml").sweeps is not None
    assert parse_lab(forge.encode(), "lab.yaml").watch.pull_requests
    assert parse_lab(lab.encode(), "lab.yaml").providers


def test_its_script_records_what_it_says(tmp_path: Path) -> None:
    (script,) = fenced("python")
    env = {**os.environ, "LAB_JOB_DIR": str(tmp_path), "PYTHONPATH": str(TOP / "sdk/src")}
    subprocess.run([sys.executable, "-c", script], env=env, cwd=tmp_path, check=True, capture_output=True)
    events = (tmp_path / "events.jsonl").read_text()
    assert events.count('"e":"metric"') == 100
    assert '"eval/loss"' in events.splitlines()[-1]


@pytest.mark.slow
def test_its_commands_make_a_lab_that_runs(tmp_path: Path) -> None:
    block = next(b for b in re.findall(r"(?:^    .*\n)+", README, re.MULTILINE) if "lab init" in b)
    lines = [line.split("  #")[0].strip() for line in block.splitlines()]
    assert lines[1:] == [
        "lab init demo && cd demo",
        'git add -A && git commit -m "A lab"',
        "lab serve --launch-existing",
    ]
    script = "\n".join(
        [
            *lines[1:3],
            "lab serve --once --launch-existing",
            "lab run alpha/train --wait",
            'lab sql "SELECT task, state FROM jobs"',
        ]
    )
    env = {**ENV, "LABWRIGHT_STATE": str(tmp_path / "state"), "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-euc", script], env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"alpha/train\s+COMPLETE", done.stdout)
    sql = re.search(r'lab sql "(.*?)"', README)
    assert sql
    subprocess.run([str(BIN / "lab"), "sql", sql[1]], env=env, cwd=tmp_path / "demo", check=True, capture_output=True)
