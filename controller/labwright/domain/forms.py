"""The forms in which a person may write a size, a time, a count or a list; each becomes one value of one type.

A refusal is a `Fault`: a sentence that goes on from the key's name ("`timeout` must be …") and a hint how to mend it."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema, model_validator

YEAR_S = 366 * 86400.0
WHOLE_MAX = 2**31 - 1
FLAGS = {
    spelt: word in ("true", "yes", "on")
    for word in ("true", "yes", "on", "false", "no", "off")
    for spelt in (word, word.title(), word.upper())
}

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(?:([kmgt])i?b?)?\s*\+?", re.IGNORECASE)
_PER_GB = {"k": 1 / 1024**2, "m": 1 / 1024, "g": 1.0, "t": 1024.0}
_SPAN = re.compile(r"\s*".join(rf"(?:([0-9.]+)\s*{unit})?" for unit in ("d", "h", "m(?:in)?", "s")), re.IGNORECASE)
_CLOCK = re.compile(r"([0-9]{1,4}):([0-5][0-9]):([0-5][0-9])")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Form(Model):
    """What a person writes: a key with nothing after it is a key left out."""

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, data: Any) -> Any:
        if isinstance(data, dict) and None in data.values():
            return {key: value for key, value in data.items() if value is not None}
        return data


class Fault(ValueError):
    """`at` leads from the value under test to the culprit; `key` = the culprit is the key there, not its value."""

    def __init__(self, message: str, hint: str = "", *, at: tuple[str | int, ...] = (), key: bool = False) -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message, self.hint, self.at, self.key = message, hint, at, key


class Faults(ValueError):
    def __init__(self, faults: Iterable[Fault]) -> None:
        self.all = tuple(faults)
        super().__init__("; ".join(map(str, self.all)))


def show(value: Any) -> str:
    """A value as a message may quote it: short, one line."""
    if isinstance(value, str):
        return f"`{value}`" if value.isprintable() and len(value) <= 40 else "this text"
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"the number {value}"
    kind = "list" if isinstance(value, list | tuple) else "mapping"
    return f"a {kind}" if value else f"an empty {kind}"


def number(value: Any) -> float | None:
    """Of a finite number, or text that is one; else None. A bool is no number."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def whole(value: Any) -> int | None:
    """Of 3, 3.0, 1e3, "3"; else None."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"\s*[-+]?[0-9]{1,100}\s*", value) else None
    found = number(value)
    return int(found) if found is not None and found.is_integer() else None


def flag(value: Any) -> bool:
    found = value if isinstance(value, bool) else FLAGS.get(value) if isinstance(value, str) else None
    if found is None:
        raise Fault(f"must be true or false, not {show(value)}")
    return found


def count(least: int, most: int = WHOLE_MAX) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        found = whole(value)
        if found is None:
            raise Fault(f"must be a whole number, not {show(value)}")
        if not least <= found <= most:
            raise Fault(f"must be at least {least}" if found < least else f"must be at most {most}")
        return found

    return check


def amount(value: Any) -> float:
    """A number ≥ 0."""
    found = number(value)
    if found is None or found < 0:
        raise Fault(f"must be a number, 0 or more, not {show(value)}")
    return found


def cores(value: Any) -> float:
    """`4`, `0.5`, `"4+"`."""
    found = number(value.strip().removesuffix("+") if isinstance(value, str) else value)
    if found is None or found <= 0:
        raise Fault(f"must be a number of CPUs above 0, not {show(value)}")
    return found


def gigabytes(value: Any) -> float:
    """`16`, `16GB`, `16 GiB`, `512MB`, `16+`. 1 GB is 2**30 bytes however it is spelt, as schedulers count."""
    found = number(value)
    if found is None and isinstance(value, str) and (size := _SIZE.fullmatch(value.strip())):
        found = float(size[1]) * _PER_GB[(size[2] or "g").lower()]
    if found is None or not 0 < found < math.inf:
        raise Fault(f"must be a size in GB above 0, not {show(value)}", "such as 16, `16GB` or `512MB`")
    return found


def room(value: Any) -> float:
    """Gigabytes, and 0 for none."""
    if number(value) == 0:
        return 0.0
    try:
        return gigabytes(value)
    except Fault:
        raise Fault(f"must be a size, or 0 for none, not {show(value)}", "such as `10MB`") from None


def span(value: Any) -> float:
    """Seconds ≥ 0 of `90`, `90m`, `1d12h`, `01:30:00`."""
    found = number(value)
    if found is None and isinstance(value, str):
        text = value.strip()
        if clock := _CLOCK.fullmatch(text):
            found = int(clock[1]) * 3600.0 + int(clock[2]) * 60 + int(clock[3])
        elif text and (parts := _SPAN.fullmatch(text)):
            amounts = [number(part) if part else 0.0 for part in parts.groups()]
            found = (
                None if None in amounts else sum(a * s for a, s in zip(amounts, (86400, 3600, 60, 1), strict=True) if a)
            )
    if found is None or found < 0:
        raise Fault(
            f"must be a time, not {show(value)}", "such as `90m`, `2h`, `1d12h`, `01:30:00` or a number of seconds"
        )
    if found > YEAR_S:
        raise Fault("must be at most 366 days")
    return found


def timeout(value: Any) -> float:
    found = span(value)
    if found == 0:
        raise Fault("must be longer than 0", "leave it out for no limit")
    return found


def retention(value: Any) -> float | None:
    """Seconds; None of `never`."""
    if isinstance(value, str) and value.strip().lower() == "never":
        return None
    found = span(value)
    if found == 0:
        raise Fault("must be longer than 0", "`never` keeps everything")
    return found


def text(value: Any) -> str:
    """Any text without NUL that is not blank."""
    if not isinstance(value, str):
        raise Fault(
            f"must be text, not {show(value)}", "put it in quotes" if isinstance(value, bool | int | float) else ""
        )
    if "\0" in value or not value.strip():
        raise Fault("must not contain a NUL character" if value.strip() else "must not be empty")
    return value


def line(value: Any) -> str:
    """Text of one line: no control character, no blank at its ends."""
    if _CONTROL.search(text(value)):
        raise Fault("must be one line without control characters")
    return str(value).strip()


def named(rule: str, words: str) -> tuple[BeforeValidator, WithJsonSchema]:
    """Of a mapping's keys."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(rule, value):
            raise Fault(f"must be named with {words}", key=True)
        return value

    return (BeforeValidator(check), WithJsonSchema({"type": "string", "pattern": f"^{rule}$"}))


