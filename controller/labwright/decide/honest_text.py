"""What a text has that its reader may not see, or that fetches code. Every pattern here takes time in line with the text's length."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from labwright.domain.pull_page import Doubt
from labwright.domain.task import Task

LONG_LINE = 1000  # characters
LONG_RUN = 200  # of base64
_BACK = 2000  # characters before a pipe into a shell in which a download counts
_BLOCK_LINES, _BLOCK_WIDTH = 8, 60  # base64 over many lines

_DIRECTED = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_NO_WIDTH = (
    "\u00ad\u115f\u1160\u180e\u200b-\u200d\u2028\u2029\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\U000e0000-\U000e007f"
)
_UNSEEN = re.compile(f"[{_DIRECTED}{_NO_WIDTH}\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]|\r(?!\n)")
_DIRECTS = re.compile(f"[{_DIRECTED}]")
_EMOJI = re.compile("[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff]\u200d")  # where a joiner belongs
_WORD = re.compile(r"\w+")
_LATIN = re.compile(r"[A-Za-z]")
_ALIKE = re.compile(
    "[\u0400-\u052fΑΒΕΖΗΙΚΜΝΟΡΤΥΧοινρυχ\uff21-\uff3a\uff41-\uff5a]"
)  # Cyrillic; Greek and wide letters that look Latin

_SHELLS = r"(?:ba|z|da|k|a)?sh|python[0-9.]*|perl|ruby|node|php"
_PIPED = re.compile(
    rf"\|&?[ \t]*(?:\\?\n[ \t]*)?(?:sudo[ \t]+(?:-\S{{1,40}}[ \t]+){{0,5}})?(?:(?:/[\w/.-]*/)?env[ \t]+)?(?:/[\w/.-]*/)?(?:{_SHELLS})(?![\w.-])"
)
_FETCHES = ("curl", "wget", "fetch", "aria2c")
_FETCH = re.compile(rf"\b(?:{'|'.join(_FETCHES)})\b")
_SUBSTITUTED = re.compile(
    rf"(?:<\(|(?:\b(?:eval|source)|[ \t]-c|(?<![\w.])\.)[ \t]+[\"']?(?:\$\(|`))[ \t]*(?:{'|'.join(_FETCHES)})\b"
)
_GIT_URL = re.compile(r"\bgit\+[a-z]{2,5}://[^\s\"'`;,)\]}<>|]+")
_PINNED = re.compile(r"@[0-9a-f]{40}(?:[0-9a-f]{24})?(?![0-9a-zA-Z])")
_IMAGE_URL = re.compile(r"\bdocker://[^\s\"'`;,)\]}<>|]+|--container-image[= \t][\"']?[^\s\"'`;,)\]}<>|]+")
_KEY = re.compile(
    r"(?:^|[{,\s])[\"']?(image_id|image|github_repo_branch)[\"']?[ \t]*:[ \t]*[\"']?([^\s\"'#,}]+)", re.MULTILINE
)
_FROM = re.compile(
    r"^[ \t]*FROM[ \t]+(?:--platform=\S+[ \t]+)?(\S+)(?:[ \t]+AS[ \t]+(\S+))?", re.IGNORECASE | re.MULTILINE
)
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}")
_CLOUD_IMAGE = re.compile(r"ami-[0-9a-f]+|projects/.*|.*/images/.*")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_NO_BRANCH = "github_repo_url without github_repo_branch: its default branch may move; a commit's 40 characters do not"
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")


@dataclass(frozen=True, slots=True)
class Finding:
    line: int  # from 1
    doubt: Doubt
    words: str


def unlike_text(data: bytes, *, cut: bool) -> str:
    """Why it is binary; empty for text. `cut`: the last character may lack bytes."""
    if b"\0" in data:
        return "it has zero bytes"
    try:
        data.decode()
    except UnicodeDecodeError as error:
        if not (cut and error.start >= len(data) - 3):
            return "it is not UTF-8"
    return ""


def findings(path: str, text: str, *, whole: bool = True) -> Iterator[Finding]:
    """In no order. `whole`: it is text, and not some bytes that are read as such."""
    lines = _Lines(text)
    if whole:
        yield from _characters(text, lines)
        yield from _shape(lines)
    yield from _remote(text, lines)
    yield from _unpinned(path, text, lines)


def findings_of_task(spec: Task) -> Iterator[Finding]:
    """Of a task.yaml as it was understood, whatever quotes and folds its text is written with. Lines are of its own texts."""
    for text in (spec.setup or "", spec.run):
        lines = _Lines(text)
        yield from (*_remote(text, lines), *_git_urls(text, lines), *_images(text, lines))
    for image in (spec.resources.image_id, spec.environment.image if spec.environment else None):
        if image and (words := _image(image)):
            yield Finding(0, Doubt.UNPINNED, words)
    if spec.github_repo_url and not _COMMIT.fullmatch(spec.github_repo_branch or ""):
        words = _branch(spec.github_repo_branch) if spec.github_repo_branch else _NO_BRANCH
        yield Finding(0, Doubt.UNPINNED, words)


class _Lines:
    """Line numbers of places in a text."""

    def __init__(self, text: str) -> None:
        self.texts = text.split("\n")
        self.starts = [0]
        for line in self.texts[:-1]:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def of(self, at: int) -> int:
        return bisect_right(self.starts, at)


def _characters(text: str, lines: _Lines) -> Iterator[Finding]:
    told: set[int] = set()
    for found in _UNSEEN.finditer(text):
        at, line = found.start(), lines.of(found.start())
        if line in told or (at == 0 and found[0] == "\ufeff"):  # a file may start with a byte order mark
            continue
        if found[0] == "\u200d" and at and _EMOJI.match(text, at - 1):
            continue
        told.add(line)
        yield Finding(line, Doubt.CHARACTERS, _unseen(found[0]))
    if text.isascii() or not _ALIKE.search(text):
        return
    for word in _WORD.finditer(text):
        if word[0].isascii() or (line := lines.of(word.start())) in told:
            continue
        if _LATIN.search(word[0]) and (alike := _ALIKE.search(word[0])):
            told.add(line)
            shown = f"{word[0][:40]}`" if len(word[0]) <= 40 else f"{word[0][:40]}…`"
            yield Finding(
                line, Doubt.CHARACTERS, f"`{shown} mixes Latin letters with {_named(alike[0])}, which looks like one"
            )


def _unseen(character: str) -> str:
    named = _named(character)
    if _DIRECTS.match(character):
        return f"{named}: the line does not run as it reads"
    if character == "\r":
        return "a carriage return inside of the line: a terminal writes over what was before it"
    if ord(character) < 0xA0 and character != "\u00ad":
        return f"control character {named}: a terminal may show something else"
    return f"{named}: a character that is not seen"


def _named(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()


def _shape(lines: _Lines) -> Iterator[Finding]:
    if max(map(len, lines.texts)) < _BLOCK_WIDTH:
        return
    block = 0
    for number, line in enumerate(lines.texts, 1):
        if len(line) > LONG_LINE:
            yield Finding(number, Doubt.LONG, f"a line of {len(line):,} characters: scroll to its end")
        if len(line) >= LONG_RUN and (longest := max((len(r) for r in _runs(line)), default=0)) >= LONG_RUN:
            yield Finding(number, Doubt.ENCODED, f"{longest:,} characters of what looks like base64")
        stripped = line.strip(" \t\r\"'\\+,")
        block = block + 1 if _BLOCK_WIDTH <= len(stripped) < LONG_RUN and [stripped] == _runs(stripped) else 0
        if block == _BLOCK_LINES:
            yield Finding(number - block + 1, Doubt.ENCODED, f"{block} lines or more of what looks like base64")


def _runs(line: str) -> list[str]:
    """Without words, paths, rulers and hex digests, which have few letters or only some of them."""
    found = (run[0] for run in _BASE64.finditer(line) if len(run[0]) >= _BLOCK_WIDTH)
    return [run for run in found if len(set(run)) >= 20 and run != run.lower() and run != run.upper()]


def _remote(text: str, lines: _Lines) -> Iterator[Finding]:
    if not any(word in text for word in _FETCHES):
        return
    fetches = list(_FETCH.finditer(text))
    ends = [fetch.end() for fetch in fetches]
    for found in _PIPED.finditer(text):
        last = bisect_right(ends, found.start()) - 1
        if last >= 0 and fetches[last].start() >= _command_start(text, found.start()):
            words = (
                f"`{fetches[last][0]} … {' '.join(found[0].split())[:40]}` runs what the network gives at that moment"
            )
            yield Finding(lines.of(fetches[last].start()), Doubt.REMOTE, words)
    for found in _SUBSTITUTED.finditer(text):
        shown = " ".join(found[0].split()).replace("`", "")
        yield Finding(lines.of(found.start()), Doubt.REMOTE, f"`{shown} …` runs what the network gives at that moment")


def _command_start(text: str, end: int) -> int:
    """Of the line that holds a pipe, with the lines before that go on at their ends."""
    start, least = end, max(0, end - _BACK)
    while True:
        start = text.rfind("\n", least, start) + 1 or least
        before = text[max(least, start - 3) : max(least, start - 1)].rstrip("\r ")
        if start <= least or not before.endswith(("\\", "|")):
            return start
        start -= 1


def _unpinned(path: str, text: str, lines: _Lines) -> Iterator[Finding]:
    yield from _git_urls(text, lines)
    yield from _images(text, lines)
    name = path.rpartition("/")[2].lower()
    if name.endswith((".yaml", ".yml")):
        for found in _KEY.finditer(text):
            wrong = "" if found[1] == "github_repo_branch" else _image(found[2])
            if found[1] == "github_repo_branch" and not _COMMIT.fullmatch(found[2]):
                wrong = _branch(found[2])
            if wrong:
                yield Finding(lines.of(found.start(1)), Doubt.UNPINNED, wrong)
    if "dockerfile" in name or "containerfile" in name:
        stages: set[str] = {"scratch"}
        for found in _FROM.finditer(text):
            if found[1].lower() not in stages and (wrong := _image(found[1])):
                yield Finding(lines.of(found.start(1)), Doubt.UNPINNED, wrong)
            stages.add((found[2] or "").lower())


def _git_urls(text: str, lines: _Lines) -> Iterator[Finding]:
    for found in _GIT_URL.finditer(text) if "git+" in text else ():
        if not _PINNED.search(found[0]):
            words = f"`{found[0][:100]}` names no commit: add `@` and its 40 characters"
            yield Finding(lines.of(found.start()), Doubt.UNPINNED, words)


def _images(text: str, lines: _Lines) -> Iterator[Finding]:
    if "docker://" not in text and "--container-image" not in text:
        return
    for found in _IMAGE_URL.finditer(text):
        if words := _image(re.split(r"[= \t\"']+", found[0])[-1]):
            yield Finding(lines.of(found.start()), Doubt.UNPINNED, words)


def _image(name: str) -> str:
    """Why an image may be another one tomorrow; empty for one by digest, for a file and for what a variable says."""
    if _DIGEST.search(name) or _CLOUD_IMAGE.fullmatch(name) or name.startswith(("/", "./", "../", "$", "{")):
        return ""
    if name.endswith((".sif", ".sqsh", ".img", ".png", ".jpg", ".jpeg", ".svg", ".gif")):
        return ""
    return f"the image `{name[:100]}` may be another one tomorrow: add its digest, `@sha256:…`"


def _branch(name: str) -> str:
    return f"github_repo_branch: `{name[:100]}` may move; a commit's 40 characters do not"


__all__: Sequence[str] = ("Finding", "findings", "findings_of_task", "unlike_text")
