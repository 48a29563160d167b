"""What the local templates make of fixed values. `UPDATE_GOLDEN=1 pytest tests/golden` writes the files anew: read the diff."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from labwright.adapters.templates import find
from labwright.decide.render import render

HERE = Path(__file__).parent / "local"
RUN: dict[str, Any] = {
    "scheduler": False,
    "work": "work",
    "ended_dir": "/spool/it's here/ended",
    "grace": 10.0,
    "path": "/usr/bin:/bin",
    "limit": None,
    "notice": None,
    "setup": False,
    "environment": None,
    "artifacts": (),
}
BUILD: dict[str, Any] = {
    "uv": "/opt/uv",
    "folder": "/spool/environments/0123456789abcdef",
    "digest": "0123456789abcdef",
    "python": "3.11",
    "lock_kind": "file",
    "project": "",
    "requirements": "",
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "run-plain.sh": ("local/run.sh.j2", RUN),
    "run-everything.sh": (
        "local/run.sh.j2",
        {
            **RUN,
            "limit": 5400.0,
            "setup": True,
            "environment": "/spool/environments/0123456789abcdef",
            "artifacts": ("*.pt", "out/**/*.json", "$(rm -rf ~)"),
        },
    ),
    "environment-python.sh": ("local/environment.sh.j2", BUILD),
    "environment-requirements.sh": ("local/environment.sh.j2", {**BUILD, "requirements": "re q.txt"}),
    "environment-project.sh": ("local/environment.sh.j2", {**BUILD, "lock_kind": "project", "project": "."}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_template_renders_to_what_was_reviewed(name: str) -> None:
    template, values = CASES[name]
    text = render(find(template), values, name=template)
    if os.environ.get("UPDATE_GOLDEN"):
        HERE.mkdir(exist_ok=True)
        (HERE / name).write_text(text)
    assert text == (HERE / name).read_text()
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
