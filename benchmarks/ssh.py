"""Commands on a login node: our lasting shell beside one exec a command, one ssh a command, and no ssh at all; files beside SFTP.

    python -m benchmarks.ssh [--seconds 2] [--rounds 3]

A real sshd on loopback, with throw-away keys and an empty home; then with a ~/.bashrc that takes 50 ms, as conda's does. Every way
has its turn in every round, for a fixed time; the best round of each counts. `true` is the command: what it costs to say anything.
paramiko is given TCP_NODELAY, fabric is as it comes.
"""

import argparse
import io
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import fabric
import paramiko

from labwright.adapters.transports.fabric import FabricTransport
from labwright.adapters.transports.login import Login
from labwright.adapters.transports.openssh import OpenSshTransport
from tests.contract.sshd import Sshd, sshd

Call = Callable[[], object]
MEGABYTES = 8


def rate(call: Call, seconds: float, threads: int = 1) -> float:
    """Calls a second."""
    until = time.perf_counter() + seconds
    counts = [0] * threads

    def work(number: int) -> None:
        while time.perf_counter() < until:
            call()
            counts[number] += 1

    begun = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    return sum(counts) / (time.perf_counter() - begun)


def ssh(server: Sshd, *more: str) -> list[str]:
    return [
        "ssh", "-F", "/dev/null", "-i", str(server.key), "-p", str(server.port), "-o", f"UserKnownHostsFile={server.known_hosts}",
        "-o", "BatchMode=yes", *more, f"{server.user}@127.0.0.1",
    ]  # fmt: skip


def paramiko_client(server: Sshd) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    client.load_host_keys(str(server.known_hosts))
    client.connect(
        "127.0.0.1", server.port, server.user, key_filename=str(server.key), allow_agent=False, look_for_keys=False
    )
    transport = client.get_transport()
    assert transport
    transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # it would wait 40 ms for each acknowledgement
    return client


def exec_each(client: paramiko.SSHClient) -> Call:
    def call() -> None:
        _, out, _ = client.exec_command("true")
        out.channel.recv_exit_status()

    return call


def fabric_run(server: Sshd) -> Call:
    connection = fabric.Connection(
        "127.0.0.1", user=server.user, port=server.port, connect_kwargs={"key_filename": str(server.key)}
    )
    return lambda: connection.run("true", hide=True, in_stream=False)


def ways(server: Sshd, stack: ExitStack) -> dict[str, tuple[Call, int]]:
    """By name: the call, and how many threads make it."""
    ours = FabricTransport(Login(**server.login()))
    stack.callback(ours.close)
    system = OpenSshTransport(Login(**server.login()))
    stack.callback(system.close)
    client = paramiko_client(server)
    stack.callback(client.close)
    short = stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp"))
    master = ssh(server, "-S", f"{short}/m")
    subprocess.run([*master[:-1], "-fNM", master[-1]], check=True, stderr=subprocess.DEVNULL)
    stack.callback(lambda: subprocess.run([*master[:-1], "-O", "exit", master[-1]], capture_output=True, check=False))

    def process(argv: list[str]) -> Call:
        return lambda: subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)

    return {
        "a process of this machine": (process(["true"]), 1),
        "FabricTransport.run": (lambda: ours.run(["true"]), 1),
        "the same from 4 threads": (lambda: ours.run(["true"]), 4),
        "OpenSshTransport.run": (lambda: system.run(["true"]), 1),
        "the same from 4 threads ": (lambda: system.run(["true"]), 4),
        "paramiko, one connection, exec_command each": (exec_each(client), 1),
        "fabric, one connection, run each": (fabric_run(server), 1),
        "ssh with ControlMaster, a process each": (process([*master, "true"]), 1),
        "a new ssh each": (process([*ssh(server), "true"]), 1),
    }


def commands(server: Sshd, seconds: float, rounds: int) -> dict[str, float]:
    with ExitStack() as stack:
        turns = ways(server, stack)
        for call, threads in turns.values():  # the logins, and the shells
            rate(call, 0.3, threads)
        best = dict.fromkeys(turns, 0.0)
        for _ in range(rounds):
            for name, (call, threads) in turns.items():
                best[name] = max(best[name], rate(call, seconds, threads))
        return best


def files(server: Sshd, rounds: int) -> list[str]:
    data, small = bytes(range(256)) * (MEGABYTES << 12), b"x" * 1000
    path = str(server.home / "file")
    with ExitStack() as stack:
        ours = FabricTransport(Login(**server.login()))
        stack.callback(ours.close)
        system = OpenSshTransport(Login(**server.login()))
        stack.callback(system.close)
        client = paramiko_client(server)
        stack.callback(client.close)
        sftp = client.open_sftp()

        def sftp_put(what: bytes) -> None:
            sftp.putfo(io.BytesIO(what), f"{path}.new")
            sftp.posix_rename(f"{path}.new", path)

        def sftp_get() -> None:
            into = io.BytesIO()
            sftp.getfo(path, into)
            assert len(into.getvalue()) == len(data)

        turns: dict[str, list[Call]] = {
            f"put of {MEGABYTES} MiB": [
                lambda: ours.put(data, path),
                lambda: system.put(data, path),
                lambda: sftp_put(data),
            ],
            f"get of {MEGABYTES} MiB": [lambda: ours.get(path), lambda: system.get(path), sftp_get],
            "put of 1 kB": [
                lambda: ours.put(small, path + "s"),
                lambda: system.put(small, path + "s"),
                lambda: sftp_put(small),
            ],
        }
        rows = []
        for name, calls in turns.items():
            times = [min(clocked(call) for _ in range(rounds * 3)) for call in calls]
            rows.append(f"| {name} | {' | '.join(f'{1e3 * t:.1f} ms' for t in times)} | {times[2] / times[0]:.1f} |")
        return rows


def clocked(call: Call) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def run(seconds: float = 2, rounds: int = 3) -> str:
    with tempfile.TemporaryDirectory() as folder, sshd(Path(folder), "Subsystem sftp internal-sftp") as server:
        plain = commands(server, seconds, rounds)
        table = files(server, rounds)
        (server.home / ".bashrc").write_text("sleep 0.05\n")
        slow = commands(server, seconds, rounds)
    each = plain["paramiko, one connection, exec_command each"]
    lines = ["| one command | a second | times exec_command | with 50 ms of ~/.bashrc |", "|---|--:|--:|--:|"]
    lines += [
        f"| {name.strip()} | {value:.0f} | {value / each:.1f} | {slow[name]:.0f} |" for name, value in plain.items()
    ]
    lines += [
        "",
        "| one file | FabricTransport | OpenSshTransport | SFTP (paramiko) | SFTP, times the first |",
        "|---|--:|--:|--:|--:|",
        *table,
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(run(options.seconds, options.rounds))
