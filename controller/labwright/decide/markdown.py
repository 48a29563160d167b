"""User text inside our Markdown (R33): shown as it is, and never read as a mention, a link, a table's bar, HTML, a fence or a
command. Holds on GitHub, GitLab and Forgejo, which look for mentions, issues and addresses once more after Markdown is done."""

import re
from collections.abc import Iterable

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff"
    r"\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
SHOWN = "\ufffd"  # stands where something was that cannot be seen
_MARKS = re.compile(r"([\\`*_{}\[\]<>#!~&$^])")
_APART = "\u2060"  # word joiner: breaks what a forge looks for, and is not seen
_REFERENCES = re.compile(
    r"[@#!$%~&^*\[{:](?=[^\s])"  # @person #1 !1 $1 %1 ~label &1 ^alert#1 *iteration [thing:1] :emoji: scheme://
    r"|[^\s](?=@)"  # person@host
    r"|[wW]{3}(?=\.)|/(?=/)"
    r"|[A-Za-z](?=-[0-9])"  # GH-1, KEY-1
    r"|[0-9a-f]{6}(?=[0-9a-f])"  # a commit
)
_BLOCK = re.compile(
    r"[0-9]+(?=[.)](?:\s|$))|(?=[+=/-])"
)  # what would start a list, a line below a heading, or a command
_COMMAND = re.compile(r"^(\s*)(?=/lab\b)", re.IGNORECASE | re.MULTILINE)
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(?:/.*)?", re.DOTALL)
_IN_ADDRESS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:?=&%#~+,@[]")


def clean(text: str) -> str:
    """Without terminal sequences; in place of characters that are not seen stands U+FFFD. Lines end at a newline."""
    return _UNSEEN.sub(SHOWN, _ANSI.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def short(text: str, most: int) -> str:
    """On one line."""
    flat = " ".join(clean(text[: most * 8 + 1000]).split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def plain(text: str, most: int = 200) -> str:
    """As running text, also in a table's cell and at the start of a line."""
    made = _escaped(_apart(short(text, most)))
    block = _BLOCK.match(made)
    return f"{block[0]}\\{made[block.end() :]}" if block else made


def code(text: str, most: int = 120) -> str:
    """As a span of code, also in a table's cell."""
    flat = _no_comment(short(text, most))
    if not flat:
        return ""
    if "|" in flat:  # a bar inside of backticks ends a cell or not, by the forge
        return (
            f"<code>{''.join(c if c.isalnum() or c in (' ', _APART) else f'&#{ord(c)};' for c in _apart(flat))}</code>"
        )
    ticks = "`" * (_longest_ticks(flat) + 1)
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{ticks}{pad}{flat}{pad}{ticks}"


def prose(text: str, most: int = 300) -> str:
    """As running text in which `…` is a span of code, as our own reasons and errors are written."""
    pieces = short(text, most).split("`")
    if len(pieces) % 2 == 0:  # one backtick has no other
        pieces[-2:] = ["`".join(pieces[-2:])]
    return "".join(code(piece, most) if n % 2 else _spaced(piece) for n, piece in enumerate(pieces) if piece)


def fence(text: str, *, lines: int = 30, width: int = 240) -> str:
    """The last lines as a block of code whose end the text cannot contain."""
    kept = clean(text).strip("\n").split("\n")[-lines:]
    cut = "\n".join(line if len(line) <= width else line[: width - 1] + "…" for line in kept)
    body = _no_comment(_COMMAND.sub(rf"\1{_APART}", cut))
    ticks = "`" * max(3, _longest_ticks(body) + 1)
    return f"{ticks}text\n{body}\n{ticks}"


def link(label: str, address: str) -> str:
    """`label` is Markdown already. Without a sound http(s) address: the label alone."""
    url = _sound(address)
    return f"[{label}]({url})" if url else label


def image(title: str, address: str) -> str:
    """`title` is anybody's text."""
    url = _sound(address)
    return f"![{plain(title)}]({url})" if url else plain(title)


def row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def encoded(path: str) -> str:
    """A path as part of an address: what is not plain ASCII letters becomes %xx."""
    kept = _IN_ADDRESS - frozenset("?&%#:@+,=~[]")
    return "".join(c if c in kept else _percent(c) for c in path)


def _sound(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        return ""
    return "".join(c if c in _IN_ADDRESS else _percent(c) for c in address)


def _percent(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a name that is not UTF-8
        return f"%{ord(character) - 0xDC00:02X}"
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _apart(text: str) -> str:
    return _REFERENCES.sub(rf"\g<0>{_APART}", text)


def _escaped(text: str) -> str:
    return _MARKS.sub(r"\\\1", text).replace("|", "&#124;")  # a table's bar has no escape that all forges agree on


def _spaced(piece: str) -> str:
    """The blanks at the ends of a piece between two spans of code, which `plain` would take away."""
    if not piece.strip():
        return piece
    head = " " if piece[0] == " " else ""
    tail = " " if piece[-1] == " " else ""
    return f"{head}{plain(piece, len(piece))}{tail}"


def _no_comment(text: str) -> str:
    return text.replace("<!--", f"<{_APART}!--")


def _longest_ticks(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
