"""`lab logs`: what a job prints."""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from labwright.cli import completion
from labwright.cli.asjson import print_json
from labwright.cli.look import Look, looking, note
from labwright.cli.shell import JsonOption, RepoOption
from labwright.domain.errors import Refused
from labwright.domain.ids import JobId
from labwright.domain.lifecycle import FINAL

_EVERY = 0.2  # seconds between looks at a log that grows
_PIECE = 1 << 20
_SETTLE = 30.0  # seconds in which the last lines of an ended job come in


def logs(
    job: Annotated[
        str,
        typer.Argument(
            help="A job, the start of its id, or a task (its newest job)", autocompletion=completion.tasks_and_jobs
        ),
    ],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the job ends")] = False,
    attempt: Annotated[int | None, typer.Option(help="Of this attempt (default: the newest)", min=1)] = None,
    tail: Annotated[int | None, typer.Option("-n", "--tail", help="Only the last lines", min=0)] = None,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a job's log. On a terminal only its colours are let through, no other control sequence."""
    from labwright.cli.names import one

    if as_json and follow:
        raise typer.BadParameter("--json gives a whole log; it cannot follow one")
    with looking(repo) as look:
        named = one(look, job)
        number = attempt or _newest(look, named.job)
        path = look.place.logs / named.job / f"{number}.txt"
        if as_json:
            text = _last(_kept(look, named.job, path), tail).decode("utf-8", "replace")
            print_json({"job": named.job, "task": named.task, "attempt": number, "log": text})
            return
        screen = Screen()
        try:
            if follow and look.ledger is not None:
                _follow(look, named.job, number, attempt is not None, screen, tail)
            else:
                _once(look, named.job, path, screen, tail)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        finally:
            screen.end()


class Screen:
    """Standard output: as it is into a pipe, with nothing but text and colours on a terminal."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()
        self._rest = b""

    def write(self, data: bytes) -> None:
        if not self.terminal:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
            return
        data = self._rest + data
        keep = _unfinished(data)
        data, self._rest = data[: len(data) - keep], data[len(data) - keep :]
        sys.stdout.write(only_colours(data.decode("utf-8", "replace")))
        sys.stdout.flush()

    def end(self) -> None:
        if self.terminal:
            sys.stdout.write(only_colours(self._rest.decode("utf-8", "replace")) + "\x1b[0m")
            sys.stdout.flush()


_SGR = re.compile(r"\x1b\[[0-9;:]*m")
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def only_colours(text: str) -> str:
    """Without every control sequence but colours and the like (SGR); newline, tab and carriage return stay."""
    parts, at = [], 0
    for colour in _SGR.finditer(text):
        parts += [_UNSEEN.sub("", _SEQUENCE.sub("", text[at : colour.start()])), colour[0]]
        at = colour.end()
    return "".join([*parts, _UNSEEN.sub("", _SEQUENCE.sub("", text[at:]))])


def _unfinished(data: bytes) -> int:
    """How many bytes at the end are the beginning of a character or of a control sequence."""
    escape = data.rfind(b"\x1b", max(0, len(data) - 64))
    if escape >= 0 and not _SEQUENCE.match(data[escape:].decode("latin-1")):
        return len(data) - escape
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            whole = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if back < whole else 0
        if byte < 0x80:
            return 0
    return 0


def _newest(look: Look, job: str) -> int:
    found = look.ledger.jobs(ids=[job]) if look.ledger else ()
    return max(found[0].attempt, 1) if found else 1


def _kept(look: Look, job: str, path: Path) -> bytes:
    """The controller's own copy, else the end that the results branch has of a job that failed."""
    if path.exists():
        return path.read_bytes()
    manifest = look.manifest(job)
    return manifest.log_tail.encode() if manifest else b""


def _once(look: Look, job: str, path: Path, screen: Screen, tail: int | None) -> None:
    kept = _kept(look, job, path)
    data = _last(kept, tail)
    if not kept:
        note(_why_empty(look, job))
    screen.write(data if data.endswith(b"\n") or not data else data + b"\n")


def _why_empty(look: Look, job: str) -> str:
    if look.ledger is None:
        return f"no log of {job} is kept here: it lies with the controller"
    if any(attempt.started for attempt in look.ledger.attempts([JobId(job)])):
        return f"{job} printed nothing"
    found = next(iter(look.ledger.jobs(ids=[job])), None)
    if found is None:
        return f"no log of {job} is kept here"
    never = "never started" if found.state in FINAL else "has not started yet"
    return f"{job} {never}: it is {found.state}" + (f" ({found.reason})" if found.reason else "")


def _last(data: bytes, lines: int | None) -> bytes:
    if lines is None:
        return data
    return b"".join(data.splitlines(keepends=True)[-lines:]) if lines else b""


def _follow(look: Look, job: str, number: int, only: bool, screen: Screen, tail: int | None) -> None:
    silent = True
    for data in follow(look, job, number, only=only, tail=tail):
        screen.write(data)
        silent = silent and not data
    if silent and not _kept(look, job, look.place.logs / job / f"{number}.txt"):
        note(_why_empty(look, job))


def follow(look: Look, job: str, number: int, *, only: bool = False, tail: int | None = None) -> Iterator[bytes]:
    """What comes, attempt by attempt (or of one only), until the job has ended and its log is whole."""
    at, ended_at = 0, 0.0
    if tail is not None:
        before = _kept(look, job, look.place.logs / job / f"{number}.txt")
        at = len(before)
        yield _last(before, tail)
    while True:
        over, newest = _ended(look, job, number)
        fresh = _after(look.place.logs / job / f"{number}.txt", at)
        if fresh:
            yield fresh
            at += len(fresh)
            continue
        if over and newest > number and not only:
            number, at, ended_at = number + 1, 0, 0.0
            note(f"attempt {number}")
            continue
        if over and (only or newest <= number):
            ended_at = ended_at or time.monotonic()
            if _whole(look, job, number) or time.monotonic() - ended_at > _SETTLE:
                return
        time.sleep(_EVERY)


def _after(path: Path, at: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(at)
            return file.read(_PIECE)
    except FileNotFoundError:
        return b""


def _ended(look: Look, job: str, number: int) -> tuple[bool, int]:
    """Whether this attempt is over and no other of the job may come; the newest attempt's number."""
    if look.ledger is None:
        return True, number
    found = look.ledger.jobs(ids=[job])
    if not found:
        raise Refused(f"the ledger does not know {job} any more")
    return found[0].state in FINAL or found[0].attempt > number, found[0].attempt


def _whole(look: Look, job: str, number: int) -> bool:
    attempts = look.ledger.attempts([JobId(job)]) if look.ledger else ()
    return all(a.collected for a in attempts if a.n == number)
