"""Metrics, text and progress. `log` of plain floats and ints formats its line by hand: 3 µs, of which 1 is the write."""

from __future__ import annotations

import sys
from time import time_ns

from lab._events import append, emit, line
from lab._numbers import encoded, number
from lab._warn import nothing, recording, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_PLAIN = frozenset((float, int))
_MOST = 1.7e308  # between its negative and itself lies every number that JSON can hold; NaN does not


class _NotPlainError(Exception):
    """Not a plain number: leave the fast road."""


_keys: dict[str, str] = {}  # name -> ',"name":' escaped for JSON


def log(data: Mapping[str, Any] | str, step: int | None = None) -> None:
    """Record metrics (a dict of name to number) or a line of text. One append: what it returned from survives SIGKILL.

    Nested dicts are joined by `/`; scalars of numpy, torch, jax are taken; images and tables become artifacts.
    """
    try:
        parts = ""
        for name, value in data.items():  # type: ignore[union-attr]  # text has no items: the general road
            if type(value) not in _PLAIN:
                value = number(value)
            if not -_MOST <= value <= _MOST:
                raise _NotPlainError
            parts += f"{_keys[name]}{value!r}"
        now = str(time_ns())
        if type(step) is int:
            text = f'{{"t":{now[:10]}.{now[10:16]},"e":"metric","step":{step},"m":{{{parts[1:]}}}}}\n'
        elif step is None:
            text = f'{{"t":{now[:10]}.{now[10:16]},"e":"metric","m":{{{parts[1:]}}}}}\n'
        else:
            raise _NotPlainError
    except Exception:  # a new name, text, an array's scalar, NaN: the general road
        _log_any(data, step)
        return
    if parts:
        append(text.encode())


def log_metrics(metrics: Mapping[str, object], step: int | None = None) -> None:
    """`log` by its long name."""
    log(metrics, step)


def log_metric(name: str, value: object, step: int | None = None) -> None:
    """Record one metric."""
    log({name: value}, step)


@recording(nothing)
def update_progress(progress: float, metrics: Mapping[str, object] | None = None, step: int | None = None) -> None:
    """Record how far the job is, 0 to 100 percent; and metrics, in the same write."""
    percent = number(progress)
    if encoded(percent) == "NaN":
        warn("update_progress was given NaN; it takes 0 to 100")
        return
    text = line("progress", v=min(100.0, max(0.0, percent)))
    if metrics:
        text += _metric_line(metrics, step)
    append(text)


@recording(nothing, "log")
def _log_any(data: object, step: object) -> None:
    """The road of all that is not a dict of plain numbers."""
    if hasattr(data, "items"):
        append(_metric_line(data, step))
        return
    text = data if isinstance(data, str) else str(data)
    emit("log", m=text)
    _echo(text)


def _metric_line(metrics: object, step: object) -> bytes:
    found: dict[str, object] = {}
    _gather(metrics, "", step, found)
    return line("metric", step=None if step is None else encoded(number(step)), m=found) if found else b""


def _gather(metrics: object, prefix: str, step: object, found: dict[str, object]) -> None:
    for name, value in metrics.items():  # type: ignore[attr-defined]
        key = f"{prefix}{name}"
        if hasattr(value, "items") and not hasattr(value, "to_csv"):
            _gather(value, f"{key}/", step, found)
            continue
        try:
            found[key] = encoded(number(value))
            if not prefix:
                _remember(key)
        except (TypeError, ValueError):
            _log_object(key, value, step)


def _log_object(name: str, value: object, step: object) -> None:
    """A value among metrics that is no number: an image, a figure, a table are kept as artifacts; text as a line of text."""
    from lab._artifacts import save_artifact
    from lab._objects import writer

    if value is None:
        warn(f"log: {name} is None and is not recorded")
    elif isinstance(value, str):
        emit("log", m=f"{name}: {value}")
    elif (writer(value, "") or ("",))[0] in ("image", "plot", "table"):
        save_artifact(value, name if step is None else f"{name}-{step}")
    else:
        warn(
            f"log: {name} is a {type(value).__name__}, neither a number nor an image, table or figure; it is not recorded"
        )


def _remember(name: str) -> None:
    import json

    if len(_keys) > 10_000:  # names made from data must not grow memory
        _keys.clear()
    _keys[name] = f",{json.dumps(name)}:"


def _echo(text: str) -> None:
    try:
        sys.stdout.write(text + "\n")
    except Exception:
        pass
