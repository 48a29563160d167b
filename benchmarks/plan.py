"""A lab of 10,000 tasks: reconcile, plan, restart, memory, and one bad file among them.

    python -m benchmarks.plan [--tasks 10000]

Each line is one process's controller driven turn by turn; the floor of a plan is reading the same files and parsing them as YAML only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import structlog
import yaml

from benchmarks.git import ENV, clocked, git
from labwright.control.world import Options
from labwright.settings import place_of
from labwright.wiring import Site, open_site

TASK = "name: t{n}\nresources: {{cpus: 1}}\nenvs: {{LR: '0.{n}'}}\nparameters:\n  lr: 1e-3\n  epochs: 10\nrun: |\n  python train.py --lr $LR\n"
Row = tuple[str, str, str, str]


def make_lab(path: Path, tasks: int) -> None:
    git(path.parent, "init", "-q", "-b", "main", str(path))
    lines = ["commit refs/heads/main\ncommitter b <b@b> 1700000000 +0000\ndata 1\nc\n"]
    for n in range(tasks):
        for name, text in (("task.yaml", TASK.format(n=n)), ("train.py", f"print({n})\n")):
            lines.append(f"M 100644 inline experiments/e{n % 200}/t{n}/{name}\ndata {len(text)}\n{text}\n")
    git(path, "fast-import", "--quiet", stdin="".join(lines).encode())
    git(path, "reset", "-q", "--hard")


def change(lab: Path, task: int, text: str, file: str = "train.py") -> None:
    (lab / f"experiments/e{task % 200}/t{task}/{file}").write_text(text)
    git(lab, "commit", "-q", "-a", "-m", "c")


def look(site: Site) -> None:
    """Fetch and plan until the tip is planned."""
    controller = site.controller
    controller.world.pushed.set()
    while True:
        controller.turn()
        if controller.intake.fetched and not controller.intake.dirty and not controller.world.calls.busy("fetch"):
            return
        controller.world.wake.wait(0.5)
        controller.world.wake.clear()


def best(act: Callable[[], object], before: Callable[[int], object] = lambda _: None, times: int = 5) -> float:
    taken = []
    for number in range(times):
        before(number)
        taken.append(clocked(act))
    return sorted(taken)[times // 2]


def megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def parse_only(lab: Path, tasks: int) -> float:
    """The floor: every task.yaml out of git by one `cat-file --batch`, parsed by the C loader."""

    def act() -> None:
        names = b"".join(b"main:experiments/e%d/t%d/task.yaml\n" % (n % 200, n) for n in range(tasks))
        argv = ["git", "-C", str(lab), "cat-file", "--batch"]
        out = subprocess.run(argv, input=names, capture_output=True, check=True, env=ENV).stdout
        at = 0
        while at < len(out):
            end = out.index(b"\n", at)
            size = int(out[at:end].split()[2])
            yaml.load(out[end + 1 : end + 1 + size], Loader=yaml.CSafeLoader)  # noqa: TID251  # the floor is PyYAML
            at = end + size + 2

    return clocked(act)


def first_life(lab: Path, tasks: int) -> None:
    floor = parse_only(lab, tasks)
    site = open_site(place_of(str(lab)), Options())
    first = clocked(lambda: look(site))
    nothing = best(lambda: look(site))
    one = best(lambda: look(site), lambda n: change(lab, n, f"print('{n} {time.perf_counter()}')\n"))
    change(lab, 77, "name: [\n", "task.yaml")
    change(lab, 78, f"print({time.perf_counter()})\n")
    bad = clocked(lambda: look(site))
    launched = any(job.task == "e78/t78" for job in site.world.book.ledger.jobs())
    memory = megabytes()
    site.world.book.amend(list(site.world.book.live.values()), stop_asked="the benchmark is over")
    site.controller.run(once=True)
    site.close()
    emit(
        f"first plan of {tasks:,} tasks ever",
        f"{first / 1e3:.1f} s",
        f"{floor / 1e3:.2f} s (read and parse only)",
        f"{first / floor:.1f}",
    )
    emit("reconcile, nothing changed", f"{nothing:.1f} ms")
    emit("plan of a change in one task, p50 of 5", f"{one:.0f} ms")
    emit("a bad file and a good change: planned, the good one launched", f"{bad:.0f} ms, {'yes' if launched else 'NO'}")
    emit("memory of the controller", f"{memory:.0f} MiB")


def second_life(lab: Path) -> None:
    def restart() -> Site:
        site = open_site(place_of(str(lab)), Options())
        look(site)
        return site

    made: list[Site] = []
    took = clocked(lambda: made.append(restart()))
    emit("after a restart: open and reconcile", f"{took:.0f} ms")
    made[0].close()


def emit(what: str, ours: str, floor: str = "", times: str = "") -> None:
    sys.stdout.write(f"| {what} | {ours} | {floor} | {times} |\n")


def run(tasks: int = 10_000) -> str:
    """Each life in a process of its own, as a real one would be."""
    with tempfile.TemporaryDirectory() as folder:
        lab = Path(folder, "lab")
        make_lab(lab, tasks)
        env = {**os.environ, "LABWRIGHT_STATE": str(Path(folder, "state"))}
        head = "| what | ours | floor | times the floor |\n|---|---|---|---|\n"
        for life in ("first", "second"):
            argv = [sys.executable, "-m", "benchmarks.plan", "--life", life, "--lab", str(lab), "--tasks", str(tasks)]
            head += subprocess.run(argv, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
        return head.rstrip()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--life")
    parser.add_argument("--lab", type=Path)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    if options.life == "first":
        first_life(options.lab, options.tasks)
    elif options.life == "second":
        second_life(options.lab)
    else:
        print(run(options.tasks))


if __name__ == "__main__":
    main()
