"""A compute node without Slurm: what was submitted runs here as slurmd would run it, when a test says so."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labwright.adapters.clock import SystemClock
from labwright.adapters.providers.slurm import SlurmProvider
from labwright.adapters.providers.slurm.handles import parse
from labwright.adapters.providers.slurm.provider import Ours
from labwright.domain.ids import Handle
from labwright.testing.provider_bench import Bench, Blobs, Script, accepted
from tests.unit.slurm_login import Login
from tests.unit.slurm_trials import cluster

PATIENCE = 30.0
LISTENS = "trap 'echo told' USR1; echo begun; while :; do sleep 0.05; done"
SAVES = "trap 'echo saved; exit 0' TERM; echo begun; while :; do sleep 0.05; done"


def session(of: subprocess.Popen[bytes]) -> dict[int, str]:
    """Processes of a job, by id: their names."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            head, _, rest = stat.read_text().rpartition(") ")
            state, _, _, sid, *_ = rest.split()
            if sid == str(of.pid) and state != "Z":
                found[int(stat.parent.name)] = head.partition("(")[2]
    return found


def kill(job: subprocess.Popen[bytes]) -> None:
    """All of it at once, as when a node dies."""
    while there := session(job):
        for pid in there:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    job.wait()


class Cluster(Bench):
    """A login node whose sbatch takes everything as job 7; its jobs run when a test says so."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.login = Login(folder)
        self.login.say("sbatch", 'key=$(dirname "$2")/key; printf %s "${LAB_UNLOCK-}" >"$key"; echo 7')
        blobs, made = Blobs(), cluster(**{"workdir": "~/it's there", "grace": 1, **settings})
        ours = Ours(folder / "spool", "suite", "owner")
        (folder / "shared").mkdir()
        super().__init__(
            SlurmProvider("cluster", made, ours, blobs.read, SystemClock(), lambda _: self.login),
            folder / "shared",
            blobs,
        )
        self.running: list[subprocess.Popen[bytes]] = []

    @property
    def root(self) -> Path:
        return self.login.home / "it's there" / "suite"

    def job(self, handle: Handle) -> Path:
        known = parse(handle)
        assert known
        return self.root / "jobs" / known.token

    def start(self, index: int | None = None, **more: str) -> subprocess.Popen[bytes]:
        """As slurmd would: the newest batch, or an element of its array."""
        batch = max((self.root / "batches").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        key = (batch / "key").read_text()
        env = {"HOME": str(self.login.home), "PATH": self.login.path, "SLURM_JOB_ID": "7", **more}
        env |= {"LAB_UNLOCK": key} if key else {}
        env |= {} if index is None else {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(index)}
        out = (batch / ("slurm-7.out" if index is None else f"slurm-7_{index}.out")).open("ab")
        with out:
            started = subprocess.Popen(
                ["bash", str(batch / "job.sh")],
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.running.append(started)
        return started

    def ran(self, index: int | None = None, **more: str) -> int:
        return self.start(index, **more).wait(PATIENCE)

    def record(self, handle: Handle) -> dict[str, Any] | None:
        file = self.job(handle) / "exit.json"
        return dict(json.loads(file.read_text())) if file.exists() else None

    def text(self, handle: Handle, name: str = "log.txt") -> str:
        file = self.job(handle) / name
        return file.read_text() if file.exists() else ""

    def until(self, there: Callable[[], object], what: str = "") -> None:  # type: ignore[override]
        end = time.monotonic() + PATIENCE
        while not there():
            assert time.monotonic() < end, what
            time.sleep(0.02)

    def logged(self, handle: Handle, text: str = "begun") -> None:
        self.until(lambda: text in self.text(handle), self.text(handle))

    def told(self, started: subprocess.Popen[bytes], *handles: Handle) -> None:
        """USR1, as often as needed: one that comes before the wrapper knows its child tells nobody."""

        def there() -> bool:
            started.send_signal(signal.SIGUSR1)
            time.sleep(0.2)
            return all("told" in self.text(handle) for handle in handles)

        self.until(there, "".join(map(self.text, handles)))

    def sweep(self, *runs: str, task: Mapping[str, Any] | None = None, **more: Any) -> list[Handle]:
        """Trials of one array: their `run` is that of the trial's number."""
        cases = "\n".join(f"{n}) {run} ;;" for n, run in enumerate(runs))
        script = Script(f"case $LAB_PARAM_N in\n{cases}\nesac")
        made = [self.submission(script, task=task, parameters={"n": n}, **more) for n in range(len(runs))]
        answers = self.provider.submit(made)
        return [accepted(answers[submission.token]) for submission in made]

    def close(self) -> None:
        for started in self.running:
            if started.poll() is None:
                kill(started)
