"""Trivial jobs through us and through other launchers, two at a time: jobs a second, and one job alone.

    python -m benchmarks.launchers [--peers] [--jobs 100] [--rounds 3]

Each launcher runs the same process a job, which writes one result (benchmarks/launcher_timing.py), in a fresh folder and a process of
its own, once before the clock starts. Rounds go through all of them, and before each the running controller has its turn with as
many jobs: a ratio is of two neighbours in time. Figures are medians. Floors start the same processes and keep nothing. `--peers`
installs each peer (benchmarks/launcher_peers.py) under .build/bench-venvs; one that cannot be installed, or
fails, says so in its row. What takes seconds a job gets fewer jobs: it is compared with us at as many.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import structlog

from benchmarks import launcher_peers
from benchmarks.git import ENV, WHO
from benchmarks.launcher_peers import FLOORS, PEERS, open_xargs
from benchmarks.launcher_timing import JOB, Launcher, Times, Tool, answer, command, job
from benchmarks.loop import Lab, until
from benchmarks.query import ask
from benchmarks.sdk_logging import ROOT, environment
from labwright.domain.lifecycle import State
from labwright.wiring import Site

LAB = "name: bench\nproviders: {local: {type: local, cpus: %d}}\n"
TASK = """name: t
resources: {cpus: 1}
sweeps: {sweep_config: {i: [%s]}}
run: |
  %s "$LAB_PARAM_I"
  echo "{\\"t\\": $EPOCHREALTIME, \\"e\\": \\"metric\\", \\"step\\": 1, \\"m\\": {\\"acc\\": 0.5}}" >>"$LAB_JOB_DIR/events.jsonl"
"""
LIMIT = 400  # seconds for all that one launcher does in a round
QUIET = {
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}
HEAD = """| launcher | how | jobs | jobs/s | × our time | one job, s | × our time | says done: jobs/s | one job, s |
|---|---|--:|--:|--:|--:|--:|--:|--:|"""
KEY = """
jobs/s and one job: from the first command to the last result on disk; "says done": until the launcher knows it (ours: COMPLETE in its
ledger, or on the pushed results branch). × our time: what it takes, divided by what the running controller took for as many jobs just
before. Medians of {rounds} rounds; load {low:.1f} to {high:.1f}."""


class Turn(NamedTuple):
    """What one process measured: many jobs, and one alone (median)."""

    many: Times
    alone: Times


class Row(NamedTuple):
    """One launcher at one number of jobs: its turns, those with ours just before, and why others failed."""

    name: str
    tool: Tool
    jobs: int
    turns: list[Turn]
    pairs: list[tuple[Turn, Turn]]
    problems: list[str]


def sweep(lab: Lab, names: list[str]) -> None:
    lab.write("experiments/a/t/task.yaml", TASK % (", ".join(names), " ".join(job())))
    lab.push()


def new_lab(slots: int = 2) -> Lab:
    lab = Lab(Path.cwd())
    lab.write("lab.yaml", LAB % slots)
    lab.push()
    return lab


def open_controller(slots: int = 2, published: bool = False) -> Launcher:
    """A controller that runs: commit and push, until the ledger has them COMPLETE, or the results branch has them, too."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    lab, stack, had = new_lab(slots), ExitStack(), 0
    site = stack.enter_context(lab.serving())
    until(lambda: site.controller.intake.fetched)

    def start(names: list[str]) -> float:
        nonlocal had
        had += len(names)
        sweep(lab, names)
        until(lambda: _complete(site, had), 300)
        if published:
            until(lambda: not site.world.book.unpublished)
            ended = time.time()  # noqa: TID251  # a stopwatch
            assert ask(site.world.records, "SELECT job FROM final_metrics WHERE name = 'acc' AND last = 0.5") == had
            return ended
        ends = [each.updated for each in site.world.book.ledger.jobs() if each.updated]
        return max(ends).timestamp()

    return Launcher(start, stack.close)


def _complete(site: Site, jobs: int) -> bool:
    """Looked at rarely, so that looking costs the controller nothing."""
    time.sleep(0.02)
    return not site.world.book.live and len(site.world.book.ledger.jobs(states=[State.COMPLETE])) == jobs


def open_once() -> Launcher:
    """No controller runs: commit, push, and `lab serve --once`, which ends when all is published."""
    lab = new_lab()
    serve = [str(Path(sys.executable).with_name("lab")), "serve", "--once", "--quiet", "--repo", str(lab.remote)]
    command(*serve)

    def start(names: list[str]) -> None:
        sweep(lab, names)
        command(*serve)

    return Launcher(start)


def open_git() -> Launcher:
    """What any launcher must cost that is started by a push."""
    lab, xargs = new_lab(), open_xargs()

    def start(names: list[str]) -> None:
        sweep(lab, names)
        xargs.start(names)

    return Launcher(start)


RUNNING = "labwright"
OURS = {
    RUNNING: Tool(open_controller, "`git push`, controller running"),
    "labwright, results pushed": Tool(
        partial(open_controller, published=True), "the same, until on the results branch"
    ),
    "labwright, 16 at a time": Tool(partial(open_controller, slots=16), "the same with `cpus: 16`, on the same cores"),
    "labwright, cold": Tool(open_once, "`git push`, `lab serve --once`"),
    "git push, xargs -P2": Tool(open_git, "floor of what a push starts", program="git"),
}


