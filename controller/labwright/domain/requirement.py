"""`require`: what a metric must be for a pull request's jobs to count as good.

requirement  metric comparison limit
metric       val_loss, eval/loss, top-1.acc: no blank, quote, `<`, `>` or `=`; any other name in "double quotes"
comparison   <=  <  >=  >
limit        0.9                          a number
             base                         the same metric of the base branch's last results
             base + 0.01   base - 0.01    not more than this beside it
             base + 2 %                   the same in hundredths of it
             base + 1 sd                  in standard deviations of the base branch's runs, which must be two at least
             base * 1.02   1.02 * base    times it"""

import math
import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from labwright.domain.forms import LIST_SCHEMA, Fault, line, lines, show

MOST_CHARS = 500
_BLANK = re.compile(r"\s*")
_METRIC = re.compile(r'"([^"]+)"|([^\s"<>=!≤≥]+)')
_COMPARISON = re.compile(r"<=|>=|≤|≥|[<>](?![=<>])")
_NUMBER = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?![0-9.])")
_SIGNED = re.compile(rf"[-+]?\s*{_NUMBER.pattern}")
_BASE = re.compile(r"base(?![\w./])")
_SIGN = re.compile(r"[-+]")
_TIMES = re.compile(r"[*×]")
_UNIT = re.compile(r"%|sd(?!\w)")
_WORD = re.compile(r"[^\s<>=]+|[<>=]+")
_SUCH = "such as `val_loss <= base + 0.01` or `accuracy >= 0.9`"
_SAME = {"≤": "<=", "≥": ">="}


@dataclass(frozen=True, slots=True)
class Requirement:
    """The limit is base * factor + offset + |base| * share + sd * sds; `of_base` says whether there is a base in it at all."""

    text: str
    metric: str
    comparison: str  # <= < >= >
    of_base: bool = False
    factor: float = 0.0
    offset: float = 0.0
    share: float = 0.0
    sds: float = 0.0

    @property
    def lower_is_better(self) -> bool:
        return self.comparison.startswith("<")


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def take(self, rule: re.Pattern[str]) -> re.Match[str] | None:
        start = self._skip()
        if found := rule.match(self.text, start):
            self.at = found.end()
        return found

    def done(self) -> bool:
        return self._skip() == len(self.text)

    def fault(self, wanted: str, hint: str = _SUCH) -> Fault:
        at = self._skip()
        word = _WORD.match(self.text, at)
        there = show(word[0]) if word else "this" if at < len(self.text) else "the end"
        return Fault(f"must have {wanted} at character {at + 1}, not {there}", hint)

    def _skip(self) -> int:
        found = _BLANK.match(self.text, self.at)
        return found.end() if found else self.at


def parse_requirement(text: str) -> Requirement:
    """Raises Fault, which says what was expected at which character (from 1)."""
    if len(text) > MOST_CHARS:
        raise Fault(f"must be at most {MOST_CHARS} characters long", _SUCH)
    reader = _Reader(line(text))
    metric = _metric(reader)
    comparison = reader.take(_COMPARISON)
    if comparison is None:
        raise reader.fault("`<=`, `<`, `>=` or `>`")
    of_base, parts = _limit(reader)
    if not reader.done():
        raise reader.fault("its end", "one comparison each: several are a list; 90 % is written 0.9")
    return Requirement(reader.text, metric, _SAME.get(comparison[0], comparison[0]), of_base, **parts)


def _metric(reader: _Reader) -> str:
    found = reader.take(_METRIC)
    if found is None or not (name := (found[1] or found[2]).strip()):
        raise Fault("must begin with a metric's name", _SUCH)
    if not found[1] and (name == "base" or _SIGNED.fullmatch(name)):
        reader.at = found.start()
        raise reader.fault("a metric's name", f'the metric comes first, {_SUCH}; put a metric of this name in "quotes"')
    return name


def _limit(reader: _Reader) -> tuple[bool, dict[str, float]]:
    """Whether it is of the base, and the parts of the sum."""
    if reader.take(_BASE):
        return True, _beside_base(reader)
    found = reader.take(_SIGNED)
    if found is None:
        raise reader.fault("a number or `base`", f"`base` is the same metric on the base branch; {_SUCH}")
    value = _finite(found[0])
    if reader.take(_TIMES):
        if not reader.take(_BASE):
            raise reader.fault("`base`", "such as `loss < 1.02 * base`")
        return True, {"factor": value}
    return False, {"offset": value}


def _beside_base(reader: _Reader) -> dict[str, float]:
    if reader.take(_TIMES):
        return {"factor": _number(reader, _SIGNED)}
    sign = reader.take(_SIGN)
    if sign is None:
        return {"factor": 1.0}
    value = _number(reader, _NUMBER) * (-1 if sign[0] == "-" else 1)
    unit = reader.take(_UNIT)
    if unit is None:
        return {"factor": 1.0, "offset": value}
    return {"factor": 1.0, **({"share": value / 100} if unit[0] == "%" else {"sds": value})}


def _number(reader: _Reader, rule: re.Pattern[str]) -> float:
    found = reader.take(rule)
    if found is None:
        raise reader.fault("a number")
    return _finite(found[0])


def _finite(text: str) -> float:
    value = float("".join(text.split()))
    if not math.isfinite(value):
        raise Fault(f"must not have a number as large as {show(text)}")
    return value


def _requirement(text: str) -> str:
    return parse_requirement(text).text


Requires = Annotated[tuple[str, ...], BeforeValidator(lines(_requirement)), WithJsonSchema(LIST_SCHEMA)]
