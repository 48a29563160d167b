"""Small artifacts of ended jobs, brought into the lab's own store. What is to be brought is what the records list and the store
has not: nothing else remembers it, so a crash loses none of it. Nothing waits for it."""

import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path

from labwright.control.world import World, later
from labwright.decide.keeping import worth_keeping
from labwright.domain.errors import LabError, Refused, Unavailable
from labwright.domain.ids import Handle, JobId
from labwright.domain.job import Attempt
from labwright.domain.lifecycle import FINAL
from labwright.domain.manifest import ManifestArtifact
from labwright.ports.artifacts import ArtifactStore
from labwright.ports.provider import Provider
from labwright.ports.records import QueryLimits

DAYS = 7  # after its end, a job's artifacts are looked for when the controller starts
BATCH = 16  # jobs in one call
PATIENCE, LONGEST = 10.0, 1800.0  # seconds until a provider that is away is asked again
ALARM_AFTER = 3  # failures in a row
_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of one job."""

    job: JobId
    handle: Handle
    files: Sequence[ManifestArtifact]


@dataclass(slots=True)
class _Place:
    """One provider."""

    todo: dict[JobId, Wanted] = field(default_factory=dict)
    failures: int = 0  # in a row
    not_before: datetime | None = None


@dataclass(slots=True)
class _Brought:
    done: list[Wanted] = field(default_factory=list)
    lost: dict[tuple[JobId, str], str] = field(default_factory=dict)  # (job, path) → why it cannot be had any more
    failed: Wanted | None = None
    error: Exception | None = None  # that it failed with


class Keeper:
    def __init__(self, world: World, store: ArtifactStore, scratch: Path) -> None:
        """`scratch`: a folder of its own, for files on their way."""
        self.world, self.store, self.scratch = world, store, scratch
        self._lost: set[tuple[JobId, str]] = set()  # (job, path) of files that are not there, or not as they were
        self._places: dict[str, _Place] = {}
        self._looked: int | None = None  # the limit with which the records were looked through
        shutil.rmtree(scratch, ignore_errors=True)  # what a crash left

    @property
    def limit(self) -> int:
        """Bytes of a file that is kept; 0: none is."""
        return self.world.lab.results.keep_bytes if self.world.lab else 0

    def idle(self) -> bool:
        if not self.limit:
            return True
        able = [place for name, place in self._places.items() if name in self.world.providers and not place.failures]
        return self._looked == self.limit and not any(place.todo for place in able)

    def add(self, attempt: Attempt, artifacts: Iterable[ManifestArtifact]) -> None:
        """Of the last attempt of an ended job."""
        files = worth_keeping(artifacts, self.limit)
        if files and attempt.handle is not None:
            place = self._places.setdefault(attempt.provider, _Place())
            place.todo[attempt.job] = Wanted(attempt.job, attempt.handle, files)

    def step(self, now: datetime) -> datetime | None:
        world, dues = self.world, []
        if not self.limit:
            self._looked = None
            return None
        if self._looked != self.limit and not world.calls.busy("keep"):
            since = later(now, -DAYS * 86400.0)
            world.calls.start("keep", partial(self._look, self.limit, since), self._found, self._not_looked)
        for name, place in self._places.items():
            provider = world.providers.get(name)
            if not place.todo or provider is None or world.calls.busy(f"keep:{name}"):
                continue
            if place.not_before is not None and now < place.not_before:
                dues.append(place.not_before)
                continue
            call = partial(self._bring, provider, list(islice(place.todo.values(), BATCH)))
            world.calls.start(f"keep:{name}", call, partial(self._done, name), partial(self._failed, name), left=True)
        return min(dues, default=None)

    # what was left undone

    def missing(self, jobs: Collection[JobId], limit: int) -> Mapping[JobId, Sequence[ManifestArtifact]]:
        """Of these jobs, the artifacts that belong in the store and are not there. In the pool."""
        return self._missing(f"job IN ({', '.join(repr(str(job)) for job in jobs)})", limit) if jobs else {}

    def _missing(self, which: str, limit: int) -> Mapping[JobId, Sequence[ManifestArtifact]]:
        final = ", ".join(f"'{state}'" for state in sorted(FINAL))
        # job ids have only a-z and 2-7 (domain/ids.py): nothing to quote
        sql = (
            "SELECT a.job, a.path, a.size, a.sha256 FROM artifacts a JOIN jobs j USING (job) "  # noqa: S608
            f"WHERE {which} AND a.size <= {limit} AND j.state IN ({final}) ORDER BY j.ended DESC"
        )
        by_job: dict[JobId, list[ManifestArtifact]] = {}
        for batch in self.world.records.query(sql, QueryLimits(seconds=60, rows=_ROWS)).batches():
            for row in batch.to_pylist():
                by_job.setdefault(JobId(row.pop("job")), []).append(ManifestArtifact.model_construct(**row))
        chosen = {job: worth_keeping(artifacts, limit) for job, artifacts in by_job.items()}
        there = self.store.has({a.sha256 for artifacts in chosen.values() for a in artifacts})
        missing = {
            job: [a for a in artifacts if a.sha256 not in there and (job, a.path) not in self._lost]
            for job, artifacts in chosen.items()
        }
        return {job: artifacts for job, artifacts in missing.items() if artifacts}

    def _look(self, limit: int, since: datetime) -> tuple[int, Mapping[JobId, Sequence[ManifestArtifact]]]:
        return limit, self._missing(f"j.ended >= TIMESTAMPTZ '{since.isoformat()}'", limit)

    def _found(self, answer: tuple[int, Mapping[JobId, Sequence[ManifestArtifact]]]) -> None:
        self._looked, missing = answer
        last = {a.job: a for a in self.world.book.ledger.attempts(list(missing))} if missing else {}
        for job, artifacts in missing.items():
            if job in last:
                self.add(last[job], artifacts)

    def _not_looked(self, error: Exception) -> None:
        self.world.log.warning("artifacts not looked for", error=str(error))
        self._looked = self.limit  # what ends from now on is kept all the same

    # in the pool

    def _bring(self, provider: Provider, many: Sequence[Wanted]) -> _Brought:
        brought = _Brought()
        self.scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
                for wanted in many:
                    brought.failed = wanted
                    self._bring_one(provider, wanted, Path(folder, "file"), brought)
                    if self.world.calls.closing:
                        break
                    brought.done.append(wanted)
        except (LabError, OSError) as error:
            brought.error = error
        return brought

    def _bring_one(self, provider: Provider, wanted: Wanted, scratch: Path, brought: _Brought) -> None:
        there = self.store.has([artifact.sha256 for artifact in wanted.files])
        for artifact in wanted.files:
            if artifact.sha256 in there or self.world.calls.closing:
                continue
            try:
                provider.fetch(wanted.handle, artifact.path, scratch)
                self.store.put(scratch, artifact.sha256)
            except Refused as error:  # gone, or changed since it was hashed
                brought.lost[wanted.job, artifact.path] = str(error)

    # on the loop's thread

    def _done(self, name: str, brought: _Brought) -> None:
        place = self._places[name]
        for wanted in brought.done:
            if place.todo.get(wanted.job) is wanted:
                del place.todo[wanted.job]
        for (job, path), why in brought.lost.items():
            self._lost.add((job, path))
            self.world.log.warning("artifact not kept", job=job, path=path, why=why)
        if brought.done or brought.error is None:
            place.failures, place.not_before = 0, None
            self.world.alarms.clear(f"artifacts of {name}")
        if brought.error is not None:
            if brought.failed is not None and brought.failed.job in place.todo:  # others first, next time
                place.todo[brought.failed.job] = place.todo.pop(brought.failed.job)
            self._failed(name, brought.error)

    def _failed(self, name: str, error: Exception) -> None:
        """Of whatever kind: it stays to be brought."""
        place = self._places[name]
        place.failures += 1
        wait = min(PATIENCE * 2.0 ** (place.failures - 1), LONGEST)
        if isinstance(error, Unavailable):
            wait = max(wait, error.retry_in)
        place.not_before = later(self.world.now(), wait)
        if not isinstance(error, LabError | OSError):
            self.world.log.error("defect", doing="keeping artifacts", error=repr(error), exc_info=error)
        if place.failures >= ALARM_AFTER:
            jobs = len(place.todo)
            self.world.alarms.raise_(f"artifacts of {name}", f"{error}; those of {jobs} ended jobs are not kept yet")
