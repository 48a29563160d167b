"""What one metric point costs, and what is left after SIGKILL: the SDK beside two floors and other trackers.

    python -m benchmarks.sdk_logging [--n 100000] [--peers]

Ours and the floors are timed in one process, in turns of 500 calls. `--peers` installs each tracker into a throw-away environment
under .build/bench-venvs and times it in a process of its own. Floors: write(2) of a ready-made line; json.dumps + write + flush.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import resource
import shutil
import signal
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TURN = 500
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "DO_NOT_TRACK": "true",
}
Logger = tuple[Callable[[int], object], Callable[[], object]]  # log(i), close()


class Tool(NamedTuple):
    """How it is opened in a folder and its points read back by its own format; what to import, install; calls at most."""

    open: Callable[[str], Logger]
    count: Callable[[str], int]
    module: str = ""
    packages: tuple[str, ...] = ()
    most: int = 1 << 40


def loss(i: int) -> float:
    return 1.0 / (i + 1)


def open_floor(folder: str) -> Logger:
    fd = os.open(f"{folder}/m.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    line = b'{"t":1790000000.123456,"e":"metric","step":12345,"m":{"loss":0.12345678901234567}}\n'
    return lambda i: os.write(fd, line), lambda: os.close(fd)


def open_json(folder: str) -> Logger:
    file = Path(folder, "m.jsonl").open("a")  # noqa: SIM115 — closed by the caller

    def log(i: int) -> None:
        file.write(json.dumps({"t": time.time_ns() / 1e9, "e": "metric", "step": i, "m": {"loss": loss(i)}}) + "\n")
        file.flush()

    return log, file.close


def open_ours(folder: str) -> Logger:
    os.environ["LAB_JOB_DIR"] = folder
    import lab

    lab.init()
    return lambda i: lab.log({"loss": loss(i)}, step=i), lab.finish


def open_trackio(folder: str) -> Logger:
    import trackio

    trackio.init(project="b", name="r")
    return lambda i: trackio.log({"loss": loss(i)}, step=i), trackio.finish


def open_tensorboardx(folder: str) -> Logger:
    import tensorboardX

    writer = tensorboardX.SummaryWriter(folder)
    return lambda i: writer.add_scalar("loss", loss(i), i), writer.close


def open_wandb(folder: str) -> Logger:
    import wandb

    run = wandb.init(project="b", dir=folder)
    return lambda i: run.log({"loss": loss(i)}, step=i), run.finish


def open_mlflow(folder: str) -> Logger:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/m.db")
    mlflow.set_experiment("b")
    mlflow.start_run()
    return lambda i: mlflow.log_metric("loss", loss(i), step=i), mlflow.end_run


def count_lines(folder: str) -> int:
    (path,) = Path(folder).glob("*.jsonl")
    return sum(json.loads(line)["e"] == "metric" for line in path.read_bytes().split(b"\n")[:-1])


def count_rows(folder: str) -> int:
    found = 0
    for path in Path(folder).rglob("*.db"):
        try:
            found += int(sqlite3.connect(path).execute("select count(*) from metrics").fetchone()[0])
        except sqlite3.Error:  # not this database, or one that the kill left without its tables
            continue
    return found


def count_tensorboard(folder: str) -> int:
    """TFRecord: length (8 bytes), CRC (4), data, CRC (4)."""
    (path,) = Path(folder).glob("events.out*")
    data, at, found = path.read_bytes(), 0, 0
    while at + 12 <= len(data):
        end = at + 16 + struct.unpack_from("<Q", data, at)[0]
        found += end <= len(data) and b"loss" in data[at:end]
        at = end
    return found


def count_wandb(folder: str) -> int:
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = Path(folder).glob("wandb/offline-run-*/*.wandb")
    return sum(
        Record.FromString(part).WhichOneof("record_type") == "history" for part in leveldb_records(path.read_bytes())
    )


def leveldb_records(data: bytes) -> Iterator[bytes]:
    """LevelDB's log format after a head of 7 bytes: blocks of 32 KiB, records of CRC (4), length (2), type (1), data."""
    at, whole = 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        if kind == 0 or at + 7 + length > len(data):
            return
        whole = (whole if kind in (3, 4) else b"") + data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield whole


LOCAL = {
    "os.write of a ready line": Tool(open_floor, count_lines),
    "json.dumps + write + flush": Tool(open_json, count_lines),
    "labwright-sdk": Tool(open_ours, count_lines, "lab"),
}
PEERS = {
    "trackio": Tool(open_trackio, count_rows, "trackio", ("trackio",)),
    "tensorboardX": Tool(open_tensorboardx, count_tensorboard, "tensorboardX", ("tensorboardX",)),
    "wandb offline": Tool(open_wandb, count_wandb, "wandb", ("wandb",), 20_000),
    "mlflow sqlite": Tool(open_mlflow, count_rows, "mlflow", ("mlflow",), 1_000),
}
TOOLS = LOCAL | PEERS


