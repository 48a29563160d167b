"""The trivial job that every launcher runs, and how a launcher is timed. Imported by the peers' own Pythons: standard library only.

A launcher is a function that is given names of jobs and returns when it knows that all are done. Every job is the same process, `bash
job.sh NAME`, in every launcher; it writes one metric and the time of its writing to out/NAME.json. Two moments count: the last
result is there, and the launcher says so. In a measurement the working folder is work/, beside job.sh and out/.
"""

from __future__ import annotations

import importlib
import json
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

JOB = 'echo "{\\"acc\\": 0.5, \\"t\\": $EPOCHREALTIME}" >"$(dirname "$0")/out/$1.json"\n'
ALONE = 3
Start = Callable[[list[str]], Any]  # gives back when (epoch) all were done, if it knows better than by returning
Times = tuple[float, float]  # seconds from the first command to the last result, and until the launcher says so


class Launcher(NamedTuple):
    start: Start
    close: Callable[[], object] = lambda: None


class Tool(NamedTuple):
    """How it is opened, and used; what to install; the program of the system that it is; jobs at most, for a turn of < 60 s."""

    open: Callable[[], Launcher]
    how: str
    packages: tuple[str, ...] = ()
    program: str = ""
    most: int = 1 << 40


def top() -> Path:
    return Path.cwd().parent


def job(*name: str) -> list[str]:
    return ["bash", str(top() / "job.sh"), *name]


def shell(name: str) -> str:
    return shlex.join(job(name))


def run_job(name: str) -> None:
    subprocess.run(job(name), check=True)


def command(*words: str, stdin: str = "") -> str:
    """What it prints. Raises RuntimeError with the end of its complaint."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{words[0]} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def load(module: str) -> Any:
    """A peer's module: only the peer's own Python has it."""
    return importlib.import_module(module)


def timed(start: Start, names: list[str]) -> Times:
    """Raises FileNotFoundError if a job has left no result."""
    begun = time.time()  # noqa: TID251  # a stopwatch, compared with the jobs' own clock
    said = start(names)
    done = said if isinstance(said, float) else time.time()  # noqa: TID251  # a stopwatch
    written = max(json.loads((top() / f"out/{name}.json").read_text())["t"] for name in names)
    return written - begun, done - begun


def answer(tool: Tool, jobs: int) -> None:
    """Measures and writes ../answer.json: `many` of `jobs` jobs and `alone`, some of one. What closing does cannot spoil it."""
    launcher = tool.open()
    timed(launcher.start, ["warm"])
    many = timed(launcher.start, [f"j{number}" for number in range(jobs)])
    alone = [timed(launcher.start, [f"s{number}"]) for number in range(ALONE)]
    (top() / "answer.json").write_text(json.dumps({"many": many, "alone": alone}))
    launcher.close()
