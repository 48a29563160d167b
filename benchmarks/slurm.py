"""A Slurm cluster over SSH: a sweep pushed, unequal jobs submitted, thousands watched, ends recorded.

    python -m benchmarks.slurm [--peers] [--quick]

The cluster is the test-bed of tests/real/slurm: slurmctld, its database, four nodes and sshd are on this machine too, and have to share
its cores with us. Jobs that are only submitted are held, so that nothing runs meanwhile. `--peers`: submitit beside us.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from benchmarks.slurm_bed import HELD, ClusterLab, Row, calls_of, handles, on_cluster, rpcs, wait
from benchmarks.slurm_submission import submission
from labwright.adapters.providers.slurm.handles import parse
from labwright.domain.ids import Handle
from labwright.ports.records import QueryLimits
from labwright.web.client import ask_sql
from labwright.wiring import Site, make_provider
from tests.real.slurm.cluster import CannotRunHere, Cluster

HEAD = "| what | ratio | here | beside it |\n|---|--:|---|---|\n"
SIDE = 100  # a sweep's trials are so many squared
POINTS = 5


def axes(trials: int) -> str:
    side = round(trials**0.5)
    assert side * side == trials
    values = ", ".join(map(str, range(side)))
    return f"{{i: [{values}], j: [{values}]}}"


# a sweep


def sweep(cluster: Cluster, trials: int, sbatch_each: float) -> list[Row]:
    """From the return of `git push` until the ledger has Slurm's id of every trial."""
    with _lab(cluster, HELD) as lab:
        with lab.open() as site:
            provider = site.world.providers["cluster"]
            made, there = Clocked(provider, "submit"), Clocked(provider.people[""].desk, "run")  # type: ignore[attr-defined]
            lab.write("experiments/a/t/task.yaml", f"name: t\nsweeps: {{sweep_config: {axes(trials)}}}\nrun: 'true'\n")
            pushed, cpu = lab.push(), time.process_time()
            wait(lambda: site.world.book.live)
            planned = time.time() - pushed  # noqa: TID251  # a stopwatch
            wait(lambda: handles(site) == trials)
            took = time.time() - pushed  # noqa: TID251  # a stopwatch
            cpu = time.process_time() - cpu
        calls = lab.sbatch_calls()
    loop = f"{trials * sbatch_each:.0f} s ({trials:,} × sbatch in a shell loop)"
    parts = f"{planned:.1f} s until planned, {made.spent - there.spent:.1f} s batches, {there.spent:.1f} s the login node; {cpu:.1f} s CPU"
    return [
        (
            f"{trials:,} trials of a sweep, pushed → Slurm's ids in the ledger",
            f"{trials * sbatch_each / took:.0f} × faster",
            f"{took:.1f} s, {calls} calls of sbatch",
            loop,
        ),
        ("of this", "", parts, ""),
    ]


class Clocked:
    """Seconds spent in a method of one object, by whichever thread."""

    def __init__(self, of: object, name: str) -> None:
        self.spent, self.times = 0.0, 0
        inner = getattr(of, name)

        def timed(*args: Any, **keys: Any) -> Any:
            begun = time.perf_counter()
            try:
                return inner(*args, **keys)
            finally:
                self.spent += time.perf_counter() - begun
                self.times += 1

        setattr(of, name, timed)


@contextmanager
def _lab(cluster: Cluster, more: str = "") -> Iterator[ClusterLab]:
    with tempfile.TemporaryDirectory() as folder:
        lab = ClusterLab(Path(folder), cluster, more)
        try:
            yield lab
        finally:
            lab.close()


# thousands at once


def watch(cluster: Cluster, waiting: int, running: int, seconds: float) -> list[Row]:
    """What a controller with default settings costs slurmctld and itself while nothing changes."""
    with _lab(cluster, HELD) as lab:
        with lab.open() as site:
            task = "name: t\nresources: {{cpus: 1, memory: 0.05}}\nsweeps: {{sweep_config: {{i: [{}]}}}}\nrun: {}\n"
            for name, trials, run in (("waits", waiting, "'true'"), ("runs", running, "sleep 3000")):
                lab.write(f"experiments/a/{name}/task.yaml", task.format(", ".join(map(str, range(trials))), run))
            lab.push()
            wait(lambda: handles(site) == waiting + running)
            release(lab, site)
            wait(lambda: sum(str(job.state) == "RUNNING" for job in list(site.world.book.live.values())) == running)
            time.sleep(15)
            next_call()  # or the ends of the window would count as one call more
            looks, cpu, calls = Clocked(site.world.providers["cluster"], "observe"), own_cpu(), rpcs()
            time.sleep(seconds)
            cpu, calls = own_cpu() - cpu, rpcs() - calls
            known = [a.handle for a in site.world.book.open["cluster"].values() if a.handle]
        again, spent = one_look(lab, site, known)
        alone = calls_of(lambda: cluster.run("squeue", "--local", "--me", "--noheader"))
    live = f"{waiting + running:,} live jobs ({running} run)"
    return [
        (
            f"{live}: squeue, times a minute",
            "",
            f"{60 * calls / seconds / alone:.1f}",
            f"{60 * calls / seconds:.0f} calls of slurmctld, {alone} a squeue",
        ),
        (
            "the same: CPU of the controller, of one core",
            "",
            f"{100 * cpu / seconds:.1f} %",
            f"{1e3 * cpu / looks.times:.0f} ms a tick",
        ),
        (
            "the same: first look at all of them after a restart",
            "",
            f"{again / alone:.0f} squeue",
            f"{spent:.2f} s CPU",
        ),
    ]


