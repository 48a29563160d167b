"""What .gitattributes say of a file, read as git reads them: the last line that fits wins, and the nearest folder."""

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

NAME = ".gitattributes"
MOST_BYTES = 1 << 20
MOST_RULES = 500  # of all files together
MOST_PATTERN = 300  # characters
MOST_STEPS = 5_000_000  # of matching, for all files together
_BINARY = {"diff": "unset", "merge": "unset", "text": "unset"}  # git's only macro of its own
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_TOKEN = re.compile(r"\\.|\[[!^]?\]?[^\]]*\]|.", re.DOTALL)
_WILD = re.compile(r"[*?\[\\]")


@dataclass(frozen=True, slots=True)
class Rule:
    """States by attribute: `set`, `unset`, `unspecified` or a value."""

    source: str  # path of the .gitattributes
    line: int
    folder: str
    pattern: str
    states: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class State:
    value: str
    source: str
    line: int


class Attributes:
    """`unread` is the first .gitattributes that had more rules, or rules of more work, than are looked at; else empty."""

    def __init__(self, rules: Sequence[Rule], unread: str = "") -> None:
        self.rules, self.unread = rules, unread
        self._steps = 0

    @staticmethod
    def read(files: Mapping[str, bytes], of_interest: Callable[[str], bool]) -> "Attributes":
        """Of the repository's .gitattributes by path. Rules without an attribute of interest are not kept."""
        rules: list[Rule] = []
        macros: dict[str, Mapping[str, str]] = {"binary": _BINARY}
        for path in sorted(files, key=lambda path: (path.count("/"), path)):
            for rule in _rules(path, files[path], macros, of_interest):
                if len(rules) == MOST_RULES or len(rule.pattern) > MOST_PATTERN:
                    return Attributes(rules, path)
                rules.append(rule)
            if len(files[path]) > MOST_BYTES:
                return Attributes(rules, path)
        return Attributes(rules)

    def of(self, path: str) -> Mapping[str, State]:
        found: dict[str, State] = {}
        for rule in self.rules:
            if self._steps > MOST_STEPS:
                self.unread = self.unread or rule.source
                break
            if self._fits(rule, path):
                found |= {name: State(value, rule.source, rule.line) for name, value in rule.states.items()}
        return found

    def _fits(self, rule: Rule, path: str) -> bool:
        prefix = f"{rule.folder}/" if rule.folder else ""
        if not path.startswith(prefix):
            return False
        inside, pattern = path[len(prefix) :], rule.pattern
        if pattern.endswith("/"):  # of folders, which have no attributes
            return False
        if "/" not in pattern:
            return self._name_fits(pattern, inside.rpartition("/")[2])
        parts = pattern.lstrip("/").split("/")
        if parts[-1] == "**":  # what is in a folder, not the folder
            parts.append("*")
        return self._wild(parts, inside.split("/"), "**", self._name_fits)

    def _name_fits(self, pattern: str, name: str) -> bool:
        self._steps += 1
        if not _WILD.search(pattern, 1):
            if pattern.startswith("*"):
                return name.endswith(pattern[1:])
            if not _WILD.match(pattern):
                return name == pattern
        return self._wild(_tokens(pattern), name, "*", _one)

    def _wild(self, pattern: Sequence[str], text: Sequence[str], star: str, fits: Callable[[str, str], bool]) -> bool:
        """Whether the pattern fits the whole text; `star` stands for any run. Going back only to the last star is enough, so no
        pattern takes more than its length times the text's."""
        p = t = mark = 0
        last = -1
        while t < len(text):
            self._steps += 1
            if p < len(pattern) and pattern[p] == star:
                last, mark = p, t
                p += 1
            elif p < len(pattern) and fits(pattern[p], text[t]):
                p, t = p + 1, t + 1
            elif last >= 0:
                mark += 1
                p, t = last + 1, mark
            else:
                return False
        return all(one == star for one in pattern[p:])


def _rules(
    path: str, data: bytes, macros: dict[str, Mapping[str, str]], of_interest: Callable[[str], bool]
) -> Iterator[Rule]:
    folder = posixpath.dirname(path)
    text = data[:MOST_BYTES].decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip(" \t\r")
        if not stripped or stripped.startswith("#"):
            continue
        quoted = _QUOTED.match(stripped)
        if quoted:
            pattern, rest = re.sub(r"\\(.)", r"\1", quoted[1]), stripped[quoted.end() :].split()
        else:
            pattern, *rest = stripped.split()
        states = {name: value for name, value in _states(rest, macros).items() if of_interest(name)}
        if pattern.startswith("[attr]"):
            if not folder:  # git knows macros of the root alone
                macros[pattern[6:]] = states
        elif states and not pattern.startswith("!"):
            yield Rule(path, number, folder, pattern, states)


def _states(words: Sequence[str], macros: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    states: dict[str, str] = {}
    for word in words:
        name, equals, value = word.lstrip("-!").partition("=")
        if word[0] in "-!":
            states[name] = "unset" if word[0] == "-" else "unspecified"
        else:
            states |= {**macros.get(name, {}), name: value if equals else "set"}
    return states


@lru_cache(maxsize=1024)
def _tokens(pattern: str) -> Sequence[str]:
    """`*`, `?`, `[a-z]` and single characters; what is escaped stays as two characters."""
    return _TOKEN.findall(pattern)


def _one(piece: str, character: str) -> bool:
    if piece in ("?", character):
        return True
    if len(piece) == 1:
        return False
    if piece.startswith("\\"):
        return piece[1] == character
    negated = piece[1] in "!^"
    return negated != _in_class(piece[2 if negated else 1 : -1], character)


def _in_class(members: str, character: str) -> bool:
    at = 0
    while at < len(members):
        if at + 2 < len(members) and members[at + 1] == "-":
            if members[at] <= character <= members[at + 2]:
                return True
            at += 3
        else:
            if members[at] == character:
                return True
            at += 1
    return False
