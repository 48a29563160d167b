"""How an object is written as a file, by what it can do (duck typing): no imaging or table library is imported here."""

from __future__ import annotations

import os

from lab._files import loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Writer = tuple[str, str, Callable[[str], object]]  # kind, extension if the name has none, write(path)


def writer(value: Any, name: str) -> Writer | None:
    """How `value` becomes a file, or None if nobody here knows. `name`'s extension chooses among formats."""
    ending = os.path.splitext("_" + name)[1].lower()
    for attempt in (_plain, _picture, _table, _array):
        found = attempt(value, ending)
        if found is not None:
            return found
    return None


def _plain(value: Any, ending: str) -> Writer | None:
    if isinstance(value, str):
        return "text", ".txt", lambda path: _put(path, value.encode())
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "file", ".bin", lambda path: _put(path, value)
    if isinstance(value, (list, tuple)) and value and all(isinstance(row, dict) for row in value) and ending != ".json":
        if ending == ".jsonl":
            return "table", ".jsonl", lambda path: _jsonl(path, value)
        return "table", ".csv", lambda path: _csv(path, value)
    if isinstance(value, (dict, list, tuple)):
        return "json", ".json", lambda path: _json(path, value)
    return None


def _picture(value: Any, ending: str) -> Writer | None:
    if hasattr(value, "savefig"):  # a matplotlib figure
        return "image", ".png", lambda path: value.savefig(path, format=(ending or ".png")[1:])
    if hasattr(getattr(value, "figure", None), "savefig"):  # matplotlib axes
        return _picture(value.figure, ending)
    if hasattr(value, "write_html"):  # plotly
        return "plot", ".html", lambda path: value.write_html(path)
    if hasattr(value, "save") and hasattr(value, "getpixel"):  # PIL
        form = {".jpg": "JPEG", ".jpeg": "JPEG"}.get(ending, (ending or ".png")[1:].upper())
        return "image", ".png", lambda path: value.save(path, format=form)
    return None


def _table(value: Any, ending: str) -> Writer | None:
    for parquet in ("to_parquet", "write_parquet"):  # pandas, polars
        if ending == ".parquet" and hasattr(value, parquet):
            return "table", ".parquet", getattr(value, parquet)
    if ending in (".json", ".jsonl") and hasattr(value, "to_json"):
        lines = ending == ".jsonl"
        return "table", ending, lambda path: value.to_json(path, orient="records", lines=lines)
    if hasattr(value, "to_csv"):
        return "table", ".csv", lambda path: value.to_csv(path, index=False)
    if hasattr(value, "write_csv"):
        return "table", ".csv", value.write_csv
    return None


def _array(value: Any, ending: str) -> Writer | None:
    for step in ("detach", "cpu", "numpy"):  # a torch tensor becomes an array
        if hasattr(value, step):
            value = getattr(value, step)()
    if not (hasattr(value, "shape") and hasattr(value, "dtype") and hasattr(value, "tobytes")):
        return None
    from lab._png import as_png

    numpy = loaded("numpy")
    image = as_png(value) if ending == ".png" or (not ending and str(value.dtype) == "uint8") else None
    if image is not None:  # floats become an image only where asked for: a matrix must not lose its values
        return "image", ".png", lambda path: _put(path, image)
    if numpy is not None and value.shape and ending in ("", ".npy"):
        return "array", ".npy", lambda path: _save_array(numpy, path, value)
    return None


def _put(path: str, data: bytes | bytearray | memoryview) -> None:
    with open(path, "wb") as file:
        file.write(data)


def _save_array(numpy: Any, path: str, value: Any) -> None:
    with open(path, "wb") as file:
        numpy.save(file, value)


def _json(path: str, value: object) -> None:
    import json

    from lab._numbers import plain

    _put(path, json.dumps(value, indent=1, default=plain).encode())


def _jsonl(path: str, rows: Sequence[dict[str, Any]]) -> None:
    import json

    from lab._numbers import plain

    _put(path, "".join(json.dumps(row, default=plain) + "\n" for row in rows).encode())


def _csv(path: str, rows: Sequence[dict[str, Any]]) -> None:
    import csv

    names = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows(rows)