def next_call() -> None:
    """Until slurmctld has taken one more."""
    before = rpcs()
    wait(lambda: rpcs() > before)
    time.sleep(0.5)  # a squeue is more than one


def own_cpu() -> float:
    """Of this process but for this thread, which only waits and asks."""
    return time.process_time() - time.thread_time()


def release(lab: ClusterLab, site: Site) -> None:
    jobs = {job.id for job in site.world.book.live.values() if job.task == "a/runs"}
    known = [parse(a.handle) for a in site.world.book.open["cluster"].values() if a.handle and a.job in jobs]
    for array in {found.job for found in known if found}:
        done = lab.cluster.run("scontrol", "release", array)
        assert done.returncode == 0, done.stderr


def one_look(lab: ClusterLab, site: Site, known: Sequence[Handle]) -> tuple[int, float]:
    """Of a new provider: calls of slurmctld, and our CPU."""
    world = site.world
    assert world.lab is not None
    provider = make_provider(site.place, world.repo, world.clock, "cluster", world.lab)
    assert provider is not None
    try:
        provider.capacity()  # it knows the cluster
        cpu, calls = time.process_time(), rpcs()
        assert len(provider.observe(known)) == len(known)
        return rpcs() - calls, time.process_time() - cpu
    finally:
        provider.close()


# ends


def ends(cluster: Cluster, jobs: int, spacing: float) -> list[Row]:
    """From the end that a job's wrapper wrote to its row COMPLETE with all its points, asked over the controller's socket."""
    points = f"for step in $(seq {POINTS - 1}); do point $step; done; sleep $(({round(1e3 * spacing)} * LAB_PARAM_I / 1000)).$(printf %03d $(({round(1e3 * spacing)} * LAB_PARAM_I % 1000))); point {POINTS}"
    point = 'point() { printf \'{"t":%s,"e":"metric","step":%d,"m":{"loss":0.5}}\\n\' "$EPOCHREALTIME" "$1" >>"$LAB_JOB_DIR/events.jsonl"; }'
    seeds = ", ".join(map(str, range(jobs)))
    with _lab(cluster) as lab, lab.open() as site:
        run = f"  {point}\n  {points}\n"
        lab.write(
            "experiments/a/t/task.yaml",
            f"name: t\nresources: {{cpus: 1, memory: 0.05}}\nsweeps: {{sweep_config: {{i: [{seeds}]}}}}\nrun: |\n{run}",
        )
        lab.push()
        seen: dict[str, float] = {}
        wait(lambda: len(_finished(site, seen)) == jobs, every=0.1)
        ended = _ends(lab.home / "bench" / "jobs")
    late = sorted(seen[job] - ended[job] for job in seen)
    return [
        (
            f"{jobs} jobs: end in Slurm → COMPLETE with all points in SQL, p50",
            "",
            f"{statistics.median(late):.1f} s",
            f"p95 {late[int(0.95 * len(late))]:.1f} s, most {late[-1]:.1f} s",
        )
    ]


def _finished(site: Site, seen: dict[str, float]) -> Mapping[str, float]:
    sql = (
        "SELECT job FROM jobs JOIN (SELECT job, count(*) AS n FROM metrics GROUP BY job) USING (job) "
        f"WHERE state = 'COMPLETE' AND n = {POINTS}"
    )
    answer = ask_sql(site.place.socket, sql, QueryLimits())
    now = time.time()  # noqa: TID251  # a stopwatch, compared with the jobs' own clock
    for batch in answer.batches():
        for row in batch.to_pylist():
            seen.setdefault(row["job"], now)
    return seen


def _ends(jobs: Path) -> dict[str, float]:
    """By job: what its wrapper wrote."""
    found = {}
    for path in jobs.glob("*/exit.json"):
        said = json.loads(path.read_text())
        at = said["ended"]
        when = at if isinstance(at, (int, float)) else datetime.fromisoformat(at).timestamp()
        found[said["token"].split("-")[-2]] = float(when)
    return found


# all of it


def run(peers: bool = False, quick: bool = False) -> str:
    """The table in Markdown; in words why there is none, where there can be no cluster."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    rows: list[Row] = []
    try:
        with on_cluster() as cluster:
            found = submission(cluster, 100 if quick else 1000, peers)
            rows += sweep(cluster, 2500 if quick else SIDE * SIDE, found.sbatch_each)
            rows += found.rows
            rows += watch(cluster, 900 if quick else 1900, 20 if quick else 100, 30 if quick else 90)
            rows += ends(cluster, 10 if quick else 36, 1.1)
    except CannotRunHere as reason:
        return f"Not measured: {reason}"
    return HEAD + "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    print(run(options.peers, options.quick))
