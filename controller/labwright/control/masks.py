"""Values of secrets that this process has seen, so that they can be taken out of whatever is kept or told. In memory only."""

import json
import re
import shlex
import threading
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar, cast
from urllib.parse import quote, quote_plus

from labwright.control.secrets import resolve
from labwright.decide.identity import Refuse
from labwright.domain.errors import Refused
from labwright.domain.lab import SecretSource

T = TypeVar("T")
SHORTEST = 4  # a secret of fewer characters is everywhere: what would be left of a log?


class Masks:
    """Any thread may use it."""

    def __init__(self) -> None:
        self._values: dict[str, set[str]] = {}
        self._in_vain: set[tuple[str, str]] = set()  # the controller's own that could not be had, and their sources
        self._lock = threading.Lock()
        self._all: re.Pattern[str] | None = None

    def resolve(self, names: Collection[str], sources: Mapping[str, SecretSource]) -> Mapping[str, str]:
        """Values as they are now, remembered. Raises Refused."""
        values = resolve(names, sources)
        with self._lock:
            for name, value in values.items():
                known = self._values.setdefault(name, set())
                if value not in known:
                    known.add(value)
                    self._all = None
        return values

    def of(
        self, names: Collection[str], sources: Mapping[str, SecretSource], own: Collection[str] = ()
    ) -> Sequence[bytes]:
        """Everything that may not be kept of what a job with these secrets says, the longest first. A secret that was changed
        meanwhile counts with all its values. Raises Refused for one that nobody remembers and that cannot be had any more.
        `own`: of the controller, which no job is given and some may find; those that cannot be had are left out."""
        self.resolve([name for name in names if name not in self._values], sources)
        for name in own:
            if name not in self._values:
                self._try(name, sources)
        with self._lock:
            values = {value for name in {*names, *own} for value in self._values.get(name, ())}
        found = {text.encode() for value in values for text in spellings(value)}
        return sorted(found, key=len, reverse=True)

    def clean(self, text: str) -> str:
        """Without any value that was ever seen here."""
        pattern = self._pattern()
        return pattern.sub(lambda found: "*" * len(found[0]), text) if pattern else text

    def cleaned(self, value: T) -> T:
        """The same, of all texts inside lists, mappings and dataclasses."""
        return each(value, self.clean) if self._pattern() else value

    def quiet(self, refuse: Refuse) -> Refuse:
        """Why not, in a provider's words, without values."""
        return lambda provider, task: [self.clean(why) for why in refuse(provider, task)]

    def _try(self, name: str, sources: Mapping[str, SecretSource]) -> None:
        this = (name, repr(sources.get(name)))
        if this not in self._in_vain:
            try:
                self.resolve([name], sources)
            except Refused:
                self._in_vain.add(this)  # whoever needs it says so

    def _pattern(self) -> re.Pattern[str] | None:
        with self._lock:
            if self._all is None and self._values:
                found = {text for values in self._values.values() for value in values for text in spellings(value)}
                longest = sorted(found, key=len, reverse=True)
                self._all = re.compile("|".join(map(re.escape, longest)) or "(?!)")
            return self._all


class MaskedLog:
    """A structlog logger that repeats no secret, whoever quotes it."""

    def __init__(self, log: Any, masks: Masks) -> None:
        self._log, self._masks = log, masks

    def bind(self, **more: Any) -> "MaskedLog":
        return MaskedLog(self._log.bind(**self._masks.cleaned(more)), self._masks)

    def info(self, event: str, **more: Any) -> None:
        self._tell("info", event, more)

    def warning(self, event: str, **more: Any) -> None:
        self._tell("warning", event, more)

    def error(self, event: str, **more: Any) -> None:
        self._tell("error", event, more)

    def _tell(self, level: str, event: str, more: Mapping[str, Any]) -> None:
        error = more.get("exc_info")
        if isinstance(error, BaseException):  # its text, and what it was raised from, are somebody else's words
            told = "".join(traceback.format_exception(error))
            if (safe := self._masks.clean(told)) != told:
                more = {**{key: value for key, value in more.items() if key != "exc_info"}, "exception": safe}
        getattr(self._log, level)(self._masks.clean(event), **self._masks.cleaned(dict(more)))


def spellings(value: str) -> Iterator[str]:
    """A value, and each line of it, as logs, JSON, shells, URLs and Python's errors write them; without what is too short."""
    lines = value.splitlines()
    for text in {value, *lines, *(line.strip() for line in lines)}:
        for spelled in {
            text,
            json.dumps(text)[1:-1],
            json.dumps(text, ensure_ascii=False)[1:-1],
            repr(text)[1:-1],
            repr(text.encode())[2:-1],
            shlex.quote(text),
            text.replace("'", r"'\''"),  # as `set -x` has it, and the same where the locale is C
            "".join(chr(byte) if byte < 128 else f"\\{byte:03o}" for byte in text.encode()),
            quote(text, safe=""),
            quote(text),
            quote_plus(text),
        }:
            if len(spelled) >= SHORTEST and len(text) >= SHORTEST:
                yield spelled


def mask(data: bytes, values: Sequence[bytes]) -> bytes:
    """As long as before, so that offsets stay true."""
    for value in values:
        if value in data:
            data = data.replace(value, b"*" * len(value))
    return data


def mask_text(text: str, values: Sequence[bytes]) -> str:
    return mask(text.encode("utf-8", "replace"), values).decode("utf-8", "replace")


def cut(data: bytes, values: Sequence[bytes]) -> int:
    """How much of data that goes on may be taken without cutting a value in two."""
    longest = max(map(len, values), default=1)
    first = at = max(0, len(data) - longest + 1)  # what begins before it ends in here
    while at > first - 8 * longest:
        across = [data.rfind(value, max(0, at - len(value) + 1), at + len(value) - 1) for value in values]
        at, before = min([at, *(found for found in across if found != -1)]), at
        if at == before:
            return at
    return first  # nothing but values, one in the other: wherever it is cut, both parts are masked


def each(value: T, clean: Callable[[str], str]) -> T:
    """The value with all texts inside lists, mappings and dataclasses made others."""
    return cast(T, _each(value, clean))


def _each(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {_each(key, clean): _each(inner, clean) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        make = getattr(type(value), "_make", type(value))  # of a named tuple
        return make(_each(inner, clean) for inner in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _each(getattr(value, field.name), clean) for field in fields(value)})
    return value
