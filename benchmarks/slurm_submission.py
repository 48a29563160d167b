"""Unequal jobs into Slurm's queue: the provider over SSH beside sbatch itself, other ways over SSH, and submitit.

Ours makes the scripts, brings them over and submits them; the others are given the finished scripts of ours. All have their turns one
after the other, the queue empty before each; jobs are held.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import paramiko

from benchmarks.sdk_logging import environment
from benchmarks.slurm_bed import Row, cancel
from labwright.adapters.transports.fabric import FabricTransport
from labwright.adapters.transports.login import Login
from labwright.domain.errors import LabError
from labwright.testing.provider_bench import Script
from tests.real.slurm.cluster import Cluster
from tests.real.slurm.slurm_bench import SlurmBench

TURNS = 2
SUBMITIT = """
import sys, time, submitit
executor = submitit.SlurmExecutor(folder=sys.argv[1])
executor.update_parameters(time=5, mem="64M", additional_parameters={"hold": True}, job_name=sys.argv[3])
begun = time.perf_counter()
jobs = [executor.submit(abs, -n) for n in range(int(sys.argv[2]))]
print(time.perf_counter() - begun)
"""


class Way(NamedTuple):
    """So many jobs a turn; `turn` says how many seconds they took."""

    jobs: int
    turn: Callable[[int], float]


class Found(NamedTuple):
    sbatch_each: float  # seconds, in a shell loop on the login node
    rows: list[Row]


def submission(cluster: Cluster, jobs: int, peers: bool) -> Found:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        host_key = cluster.known_hosts.split(" ", 1)[1].strip()
        login = Login(cluster.host, cluster.user, cluster.ssh_port, str(cluster.key), host_key=host_key)
        bench = SlurmBench(
            folder, cluster, lambda _: FabricTransport(login), sbatch=["--hold"], sbatch_allow=["hold"], poll=5
        )
        stack.callback(bench.close)
        scripts = Scripts(bench)
        client = stack.enter_context(closing(connected(cluster)))
        ways = {
            "": Way(jobs // TURNS, lambda n: ours(bench, n)),
            "sbatch in a shell loop on the login node": Way(jobs // TURNS, lambda n: loop(cluster, scripts.some(n))),
            "one paramiko connection, exec_command each": Way(20, lambda n: exec_each(client, scripts.some(n))),
            "the same, with 50 ms of ~/.bashrc as conda's": Way(10, lambda n: slowly(cluster, client, scripts.some(n))),
            "a new ssh each": Way(5, lambda n: ssh_each(cluster, scripts.some(n))),
        }
        problem = ""
        if peers:
            try:
                python = environment("submitit", ("submitit",))
                ways["submitit on the login node, submit each"] = Way(20, lambda n: submitit(python, n))
            except (subprocess.SubprocessError, OSError) as error:
                problem = str(error)
        accepted(bench, 1)  # the login, and what is brought over once
        taken = dict.fromkeys(ways, 0.0)
        for turn in range(TURNS):
            for name, way in ways.items():
                sys.stderr.write(f"  turn {turn + 1}: {name or 'ours'}, {way.jobs} jobs\n")
                taken[name] += way.turn(way.jobs)
                cancel(cluster, bench.root)
    each = {name: taken[name] / TURNS / way.jobs for name, way in ways.items()}
    mine = each.pop("")
    title = f"{jobs:,} unequal jobs over SSH"
    rows = [
        (title if not number else "the same", f"{other / mine:.2g}", f"{1 / mine:.1f}/s", f"{1 / other:.1f}/s ({name})")
        for number, (name, other) in enumerate(each.items())
    ]
    if problem:
        rows.append(("the same", "", "", f"submitit: not installed ({problem})"))
    return Found(each["sbatch in a shell loop on the login node"], rows)


class Scripts:
    """Job scripts as ours leaves them on the cluster."""

    def __init__(self, bench: SlurmBench) -> None:
        self._bench = bench

    def some(self, number: int) -> list[str]:
        return [str(path) for path in self._bench.root.glob("batches/*/job.sh")][:number]


def accepted(bench: SlurmBench, jobs: int) -> None:
    batch = [bench.submission(Script(f"exit {n}"), task={"name": f"j{n}"}) for n in range(jobs)]
    answers = bench.provider.submit(batch)
    failed = [answer for answer in answers.values() if isinstance(answer, LabError)]
    assert not failed and len(answers) == jobs, failed[:1]


def ours(bench: SlurmBench, jobs: int) -> float:
    return clocked(lambda: accepted(bench, jobs))


def loop(cluster: Cluster, scripts: list[str]) -> float:
    text = "".join(f"sbatch --parsable {script} >/dev/null || exit\n" for script in scripts)
    return clocked(lambda: checked(cluster.run("bash", text=text, timeout=600)))


def exec_each(client: paramiko.SSHClient, scripts: list[str]) -> float:
    def all_of_them() -> None:
        for script in scripts:
            _, out, _ = client.exec_command(f"sbatch --parsable {script}")
            assert out.channel.recv_exit_status() == 0

    return clocked(all_of_them)


def slowly(cluster: Cluster, client: paramiko.SSHClient, scripts: list[str]) -> float:
    file = cluster.home / ".bashrc"
    before = file.read_text()
    file.write_text(f"sleep 0.05\n{before}")
    try:
        return exec_each(client, scripts)
    finally:
        file.write_text(before)


def ssh_each(cluster: Cluster, scripts: list[str]) -> float:
    def all_of_them() -> None:
        for script in scripts:
            checked(cluster.ssh(f"sbatch --parsable {script}"))

    return clocked(all_of_them)


def submitit(python: str, jobs: int) -> float:
    """As root: its Python is in a folder of root's."""
    with tempfile.TemporaryDirectory() as folder:
        name = f"bench-{Path(folder).name}"
        argv = [python, "-c", SUBMITIT, folder, str(jobs), name]
        said = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=600).stdout
        subprocess.run(["scancel", "--quiet", f"--name={name}"], check=False)
        return float(said.splitlines()[-1])


def connected(cluster: Cluster) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    client.load_host_keys(str(cluster.state / "known_hosts"))
    client.connect(
        cluster.host, cluster.ssh_port, cluster.user, key_filename=str(cluster.key), allow_agent=False, look_for_keys=False
    )  # fmt: skip
    return client


def checked(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr


def clocked(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun
