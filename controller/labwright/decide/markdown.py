"""User text inside our Markdown (R33): shown as it is, and never read as a mention, a link, a table's bar, HTML or a fence."""

import re

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_MARKS = re.compile(r"([\\`*_{}\[\]()<>#+!|~&$^=-])")
_APART = "\u2060"  # word joiner: forges look for mentions, issue numbers and addresses after Markdown is done


def clean(text: str) -> str:
    """Without terminal sequences and characters that are not seen; lines end at a newline."""
    return _UNSEEN.sub("", _ANSI.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def short(text: str, most: int) -> str:
    """On one line."""
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def plain(text: str, most: int = 200) -> str:
    """As running text."""
    safe = _MARKS.sub(r"\\\1", short(text, most))
    return re.sub(r"(@|\\#|://|\bwww\.)", rf"\1{_APART}", safe)


def code(text: str, most: int = 120) -> str:
    """As a code span that also fits into a table's cell."""
    flat = short(text, most)
    if not flat:
        return ""
    ticks = "`" * (_longest_ticks(flat) + 1)
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{ticks}{pad}{flat}{pad}{ticks}".replace("|", "\\|")


def fence(text: str, *, lines: int = 30, width: int = 240) -> str:
    """The last lines as a block of code whose end the text cannot contain."""
    kept = clean(text).strip("\n").split("\n")[-lines:]
    body = "\n".join(line if len(line) <= width else line[: width - 1] + "…" for line in kept)
    ticks = "`" * max(3, _longest_ticks(body) + 1)
    return f"{ticks}text\n{body}\n{ticks}"


def _longest_ticks(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
