"""New bytes of an events file (docs/spec/job-dir.md) → points and events. The file is a job's word: nothing in it is trusted."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from labwright.ports.records import EventRow, Point

LINE = 1 << 20  # bytes; a longer line is skipped
NAME = 200  # characters of a metric's name
KIND = 40
MESSAGE = 16_384
DEPTH = 32  # of what an event may nest
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 7_258_118_400.0  # the year 2200
_INT64 = 1 << 63
_BAD = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
_scan = json.JSONDecoder().raw_decode


@dataclass(slots=True)
class ReadEvents:
    """What the bytes said. `consumed` bytes are whole lines: the next read starts behind them."""

    points: list[Point] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    consumed: int = 0
    skipped: int = 0  # lines that were not understood
    progress: float | None = None  # percent, the newest
    score: dict[str, float] | None = None  # of `finish`: finite values only
    message: str = ""  # of `finish`
    error: str = ""
    config: Mapping[str, Any] | None = None
    artifacts: list[Mapping[str, Any]] = field(default_factory=list)
    checkpoints: list[Mapping[str, Any]] = field(default_factory=list)


def read_events(data: bytes, job: str, attempt: int, rank: int = 0) -> ReadEvents:
    """Reads whole lines only, but a line beyond LINE bytes is given up even unfinished, so that reading always goes on."""
    read = ReadEvents()
    end = data.rfind(b"\n") + 1
    if len(data) - end > LINE:
        end, read.skipped = len(data), 1
    read.consumed = end
    for line in data[: data.rfind(b"\n") + 1].decode("utf-8", "replace").split("\n"):
        text = line.strip()
        if not text:
            continue
        try:
            event = _object(text)
            kind, at = event["e"], _time(event["t"])
            if kind == "metric":
                read.points += _points(event, job, attempt, rank, at)
            else:
                _event(read, event, EventRow(job, attempt, at, _text(kind, KIND)))
        except _BAD:
            read.skipped += 1
    return read


def _object(text: str) -> dict[str, Any]:
    if len(text) > LINE:
        raise ValueError
    event, end = _scan(text)
    if end != len(text) or type(event) is not dict:
        raise ValueError
    return event


def _time(seconds: Any) -> datetime:
    if not 0 <= seconds <= _LATEST:  # NaN is not, and text raises
        raise ValueError
    return _EPOCH + timedelta(seconds=seconds)


def _points(event: Mapping[str, Any], job: str, attempt: int, rank: int, at: datetime) -> list[Point]:
    step = event.get("step")
    if step is not None and (type(step) is not int or not -_INT64 <= step < _INT64):
        step = _whole(step)
    return [Point(job, attempt, _name(name), step, _number(value), at, rank) for name, value in event["m"].items()]


def _whole(step: Any) -> int:
    if isinstance(step, bool) or step != int(step) or not -_INT64 <= step < _INT64:
        raise ValueError
    return int(step)


def _number(value: Any) -> float:
    return _WORDS[value] if isinstance(value, str) else float(value)


def _name(name: str) -> str:
    if not 0 < len(name) <= NAME or not name.isprintable():
        raise ValueError
    return name


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str):
        raise TypeError
    return _sound(value[:most])


def _sound(text: str) -> str:
    """Text that every store can keep: no NUL, no half of a character."""
    return text.replace("\x00", "�").encode("utf-8", "replace").decode()


def _clean(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return _sound(value)
    if isinstance(value, dict | list) and depth == DEPTH:
        raise ValueError
    if isinstance(value, dict):
        return {_sound(key): _clean(item, depth + 1) for key, item in value.items()}
    return [_clean(item, depth + 1) for item in value] if isinstance(value, list) else value


def _event(read: ReadEvents, event: dict[str, Any], row: EventRow) -> None:
    data = {_clean(key): _clean(value) for key, value in event.items() if key not in ("e", "t", "m")}
    message = _text(event.get("m", ""), MESSAGE)
    match row.kind:
        case "progress":
            read.progress = min(max(_finite(event["v"]), 0.0), 100.0)
        case "config":
            read.config = dict(data["v"])
        case "artifact":
            read.artifacts.append({**data, "path": _text(event["path"], 4096)})
        case "checkpoint":
            read.checkpoints.append({**data, "path": _text(event["path"], 4096)})
        case "finish":
            read.score, read.message = _score(event.get("score")), message
        case "error":
            read.error = message
    read.events.append(EventRow(row.job, row.attempt, row.at, row.kind, message, data))


def _finite(value: Any) -> float:
    number = _number(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _score(given: Any) -> dict[str, float]:
    if isinstance(given, (int, float)):
        given = {"score": given}
    pairs = ((_name(name), _number(value)) for name, value in (given or {}).items())
    return {name: value for name, value in pairs if math.isfinite(value)}
