"""`lab doctor`: the state folder, the controller, the clock, the tools of this machine."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from labwright.cli.finding import FAIL, OK, WARN, Finding, told
from labwright.cli.tables import ago, size
from labwright.domain.errors import LabError
from labwright.settings import Place

_LITTLE, _TOO_LITTLE = 5e9, 2e8  # bytes
_SKEW = 2.0  # seconds


def state_findings(of: Place) -> Iterator[Finding]:
    yield from _folder(of)
    yield from _controller(of)
    yield from _ledger(of)
    yield _uv()


def _folder(of: Place) -> Iterator[Finding]:
    there = next(folder for folder in (of.state, *of.state.parents) if folder.is_dir())
    mend = "set LABWRIGHT_STATE to a folder that you own"
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding("state folder", FAIL, f"{there} cannot be written", mend)
        return
    free = shutil.disk_usage(there).free
    result = FAIL if free < _TOO_LITTLE else WARN if free < _LITTLE else OK
    made = str(of.state) if of.state.is_dir() else f"{of.state} (not made yet)"
    yield Finding("state folder", result, f"{made}, {size(free)} free", "free some space" if result != OK else "")
    yield _clock(there)


def _clock(there: Path) -> Finding:
    """The file system's clock is another machine's where it is mounted over a network: ages of files would be wrong."""
    from labwright.wiring import open_clock

    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".lab-") as file:
            written = datetime.fromtimestamp(Path(file.name).stat().st_mtime, UTC)
    except OSError as error:
        return Finding("clock", FAIL, f"{there}: {error.strerror}", "set LABWRIGHT_STATE to a folder that you own")
    now = open_clock().now()
    skew = abs((now - written).total_seconds())
    if skew > _SKEW:
        return Finding(
            "clock", WARN, f"the disk's clock is {skew:.0f} s off ours", "run an NTP service on both machines"
        )
    return Finding("clock", OK, f"{now:%Y-%m-%d %H:%M:%S} UTC, and the disk agrees")


def _controller(of: Place) -> Iterator[Finding]:
    from labwright.web.client import status
    from labwright.wiring import lease_holder, open_clock

    holder = lease_holder(of)
    if holder is None:
        yield Finding("controller", OK, "none is running")
        return
    since = datetime.fromisoformat(holder["since"]) if holder["since"] else None
    who = f"process {holder['pid']} on {holder['host']}, started {ago(since, open_clock().now())}"
    try:
        alarms = status(of.socket).get("alarms", {})
    except LabError as error:
        yield Finding("controller", WARN, f"{who} does not answer: {error.message}", "it may be on another machine")
        return
    yield Finding("controller", OK, who)
    for about, message in alarms.items():
        yield Finding(f"alarm: {about}", FAIL, message)


def _ledger(of: Place) -> Iterator[Finding]:
    from labwright.wiring import open_ledger

    if not of.used:
        return
    try:
        ledger = open_ledger(of, read_only=True)
        acts = len(ledger.acts())
        ledger.close()
    except LabError as error:
        yield told("ledger", error)
        return
    yield Finding("ledger", OK, str(of.ledger) + (f", {acts} requests wait for a controller" if acts else ""))


def _uv() -> Finding:
    """What builds the environments of tasks, and which Pythons it finds without a download."""
    import subprocess

    import uv

    try:
        argv = [uv.find_uv_bin(), "python", "list", "--only-installed", "--no-config"]
        ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("uv", FAIL, f"uv does not run: {error}", "pip install --force-reinstall uv")
    if ran.returncode != 0:
        return Finding("uv", FAIL, "uv does not run", "pip install --force-reinstall uv")
    names = [line.split()[0].split("-") for line in ran.stdout.splitlines() if line.strip()]
    versions = list(dict.fromkeys(parts[1] for parts in names if len(parts) > 1))
    if not versions:
        return Finding("uv", WARN, "it finds no Python", "uv downloads one when a task asks, or install Python")
    return Finding("uv", OK, f"Python {', '.join(versions[:6])}")
