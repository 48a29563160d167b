"""The spool folder: where everything lies, and what the wrapper wrote there (docs/spec/job-dir.md)."""

import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase, Seen

_HANDLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_REASONS = {"timeout": Outcome.TIMEOUT, "oom": Outcome.OOM, "cancelled": Outcome.CANCELLED}


@dataclass(frozen=True, slots=True)
class Claim:
    """Who runs a token. `pid` 0: the provider itself claimed it, because its wrapper never did."""

    pid: int
    start: int  # clock ticks after boot, field 22 of /proc/<pid>/stat: with the boot id it makes a pid unique
    boot: str
    key: str = "-"


@dataclass(frozen=True, slots=True)
class Spool:
    root: Path

    def make(self) -> None:
        for name in ("jobs", "bundles", "environments", "sources", "ended", "sdk", "tmp"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    @property
    def ended(self) -> Path:
        return self.root / "ended"

    def job(self, handle: str) -> Path | None:
        """The folder that an attempt has or would have; None for a name that no attempt of ours can have."""
        return self.root / "jobs" / handle if _HANDLE.fullmatch(handle) and ".." not in handle else None

    def existing(self, handle: str) -> Path | None:
        folder = self.job(handle)
        return folder if folder and folder.is_dir() else None


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def read_claim(job: Path) -> Claim | None:
    """None while there is none, and for the instant in which it is there but not written."""
    try:
        pid, start, boot, *key = (job / "claim").read_text().split()
        return Claim(int(pid), int(start), boot, key[0] if key else "-")
    except (FileNotFoundError, ValueError):
        return None


def take_claim(job: Path) -> bool:
    """Claim a token so that no wrapper can run it any more; False when one was quicker."""
    try:
        descriptor = os.open(job / "claim", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(f"0 0 {boot_id()} -\n")
    return True


def read_exit(job: Path) -> Seen | None:
    """How the attempt ended by its own record; None while there is no whole record."""
    try:
        record = json.loads((job / "exit.json").read_bytes())
        return _seen(record) if isinstance(record, dict) else None
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _seen(record: dict[str, Any]) -> Seen:
    code, reason, phase = int(record["code"]), record.get("reason"), record.get("phase")
    if reason in _REASONS:
        outcome = _REASONS[reason]
    elif code == 0 and phase == "run":
        outcome = Outcome.OK
    else:
        outcome = Outcome.SETUP_ERROR if phase == "setup" else Outcome.ERROR
    return Seen(
        Phase.ENDED,
        outcome,
        exit_code=code,
        signal=record.get("signal"),
        started=_time(record.get("started")),
        running=_time(record.get("running")),
        ended=_time(record.get("ended")),
        node=str(record.get("node") or ""),
        detail=str(record.get("detail") or ""),
    )


def read_phases(job: Path) -> dict[str, datetime]:
    """Phase → when it began, as far as the wrapper got."""
    try:
        lines = (job / "phase").read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = [line.split() for line in lines]
    return {pair[0]: at for pair in pairs if len(pair) == 2 and (at := _time(pair[1]))}


def _time(value: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(value), UTC) if value is not None else None
    except (ValueError, OverflowError):
        return None
