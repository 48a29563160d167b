"""CODEOWNERS, as the forge that the file is for reads it. It is read from the base branch only (R5, R11).

github    The last rule that matches a path says who owns it; a rule without owners says: nobody. Patterns as in .gitignore, but for
          `!` and `[ ]`: lines with those are skipped, as there. `docs/*` are the files of docs alone, not those of folders in it.
gitlab    The same within each section; what sections (and the rules before the first one) say is put together: an owner by any of them
          is an owner. A section that is optional (`^`) or wants several approvals counts as any other. `!pattern` takes a path out of
          its section for good. Patterns are Ruby's fnmatch: without a leading `/` at any depth, a folder's files only with a trailing
          `/`. Roles (`@@maintainer`) own nothing here; a group on its highest level (`@group`) cannot be told from a login.
forgejo   Also Gitea. Patterns are Go's regular expressions of a whole path, `!` before one stands for all other paths, and every rule
          that matches counts. (`a|b` is what those forges make of it: all that begins with a, or ends with b.)

Where this module cannot read what the forge perhaps can, nobody owns what the unread may be about: it never gives a right away."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from labwright.decide.go_regex import NotUnderstood, search
from labwright.domain.errors import Problem

Dialect = Literal["github", "gitlab", "forgejo"]

PLACES: Mapping[Dialect, Sequence[str]] = {  # the first one that is there counts, alone
    "github": (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"),
    "gitlab": ("CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS"),
    "forgejo": ("CODEOWNERS", "docs/CODEOWNERS", ".gitea/CODEOWNERS", ".forgejo/CODEOWNERS"),
}
MOST_CHARS = 3 << 20  # as GitHub
MOST_RULES = 5_000
MOST_PATTERN = 1_000  # characters of one
_MOST_PROBLEMS = 50

_TOKEN = re.compile(r"(?:\\[^\n]|[^ \t\\])+|\\")
_SECTION = re.compile(r"\^?\[([^\]]+)\](?:\[[0-9 ]*\])?(?=[ \t]|\Z)")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_TEAM = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


@dataclass(frozen=True, slots=True)
class Rule:
    line: int
    matches: Callable[[str], bool] | None  # None: not understood, so it may be about any path
    owners: frozenset[str] = frozenset()
    exclusion: bool = False  # GitLab's `!`


@dataclass(frozen=True, slots=True)
class Owners:
    dialect: Dialect
    sections: tuple[tuple[Rule, ...], ...] = ()
    problems: tuple[Problem, ...] = ()  # what is skipped or not understood, for people to mend
    refused: bool = False  # the file as a whole: nobody owns anything

    def of(self, path: str) -> frozenset[str] | None:
        """Logins and e-mail addresses in lower case, teams as `@org/team`; empty: nobody. None: no rule is about this path."""
        if self.refused:
            return frozenset()
        one = _every if self.dialect == "forgejo" else _last
        found = [owners for rules in self.sections if (owners := one(rules, path)) is not None]
        return frozenset().union(*found) if found else None

    def owners_of_all(self, paths: Iterable[str]) -> Mapping[str, frozenset[str] | None]:
        return {path: self.of(path) for path in paths}


def _last(rules: Sequence[Rule], path: str) -> frozenset[str] | None:
    if any(rule.exclusion and rule.matches and rule.matches(path) for rule in rules):
        return None
    for rule in reversed(rules):
        if not rule.exclusion and (rule.matches is None or rule.matches(path)):
            return rule.owners if rule.matches else frozenset()
    return None


def _every(rules: Sequence[Rule], path: str) -> frozenset[str] | None:
    found = [rule.owners for rule in rules if rule.matches is not None and rule.matches(path)]
    unread = any(rule.matches is None for rule in rules)
    return frozenset().union(*found) if found or unread else None


def parse(text: str, dialect: Dialect = "github") -> Owners:
    """Any text: what is wrong is in `problems`."""
    if len(text) > MOST_CHARS:
        return _refused(dialect, f"longer than {MOST_CHARS:,} characters")
    reader = _Reader(dialect)
    for n, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        reader.read(n, line.strip(" \t\r"))
        if reader.count > MOST_RULES:
            return _refused(dialect, f"more than {MOST_RULES:,} rules")
    sections = tuple(tuple(rules) for rules in reader.sections.values())
    return Owners(dialect, sections, tuple(reader.problems[:_MOST_PROBLEMS]))


def _refused(dialect: Dialect, words: str) -> Owners:
    problem = Problem("CODEOWNERS", 1, 1, f"the file has {words}, so nobody owns anything", "use folders and teams")
    return Owners(dialect, (), (problem,), refused=True)


class _Reader:
    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.sections: dict[str, list[Rule]] = {"": []}
        self.problems: list[Problem] = []
        self.count = 0
        self._rules = self.sections[""]
        self._defaults: frozenset[str] = frozenset()

    def read(self, n: int, line: str) -> None:
        if not line or line.startswith("#"):
            return
        if self.dialect == "gitlab" and line.startswith(("[", "^[")):
            self._section(n, line)
            return
        first, *others = _go_tokens(line) if self.dialect == "forgejo" else _tokens(line, self.dialect)
        if self.dialect == "forgejo" and not others:
            self._problem(n, "a rule without owners counts for nothing", "name a login or `@org/team`")
            return
        if rule := self._rule(n, first, self._owners(n, others), own=any("@" in word for word in others)):
            self._rules.append(rule)
            self.count += 1

    def _section(self, n: int, line: str) -> None:
        found = _SECTION.match(line)
        name = found[1].strip().lower() if found else ""
        if not found or not name:
            self._problem(n, "no heading of a section", "such as `[Training][2] @org/team`")
            return
        self._rules = self.sections.setdefault(name, [])
        self._defaults = self._owners(n, _TOKEN.findall(line, found.end()))

    def _rule(self, n: int, pattern: str, owners: frozenset[str], *, own: bool) -> Rule | None:
        """`own`: it names owners, readable or not, and so does without those of its section."""
        exclusion = self.dialect == "gitlab" and pattern.startswith("!")
        try:
            matches = _COMPILE[self.dialect](pattern.removeprefix("!") if exclusion else pattern)
        except NotUnderstood as error:
            self._problem(n, f"not understood here: {error}; what it may be about has no owner", "write it more simply")
            return Rule(n, None, exclusion=exclusion)
        except _Skipped as error:
            self._problem(n, f"skipped, as on the forge: {error}", "mend the pattern")
            return None
        return Rule(n, matches, owners if own else owners or self._defaults, exclusion)

    def _owners(self, n: int, words: Iterable[str]) -> frozenset[str]:
        found = {word: _owner(word, self.dialect) for word in words}
        if wrong := [word for word, owner in found.items() if not owner and "@" in word]:
            hint = "name people as `@login` or by address, teams as `@org/team`; roles are not read"
            self._problem(n, f"{len(wrong)} of its owners cannot be read", hint)
        elif self.dialect != "gitlab" and not all(found.values()):
            self._problem(n, "an owner without `@`", "such as `@login`")
        return frozenset(owner for owner in found.values() if owner)

    def _problem(self, n: int, message: str, hint: str) -> None:
        self.problems.append(Problem("CODEOWNERS", n, 1, message, hint))


def _owner(word: str, dialect: Dialect) -> str:
    """Empty of what names nobody."""
    name = word.removeprefix("@").lower()
    named = word.startswith("@") or dialect == "forgejo"  # which does without
    if named and _NAME.fullmatch(name):
        return name
    if named and _TEAM.fullmatch(name) and (dialect == "gitlab" or name.count("/") == 1):
        return f"@{name}"
    return word.lower() if _EMAIL.fullmatch(word) else ""


def _tokens(line: str, dialect: Dialect) -> Iterator[str]:
    """Cut at blanks that no backslash stands before. GitLab knows no remark behind a rule, and takes its words for owners."""
    for token in _TOKEN.findall(line):
        if token.startswith("#") and dialect == "github":
            return
        yield token


def _go_tokens(line: str) -> list[str]:
    """A backslash makes the next character an ordinary one and goes; `#` begins a remark anywhere."""
    tokens, escaped = [""], False
    for char in line:
        if escaped:
            tokens[-1] += char
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == "#":
            break
        elif char in " \t":
            tokens.append("")
        else:
            tokens[-1] += char
    return [token for token in tokens if token] or [""]


class _Skipped(ValueError):
    """The forge skips this line, too."""


def _github(pattern: str) -> Callable[[str], bool]:
    if pattern.startswith("!") or re.search(r"[\[\]]", pattern) or pattern.startswith("\\#"):
        raise _Skipped("`!`, `[ ]` and `\\#` have no meaning there")
    parts = pattern.split("/")
    rooted = parts[0] == "" or len(parts) > 2 or (len(parts) == 2 and parts[1] != "")
    names = [part for n, part in enumerate(parts) if part or 0 < n < len(parts) - 1]
    if not names:
        raise _Skipped("it matches nothing; `*` is everything")
    if not rooted and names[0] != "**":
        names.insert(0, "**")
    if parts[-1] == "" and names[-1] != "**":
        names.append("**")
    if names[-1] == "**":
        names.append("*")
    return _glob(names, classes=False, below=names[-1] != "*")


def _gitlab(pattern: str) -> Callable[[str], bool]:
    names = pattern.removeprefix("/").split("/")
    if not pattern.startswith("/"):
        names.insert(0, "**")
    if names[-1] == "":
        names[-1:] = ["**", "*"]
    elif names[-1] == "**":  # Ruby goes down only where a `/` follows
        names[-1] = "*"
    return _glob(names, classes=True, below=False)


def _forgejo(pattern: str) -> Callable[[str], bool]:
    matches = search(f"^{pattern.removeprefix('!')}$")
    return (lambda path: not matches(path)) if pattern.startswith("!") else matches


_COMPILE: Mapping[Dialect, Callable[[str], Callable[[str], bool]]] = {
    "github": _github,
    "gitlab": _gitlab,
    "forgejo": _forgejo,
}


def _glob(names: Sequence[str], *, classes: bool, below: bool) -> Callable[[str], bool]:
    """Of a path's names, where `**` is any number of folders. `below`: a folder's name stands for all that is in it.

    What lies between two `**` or two `*` is matched where it first fits and never tried again (an atomic group): that finds the
    same paths, and no pattern takes for ever."""
    if sum(map(len, names)) > MOST_PATTERN:
        raise NotUnderstood(f"longer than {MOST_PATTERN:,} characters")
    runs: list[list[str]] = [[]]
    for name in names:
        if name != "**":
            runs[-1].append(_name(name, classes=classes))
        elif runs[-1] or len(runs) == 1:
            runs.append([])
    first, *others = ["/".join(run) for run in runs]
    if not others:
        whole = first
    else:
        between = "".join(f"(?>(?:[^/]+/)*?{run}/)" for run in others[:-1])
        whole = (f"{first}/" if first else "") + between + f"(?:[^/]+/)*?{others[-1]}"
    found = re.compile(whole + ("(?:/.*)?" if below else ""), re.DOTALL)
    return lambda path: found.fullmatch(path) is not None


def _name(name: str, *, classes: bool) -> str:
    """One name of a path as a regex; between its `*`, all is of a fixed length."""
    texts, at = [""], 0
    while at < len(name):
        char = name[at]
        at += 1
        if char == "*":
            if texts[-1] or len(texts) == 1:
                texts.append("")
        elif char == "[" and classes:
            found, at = _class(name, at)
            texts[-1] += found
        elif char == "\\" and at < len(name):
            texts[-1] += re.escape(name[at])
            at += 1
        else:
            texts[-1] += "[^/]" if char == "?" else re.escape(char)
    first, *others = texts
    return first + "".join(f"(?>[^/]*?{text})" for text in others[:-1]) + "".join(f"[^/]*{t}" for t in others[-1:])


def _class(name: str, at: int) -> tuple[str, int]:
    """`[a-z_]`, `[!a]`, `[^a]`, and where it ends."""
    others = name[at : at + 1] in ("!", "^")
    at += others
    parts, start = [], at
    while name[at : at + 1] != "]" or at == start:
        low, at = _class_char(name, at)
        high = low
        if name[at : at + 1] == "-" and name[at + 1 : at + 2] not in ("]", ""):
            high, at = _class_char(name, at + 1)
        if low <= high:
            parts.append(f"{re.escape(low)}-{re.escape(high)}")
    inside = "".join(parts)
    return (f"[^/{inside}]" if others else f"(?!/)[{inside}]" if inside else "(?!)"), at + 1


def _class_char(name: str, at: int) -> tuple[str, int]:
    at += name[at : at + 1] == "\\"
    if at >= len(name):
        raise _Skipped("a `[` that nothing closes matches nothing")
    return name[at], at + 1
