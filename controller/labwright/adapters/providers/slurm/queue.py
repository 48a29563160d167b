"""What squeue and sacct print, made tables. Text in, data out."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from labwright.adapters.providers.slurm.handles import Known

_ID = re.compile(r"(\d+)(?:_(?:(\d+)|\[([^\]]*)\]?))?")


@dataclass(frozen=True, slots=True)
class Entry:
    state: str
    reason: str = ""
    node: str = ""
    start: datetime | None = None
    end: datetime | None = None
    codes: str = ""  # sacct's `3:0`
    name: str = ""


@dataclass
class Queue:
    """By job id, `123` or `123_7`; elements of an array that wait are one entry for a range of indices."""

    single: dict[str, Entry] = field(default_factory=dict)
    ranges: dict[str, list[tuple[list[tuple[int, int, int]], Entry]]] = field(default_factory=dict)

    def get(self, known: Known) -> Entry | None:
        if (found := self.single.get(known.id)) is not None:
            return found
        if known.index is not None:
            for spans, entry in self.ranges.get(known.job, ()):
                if any(a <= known.index <= b and (known.index - a) % step == 0 for a, b, step in spans):
                    return entry
        return None

    def put(self, id_text: str, entry: Entry) -> None:
        found = _ID.fullmatch(id_text.strip())
        if found is None:
            return
        job, index, spans = found.groups()
        if spans is not None:
            self.ranges.setdefault(job, []).append((list(_spans(spans)), entry))
        else:
            self.single[job if index is None else f"{job}_{index}"] = entry

    def jobs(self) -> Iterator[tuple[str, Entry]]:
        """(job id, an entry of it), arrays once or more."""
        for id_text, entry in self.single.items():
            yield id_text.partition("_")[0], entry
        for job, found in self.ranges.items():
            for _, entry in found:
                yield job, entry


def _spans(text: str) -> Iterator[tuple[int, int, int]]:
    """`1-5,7,10-20:2%4` → (1, 5, 1), (7, 7, 1), (10, 20, 2)."""
    for part in text.partition("%")[0].split(","):
        if found := re.fullmatch(r"(\d+)(?:-(\d+))?(?::(\d+))?", part.strip()):
            yield int(found[1]), int(found[2] or found[1]), max(1, int(found[3] or 1))


def squeue(lines: Iterable[str], into: Queue | None = None) -> Queue:
    """Of `%i|%T|%r|%N|%S|%j` with SLURM_TIME_FORMAT=%s."""
    queue = into or Queue()
    for line in lines:
        cells = line.split("|", 5)
        if len(cells) == 6:
            id_text, state, reason, node, start, name = cells
            queue.put(id_text, Entry(state, _reason(reason), node, _epoch(start), name=name))
    return queue


def sacct(lines: Iterable[str], into: Queue | None = None) -> Queue:
    """Of `JobID,State,ExitCode,Start,End,NodeList,JobName`, parsable; of several rows of one job the last counts."""
    queue = into or Queue()
    for line in lines:
        cells = line.split("|", 6)
        if len(cells) == 7:
            id_text, state, exit_code, start, end, node, name = cells
            queue.put(id_text, Entry(state, "", _node(node), _epoch(start), _epoch(end), exit_code, name))
    return queue


def _reason(text: str) -> str:
    return "" if text in ("None", "(null)", "N/A") else text.strip("()")


def _node(text: str) -> str:
    return "" if text == "None assigned" else text


def _epoch(text: str) -> datetime | None:
    return datetime.fromtimestamp(int(text), UTC) if re.fullmatch(r"[0-9]{1,11}", text) else None


def by_kind(answer: str) -> Mapping[str, list[str]]:
    """Lines of remote.sh by their first field. Raises ValueError where the answer's end is missing."""
    found: dict[str, list[str]] = {}
    lines = answer.split("\n")
    for line in lines:
        kind, tab, rest = line.partition("\t")
        if tab:
            found.setdefault(kind, []).append(rest)
    if "." not in lines[-2:] and "X" not in found:
        raise ValueError("cut short")
    return found


_AWAY = re.compile(r"connect|timed out|no answer|socket|zero bytes|transport endpoint|persistinit", re.IGNORECASE)


def away(daemon: str, words: str) -> str:
    """What a command of Slurm said that failed, for people; with the daemon that does not answer, if that is why."""
    short = words if len(words) <= 300 else words[:299] + "…"
    return f"{daemon} does not answer ({short})" if _AWAY.search(words) else short
