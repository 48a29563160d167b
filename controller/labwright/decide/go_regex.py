"""Regular expressions as Go writes them, in the part of the language that is of use for paths, matched in linear time.

Python's own `re` tries one way after the other and may take for ever on `(a+)+` or `.*.*.*x`; here all ways go on at once, a set of
places in the pattern for each character read, and each set that was met once is kept (the pattern becomes an automaton as it is
used). Source of the syntax: https://github.com/google/re2/wiki/Syntax"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

MOST_CHARS = 1_000  # of a pattern
MOST_PLACES = 2_000  # after its counted repetitions are written out
MOST_NESTED = 50
MOST_REPEATS = 1_000  # as Go
_MOST_KEPT = 20_000

_COUNT = re.compile(r"\{([0-9]{1,5})(,([0-9]{0,5}))?\}")
_GROUP = re.compile(r"\?:|\?P?<[A-Za-z_][A-Za-z0-9_]*>")
_CONTROL = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_LAST = 0x10FFFF
_DIGITS = ((48, 57),)
_WORD = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE = ((9, 10), (12, 13), (32, 32))
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_BEGIN, _END = "begin", "end"

Ranges = tuple[tuple[int, int], ...]


class NotUnderstood(ValueError):
    """No regular expression, or one with something that is not supported here: flags, `\\b`, `\\p`, `[[:alpha:]]`."""


@dataclass(frozen=True, slots=True)
class _Chars:
    ranges: Ranges


@dataclass(frozen=True, slots=True)
class _Anchor:
    where: str


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    ways: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    what: "_Node"
    least: int
    most: int | None


_Node = _Chars | _Anchor | _Sequence | _Choice | _Repeat


def _but(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """All other characters."""
    found, low = [], 0
    for first, last in sorted(ranges):
        if first > low:
            found.append((low, first - 1))
        low = max(low, last + 1)
    return (*found, (low, _LAST)) if low <= _LAST else tuple(found)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0

    def whole(self) -> _Node:
        found = self.choice()
        if self.at < len(self.text):
            raise NotUnderstood("a `)` that nothing opened")
        return found

    def choice(self) -> _Node:
        ways = [self.sequence()]
        while self._take("|"):
            ways.append(self.sequence())
        return ways[0] if len(ways) == 1 else _Choice(tuple(ways))

    def sequence(self) -> _Node:
        parts = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            parts.append(self.repeated())
        return _Sequence(tuple(parts))

    def repeated(self) -> _Node:
        if self._repetition() is not None:
            raise NotUnderstood("nothing before a repetition")
        atom = self.atom()
        found = self._repetition()
        if found is None:
            return atom
        self._take("?")  # the shortest or the longest: whether there is a match does not depend on it
        if self._repetition() is not None:
            raise NotUnderstood("one repetition after another")
        least, most = found
        if max(least, most or 0) > MOST_REPEATS or (most is not None and most < least):
            raise NotUnderstood("a repetition that cannot be counted")
        return _Repeat(atom, least, most)

    def _repetition(self) -> tuple[int, int | None] | None:
        for mark, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(mark):
                return bounds
        count = _COUNT.match(self.text, self.at)
        if count is None:
            return None
        self.at = count.end()
        most = int(count[1]) if count[2] is None else int(count[3]) if count[3] else None
        return int(count[1]), most

    def atom(self) -> _Node:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return _Chars(self._class())
        if char == "\\":
            return self._escape()
        if char in "^$":
            return _Anchor(_BEGIN if char == "^" else _END)
        return _Chars(_but([(10, 10)]) if char == "." else ((ord(char), ord(char)),))

    def _group(self) -> _Node:
        if named := _GROUP.match(self.text, self.at):
            self.at = named.end()
        elif self.text.startswith("?", self.at):
            raise NotUnderstood("flags of a group")
        self.depth += 1
        if self.depth > MOST_NESTED:
            raise NotUnderstood("too many groups in one another")
        found = self.choice()
        self.depth -= 1
        if not self._take(")"):
            raise NotUnderstood("a `(` that nothing closes")
        return found

    def _escape(self) -> _Node:
        char = self._next()
        if char in "Az":
            return _Anchor(_BEGIN if char == "A" else _END)
        return _Chars(self._escaped(char))

    def _escaped(self, char: str) -> Ranges:
        if char.lower() in _CLASSES:
            return _CLASSES[char] if char.islower() else _but(_CLASSES[char.lower()])
        char = _CONTROL.get(char, char)
        if char.isalnum():
            raise NotUnderstood(f"`\\{char}`")
        return ((ord(char), ord(char)),)

    def _class(self) -> Ranges:
        others, found, first = self._take("^"), list[tuple[int, int]](), True
        while first or not self._take("]"):
            first = False
            found += self._class_part()
        return _but(found) if others else tuple(found)

    def _class_part(self) -> Ranges:
        if self.text.startswith("[:", self.at):
            raise NotUnderstood("a class with a name")
        low = self._class_char()
        ends = self.text[self.at : self.at + 1] == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", "")
        if not ends:
            return low
        self.at += 1
        high = self._class_char()
        if len(low) != 1 or len(high) != 1 or low[0][0] != low[0][1] or not low[0][0] <= high[0][0] == high[0][1]:
            raise NotUnderstood("a range from later to earlier")
        return ((low[0][0], high[0][0]),)

    def _class_char(self) -> Ranges:
        char = self._next()
        return self._escaped(self._next()) if char == "\\" else ((ord(char), ord(char)),)

    def _next(self) -> str:
        if self.at >= len(self.text):
            raise NotUnderstood("it ends too early")
        self.at += 1
        return self.text[self.at - 1]

    def _take(self, mark: str) -> bool:
        if self.text.startswith(mark, self.at):
            self.at += len(mark)
            return True
        return False


@dataclass(slots=True)
class _Place:
    """Goes on to `then`: by a character of `ranges`, at an `anchor`, or without reading anything."""

    then: list[int]
    ranges: Ranges | None = None
    anchor: str = ""


@dataclass(slots=True)
class _Machine:
    places: list[_Place] = field(default_factory=lambda: [_Place([])])  # the first one is the match
    steps: int = 0  # repetitions of nothing add no place, and could be written out for ever

    def add(self, node: _Node, then: int) -> int:
        """Where to begin so as to match the node and go on at `then`."""
        self.steps += 1
        if self.steps > 10 * MOST_PLACES:
            raise NotUnderstood("too large with its repetitions written out")
        if isinstance(node, _Chars):
            return self._new(_Place([then], ranges=node.ranges))
        if isinstance(node, _Anchor):
            return self._new(_Place([then], anchor=node.where))
        if isinstance(node, _Sequence):
            for part in reversed(node.parts):
                then = self.add(part, then)
            return then
        if isinstance(node, _Choice):
            return self._new(_Place([self.add(way, then) for way in node.ways]))
        return self._repeat(node, then)

    def _repeat(self, node: _Repeat, then: int) -> int:
        if node.most is None:
            loop = self._new(_Place([then]))
            self.places[loop].then.append(self.add(node.what, loop))
            then = loop
        else:
            end = then
            for _ in range(node.most - node.least):
                then = self._new(_Place([end, self.add(node.what, then)]))
        for _ in range(node.least):
            then = self.add(node.what, then)
        return then

    def _new(self, place: _Place) -> int:
        if len(self.places) >= MOST_PLACES:
            raise NotUnderstood("too large with its repetitions written out")
        self.places.append(place)
        return len(self.places) - 1

    def reach(self, starts: Iterable[int], anchors: frozenset[str]) -> frozenset[int]:
        """All places that are reached without reading."""
        found, todo = set[int](), list(starts)
        while todo:
            at = todo.pop()
            if at not in found:
                found.add(at)
                place = self.places[at]
                if place.ranges is None and (not place.anchor or place.anchor in anchors):
                    todo += place.then
        return frozenset(found)


def search(pattern: str) -> Callable[[str], bool]:
    """Whether a text has a match anywhere, as Go's MatchString sees it. Raises NotUnderstood."""
    if len(pattern) > MOST_CHARS:
        raise NotUnderstood(f"longer than {MOST_CHARS} characters")
    machine = _Machine()
    start = machine.add(_Parser(pattern).whole(), 0)
    first, idle = machine.reach([start], frozenset({_BEGIN})), machine.reach([start], frozenset())
    hopeless = not any(
        machine.places[at].ranges for at in idle
    )  # where nothing is under way, nothing can begin any more
    at_end = 0 in machine.reach(idle, frozenset({_END}))
    kept: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def step(places: frozenset[int], char: str) -> frozenset[int]:
        code = ord(char)
        read = (machine.places[at] for at in places)
        moved = [
            place.then[0] for place in read if place.ranges and any(low <= code <= high for low, high in place.ranges)
        ]
        if len(kept) >= _MOST_KEPT:
            kept.clear()
        found = kept[places, char] = machine.reach([*moved, start], frozenset()) if moved else idle
        return found

    def matches(text: str) -> bool:
        places = first
        for char in text:
            if 0 in places:
                return True
            if hopeless and places is idle:
                return at_end
            places = kept.get((places, char)) or step(places, char)
        return 0 in places or 0 in machine.reach(places, frozenset({_END} if text else {_BEGIN, _END}))

    return matches
