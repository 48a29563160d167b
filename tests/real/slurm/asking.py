"""What a test asks of Slurm itself, and what of Slurm's commands was called."""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labwright.adapters.providers.slurm.handles import parse
from labwright.domain.ids import Handle
from labwright.domain.seen import Phase, Seen
from labwright.ports.provider import Submission
from labwright.testing.provider_bench import Script, accepted
from tests.real.slurm.cluster import Cluster
from tests.real.slurm.slurm_bench import SlurmBench


def id_of(handle: Handle) -> str:
    """Slurm's own: `123`, or `123_7`."""
    known = parse(handle)
    assert known is not None
    return known.id


def job_of(handle: Handle) -> str:
    """Of an element, its array."""
    return id_of(handle).partition("_")[0]


def shown(cluster: Cluster, handle: Handle) -> Mapping[str, str]:
    """What `scontrol show job` says."""
    done = cluster.run("scontrol", "show", "job", "-d", "-o", id_of(handle))
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"(\S+?)=(\S*)", done.stdout))


def scontrol(*arguments: str) -> None:
    """As the cluster's administrator."""
    done = subprocess.run(["scontrol", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def until_said(bench: SlurmBench, handle: Handle, words: str) -> Seen:
    """Until the provider's word on it has these in it."""

    def said() -> Seen | None:
        seen = bench.see(handle)
        assert seen.phase is not Phase.ENDED, seen
        return seen if words in seen.detail else None

    return bench.wait(said, f"{words!r} to be said of {handle}")


def all_ended(bench: SlurmBench, handles: Sequence[Handle]) -> Mapping[Handle, Seen]:
    def over() -> Mapping[Handle, Seen] | None:
        seen = bench.provider.observe(handles)
        return seen if all(one.phase is Phase.ENDED for one in seen.values()) else None

    return bench.wait(over, f"{len(handles)} attempts to end")


def trials(
    bench: SlurmBench, script: Script, count: int, files: Mapping[str, bytes] | None = None, **task: Any
) -> list[Submission]:
    """Equal but for the parameter `n`."""
    return [bench.submission(script, parameters={"n": n}, files=files, task=task) for n in range(count)]


def submitted(bench: SlurmBench, submissions: Sequence[Submission]) -> list[Handle]:
    """In one call."""
    answers = bench.provider.submit(submissions)
    return [accepted(answers[submission.token]) for submission in submissions]


@contextmanager
def important(cluster: Cluster, node: str) -> Iterator[str]:
    """A job that takes all GPUs of a node, whoever has them now."""
    job = cluster.sbatch("-Jimportant", f"-w{node}", "--gres=gpu:8", "--mem=64M", wrap="sleep 600")
    try:
        yield job
    finally:
        cluster.run("scancel", job)


class Counter:
    """A folder for the front of a PATH: Slurm's commands that write down how they were called, then do it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.path, self._calls = f"{folder}/bin:/usr/bin:/bin", folder / "calls"
        lines = ["mkdir -p bin", ": >calls"]
        for name in ("sbatch", "scancel"):
            text = f'#!/bin/sh\\necho "{name} $*" >>{folder}/calls\\nexec /usr/bin/{name} "$@"\\n'
            lines.append(f"printf '{text}' >bin/{name} && chmod +x bin/{name}")
        done = cluster.run("sh", "-ec", f"mkdir -p {folder} && cd {folder}\n" + "\n".join(lines))
        assert done.returncode == 0, done.stderr

    def calls(self, command: str) -> list[str]:
        return [line for line in self._calls.read_text().splitlines() if line.split(" ")[0] == command]
