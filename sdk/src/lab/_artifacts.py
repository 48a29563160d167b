"""Results to keep: files, folders, models, datasets, images, tables, text, below `artifacts/`."""

from __future__ import annotations

import os

from lab import _files as files
from lab._events import emit
from lab._objects import writer
from lab._place import job_dir, sub_dir
from lab._warn import no_paths, nothing, recording, spare_dir, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_KINDS = {"evals": "eval"}
_IMAGES = (".png", ".jpg", ".jpeg", ".svg", ".gif", ".webp")
_JOB_ID = 12  # letters and digits of a job id, which names each folder below needs/<task>/


@recording(nothing)
def save_artifact(
    source: Any,
    name: str | None = None,
    type: str | None = None,
    config: Mapping[str, Any] | None = None,
    *,
    kind: str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> str | None:
    """Keep a result: a path (file or folder), or an object (text, bytes, list of dicts, data frame, image, figure, array).

    `name` is its path below `artifacts/`; `type` or `kind` is free (`model`, `dataset`, `eval`, …). Returns where it lies,
    or None, with a warning, if it could not be kept. The same name again replaces it.
    """
    told = kind or type
    path = _as_path(source, told)
    extra = {**({"config": config} if config else {}), **(meta or {})}
    if path is None:
        return _save_object(source, name, told, extra)
    target = _target(name or os.path.basename(os.path.normpath(path)))
    guessed = "image" if path.lower().endswith(_IMAGES) else "file"
    if os.path.realpath(path) == os.path.realpath(target):  # written in place
        return _record(target, told or guessed, files.listing(target), extra)
    spare = files.temporary(os.path.dirname(target))
    try:
        found = files.copy(path, spare)
        _put_in_place(spare, target)
    finally:
        files.remove(spare)
    return _record(target, told or guessed, found, extra)


def save_model(
    path: str | os.PathLike[str],
    name: str | None = None,
    architecture: str | None = None,
    pipeline_tag: str | None = None,
    parent_model: str | None = None,
) -> str | None:
    """Keep a model (file or folder) with what is known of it."""
    told = {"architecture": architecture, "pipeline_tag": pipeline_tag, "parent_model": parent_model}
    return save_artifact(path, name, "model", meta={key: value for key, value in told.items() if value is not None})


def save_dataset(
    df: Any,
    dataset_id: str,
    additional_metadata: Mapping[str, Any] | None = None,
    suffix: str | None = None,
    is_image: bool = False,
    job_id: str | None = None,
) -> str | None:
    """Keep a dataset: a data frame or a list of dicts as JSON lines, or a path as it is. `job_id` is accepted and not needed."""
    meta = {"generated": True, "is_image": is_image, **(additional_metadata or {})}
    name = f"{dataset_id}-{suffix}" if suffix else dataset_id
    if _as_path(df, "dataset") is None and not os.path.splitext(name)[1]:
        name += ".jsonl"
    return save_artifact(df, name, "dataset", meta=meta)


@recording(spare_dir)
def get_artifacts_dir() -> str:
    """The folder `artifacts/`; what a script writes there itself is kept too."""
    return sub_dir("artifacts")


@recording(no_paths)
def get_artifact_paths() -> list[str]:
    """All that lies in `artifacts/`, one level deep, sorted."""
    return _inside(sub_dir("artifacts"))


@recording(no_paths)
def artifacts_of(task: str) -> list[str]:
    """The artifact folders of a needed task (`needs:` in task.yaml), one for each of its jobs: `artifacts_of("alpha/train")[0]`."""
    root = os.path.join(job_dir(), "needs")
    path = os.path.join(root, *task.strip("/").split("/"))
    names = [name for name in _names(path) if len(name) == _JOB_ID and name.isalnum()]
    if not names:
        warn(f"nothing of {task} is here: name it under needs: in task.yaml (looked in {path})")
    return [os.path.join(path, name) for name in names]


def _names(folder: str) -> list[str]:
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def _inside(folder: str) -> list[str]:
    return [os.path.join(folder, name) for name in _names(folder) if not name.startswith(files.TEMPORARY)]


def _as_path(source: Any, kind: str | None) -> str | None:
    """`source` as a path, or None if it is a thing to write. Raises FileNotFoundError for a path where nothing is."""
    if hasattr(source, "__fspath__"):
        source = os.fspath(source)
    elif not isinstance(source, str) or ((kind == "text" or "\n" in source) and not os.path.exists(source)):
        return None
    if not os.path.exists(source):
        raise FileNotFoundError(f"there is no file {source}")
    return str(source)


def _save_object(value: Any, name: str | None, kind: str | None, meta: dict[str, Any]) -> str | None:
    how = writer(value, name or (".png" if kind == "image" else ""))
    if how is None:
        warn(
            f"save_artifact does not know how to write a {value.__class__.__name__}: save it to a file and give the path"
        )
        return None
    guessed, ending, write = how
    kind = kind or guessed
    name = name or kind
    target = _target(name if os.path.splitext(name)[1] else name + ending)
    spare = files.temporary(os.path.dirname(target)) + os.path.splitext(target)[1]
    try:
        write(spare)
        found = files.listing(spare)
        _put_in_place(spare, target)
    finally:
        files.remove(spare)
    return _record(target, kind, found, meta)


def _target(name: str) -> str:
    """Where `name` lies below artifacts/, its folder made. Raises ValueError for a name that leads out of there."""
    root = sub_dir("artifacts")
    target = os.path.normpath(os.path.join(root, name))
    if not target.startswith(root + os.sep):
        raise ValueError(f"the name {name} leads out of artifacts/")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    return target


def _put_in_place(spare: str, target: str) -> None:
    """Rename over `target`. A folder cannot be renamed over another, so an old one steps aside first."""
    if os.path.isdir(target) or (os.path.isdir(spare) and os.path.lexists(target)):
        old = files.temporary(os.path.dirname(target))
        os.rename(target, old)
        os.rename(spare, target)
        files.remove(old)
    else:
        os.replace(spare, target)


def _record(target: str, kind: str, found: list[dict[str, Any]], meta: dict[str, Any]) -> str:
    path = os.path.relpath(target, sub_dir("artifacts"))
    size = sum(file["size"] for file in found)
    kind = _KINDS.get(kind, kind)
    emit("artifact", path=path, kind=kind, size=size, sha256=files.digest(found), meta=meta or None)
    return target