def run(peers: bool = False, jobs: int = 100, rounds: int = 3) -> str:
    """The table in Markdown."""
    rest = {name: tool for name, tool in (FLOORS | OURS | (PEERS if peers else {})).items() if name != RUNNING}
    rows = [Row(name, tool, min(jobs, tool.most), [], [], []) for name, tool in rest.items()]
    counts = sorted({row.jobs for row in rows}, reverse=True)
    beside = {many: Row(RUNNING, OURS[RUNNING], many, [], [], []) for many in counts}
    pythons = {row.name: installed(row) for row in [*beside.values(), *rows]}
    loads = [os.getloadavg()[0]]
    for number in range(rounds):
        for row in filter(lambda row: pythons[row.name], rows):
            ours, its = measure(beside[row.jobs], sys.executable), measure(row, pythons[row.name])
            row.pairs.extend([(its, ours)] if its and ours else [])
            loads.append(os.getloadavg()[0])
            told = [f"{row.jobs / it.many[0]:.3g}/s {it.alone[0]:.3f} s" if it else "failed" for it in (its, ours)]
            sys.stderr.write(f"  round {number + 1}: {row.name} {told[0]}, ours {told[1]}, load {loads[-1]:.1f}\n")
    key = KEY.format(rounds=rounds, low=min(loads), high=max(loads))
    return "\n".join([HEAD, *(line(row, pythons[row.name]) for row in [*beside.values(), *rows]), key])


def installed(row: Row) -> str:
    """The Python that runs it, or "" and a problem in the row."""
    if row.tool.program and not shutil.which(row.tool.program):
        row.problems.append("not on this machine")
        return ""
    try:
        return environment(row.name, row.tool.packages) if row.tool.packages else sys.executable
    except (subprocess.SubprocessError, OSError) as problem:
        row.problems.append(f"not installed: {getattr(problem, 'stderr', '') or problem}")
        return ""


def measure(row: Row, python: str) -> Turn | None:
    """One turn, in a process and a folder that are gone afterwards; None, and a problem in the row, if it failed."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        (folder / "job.sh").write_text(JOB)
        for each in ("out", "work", "home"):
            (folder / each).mkdir()
        with suppress(subprocess.TimeoutExpired):
            session(python, row, folder)
        if not (folder / "answer.json").exists():
            said = (folder / "log").read_text().strip().splitlines()
            row.problems.append(f"failed: {said[-1] if said else f'no answer in {LIMIT} s'}")
            return None
        found = json.loads((folder / "answer.json").read_text())
    row.turns.append(Turn(found["many"], middle(found["alone"])))
    return row.turns[-1]


def session(python: str, row: Row, folder: Path) -> None:
    """Its own session, so that all of it can be ended; its log in a file, which a daemon that stays does not hold open."""
    module = "benchmarks.launchers" if row.name in OURS else launcher_peers.__name__
    argv = [python, "-m", module, *(["--worker"] if row.name in OURS else []), row.name, "--jobs", str(row.jobs)]
    clean = {key: value for key, value in ENV.items() if not key.startswith("LAB") and key != "VIRTUAL_ENV"}
    own = {"HOME": str(folder / "home"), "PATH": f"{Path(python).parent}:{clean['PATH']}", "PYTHONPATH": str(ROOT)}
    env = {**clean, **WHO, **QUIET, **own, "LC_ALL": "C.UTF-8"}
    with (folder / "log").open("w") as log:
        started = subprocess.Popen(
            argv, cwd=folder / "work", env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        started.wait(LIMIT)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def line(row: Row, python: str) -> str:
    """One line of the table."""
    name = f"{row.name} {versioned(row.tool, python)}".strip()
    if not row.turns:
        return f"| {name} | {row.tool.how} | {row.jobs} | {tidy(row.problems[-1])} |" + " |" * 5
    failed = f" ({len(row.problems)} of {len(row.problems) + len(row.turns)} turns failed)" if row.problems else ""
    many, alone = middle([turn.many for turn in row.turns]), middle([turn.alone for turn in row.turns])
    rates = [f"{row.jobs / seconds:.3g}" for seconds in many]
    ratios = ["1", "1"] if row.name == RUNNING else ["", ""]
    if row.pairs:
        slower = [statistics.median(its[at][0] / ours[at][0] for its, ours in row.pairs) for at in (0, 1)]
        ratios = [f"{each:.0f}" if each >= 10 else f"{each:.2g}" for each in slower]
    cells = [name, row.tool.how + failed, str(row.jobs), rates[0], ratios[0], f"{alone[0]:.3f}", ratios[1]]
    return f"| {' | '.join([*cells, rates[1], f'{alone[1]:.3f}'])} |"


def middle(times: list[Times]) -> Times:
    return statistics.median(each[0] for each in times), statistics.median(each[1] for each in times)


def tidy(problem: str) -> str:
    return " ".join(problem.replace("|", "/").split())[:120]


def versioned(tool: Tool, python: str) -> str:
    """Of the first package in that Python, of the program, or ours."""
    if tool.program:
        with suppress(OSError):
            said = subprocess.run([tool.program, "--version"], capture_output=True, text=True).stdout
            return next((found[0] for found in re.finditer(r"\d+(\.\d+)+", said)), "")
        return ""
    if not tool.packages:
        return version("labwright")
    if not python:
        return ""
    code = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))"
    argv = [python, "-c", code, tool.packages[0].split("[")[0]]
    return subprocess.run(argv, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """The command line; `--worker` is for the processes that this one starts."""
    parser = argparse.ArgumentParser(description="Trivial jobs through us and other launchers.")
    parser.add_argument("--peers", action="store_true", help="also install and time other launchers")
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        answer(OURS[options.worker], options.jobs)
    else:
        print(run(options.peers, options.jobs, options.rounds))


if __name__ == "__main__":
    main()