def lines(check: Callable[[str], str] = line) -> Callable[[Any], tuple[str, ...]]:
    """A list of texts; one text is a list of one."""

    def items(value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            return (check(line(value)),)
        if not isinstance(value, list | tuple):
            raise Fault(f"must be a text or a list of texts, not {show(value)}")
        found, faults = dict[str, None](), list[Fault]()
        for n, item in enumerate(value):
            try:
                checked = check(line(item))
            except Fault as fault:
                faults.append(Fault(fault.message, fault.hint, at=(n,)))
                continue
            if checked in found:
                faults.append(Fault(f"is there twice: {show(item)}", "remove one of them", at=(n,)))
            found[checked] = None
        if faults:
            raise Faults(faults)
        return tuple(found)

    return items


def variables(value: Any) -> Mapping[str, str]:
    """Environment variables: names a shell knows; any scalar is taken as text, nothing as an empty one."""
    if not isinstance(value, Mapping):
        raise Fault(f"must be a mapping of names to values, not {show(value)}")
    faults = []
    for name, item in value.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            faults.append(
                Fault("is no name of a variable", "letters, digits and `_`, no digit first", at=(name,), key=True)
            )
        elif name.startswith("LAB_"):
            faults.append(
                Fault("is reserved: names with LAB_ are set by the controller", "rename it", at=(name,), key=True)
            )
        elif isinstance(item, list | tuple | Mapping):
            faults.append(Fault(f"must be a single value, not {show(item)}", "put it in quotes", at=(name,)))
        elif isinstance(item, str) and "\0" in item:
            faults.append(Fault("must not contain a NUL character", at=(name,)))
    if faults:
        raise Faults(faults)
    return {name: _as_text(item) for name, item in value.items()}


def _as_text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _whole_schema(least: int, most: int = WHOLE_MAX) -> WithJsonSchema:
    text = {"type": "string", "pattern": r"^\s*[-+]?[0-9]+\s*$"}
    return WithJsonSchema({"anyOf": [{"type": "integer", "minimum": least, "maximum": most}, text]})


def _number_schema(*examples: str, unit: str = "", **limits: float) -> WithJsonSchema:
    pattern = rf"^[\s0-9.eE+-]+{unit}\s*\+?\s*$"
    text = {"type": "string", "examples": [*examples]} | ({} if unit == "*" else {"pattern": pattern})
    return WithJsonSchema({"anyOf": [{"type": "number", **limits}, text]})


LIST_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "uniqueItems": True}]
}
_ENV_SCHEMA = {
    "type": "object",
    "propertyNames": {"pattern": "^(?!LAB_)[A-Za-z_][A-Za-z0-9_]*$"},
    "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
}
_SIZE_SCHEMA = _number_schema("16GB", "512MB", unit="([kKmMgGtT][iI]?[bB]?)?", exclusiveMinimum=0)
_ROOM_SCHEMA = _number_schema("10MB", "1GB", unit="([kKmMgGtT][iI]?[bB]?)?", minimum=0)
_SPAN_SCHEMA = _number_schema("90m", "2h", "1d12h", "01:30:00", unit="*", minimum=0)

Flag = Annotated[bool, BeforeValidator(flag), WithJsonSchema({"anyOf": [{"type": "boolean"}, {"enum": [*FLAGS]}]})]
Natural = Annotated[int, BeforeValidator(count(0)), _whole_schema(0)]
Positive = Annotated[int, BeforeValidator(count(1)), _whole_schema(1)]
Priority = Annotated[int, BeforeValidator(count(-1000, 1000)), _whole_schema(-1000, 1000)]
Number = Annotated[float, _number_schema()]
Amount = Annotated[float, BeforeValidator(amount), _number_schema(minimum=0)]
Cores = Annotated[float, BeforeValidator(cores), _number_schema("4+", exclusiveMinimum=0)]
Gigabytes = Annotated[float, BeforeValidator(gigabytes), _SIZE_SCHEMA]
Span = Annotated[float, BeforeValidator(span), _SPAN_SCHEMA]
Room = Annotated[float, BeforeValidator(room), _ROOM_SCHEMA]
Retention = Annotated[float | None, BeforeValidator(retention), _SPAN_SCHEMA]
Timeout = Annotated[float, BeforeValidator(timeout), _SPAN_SCHEMA]
Text = Annotated[str, BeforeValidator(text)]
Line = Annotated[str, BeforeValidator(line)]
Lines = Annotated[tuple[str, ...], BeforeValidator(lines()), WithJsonSchema(LIST_SCHEMA)]
Variables = Annotated[Mapping[str, str], BeforeValidator(variables), WithJsonSchema(_ENV_SCHEMA)]
