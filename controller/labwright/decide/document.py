"""YAML as plain values that know where they stand. The only reader of YAML.

Limits hold on the parser's events, before any value is built, and nothing here recurses: deep nesting, alias bombs, huge and
binary files cost one line of complaint. Plain scalars follow the core schema of YAML 1.2 (chapter 10.3): `no` is text,
`1e-4` a number, `017` seventeen. Anchors, aliases, tags, merge keys and several documents in a file are refused.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml
from yaml import events as ev

from labwright.domain.errors import Invalid, Problem

_Parser: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # without libyaml: the same events, ten times as slow

Path = tuple[str | int, ...]

SIZE = 256 * 1024
DEPTH = 32
NODES = 20_000
DIGITS = 100
PROBLEMS = 100  # of one file; nobody reads more

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_TAB_INDENT = re.compile(r" *\t")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys([sign + word for sign in ("", "+") for word in (".inf", ".Inf", ".INF")], math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_PLAIN_WORDS = {  # what libyaml says: what a person can do about it
    "mapping values are not allowed": ("a second `:` in this place", "put the text in quotes, or mend the indentation"),
    "could not find expected ':'": ("a `:` is missing after this key", ""),
    "did not find expected key": (
        "this line does not fit the ones above",
        "mend its indentation, or close a bracket or quote",
    ),
    "expected <block end>": (
        "this line does not fit the ones above",
        "mend its indentation, or close a bracket or quote",
    ),
    "did not find expected '-'": ("a list item `- …` was expected here", "mend the indentation"),
    "did not find expected <document start>": ("this line does not fit the ones above", "mend its indentation"),
    "cannot start any token": ("a value cannot begin with this character", "put it in quotes"),
    "expected ',' or ']'": ("a `,` or `]` is missing in a list", ""),
    "expected ',' or '}'": ("a `,` or `}` is missing in a mapping", ""),
    "unexpected end of stream": ("a quote or bracket is opened and never closed", ""),
    "unknown escape character": (
        "an unknown `\\` escape in double quotes",
        "use single quotes for text with backslashes",
    ),
}


@dataclass(frozen=True, slots=True)
class Document:
    """`value` holds None, bool, int, float, str, list and dict with str keys only."""

    path: str
    value: Any
    _keys: Mapping[Path, Any]
    _values: Mapping[Path, Any]

    def where(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of the value at `path` (of its key with `key`); of the nearest parent if there is none."""
        first, second = (self._keys, self._values) if key else (self._values, self._keys)
        while path and path not in self._values:
            path = path[:-1]
        event = first.get(path) or second.get(path)
        return (event.start_mark.line + 1, event.start_mark.column + 1) if event else (1, 1)

    def has(self, path: Path) -> bool:
        return path in self._values

    def text(self, path: Path) -> str | None:
        """A scalar as it was written (`0.10`, `yes`), without its quotes; None where there is no scalar."""
        event = self._values.get(path)
        return event.value if isinstance(event, ev.ScalarEvent) else None

    def problem(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> Problem:
        return Problem(self.path, *self.where(path, key=key), message, hint)


def read(data: bytes, path: str, *, size: int = SIZE) -> Document:
    """One YAML document. `path` is for the messages. Raises Invalid."""
    text = _decode(data, path, size)
    composer = _Composer(path)
    try:
        parser = _Parser(text)
        while (event := parser.get_event()) is not None:
            composer.take(event)
    except yaml.YAMLError as error:
        _refuse(path, text, error)
    if composer.problems:
        raise Invalid(composer.problems)
    return Document(path, composer.root, composer.keys, composer.values)


def scalar(text: str) -> Any:
    """What a plain scalar means: null, bool, int, float or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _OCTAL_HEX.fullmatch(text):
        return int(text, 0)
    return text


def _decode(data: bytes, path: str, size: int) -> str:
    def refuse(before: str, message: str, hint: str = "") -> NoReturn:
        raise Invalid([Problem(path, before.count("\n") + 1, len(before) - before.rfind("\n"), message, hint)])

    if len(data) > size:
        refuse("", f"the file has {len(data):,} bytes; at most {size:,} are read", "keep data in files of its own")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode(errors="replace")
        refuse(before, f"not UTF-8 text: byte 0x{error.object[error.start]:02x}", "save the file as UTF-8")
    if found := _UNPRINTABLE.search(text):
        what = f"U+{ord(found[0]):04X}"
        refuse(text[: found.start()], f"a character that YAML does not allow: {what}", 'write it as an escape in "…"')
    return text


def _refuse(path: str, text: str, error: yaml.YAMLError) -> NoReturn:
    """The parser's complaint in a person's words."""
    said = str(getattr(error, "problem", None) or error)
    marks = [getattr(error, name, None) for name in ("problem_mark", "context_mark")]
    mark = next(filter(None, reversed(marks) if "end of stream" in said else marks), None)
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.split("\n")
    tab = _TAB_INDENT.match(lines[line]) if line < len(lines) else None
    if tab or " tab " in said:
        column = tab.end() - 1 if tab else column
        message, hint = "a tab in the indentation", "YAML indents with spaces only"
    else:
        known = (words for part, words in _PLAIN_WORDS.items() if part in said)
        message, hint = next(known, (f"not valid YAML: {said}", ""))
    raise Invalid([Problem(path, line + 1, column + 1, message, hint)]) from None


class _Composer:
    """Events → values, with an explicit stack."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.root: Any = None
        self.keys: dict[Path, Any] = {}
        self.values: dict[Path, Any] = {}
        self.problems: list[Problem] = []
        self._documents = 0
        self._box: Any = None  # the list or dict being filled
        self._at: Path = ()  # where it stands
        self._key: str | None = None  # of a dict: the key that waits for its value
        self._stack: list[tuple[Any, Path]] = []

    def take(self, event: Any) -> None:
        kind = type(event)
        if kind is ev.ScalarEvent:
            self._refuse_properties(event)
            if type(self._box) is dict and self._key is None:
                self._take_key(event)
            else:
                self._place(event, self._scalar(event))
        elif kind is ev.MappingStartEvent or kind is ev.SequenceStartEvent:
            self._refuse_properties(event)
            self._open(event, {} if kind is ev.MappingStartEvent else [])
        elif kind is ev.MappingEndEvent or kind is ev.SequenceEndEvent:
            self._box, self._at = self._stack.pop()
        elif kind is ev.AliasEvent:
            self._stop(
                event, f"the alias `*{event.anchor}`: anchors and aliases are not supported", "write the value out"
            )
        elif kind is ev.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                self._stop(event, "a second document begins here", "keep one document a file: remove the `---`")

    def _place(self, event: Any, value: Any) -> Path:
        box = self._box
        if type(box) is list:
            path = (*self._at, len(box))
            box.append(value)
        elif type(box) is dict and self._key is not None:
            path = (*self._at, self._key)
            box[self._key] = value
            self._key = None
        else:
            path, self.root = (), value
        self.values[path] = event
        if len(self.values) > NODES:
            self._stop(event, f"more than {NODES:,} values in one file", "keep data in files of its own")
        return path

    def _open(self, event: Any, box: Any) -> None:
        if type(self._box) is dict and self._key is None:
            self._stop(event, "a key must be text", "put {{…}} in quotes")
        if len(self._stack) >= DEPTH:
            self._stop(event, f"nested more than {DEPTH} levels deep")
        path = self._place(event, box)
        self._stack.append((self._box, self._at))
        self._box, self._at = box, path

    def _take_key(self, event: Any) -> None:
        key: str = event.value
        path = (*self._at, key)
        if key == "<<" and event.implicit[0]:
            self._note(event, "the merge key `<<` is not supported", "write the keys out")
        elif event.implicit[0] and not isinstance(scalar(key), str):
            self._note(event, f"the key `{key}` is not text", f'put it in quotes: "{key}"')
        elif path in self.keys:
            line = self.keys[path].start_mark.line + 1
            self._note(
                event, f"the key `{key}` is here a second time; the first is in line {line}", "remove one of them"
            )
        self.keys.setdefault(path, event)
        self._check(event)
        self._key = key

    def _scalar(self, event: Any) -> Any:
        self._check(event)
        if not event.implicit[0]:
            return event.value
        if len(event.value) > DIGITS and (_INT.fullmatch(event.value) or _OCTAL_HEX.fullmatch(event.value)):
            self._stop(event, f"a number of {len(event.value)} digits", "put it in quotes if it is text")
        return scalar(event.value)

    def _check(self, event: Any) -> None:
        if "\0" in event.value or (not event.value.isascii() and any("\ud800" <= c <= "\udfff" for c in event.value)):
            self._stop(event, "text with a NUL character or half a surrogate pair", "remove the escape")

    def _refuse_properties(self, event: Any) -> None:
        if event.tag:
            self._stop(event, f"the tag `{event.tag}`: tags are not supported", "remove it")
        if event.anchor:
            self._stop(
                event, f"the anchor `&{event.anchor}`: anchors and aliases are not supported", "write the value out"
            )

    def _note(self, event: Any, message: str, hint: str = "") -> None:
        mark = event.start_mark
        self.problems.append(Problem(self.path, mark.line + 1, mark.column + 1, message, hint))
        if len(self.problems) >= PROBLEMS:
            raise Invalid(self.problems)

    def _stop(self, event: Any, message: str, hint: str = "") -> NoReturn:
        self._note(event, message, hint)
        raise Invalid(self.problems)
