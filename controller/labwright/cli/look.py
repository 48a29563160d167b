"""What a looking command sees: the ledger where there is one, and the records, wherever they are just now."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from labwright.domain.errors import LabError, Refused, Unavailable
from labwright.settings import Place, find_place

if TYPE_CHECKING:
    from labwright.domain.manifest import Manifest
    from labwright.ports.ledger import Ledger
    from labwright.ports.records import Answer, QueryLimits, Records

_PATIENCE = 5.0  # seconds in which a controller that starts or stops may let go of its file
Row = dict[str, Any]


@dataclass
class Look:
    """Of one lab, read only. `ledger` is None where this user has no controller's state: then the results branch answers."""

    place: Place
    ledger: "Ledger | None"
    now: datetime
    branch: str = "lab-results"
    from_results: bool = False
    _loaded: "Records | None" = None
    _memo: dict[tuple[str, int, int], list[Row]] = field(default_factory=dict)

    def ask(self, sql: str, limits: "QueryLimits | None" = None) -> "Answer":
        """One statement. Raises Refused in DuckDB's words, Unavailable while nobody can answer."""
        from labwright.ports.records import QueryLimits

        limits = limits or QueryLimits()
        if self._loaded is None and not self.from_results and (self.ledger or self.place.records.exists()):
            return _of_state(self.place, sql, limits)
        if self._loaded is None:
            self._loaded = _of_branch(self.place.repo, self.branch)
        return self._loaded.query(sql, limits)

    def rows(self, sql: str) -> list[Row]:
        """JSON columns as values. While no controller runs, a file that did not change is not opened again for the same
        question: `lab status --watch` must not stand in the way of a controller that starts."""
        file = self.place.records
        if self._loaded is None and not self.live and file.exists():
            key = (sql, file.stat().st_mtime_ns, file.stat().st_size)
            if key not in self._memo:
                self._memo = {k: v for k, v in self._memo.items() if k[1:] == key[1:]} | {key: self._rows(sql)}
            return [dict(row) for row in self._memo[key]]
        return self._rows(sql)

    def _rows(self, sql: str) -> list[Row]:
        answer, found = self.ask(sql), []
        for batch in answer.batches():
            texts = [f.name for f in batch.schema if (f.metadata or {}).get(b"type") == b"JSON"]
            for row in batch.to_pylist():
                found.append(row | {name: json.loads(row[name]) for name in texts if row[name] is not None})
        return found

    @property
    def live(self) -> bool:
        """Whether a controller runs."""
        from labwright.wiring import lease_holder

        return lease_holder(self.place) is not None

    def manifest(self, job: str) -> "Manifest | None":
        """Of a finished job: from the outbox, else from the results branch. None where neither has it."""
        from labwright.decide.manifest_of import parse_manifest
        from labwright.wiring import published

        waiting = self.place.outbox / job / "manifest.json"
        if waiting.exists():
            return parse_manifest(waiting.read_bytes(), str(waiting))
        try:
            path, data = next(published(self.place, self.branch, f"/{job}/manifest.json"), ("", b""))
            return parse_manifest(data, path) if data else None
        except LabError:
            return None


@contextmanager
def looking(repo: str | None, *, need_state: bool = False, from_results: bool = False) -> Iterator[Look]:
    """Raises Refused outside of any lab; with `need_state` also where no controller of this user has run."""
    from labwright.wiring import open_clock, open_ledger

    place = find_place(repo)
    ledger = open_ledger(place, read_only=True) if place.used and not from_results else None
    if need_state and ledger is None:
        raise Refused(f"no controller of this user has run for {place.repo}", hint="start one with `lab serve`")
    look = Look(place, ledger, open_clock().now(), from_results=from_results)
    if ledger is not None:
        look.branch = results_branch(ledger)
    try:
        yield look
    finally:
        if ledger is not None:
            ledger.close()
        if look._loaded is not None:
            look._loaded.close()


def results_branch(ledger: "Ledger") -> str:
    """As the settings in force say."""
    text = ledger.cursor("lab.yaml")
    results = json.loads(text).get("results", {}) if text else {}
    return str(results.get("branch") or "lab-results")


def _of_state(place: Place, sql: str, limits: "QueryLimits") -> "Answer":
    """The running controller's answer, else the file's. While it starts or stops, neither answers for a moment."""
    from labwright.wiring import lease_holder

    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return _once(place, sql, limits)
        except Unavailable:
            if time.monotonic() > until or (place.socket.exists() and lease_holder(place) is not None):
                raise
        time.sleep(0.1)


def _once(place: Place, sql: str, limits: "QueryLimits") -> "Answer":
    from labwright.wiring import lease_holder, open_records

    if place.socket.exists() and lease_holder(place) is not None:
        from labwright.web.client import ask_sql

        return ask_sql(place.socket, sql, limits)
    return _Closing(open_records(place, read_only=True), sql, limits)


class _Closing:
    """An answer that closes the records behind it: a file that is held open keeps a controller from starting."""

    def __init__(self, records: "Records", sql: str, limits: "QueryLimits") -> None:
        self._records = records
        try:
            self._answer = records.query(sql, limits)
        except BaseException:
            records.close()
            raise

    @property
    def truncated(self) -> bool:
        return self._answer.truncated

    @property
    def schema(self) -> Any:
        return self._answer.schema

    def batches(self) -> Iterator[Any]:
        try:
            yield from self._answer.batches()
        finally:
            self._records.close()


def _of_branch(repo: str, branch: str) -> "Records":
    """The results branch of a clone or URL, in memory."""
    from labwright.cli.counting import counted, counting
    from labwright.wiring import load_results, open_records, read_results

    files = read_results(repo, branch)
    records = open_records(None)
    with counting("reading results") as tick:
        loaded = load_results(counted(files, tick), records)
    for warning in loaded.warnings[:3]:
        note(warning)
    if len(loaded.warnings) > 3:
        note(f"and {len(loaded.warnings) - 3} more files left out")
    return records


def note(text: str) -> None:
    from labwright.cli.terminal import say

    say(f"lab: {text}", err=True)


def quoted(text: str) -> str:
    """As a literal of SQL."""
    return "'" + text.replace("\x00", "").replace("'", "''") + "'"


def listed(texts: Sequence[str]) -> str:
    return ", ".join(map(quoted, texts)) or "NULL"


def by(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return found
