"""The whole loop on real processes: push → first instruction, jobs a second, one job's latency, an idle controller.

    python -m benchmarks.loop [--pushes 30] [--jobs 300]

Floors, measured in turn with ours: `git fetch` of one commit into a mirror, `git diff-tree`, one blob and the fork/exec of a shell,
one git process a step; and bare fork/exec of the same shell command by two threads.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import structlog

from benchmarks.git import ENV, bare, clocked, git
from labwright.control.world import Options
from labwright.domain.lifecycle import State
from labwright.settings import place_of
from labwright.wiring import Site, open_site

LAB = "name: bench\nproviders: {local: {type: local, cpus: 16}}\npolicy: {limits: {jobs_per_commit: 100000}}\n"
STAMP = 'echo "$EPOCHREALTIME" >"%s"'
Row = tuple[str, str, str, str]


class Lab:
    """A bare repository, a clone that pushes to it, and a controller of it in a thread of this process."""

    def __init__(self, top: Path) -> None:
        self.top, self.remote, self.clone = top, bare(top / "remote.git"), top / "clone"
        git(top, "clone", "-q", str(self.remote), str(self.clone))
        git(self.clone, "checkout", "-q", "-b", "main")
        self.write("lab.yaml", LAB)
        self.push()

    def write(self, path: str, text: str) -> None:
        (self.clone / path).parent.mkdir(parents=True, exist_ok=True)
        (self.clone / path).write_text(text)

    def commit(self) -> None:
        git(self.clone, "add", "-A")
        git(self.clone, "commit", "-q", "-m", "c")

    def push(self) -> float:
        """Commits and pushes; the time (epoch) when `git push` returned."""
        self.commit()
        git(self.clone, "push", "-q", "origin", "main")
        return time.time()  # noqa: TID251  # a stopwatch

    @contextmanager
    def serving(self) -> Iterator[Site]:
        os.environ["LABWRIGHT_STATE"] = str(self.top / "state")
        site = open_site(place_of(str(self.remote)), Options())
        thread = threading.Thread(target=site.controller.run)
        thread.start()
        try:
            yield site
        finally:
            site.controller.stop()
            thread.join()
            site.close()


def until(what: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise TimeoutError("the benchmark waited in vain")
        time.sleep(0.0005)


def median(values: list[float]) -> float:
    return statistics.median(values)


def push_to_start(pushes: int) -> list[Row]:
    """Milliseconds from the return of `git push` to the job's first instruction, and the same work done bare."""
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder))
        mirror, out = lab.top / "floor.git", lab.top / "out"
        git(lab.top, "clone", "-q", "--mirror", str(lab.remote), str(mirror))
        ours: list[float] = []
        floor: list[float] = []
        latency: list[float] = []
        with lab.serving() as site:
            until(lambda: site.controller.intake.fetched)
            for number in range(pushes):
                out.unlink(missing_ok=True)
                lab.write("experiments/a/t/task.yaml", f"name: t\nenvs: {{N: '{number}'}}\nrun: |\n  {STAMP % out}\n")
                pushed = lab.push()
                until(lambda: out.exists() and out.read_text().strip())
                ours.append(1e3 * (float(out.read_text()) - pushed))
                ended = site.world.book.ledger
                until(lambda: len(ended.jobs(states=[State.COMPLETE])) > number)  # noqa: B023  # memory is ahead of the ledger
                latency.append(_latency(site))
                floor.append(clocked(lambda: _bare(mirror, out)))
                time.sleep(0.3)
    low = f"{median(floor):.0f} ms (fetch + diff + blob + exec)"
    times = f"{median(ours) / median(floor):.2f}"
    return [
        ("git push returned → first instruction, p50", f"{median(ours):.0f} ms", low, times),
        ("the same, p95", f"{sorted(ours)[int(0.95 * len(ours))]:.0f} ms", "", ""),
        ("one trivial job, planned → COMPLETE, p50", f"{median(latency):.0f} ms", "", ""),
    ]


def _latency(site: Site) -> float:
    """Of the newest job, from its row in the ledger to its final state there."""
    newest = max(site.world.book.ledger.jobs(states=[State.COMPLETE]), key=lambda job: job.created)
    return 1e3 * ((newest.updated or newest.created) - newest.created).total_seconds()


def _bare(mirror: Path, out: Path) -> None:
    git(mirror, "fetch", "-q", "origin", "+refs/heads/*:refs/heads/*")
    git(mirror, "diff-tree", "-r", "--name-only", "main~1", "main")
    git(mirror, "cat-file", "blob", "main:experiments/a/t/task.yaml")
    subprocess.run(["bash", "-c", STAMP % out], check=True, env=ENV)


def throughput(jobs: int) -> list[Row]:
    """Trivial jobs a second through everything: planned, launched, observed, recorded, published."""
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder))
        points = ", ".join(map(str, range(jobs)))
        with lab.serving() as site:
            until(lambda: site.controller.intake.fetched)
            lab.write(
                "experiments/a/t/task.yaml", f"name: t\nsweeps: {{sweep_config: {{i: [{points}]}}}}\nrun: 'true'\n"
            )
            pushed = lab.push()
            ended = Path(folder, "state")
            until(
                lambda: len(site.world.book.ledger.jobs(states=[State.COMPLETE])) == jobs if _quiet(site) else False,
                300,
            )
            took = max(job.updated for job in site.world.book.ledger.jobs() if job.updated).timestamp() - pushed
            until(lambda: not site.world.book.unpublished, 60)
            published = time.time() - pushed  # noqa: TID251  # a stopwatch
            assert ended.exists()
    began = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: subprocess.run(["bash", "-c", "true"], check=True), range(jobs)))
    floor = jobs / (time.perf_counter() - began)
    return [
        (
            f"{jobs} trivial jobs, pushed → all COMPLETE",
            f"{jobs / took:.0f}/s",
            f"{floor:.0f}/s (bare fork/exec)",
            f"{floor * took / jobs:.1f}",
        ),
        ("the same, pushed → all on the results branch", f"{jobs / published:.0f}/s", "", ""),
    ]


def _quiet(site: Site) -> bool:
    """Nothing live any more; looked at rarely, so that looking costs the controller nothing."""
    time.sleep(0.02)
    return bool(site.controller.intake.tips) and not site.world.book.live


def idle(seconds: float = 20.0) -> list[Row]:
    """CPU of a controller that has nothing to do, in percent of one core."""
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder))
        with lab.serving() as site:
            until(lambda: site.controller.intake.fetched)
            time.sleep(3)
            before = sum(os.times()[:4])
            time.sleep(seconds)
            used = 100 * (sum(os.times()[:4]) - before) / seconds
    return [("idle controller, share of a core", f"{used:.2f} %", "", "")]


def run(pushes: int = 30, jobs: int = 300) -> str:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    rows = [*push_to_start(pushes), *throughput(jobs), *idle()]
    head = "| what | ours | floor | times the floor |\n|---|---|---|---|\n"
    return head + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pushes", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=300)
    options = parser.parse_args()
    print(run(options.pushes, options.jobs))


if __name__ == "__main__":
    main()
