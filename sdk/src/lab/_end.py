"""The end of a job: its score, its error, and manifest.json, which lists what there is."""

from __future__ import annotations

import os
from time import time_ns

from lab import _files as files
from lab._artifacts import save_artifact
from lab._checkpoints import complete
from lab._events import append, emit, line
from lab._numbers import plain
from lab._place import job_dir, rank, sub_dir
from lab._secrets import masked
from lab._warn import nothing, recording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


@recording(nothing)
def finish(
    message: str | None = None,
    score: Mapping[str, Any] | float | None = None,
    additional_output_path: str | None = None,
    plot_data_path: str | None = None,
) -> None:
    """Say that the work is done: 100 percent, a score (numbers by name, or one number), a message; and write manifest.json.

    Does not exit: the job is complete when the process ends with status 0. The two paths are kept as artifacts.
    """
    for path in (additional_output_path, plot_data_path):
        if path:
            save_artifact(path)
    scores = _scores(score)
    append(line("progress", v=100.0) + line("finish", score=scores, m=message))
    if rank() == 0:
        _write_manifest(scores, message)


@recording(nothing)
def error(message: object) -> None:
    """Say what went wrong. Does not exit: the job fails when the process ends with another status than 0."""
    emit("error", m=str(message))


def _scores(score: Mapping[str, Any] | float | None) -> dict[str, Any] | None:
    if score is None:
        return None
    items = score.items() if hasattr(score, "items") else [("score", score)]
    return {str(name): plain(value) for name, value in items}


def _write_manifest(scores: dict[str, Any] | None, message: str | None) -> None:
    folder = job_dir()
    names = ("name", "step", "metric", "t")
    kept = [{name: entry.get(name) for name in names} for entry in complete(sub_dir("checkpoints"))]
    manifest = {
        "t": time_ns() // 1000 / 1e6,
        "job": os.environ.get("LAB_JOB_ID"),
        "task": os.environ.get("LAB_TASK"),
        "score": scores,
        "message": masked(message),
        "artifacts": _artifacts(folder),
        "checkpoints": kept,
    }
    files.write_json(os.path.join(folder, "manifest.json"), manifest)


def _artifacts(folder: str) -> list[dict[str, Any]]:
    """What lies in artifacts/: as its event says, whichever process wrote it; files without an event are hashed now."""
    root = sub_dir("artifacts")
    told = {path: entry for path, entry in _told(folder).items() if os.path.exists(os.path.join(root, path))}
    found = list(told.values())
    for path, inside in files.walk(root):
        above = inside.split(os.sep)
        if any(os.sep.join(above[:depth]) in told for depth in range(1, len(above) + 1)):
            continue
        if files.TEMPORARY not in inside:
            entry = files.listing(path)[0]
            found.append({"path": inside, "kind": "file", "size": entry["size"], "sha256": entry["sha256"]})
    return sorted(found, key=lambda entry: str(entry["path"]))


def _told(folder: str) -> dict[str, dict[str, Any]]:
    """The last artifact event of each path, in the events of all ranks, read line by line."""
    import json

    found: dict[str, dict[str, Any]] = {}
    for name in sorted(os.listdir(folder)):
        if not (name.startswith("events.") and name.endswith(".jsonl")):
            continue
        with open(os.path.join(folder, name), "rb") as lines:
            for text in lines:
                if b'"e":"artifact"' not in text:
                    continue
                try:
                    event = json.loads(text)
                    found[event["path"]] = {key: value for key, value in event.items() if key not in ("t", "e")}
                except (ValueError, KeyError, TypeError):
                    continue
    return found
