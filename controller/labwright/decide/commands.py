"""Commands that people write in comments of pull requests (R8, R33, R34). Who may give one is not decided here.

    /lab run [digest]                         approve the plan: its digest, or the commit's, at least 7 hex digits
    /lab stop [task | job]                    without a name: everything of this pull request
    /lab rerun [failed | all | task | job]    without a word: what failed
    /lab plan      /lab why [task | job]      /lab help

A command stands at the very start of a line, where everybody sees it as this person's own words. Forges read Markdown in slightly
different ways, so what one of them may show as a quote, as code, or not at all is no command; when in doubt the rest of the
paragraph, or of the comment, commands nothing. docs/spec/commands-on-pulls.md says the same to users."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

MOST_COMMANDS = 10  # of one comment
MOST_CHARS = 65_536  # of a comment that is read at all
MOST_COLUMNS = 300  # of a command's line

_NEWLINE = re.compile(r"\r\n|\n|\r")  # as CommonMark; str.splitlines knows more, which forges show inside a line
_COMMAND = re.compile(r"/lab(?:[ \t]|\Z)")
_FENCE = re.compile(r"( {0,3})(`{3,}(?=[^`]*\Z)|~{3,})")
_TICKS = re.compile(r" {0,3}`{3}")
_ODD_FENCE = re.compile(r"[\s>*+\-0-9.)]*(?:`{3}|~{3})")  # in a list, or deep enough to be code or not
_COMMENT = re.compile(r"( {0,3})<!--(?!-?>)")
_QUOTE = re.compile(r"\s*>")
_QUOTES_BLOCK = re.compile(r"\s*>{3,}\s*\Z")  # GitLab quotes all that follows, up to the next such line
_FRONT = re.compile(r"---|\+\+\+|;;;")  # GitLab shows what such a first line opens as code
_LIST = re.compile(r"[ \t]|(?:[*+-]|[0-9]{1,9}[.)])(?:\s|\Z)")  # an item, or what may go on with one after a blank line
_SPAN = re.compile(r"(?<!`)(`++).*?(?<!`)\1(?!`)")
_AUTOLINK = re.compile(r"<[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*>|<[\w.+-]+@[\w.-]+>")
_VOID = re.compile(r"<(?:img|br|hr)(?:\s[^<>`]*)?/?>", re.IGNORECASE)  # a pasted picture
_LINK = re.compile(r"!?\[[^\[\]]*\]\([^()\s<>\"']*\)")
_TAG = re.compile(r"<[A-Za-z/!?]")
_MAY_SPAN_LINES = re.compile(r"[`\[|$]|\]\(|\{-")
_HEX = re.compile(r"[0-9a-f]{7,64}")
_PLAIN = re.compile(r"[A-Za-z0-9_./-]{1,40}")


class Verb(StrEnum):
    RUN = "run"
    STOP = "stop"
    RERUN = "rerun"
    PLAN = "plan"
    WHY = "why"
    HELP = "help"
    UNKNOWN = "unknown"  # `problem` says what is wrong


_VERBS = {verb.value: verb for verb in Verb if verb is not Verb.UNKNOWN}
_MEANT = {"approve": "run", "launch": "run", "start": "run", "cancel": "stop", "kill": "stop", "abort": "stop",
          "retry": "rerun", "restart": "rerun", "diff": "plan", "status": "plan", "explain": "why"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Command:
    """With a `problem` nothing is to be done but to answer with these words; they hold no text of the person that Markdown could
    read, and `argument` is empty."""

    verb: Verb
    argument: str
    line: int  # of the comment, from 1
    problem: str = ""


def parse_commands(body: str) -> tuple[Command, ...]:
    """In the order they were written. Of more than ten none is done: the one that comes back then says so."""
    if len(body) > MOST_CHARS:
        return ()
    found = tuple(_command(line, n) for n, line in _own_words(body) if _COMMAND.match(line))
    if len(found) > MOST_COMMANDS:
        words = f"a comment may hold {MOST_COMMANDS} commands, and this one holds {len(found)}: none of them was done"
        return (Command(Verb.UNKNOWN, "", found[0].line, words),)
    return found


def _command(line: str, n: int) -> Command:
    if len(line) > MOST_COLUMNS:
        return Command(Verb.UNKNOWN, "", n, f"a command is at most {MOST_COLUMNS} characters long")
    word, _, rest = line[len("/lab") :].replace("\t", " ").strip(" ").partition(" ")
    verb = _VERBS.get(word or "help")
    if verb is None:
        return Command(Verb.UNKNOWN, "", n, _unknown(word))
    argument, problem = _argument(verb, rest.strip(" "))
    return Command(verb, "" if problem else argument, n, problem)


def _unknown(word: str) -> str:
    near = _MEANT.get(word.lower()) or next(iter(difflib.get_close_matches(word.lower(), _VERBS, 1)), "")
    known = f"did you mean `/lab {near}`?" if near else "`/lab help` lists those there are"
    return f"there is no command {_shown(word, 'of this name')}; {known}"


def _argument(verb: Verb, text: str) -> tuple[str, str]:
    """The argument, and what is wrong with it."""
    if verb in (Verb.PLAN, Verb.HELP):
        return "", f"`/lab {verb}` stands alone on its line" if text else ""
    if verb is Verb.RUN:
        return text.lower(), _digest_problem(text) if text else ""
    if not text:
        return ("failed" if verb is Verb.RERUN else ""), ""
    name = text[1:-1] if len(text) > 2 and text[0] == text[-1] == '"' else text
    if name == text and " " in text:
        return "", f"`/lab {verb}` takes one name; put a name with blanks in double quotes"
    fits = name.isprintable() and not set(name) & set('`<>|\\"@') and not name.startswith(("-", "/", " "))
    if not fits or ".." in name.split("/"):
        return "", f"{_shown(name)} is no name of a task or job; write it as the plan shows it, such as `alpha/train`"
    return name, ""


def _digest_problem(text: str) -> str:
    if _HEX.fullmatch(text.lower()):
        return ""
    if text in ("failed", "all") or "/" in text:
        return f"`/lab run` takes a digest, not {_shown(text)}; did you mean `/lab rerun`?"
    return f"{_shown(text)} is no digest: 7 to 64 hex digits, as the plan shows them, or nothing"


def _shown(text: str, otherwise: str = "this") -> str:
    return f"`{text}`" if _PLAIN.fullmatch(text) else otherwise


def _own_words(body: str) -> Iterator[tuple[int, str]]:
    """Lines, with their numbers, that certainly begin as running text."""
    page = _Page()
    for n, line in enumerate(_NEWLINE.split(body), 1):
        if page.take(line):
            yield n, line
        if page.doubtful:
            return


class _Page:
    """Where in a Markdown text we are. What opens a block for certain is followed; what may or may not open one ends the reading
    (`doubtful`): from there on, what looks like the end of code could be its beginning."""

    def __init__(self) -> None:
        self.doubtful = False
        self._sealed = False  # until the next blank line: a quote, list, table, or a mark that may go on over lines
        self._closing: re.Pattern[str] | None = None  # of the block we are in
        self._indent = 0  # of its opening line
        self._first = True

    def take(self, line: str) -> bool:
        """Whether this line begins as the person's own running text."""
        if self._closing is not None:
            self._within(self._closing, line)
            return False
        if not line.strip(" \t"):
            self._sealed = False
            return False
        if self._opens(line):
            return False
        own = not self._sealed
        self._look_through(line)
        return own

    def _within(self, closing: re.Pattern[str], line: str) -> None:
        if line.strip(" \t") and len(line) - len(line.lstrip(" ")) < self._indent:
            self.doubtful = True  # where the block lies in a list, this line has ended both
        elif end := closing.match(line):
            self._closing = None
            self.doubtful = _TAG.search(line, end.end()) is not None

    def _opens(self, line: str) -> bool:
        first, self._first = self._first, False
        if (first and _FRONT.match(line)) or _QUOTES_BLOCK.match(line):
            self.doubtful = True
        elif fence := _FENCE.match(line):
            self._open(len(fence[1]), rf" {{0,3}}{fence[2][0]}{{{len(fence[2])},}}[ \t]*\Z")
        elif comment := _COMMENT.match(line):
            self._open(len(comment[1]), r".*?-->")
            if not self.doubtful and (end := re.compile(r".*?-->").match(line, comment.end())):
                self._closing = None
                self.doubtful = _TAG.search(line, end.end()) is not None
        elif _ODD_FENCE.match(line) and not _TICKS.match(line) and not re.match(r" {0,3}>", line):
            self.doubtful = True
        else:
            return False
        return True

    def _open(self, indent: int, closing: str) -> None:
        self.doubtful = self._sealed  # some paragraphs swallow it, others end
        self._closing, self._indent = re.compile(closing), indent

    def _look_through(self, line: str) -> None:
        whole = self._sealed or "\\`" in line or len(line) > MOST_COLUMNS
        text = _AUTOLINK.sub("", line if whole else _LINK.sub("", _SPAN.sub("", line)))
        shorter = _VOID.sub("", text)
        if _TAG.search(shorter) or "$$" in text:
            self.doubtful = True
        strikes = len(re.findall("~+", text)) % 2
        if shorter != text or strikes or _MAY_SPAN_LINES.search(text) or _QUOTE.match(line) or _LIST.match(line):
            self._sealed = True
