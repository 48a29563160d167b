"""A job's folder and real processes that record into it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "sdk" / "src"


class Job:
    """A job's folder as a controller would make it."""

    def __init__(self, folder: Path) -> None:
        self.dir, self.cwd = folder / "job", folder
        self.dir.mkdir()

    def configure(self, **parameters: Any) -> None:
        (self.dir / "config.json").write_text(json.dumps({"parameters": parameters, "task": "alpha/train"}))

    def env(self, **more: str) -> dict[str, str]:
        clean = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("LAB_", "SLURM_")) and k not in ("RANK", "WORLD_SIZE")
        }
        return {**clean, "LAB_JOB_DIR": str(self.dir), "PYTHONPATH": str(SOURCE), **more}

    def argv(self, code: str, python: str = sys.executable) -> list[str]:
        return [python, "-W", "error", "-c", code]

    def run(
        self, code: str, python: str = sys.executable, status: int | None = 0, **env: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.argv(code, python), capture_output=True, text=True, env=self.env(**env), cwd=self.cwd
        )
        assert status in (None, done.returncode), (done.returncode, done.stdout, done.stderr)
        return done

    def start(self, code: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(code),
            env=self.env(**env),
            cwd=self.cwd,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def shell(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "lab", *words]
        done = subprocess.run(argv, capture_output=True, text=True, env=self.env(), cwd=self.cwd)
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done

    def events(self, kind: str | None = None, file: str = "events.jsonl") -> list[dict[str, Any]]:
        """Every line must be one whole object: `json.loads` refuses NaN literals here."""
        path = self.dir / file
        lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
        assert lines.pop() == b"", "the last line is unfinished"
        found = [json.loads(line, parse_constant=_refuse) for line in lines]
        return [event for event in found if kind in (None, event["e"])]


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)
