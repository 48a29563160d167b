"""In the pool: new bytes of jobs read, made rows, written to the records. Nothing here touches the ledger, and a call that fails
half-way is made again: offsets are written together with what was read up to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from labwright.control.logs import Logs
from labwright.control.masks import each, mask, mask_text
from labwright.control.trouble import apart
from labwright.control.world import World
from labwright.decide.read_events import ReadEvents, read_events
from labwright.decide.rows import joined
from labwright.domain.bundle import Bundle
from labwright.domain.errors import LabError
from labwright.domain.ids import Handle, JobId, Token
from labwright.domain.job import Attempt, Job
from labwright.domain.task import Task
from labwright.ports.provider import Chunk, Provider, Tail
from labwright.ports.records import Batch, EventRow, Point


@dataclass(frozen=True, slots=True)
class Target:
    """An attempt to read from."""

    job: Job
    task: Task
    bundle: Bundle | None  # only of one that is over
    attempt: Attempt
    attempts: Sequence[Attempt]
    offsets: Mapping[str, int]
    over: bool  # it has ended: read to the end

    @property
    def token(self) -> Token:
        return self.attempt.token


@dataclass(slots=True)
class Brought:
    """What one call brought back to the loop."""

    offsets: dict[Token, dict[str, int]] = field(default_factory=dict)
    progress: dict[JobId, float] = field(default_factory=dict)
    written: list[Job] = field(default_factory=list)  # jobs whose rows are as they were when the call began
    drained: list[Target] = field(default_factory=list)  # that are over, and of which nothing is left to read
    alarms: dict[str, str] = field(default_factory=dict)  # by key; an empty text clears
    culprits: dict[JobId, Exception] = field(default_factory=dict)
    more: bool = False  # there was more to read than one call takes


class Harvester:
    def __init__(self, world: World, logs: Logs) -> None:
        self.world, self.logs = world, logs

    def work(self, targets: Sequence[Target], rows: Sequence[tuple[Job, Batch]], notes: Sequence[Batch]) -> Brought:
        brought = Brought()
        masks = self._masks(targets, brought)
        readable = self._placed([target for target in targets if target.token in masks])
        fresh, unread = self._read(readable, brought)
        points: list[Point] = []
        events: list[EventRow] = []
        by_token = {target.token: target for target in readable}
        for token, chunks in fresh.items():
            for chunk in chunks:
                read = self._take(by_token[token], chunk, masks[token], brought)
                points += read.points
                events += read.events
        self._write(points, events, rows, notes, brought)
        brought.drained = [t for t in readable if t.over and t.token not in fresh and t.token not in unread]
        brought.more = any(t.over and t.token in fresh for t in readable)
        return brought

    def _placed(self, targets: Sequence[Target]) -> Sequence[Target]:
        """What ended and was never read by this process may have been by one before it, and is not to be read twice."""
        unknown = [str(target.token) for target in targets if target.over and not target.offsets]
        known: dict[str, dict[str, int]] = {}
        for (token, file), at in (self.world.records.offsets(unknown) if unknown else {}).items():
            known.setdefault(token, {})[file] = at
        return [replace(target, offsets=known.get(target.token, target.offsets)) for target in targets]

    def _masks(self, targets: Sequence[Target], brought: Brought) -> Mapping[Token, Sequence[bytes]]:
        """What must not be kept, by attempt. Of a job whose secrets cannot be known nothing is read until they are."""
        found: dict[Token, Sequence[bytes]] = {}
        brought.alarms["secrets"] = ""
        for target in targets:
            if target.attempt.handle is None:
                found[target.token] = ()  # it never was at a provider and said nothing
                continue
            try:
                found[target.token] = self.world.masks_of(target.task, target.attempt.provider)
            except LabError as error:
                brought.alarms["secrets"] = f"{error}; what {target.job.id} printed is not read before it can be masked"
        return found

    def _read(self, targets: Sequence[Target], brought: Brought) -> tuple[Mapping[Token, list[Chunk]], set[Token]]:
        """New bytes by token, and of whom none could be had: their providers cannot be reached, or know no answer."""
        by_provider: dict[str, dict[Handle, Target]] = {}
        for target in targets:
            if target.attempt.handle is not None:
                by_provider.setdefault(target.attempt.provider, {})[target.attempt.handle] = target
        found: dict[Token, list[Chunk]] = {}
        unread: set[Token] = set()
        for name, asked in by_provider.items():
            provider = self.world.providers.get(name)
            key, tails = f"reading from {name}", {handle: Tail(handle, t.offsets) for handle, t in asked.items()}
            brought.alarms[key] = ""
            try:
                parts, culprits = _read_from(provider, tails)
            except (LabError, OSError) as error:
                brought.alarms[key] = f"{error}; metrics and logs of its jobs wait"
                unread.update(target.token for target in asked.values())
                continue
            for chunk in (chunk for part in parts for chunk in part):
                found.setdefault(asked[chunk.handle].token, []).append(chunk)
            for handle, culprit in culprits.items():
                unread.add(asked[handle].token)
                brought.culprits[asked[handle].job.id] = culprit
        return found, unread

    def _take(self, target: Target, chunk: Chunk, masks: Sequence[bytes], brought: Brought) -> ReadEvents:
        last = target.over and b"\n" not in chunk.data  # whole lines first: a limit may have cut the data anywhere
        if chunk.file == "log.txt":
            taken = self.logs.append(target.job.id, target.attempt.n, chunk, masks, last=last)
            read = ReadEvents(consumed=taken)
        else:
            middle = chunk.file.removeprefix("events.").removesuffix("jsonl").rstrip(".")
            rank = int(middle) if middle.isdecimal() and len(middle) < 10 else 0  # what the records can hold
            data = chunk.data + b"\n" if last else chunk.data
            read = read_events(mask(data, masks), target.job.id, target.attempt.n, rank)
            if masks and b"\\" in data:  # JSON has many ways to write a character
                read.points = [each(point, lambda text: mask_text(text, masks)) for point in read.points]
                read.events = [each(event, lambda text: mask_text(text, masks)) for event in read.events]
            read.consumed = min(read.consumed, len(chunk.data))
        if read.consumed:
            brought.offsets.setdefault(target.token, {})[chunk.file] = chunk.offset + read.consumed
        if read.progress is not None:
            brought.progress[target.job.id] = read.progress
        return read

    def _write(
        self,
        points: Sequence[Point],
        events: Sequence[EventRow],
        rows: Sequence[tuple[Job, Batch]],
        notes: Sequence[Batch],
        brought: Brought,
    ) -> None:
        first = joined([batch for _, batch in rows])
        batch = Batch(
            jobs=[*first.jobs],
            attempts=first.attempts,
            commits=[row for note in notes for row in note.commits],
            plans=[row for note in notes for row in note.plans],
            approvals=[row for note in notes for row in note.approvals],
            points=points,
            events=events,
            offsets={(str(token), file): at for token, files in brought.offsets.items() for file, at in files.items()},
        )
        if batch != Batch():
            self.world.records.write(batch)
        brought.written = [job for job, _ in rows]


def _read_from(
    provider: Provider | None, tails: Mapping[Handle, Tail]
) -> tuple[Sequence[Sequence[Chunk]], Mapping[Handle, Exception]]:
    if provider is None:
        raise LabError("lab.yaml has no such provider any more")
    return apart(lambda handles: provider.read([tails[handle] for handle in handles]), list(tails))
