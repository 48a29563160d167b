"""`environment:` of a task: which environment it is, and the script that builds it with uv in phase `setup`.

An environment is named by the content of its files, the Python asked for and the platform. The wrapper builds it, not the
controller: it may take minutes, must survive the controller, and belongs in the job's log."""

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path, PurePath
from platform import libc_ver, machine, system
from typing import Any

import uv

from labwright.domain.bundle import Bundle
from labwright.domain.errors import Refused
from labwright.domain.ids import Digest, digest
from labwright.domain.task import Environment

_REFERS = re.compile(rb"^\s*(-r|-c|-e|-f|--requirement|--constraint|--editable|--find-links|\.|/)|file:", re.MULTILINE)
_PYTHON = re.compile(r"[A-Za-z0-9.@<>=!,~*+-]{1,64}")


@dataclass(frozen=True, slots=True)
class Wanted:
    digest: Digest
    folder: PurePath
    values: dict[str, Any]  # of templates/local/environment.sh.j2


def wanted(
    environments: PurePath,
    asked: Environment | None,
    bundle: Bundle,
    files: Path,
    *,
    uv_at: str | None = None,
    platform: str | None = None,
) -> Wanted | None:
    """None for a task that asks for none. `files` is the bundle as a folder; `environments` is where they are built, `uv_at`
    and `platform` are that machine's where it is another one. Raises Refused for a file that is not in the bundle."""
    if asked is None or not (asked.python or asked.requirements or asked.lock):
        return None
    python = asked.python or ".".join(map(str, sys.version_info[:2]))
    if not _PYTHON.fullmatch(python) or python.startswith("-"):
        raise Refused(f"environment.python: {python!r} is not a Python version", hint="write it as `3.11`")
    main = asked.lock or asked.requirements  # a lock says everything; the requirements were its source
    named = [main] if main else []
    kind = "project" if main and Path(main).name == "uv.lock" else "file"
    if main and kind == "project":
        named.append(str(Path(main).parent / "pyproject.toml"))
    contents = {name: _content(files, name) for name in named}
    key = digest(
        {
            "python": python,
            "platform": platform or [system(), machine(), *libc_ver()],
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
            "bundle": bundle.digest if any(_REFERS.search(data) for data in contents.values()) else None,
        }
    )
    folder = environments / key
    values = {
        "uv": uv_at or uv.find_uv_bin(),
        "folder": folder,
        "digest": key,
        "python": python,
        "lock_kind": kind,
        "project": str(Path(main).parent) if main else "",
        "requirements": main or "",
    }
    return Wanted(key, folder, values)


def _content(files: Path, name: str) -> bytes:
    path = files / name
    inside = path.resolve().is_relative_to(files.resolve())
    if not inside or not path.is_file():
        raise Refused(
            f"environment: {name} is not among the task's files", hint="add it to the task's folder or to `inputs`"
        )
    return path.read_bytes()