def timed(loggers: dict[str, Logger], n: int) -> dict[str, dict[str, float]]:
    """p50 and p99 in µs of `n` calls each, taken in turns so that all meet the same machine."""
    found = {name: array.array("q") for name in loggers}
    clock = time.perf_counter_ns
    for start in range(0, n, TURN):
        for name, (log, _) in loggers.items():
            for i in range(start, min(n, start + TURN)):
                begun = clock()
                log(i)
                found[name].append(clock() - begun)
    ordered = {name: sorted(times) for name, times in found.items()}
    return {
        name: {"p50_us": times[n // 2] / 1e3, "p99_us": times[n * 99 // 100] / 1e3} for name, times in ordered.items()
    }


def peak_mb() -> float:
    """Of this program alone: ru_maxrss of a child begins with its parent's on Linux, VmHWM does not."""
    if sys.platform == "linux":
        with open("/proc/self/status") as status:  # noqa: PTH123  # also run by other Pythons
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def worker(tool: str, mode: str, n: int, folder: str) -> object:
    """One measurement in a fresh process: `turns`, `time`, `crash` (does not return) or `count`."""
    if mode == "count":
        return TOOLS[tool].count(folder)
    if mode == "turns":
        return timed({name: each.open(tempfile.mkdtemp(dir=folder)) for name, each in LOCAL.items()}, n)
    log, close = TOOLS[tool].open(folder)
    if mode == "crash":
        for i in range(n):
            log(i)
        os.kill(os.getpid(), signal.SIGKILL)
    row = timed({tool: (log, close)}, n)[tool]
    row["rss_mb"] = peak_mb()
    close()
    return row


def ask(python: str, tool: str, mode: str, n: int, folder: str) -> Any:
    """The worker's answer, or None if it was killed, as `crash` is."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("LAB_")}
    env = {
        **clean,
        **QUIET,
        "PYTHONPATH": str(ROOT / "sdk/src"),
        "HOME": folder,
        "TRACKIO_DIR": folder,
        "WANDB_DIR": folder,
    }
    argv = [python, __file__, "--worker", tool, "--mode", mode, "--n", str(n), "--dir", folder]
    done = subprocess.run(argv, capture_output=True, text=True, env=env, cwd=folder, timeout=600)
    if done.returncode not in (0, -signal.SIGKILL):
        raise ValueError(f"{mode} failed: {done.stderr[-300:]}")
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def measured(python: str, name: str, n: int) -> dict[str, Any]:
    """The row of one tool."""
    n = min(n, TOOLS[name].most)
    with tempfile.TemporaryDirectory() as timing, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as crash:
        alone = ask(python, name, "time", n, timing)
        ask(python, name, "crash", n, crash)
        kept = ask(python, name, "count", n, crash)
    return {"tool": name, **alone, "import_ms": import_ms(python, TOOLS[name].module), "logged": n, "kept": kept}


def import_ms(python: str, module: str, times: int = 15) -> float:
    """What `import` of it takes in a fresh Python, after a first one that compiles it: median; 0 where there is none."""
    if not module:
        return 0.0
    code = f"from time import perf_counter as clock; begun = clock(); import {module}; print(clock() - begun)"
    env = {**os.environ, **QUIET, "PYTHONPATH": str(ROOT / "sdk/src"), "PYTHONDONTWRITEBYTECODE": ""}
    runs = [
        subprocess.run([python, "-c", code], env=env, check=True, capture_output=True, text=True) for _ in range(times)
    ]
    return statistics.median(float(run.stdout.splitlines()[-1]) for run in runs[1:]) * 1e3


def environment(name: str, packages: tuple[str, ...]) -> str:
    """The Python of a peer's own environment, made if it is not there. Raises CalledProcessError if it cannot be installed."""
    import uv

    home = ROOT / ".build/bench-venvs" / name.replace(" ", "-")
    python = str(home / "bin/python")
    make = [["venv", "--quiet", str(home)]] if not Path(python).exists() else []
    for words in [*make, ["pip", "install", "--quiet", "--python", python, *packages]]:
        subprocess.run([uv.find_uv_bin(), *words], check=True, capture_output=True, text=True, timeout=300)
    return python


def run(n: int = 100_000, peers: bool = False) -> list[dict[str, Any]]:
    """One row a tool: p50_us, p99_us, ratio (to the first floor), import_ms (over a bare Python), logged, kept, rss_mb."""
    rows = [measured(sys.executable, name, n) for name in LOCAL]
    folder = tempfile.mkdtemp()
    for row, times in zip(rows, ask(sys.executable, "", "turns", n, folder).values(), strict=True):
        row.update(times)
    shutil.rmtree(folder)
    for name in PEERS if peers else ():
        try:
            rows.append(measured(environment(name, PEERS[name].packages), name, n))
        except (subprocess.SubprocessError, OSError, ValueError) as problem:
            print(f"{name}: left out ({problem})", file=sys.stderr)
    return [{**row, "ratio": row["p50_us"] / rows[0]["p50_us"]} for row in rows]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a table in Markdown."""
    head = "| tool | p50 µs | p99 µs | × floor | import ms | kept of logged, SIGKILL | peak MB |\n|---|--:|--:|--:|--:|--:|--:|\n"
    line = "| {tool} | {p50_us:.2f} | {p99_us:.1f} | {ratio:.1f} | {import_ms:.1f} | {kept:,} of {logged:,} | {rss_mb:.0f} |"
    return head + "\n".join(line.format(**row) for row in rows)


def main() -> None:
    """The command line; `--worker` is for the processes that this one starts."""
    parser = argparse.ArgumentParser(description="Cost and crash safety of logging one metric point.")
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--peers", action="store_true", help="also time trackio, tensorboardX, wandb and mlflow")
    for name in ("--worker", "--mode", "--dir"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.mode:
        print(json.dumps(worker(args.worker, args.mode, args.n, args.dir)))
    else:
        print(table(run(args.n, args.peers)))


if __name__ == "__main__":
    main()
