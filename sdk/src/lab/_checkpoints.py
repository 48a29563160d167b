"""Checkpoints that are complete or not there. NAME.json, renamed into place last, is what makes NAME complete."""

from __future__ import annotations

import os
from time import time_ns

from lab import _files as files
from lab._events import emit
from lab._numbers import encoded, number
from lab._place import rank, sub_dir
from lab._retention import surplus
from lab._signals import saved
from lab._warn import no_paths, nothing, recording, spare_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ASIDE = ".previous"


@recording(nothing)
def save_checkpoint(
    path: str | os.PathLike[str],
    name: str | None = None,
    step: int | None = None,
    metric: float | None = None,
    keep_last: int | None = None,
    keep_best: int | None = None,
    lower_is_better: bool = True,
) -> str | None:
    """Keep a checkpoint (file or folder) so that a crash at any instant leaves the last good one whole. Returns where it lies.

    Named `name`, else `step-<step>`, else as the path is; the same name again replaces it. `keep_last` and `keep_best`
    (by `metric`) say how many to keep: what neither wants is removed after the new one is complete. Without them all stay.
    """
    source = os.fspath(path)
    if not os.path.exists(source):
        raise FileNotFoundError(f"there is no checkpoint {source}")
    folder = sub_dir("checkpoints")
    name = _name(source, name, step)
    entry: dict[str, Any] = {"name": name, "step": step if step is None else encoded(number(step)), "rank": rank()}
    entry["metric"] = metric if metric is None else encoded(number(metric))
    if os.path.realpath(source) == os.path.realpath(os.path.join(folder, name)):  # written in place
        found = files.listing(source)
    else:
        found = _bring(source, folder, name)
    entry["t"] = time_ns() // 1000 / 1e6
    entry["files"] = [{**file, "path": os.path.join(name, file["path"]).rstrip("/")} for file in found]
    files.write_json(_mark(folder, name), entry)
    _discard(folder, name + _ASIDE)
    emit("checkpoint", path=name, step=entry["step"], size=sum(file["size"] for file in found))
    saved()
    for old in surplus(complete(folder), entry, keep_last, keep_best, lower_is_better):
        _discard(folder, old["name"])
    return os.path.join(folder, name)


@recording(nothing)
def resume(verify: bool = False) -> str | None:
    """The local path of the last complete checkpoint: of this job's folder, else of the attempt it continues; or None.

    `verify` reads each file and compares its SHA-256; a damaged checkpoint is passed over for the one before it.
    """
    for folder in (sub_dir("checkpoints"), os.environ.get("LAB_RESUME_FROM", "")):
        found = complete(folder)
        mine = [entry for entry in found if entry.get("rank", 0) == rank()] or found
        for entry in reversed(mine):
            if not verify or _is_intact(folder, entry):
                return os.path.abspath(os.path.join(folder, entry["name"]))
    return None


def get_checkpoint_to_resume() -> str | None:
    """`resume` by its other name."""
    return resume()


@recording(nothing)
def get_parent_job_checkpoint_path(parent_job_id: str | None = None, checkpoint_name: str | None = None) -> str | None:
    """The checkpoint `checkpoint_name` (else the last complete one) of the attempt that this one continues, or None."""
    folder = os.environ.get("LAB_RESUME_FROM", "")
    found = [entry["name"] for entry in complete(folder) if checkpoint_name in (None, entry["name"])]
    return os.path.abspath(os.path.join(folder, found[-1])) if found else None


@recording(spare_dir)
def get_checkpoints_dir() -> str:
    """The folder `checkpoints/`. What is written there counts once `save_checkpoint` was called with its path."""
    return sub_dir("checkpoints")


@recording(no_paths)
def get_checkpoint_paths() -> list[str]:
    """The complete checkpoints of this job, oldest first."""
    folder = sub_dir("checkpoints")
    return [os.path.join(folder, entry["name"]) for entry in complete(folder)]


def complete(folder: str) -> list[dict[str, Any]]:
    """What the NAME.json of each complete checkpoint in `folder` says, oldest first."""
    names = [name[:-5] for name in os.listdir(folder) if name.endswith(".json")] if os.path.isdir(folder) else []
    found = [entry for entry in (_complete(folder, name) for name in names) if entry]
    return sorted(found, key=lambda entry: (entry["t"], entry["name"]))


def _complete(folder: str, name: str) -> dict[str, Any] | None:
    """The entry of NAME if it is complete: the mark is there and every file it lists has its size."""
    entry = files.read_json(_mark(folder, name))
    try:
        whole = entry["name"] == name and os.path.lexists(os.path.join(folder, name))
        for file in entry["files"]:
            whole = whole and os.path.getsize(os.path.join(folder, file["path"])) == file["size"]
        return {**entry, "t": float(entry["t"])} if whole else None
    except (TypeError, KeyError, ValueError, OSError):
        return None


def _is_intact(folder: str, entry: dict[str, Any]) -> bool:
    return all(
        files.listing(os.path.join(folder, file["path"]))[0]["sha256"] == file["sha256"] for file in entry["files"]
    )


def _name(source: str, name: str | None, step: object) -> str:
    if name is None and files.is_inside(source, sub_dir("checkpoints")):
        name = os.path.relpath(os.path.realpath(source), os.path.realpath(sub_dir("checkpoints")))
    elif name is None:
        name = os.path.basename(os.path.normpath(source)) if step is None else f"step-{step}"
        if rank():
            name += f"-rank{rank()}"
    return name.replace(os.sep, "-").lstrip(".") or "checkpoint"


def _bring(source: str, folder: str, name: str) -> list[dict[str, Any]]:
    """Copy, then put the copy where NAME belongs; a complete NAME steps aside, complete all the while."""
    files.sweep(folder)
    spare, target = files.temporary(folder), os.path.join(folder, name)
    try:
        found = files.copy(source, spare, durable=True)
        old = _complete(folder, name)
        if old is not None:
            _step_aside(folder, old)
        _discard(folder, name)
        os.rename(spare, target)
        return found
    finally:
        files.remove(spare)


def _step_aside(folder: str, old: dict[str, Any]) -> None:
    """Rename NAME to NAME.previous, its mark first: the one rename makes the one incomplete and the other complete."""
    name = old["name"]
    aside = name + _ASIDE
    _discard(folder, aside)
    renamed = [{**file, "path": aside + file["path"][len(name) :]} for file in old["files"]]
    files.write_json(_mark(folder, aside), {**old, "name": aside, "files": renamed})
    os.rename(os.path.join(folder, name), os.path.join(folder, aside))


def _discard(folder: str, name: str) -> None:
    """Remove a checkpoint, its mark first."""
    files.remove(_mark(folder, name))
    files.remove(os.path.join(folder, name))


def _mark(folder: str, name: str) -> str:
    return os.path.join(folder, name + ".json")
