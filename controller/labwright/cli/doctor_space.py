"""`lab doctor`: how much the state folder holds, of what, and what will ever go."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labwright.cli.finding import OK, WARN, Finding, told
from labwright.cli.tables import several, size, span
from labwright.domain.errors import LabError
from labwright.settings import Place

_MOST = 1_000_000  # files that are looked at
_SHARED = ("bundles", "sources", "environments", "sdk")


@dataclass(slots=True)
class _Held:
    """What lies below a folder, on the disk; a file of several names counts once."""

    bytes: int = 0
    files: int = 0
    whole: bool = True

    def __str__(self) -> str:
        return ("" if self.whole else "more than ") + size(self.bytes)


def space_findings(of: Place) -> Iterator[Finding]:
    if not of.used:
        return
    goes = _retention(of)
    for spool in sorted(of.spool("").glob("*/")):
        yield _spool(spool, goes)
    try:
        from labwright.wiring import open_artifacts

        kept = open_artifacts(of).usage()
        yield Finding("kept artifacts", OK, f"{several(kept.files, 'file')}, {size(kept.bytes)} in {of.artifacts}")
    except (LabError, OSError) as error:
        yield told("kept artifacts", error if isinstance(error, LabError) else LabError(str(error)))
    yield Finding("logs", OK, f"{held(of.logs)} in {of.logs}; none of them goes by itself")
    if waiting := len(_names(of.outbox)):
        yield Finding("outbox", OK, f"{several(waiting, 'ended job')}, {held(of.outbox)} in {of.outbox}")


def _spool(spool: Path, goes: str) -> Finding:
    attempts, shared, left = held(spool / "jobs"), [held(spool / name) for name in _SHARED], held(spool / "tmp")
    both = _Held(sum(one.bytes for one in shared), whole=all(one.whole for one in shared))
    text = f"{several(len(_names(spool / 'jobs')), 'attempt')}, {attempts}; files that they share: {both}; {goes}"
    stuck = len(_names(spool / "tmp")) and left.bytes > 10**6
    mend = f"{left} of removed attempts are still in {spool / 'tmp'}: files of another user?" if stuck else ""
    return Finding(f"spool of {spool.name}", WARN if stuck else OK, text, mend)


def _retention(of: Place) -> str:
    """As the settings in force say."""
    from labwright.wiring import open_ledger

    try:
        ledger = open_ledger(of, read_only=True)
        text = ledger.cursor("lab.yaml")
        ledger.close()
    except LabError:
        return ""
    seconds = json.loads(text).get("policy", {}).get("retention") if text else None
    return f"an attempt goes {span(seconds)} after its end" if seconds else "none goes: policy.retention is never"


def held(folder: Path) -> _Held:
    found, todo, seen = _Held(), [folder], set[tuple[int, int]]()
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    about = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(Path(entry.path))
                    elif about.st_nlink > 1 and (about.st_dev, about.st_ino) in seen:
                        continue
                    elif about.st_nlink > 1:
                        seen.add((about.st_dev, about.st_ino))
                    found.bytes += about.st_blocks * 512
                    found.files += 1
        except OSError:
            continue
        if found.files > _MOST:
            found.whole = False
            break
    return found


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError:
        return []
