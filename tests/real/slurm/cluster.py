"""The Slurm test-bed as a value: where it is, how to speak to it, and (with the right to) how to break it.

`up` beside this file does the work; see it for what runs where.
"""

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

UP = Path(__file__).with_name("up")
LOCKS = Path("/run/lock/labwright-slurm")
CANNOT_RUN_HERE = 69
"""`up`'s exit code where root or packages are missing, or the machine has a Slurm of its own."""

OVER = (
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "TIMEOUT",
)


class CannotRunHere(Exception):
    """This machine cannot have a test-bed; the message says why."""


@dataclass(frozen=True)
class Cluster:
    state: Path
    """Everything the test-bed keeps; `state/log` has each daemon's log."""
    host: str
    ssh_port: int
    known_hosts: str
    """The line of the login node's key, as in a known_hosts file."""
    rest_socket: Path
    """slurmrestd for local callers: whoever asks, jobs are `lab`'s."""
    rest_port: int
    """slurmrestd that wants X-SLURM-USER-NAME and X-SLURM-USER-TOKEN (`token`)."""
    out_of_memory: str
    """How a job ends that takes more memory than it asked for: OUT_OF_MEMORY, or FAILED where this machine has no cgroups."""
    nodes: tuple[str, ...]
    users: tuple[str, ...]
    user: str = "lab"

    main = "main"
    """The partition whose jobs are never preempted and preempt all others."""
    spot = "spot"
    """Preempted at once, then requeued."""
    spotgrace = "spotgrace"
    """Preempted after ten seconds of grace (Slurm looks every half minute)."""
    few = "few"
    """Refuses a user's sixth unfinished job; `--qos=few` does in any partition."""

    @classmethod
    def start(cls) -> Self:
        """The running test-bed, started if need be; many processes may ask at once. CannotRunHere where it cannot be."""
        done = subprocess.run(
            [UP, "for-tests"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
        )
        if done.returncode == CANNOT_RUN_HERE:
            raise CannotRunHere(done.stderr.strip())
        if done.returncode:
            raise RuntimeError(f"{UP}: {done.stderr}")
        return cls.running()

    @classmethod
    def running(cls) -> Self:
        state = Path(os.environ.get("LABWRIGHT_SLURM_STATE", "/var/lib/labwright-slurm"))
        facts = json.loads((state / "cluster.json").read_text())
        return cls(
            state=state,
            host=facts["host"],
            ssh_port=facts["ssh_port"],
            known_hosts=facts["known_hosts"],
            rest_socket=Path(facts["rest_socket"]),
            rest_port=facts["rest_port"],
            out_of_memory=facts["out_of_memory"],
            nodes=tuple(facts["nodes"]),
            users=tuple(facts["users"]),
        )

    def as_user(self, user: str) -> Self:
        """The same cluster, spoken to by another of `users`."""
        return replace(self, user=user)

    @property
    def home(self) -> Path:
        """The user's home folder, the same on the login node, on all nodes and here."""
        return self.state / "home" / self.user

    @property
    def key(self) -> Path:
        """The user's private SSH key, readable by root alone."""
        return self.state / "keys" / self.user

    @property
    def account(self) -> str:
        """The only account of sacctmgr that takes the user's jobs."""
        return {"lab": "vision", "ada": "speech"}[self.user]

    @property
    def ssh_config_file(self) -> Path:
        """For `ssh -F`: a host for each user, of the user's name."""
        return self.state / "ssh_config"

    @property
    def ssh_config(self) -> str:
        return self.ssh_config_file.read_text()

    def run(
        self, *command: str, text: str = "", env: Mapping[str, str] | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Here, as the user, at home, with nothing of our environment: what a login node's shell would do."""
        clean = {
            "HOME": str(self.home),
            "USER": self.user,
            "LOGNAME": self.user,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
        }
        drop = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups"]
        return subprocess.run(
            [*drop, *command], input=text, env=clean | dict(env or {}), cwd=self.home,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def ssh(self, command: str, *, text: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """A line for the user's shell on the login node, over SSH."""
        return subprocess.run(
            ["ssh", "-F", str(self.ssh_config_file), self.user, command],
            input=text, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def sbatch(self, *options: str, wrap: str) -> str:
        """Submits here, without an output file, and answers the job's number."""
        done = self.run("sbatch", "--parsable", "--output=/dev/null", *options, f"--wrap={wrap}")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def states(self, job: str) -> set[str]:
        """What squeue says now of a job, or of an array's tasks; empty where it does not know the job (any more)."""
        return set(self.run("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%T").stdout.split())

    def wait(self, job: str, *states: str, timeout: float = 60) -> set[str]:
        """Until the job, or all tasks of the array, are in one of the states (none given: have ended)."""
        wanted, since = set(states or OVER), time.monotonic()
        deadline = since + timeout
        while not (seen := self.states(job)) or not seen <= wanted:
            now = time.monotonic()
            since = since if seen and seen <= set(OVER) else now  # a job that is requeued looks ended for a moment
            assert now < min(deadline, since + 5), f"job {job} is {seen or 'unknown'}, not {wanted}"
            time.sleep(0.1)
        return seen

    def cancel_all(self, prefix: str) -> None:
        """Cancels every user's unfinished jobs of which the name begins so."""
        listed = _root("squeue", "-h", "-o", "%A %j").splitlines()
        found = {job for job, _, name in (line.partition(" ") for line in listed) if name.startswith(prefix)}
        if found:
            _root("scancel", *sorted(found))

    def token(self, *, seconds: int = 600) -> str:
        """A JWT of the user's, for `rest_port`."""
        return _root("scontrol", "token", f"username={self.user}", f"lifespan={seconds}").strip().partition("=")[2]


@dataclass(frozen=True)
class BreakableCluster(Cluster):
    """A cluster that nobody else is using. Every fault ends with its block, and everything runs again by then."""

    @contextmanager
    def without(self, *daemons: str, signal: str = "TERM") -> Iterator[None]:
        """slurmctld, slurmdbd, slurmrestd, sshd or a node's name (its slurmd): stopped, or killed where signal is KILL.

        slurmctld writes its state every five seconds. Killed, it forgets what it was told since: jobs that it accepted, too,
        and it gives their numbers to others.
        """
        try:
            for daemon in daemons:
                _up("stop" if signal == "TERM" else "kill", daemon)
            yield
        finally:
            for daemon in daemons:
                _up("start", daemon)

    def clean(self) -> None:
        """Everything runs and no job is left, whatever happened."""
        _up("clean")

    def cut_connections(self) -> None:
        """Every SSH connection ends without a word; new ones are accepted."""
        _up("cut")

    @contextmanager
    def node_down(self, node: str) -> Iterator[None]:
        """As an administrator takes a node away: what runs there ends as NODE_FAIL."""
        with self._node(node, "down"):
            yield

    @contextmanager
    def node_drained(self, *nodes: str) -> Iterator[None]:
        """What runs there goes on; nothing new starts."""
        with self._node(",".join(nodes), "drain"):
            yield

    @contextmanager
    def _node(self, nodes: str, state: str) -> Iterator[None]:
        try:
            _root("scontrol", "update", f"nodename={nodes}", f"state={state}", "reason=test")
            yield
        finally:
            for node in nodes.split(","):
                _up("start", node)


def _up(*arguments: str) -> None:
    done = subprocess.run([UP, *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _root(*command: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@contextmanager
def _flock(name: str, mode: int) -> Iterator[None]:
    LOCKS.mkdir(parents=True, exist_ok=True)
    with (LOCKS / name).open("a") as lock:  # not inherited by children
        fcntl.flock(lock, mode)
        yield


@contextmanager
def sharing() -> Iterator[None]:
    """As long as this is held, nobody breaks the cluster."""
    with _queue(fcntl.LOCK_SH):
        yield


@contextmanager
def breaking() -> Iterator[None]:
    """As long as this is held, nobody else uses the cluster."""
    with _queue(fcntl.LOCK_EX):
        yield


@contextmanager
def _queue(mode: int) -> Iterator[None]:
    """Through a gate, one by one, into the room: those who share cannot keep out for ever the one who wants it alone."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    with (LOCKS / "room").open("a") as room:
        with _flock("gate", fcntl.LOCK_EX):
            fcntl.flock(room, mode)
        yield


@contextmanager
def using() -> Iterator[Cluster]:
    """The cluster, for a session. The last user stops it, unless it was started by hand or is to be kept."""
    try:
        with _flock("use", fcntl.LOCK_SH):
            yield Cluster.start()
    finally:
        subprocess.run([UP, "release"], stdin=subprocess.DEVNULL, check=False)


__all__: Sequence[str] = ("BreakableCluster", "CannotRunHere", "Cluster", "breaking", "sharing", "using")
