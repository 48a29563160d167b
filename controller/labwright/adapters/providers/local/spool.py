"""The spool folder: where everything lies, and what the wrapper wrote there (docs/spec/job-dir.md).

A job can put anything in place of the wrapper's files: what is no whole record of ours counts as none."""

import io
import json
import os
import re
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labwright.domain.lifecycle import Outcome
from labwright.domain.seen import Phase, Seen

_HANDLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_MOST = 64 << 10  # bytes of a file that the wrapper writes
_INT32 = range(-(1 << 31), 1 << 31)
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

    def folders(self) -> list[Path]:
        """Of every attempt that is here."""
        return [job for job in (self.root / "jobs").iterdir() if self.existing(job.name)]

    def existing(self, handle: str) -> Path | None:
        folder = self.job(handle)
        return folder if folder and folder.is_dir() else None


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def open_regular(path: Path) -> io.BufferedReader | None:
    """None for what is not there, a link, a FIFO, a device …"""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")


def read_json(path: Path, most: int = _MOST) -> dict[str, Any]:
    """An object of a job's folder; empty for what is none, or has more than `most` bytes."""
    return parse_json(_read(path, most))


def parse_json(text: str | bytes) -> dict[str, Any]:
    """Empty for what is no object."""
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()  # no half of a character, which JSON can spell and UTF-8 cannot
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _read(path: Path, most: int = _MOST) -> str:
    file = open_regular(path)
    if file is None:
        return ""
    with file:
        return file.read(most).decode("utf-8", "replace")


def read_claim(job: Path) -> Claim | None:
    """None while there is none, and for the instant in which it is there but not written."""
    try:
        pid, start, boot, *key = _read(job / "claim").split()
        return Claim(int(pid), int(start), boot, key[0] if key else "-")
    except ValueError:
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
    return seen_of(read_json(job / "exit.json"))


def seen_of(record: dict[str, Any]) -> Seen | None:
    """Of exit.json; None for what is no whole record of ours."""
    try:
        return _seen(record)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def _seen(record: dict[str, Any]) -> Seen:
    code, by, reason, phase = int(record["code"]), record.get("signal"), record.get("reason"), record.get("phase")
    if code not in _INT32 or not (by is None or (type(by) is int and by in _INT32)):
        raise ValueError
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
        signal=by,
        started=_time(record.get("started")),
        running=_time(record.get("running")),
        ended=_time(record.get("ended")),
        node=_word(record.get("node")),
        detail=_again(record.get("restarts")),
    )


def _again(restarts: Any) -> str:
    """A scheduler may begin an attempt anew, on the same checkpoints."""
    if type(restarts) is not int or restarts not in _INT32 or restarts < 1:
        return ""
    return "begun again by its scheduler " + ("once" if restarts == 1 else f"{restarts} times")


def _word(value: Any) -> str:
    """A name: what a job wrote in its place says nothing else."""
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9._:-]{1,255}", value) else ""


def read_phases(job: Path) -> dict[str, datetime]:
    """Phase → when it began, as far as the wrapper got."""
    return phases_of(_read(job / "phase"))


def phases_of(text: str) -> dict[str, datetime]:
    pairs = [line.split() for line in text.splitlines()]
    return {pair[0]: at for pair in pairs if len(pair) == 2 and (at := _time(pair[1]))}


def _time(value: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(value), UTC) if value is not None else None
    except (ValueError, OverflowError):
        return None
