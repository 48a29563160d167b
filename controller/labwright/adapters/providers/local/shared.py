"""What attempts share in the spool: bundles, sources, environments. Each attempt's folder says which it was made with
(`uses.json`); what no folder refers to goes once it is old."""

import json
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from labwright.adapters.providers.local.spool import Spool, read_json

KINDS = ("bundles", "sources", "environments")
_USES = "uses.json"


@cache
def staging(root: Path) -> threading.Lock:
    """Of one spool, whoever works on it: what is shared does not go while somebody takes it up."""
    return threading.Lock()


def note(spool: Spool, folder: Path, used: Iterable[Path]) -> None:
    """Into an attempt's folder: what it refers to. All of it counts as used now."""
    names = []
    for path in used:
        names.append(str(path.relative_to(spool.root)))
        with suppress(FileNotFoundError):  # an environment that the attempt will build
            os.utime(path)
    (folder / _USES).write_text(json.dumps({"uses": names}), encoding="utf-8")


def take_old(spool: Spool, before: float) -> list[Path]:
    """Move what was last used before then (seconds since the epoch) and no attempt refers to out of the way, to be removed. To be
    called with `staging`."""
    for mark in spool.ended.iterdir():  # a wrapper leaves its mark last, perhaps after its folder was forgotten
        if not (spool.root / "jobs" / mark.name).is_dir():
            mark.unlink(missing_ok=True)
    old = {name: paths for name, paths in _groups(spool) if max(map(_mtime, paths)) < before}
    if not old:
        return []
    wanted = _referred(spool)
    if None in wanted:  # something that has not ended was staged by a version that did not note what it uses
        old = {name: paths for name, paths in old.items() if not name.startswith("environments/")}
    return [put_aside(spool, path) for name, paths in old.items() if name not in wanted for path in paths]


def _groups(spool: Spool) -> Iterator[tuple[str, list[Path]]]:
    """`bundles/<digest>` → its paths: an environment has a lock beside it, and perhaps what a killed build left."""
    for kind in KINDS:
        groups: dict[str, list[Path]] = {}
        for path in (spool.root / kind).iterdir():
            groups.setdefault(f"{kind}/{path.name.partition('.')[0]}", []).append(path)
        yield from groups.items()


def _mtime(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _referred(spool: Spool) -> set[str | None]:
    """Names that the folders of attempts refer to; None among them: one that has not ended does not say."""
    found: set[str | None] = set()
    for job in (spool.root / "jobs").iterdir():
        uses = read_json(job / _USES).get("uses")
        if isinstance(uses, list):
            found.update(str(name) for name in uses)
        elif (job / "exit.json").exists():
            found.add(f"environments/{read_json(job / 'environment.json', 1 << 20).get('digest')}")
        else:
            found.add(None)
    return found


def put_aside(spool: Spool, path: Path) -> Path:
    """Gone from its place, in one step."""
    aside = Path(tempfile.mkdtemp(dir=spool.root / "tmp"))
    path.rename(aside / "old")
    return aside
