"""`lab pull`: a job's artifacts, copied and verified."""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer

from labwright.cli import completion
from labwright.cli.asjson import print_json
from labwright.cli.look import Row, looking
from labwright.cli.shell import JsonOption, RepoOption
from labwright.domain.errors import Refused

Fetch = Callable[[Row, Path], None]


def pull(
    job: Annotated[
        str,
        typer.Argument(
            help="A job, the start of its id, or a task (its newest job)", autocompletion=completion.tasks_and_jobs
        ),
    ],
    paths: Annotated[list[str] | None, typer.Argument(help="Only these files, folders or globs")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Into this folder (default: ./<job id>)")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there and differ")] = False,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a job's artifacts and verify their SHA-256. Nothing is overwritten without --force."""
    from labwright.cli.artifacts import artifacts_of
    from labwright.cli.names import one
    from labwright.cli.whereabouts import Whereabouts

    with looking(repo, need_state=True) as look:
        named = one(look, job)
        folder = output or Path(named.job)
        chosen = _chosen(artifacts_of(look, named.job), paths or [], named.job)
        todo = [row for row in chosen if not _there(row, _target(folder, row["path"]), force)]
        if todo:
            with closing(Whereabouts(look, named.job)) as whereabouts:
                _copy(todo, folder, whereabouts.fetch)
    if as_json:
        print_json(
            {
                "job": named.job,
                "folder": str(folder),
                "copied": len(todo),
                "there": len(chosen) - len(todo),
                "files": chosen,
            }
        )
        return
    from labwright.cli.tables import several, size
    from labwright.cli.terminal import say

    there = f"; {len(chosen) - len(todo)} were there already" if len(todo) < len(chosen) else ""
    say(f"{several(len(todo), 'file')}, {size(sum(row['size'] or 0 for row in todo))}, into {folder}/{there}")


def _chosen(found: Sequence[Row], wanted: Sequence[str], job: str) -> list[Row]:
    if not found:
        raise Refused(f"{job} left no artifacts")
    patterns = [path.rstrip("/") for path in wanted]
    for pattern in patterns:
        if not any(_matches(row["path"], pattern) for row in found):
            raise Refused(f"{job} has no artifact {pattern}", hint=f"`lab artifacts {job}` lists them")
    return [row for row in found if not patterns or any(_matches(row["path"], pattern) for pattern in patterns)]


def _matches(path: str, pattern: str) -> bool:
    return path == pattern or path.startswith(pattern + "/") or fnmatchcase(path, pattern)


def _target(folder: Path, path: str) -> Path:
    """Below the folder, whatever a manifest says and whatever links lie there."""
    parts = path.split("/")
    target = folder / path
    if path.startswith("/") or any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise Refused(f"the artifact {path!r} would not stay below {folder}")
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise Refused(f"{target.parent} is a link out of {folder}", hint="choose another folder with -o")
    return target


def _there(row: Row, target: Path, force: bool) -> bool:
    """Whether the same bytes are there already. Raises Refused where others are, unless they may be overwritten."""
    if not os.path.lexists(target):
        return False
    if target.is_file() and not target.is_symlink() and target.stat().st_size == row["size"]:
        with target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == row["sha256"]:
                return True
    if target.is_dir():
        raise Refused(f"{target} is a folder", hint="choose another folder with -o")
    if not force:
        raise Refused(f"{target} is there and differs", hint="--force overwrites, -o DIR copies elsewhere")
    return False


def _copy(todo: Sequence[Row], folder: Path, fetch: Fetch) -> None:
    from labwright.cli.counting import copying

    with copying(sum(row["size"] or 0 for row in todo)) as tick:
        for row in todo:
            target = _target(folder, row["path"])
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f".{target.name}.{os.getpid()}.part")
            try:
                fetch(row, draft)
                with draft.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if found != row["sha256"]:
                    raise Refused(
                        f"{row['path']} is not what the job left: its SHA-256 is {found[:16]}…, and was {row['sha256'][:16]}…",
                        hint="it was changed at the provider afterwards; nothing was written",
                    )
                draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)
            tick(row["path"], row["size"] or 0)
