"""`lab rebuild`: ledger and records again, out of the results branch, the outbox and what providers still have."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.cli.asjson import print_json
from labwright.cli.look import note
from labwright.cli.remains import finished_files, providers_of, readable, tip_of
from labwright.cli.shell import JsonOption, RepoOption, place
from labwright.domain.lifecycle import LIVE
from labwright.settings import Place

if TYPE_CHECKING:
    from labwright.cli.drafting import Desk
    from labwright.ports.ledger import Ledger

_RECORDS = ("records.duckdb", "records.duckdb.wal")
_LEDGER = ("ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm")


def rebuild(repo: RepoOption = None, as_json: JsonOption = False) -> None:
    """Recreate a deleted or damaged state folder. Refused while a controller runs; what is replaced is kept beside it."""
    from labwright.cli.counting import counting
    from labwright.wiring import open_clock, open_lease

    of = place(repo)
    lease = open_lease(of)
    lease.acquire()
    try:
        with counting("rebuilding") as tick:
            done = _Rebuild(of, open_clock().now(), tick).run()
    finally:
        lease.release()
    if as_json:
        print_json(done)
        return
    _say(done)


def restore_if_new(of: Place) -> None:
    """A state folder without a ledger, of a lab that has results already or jobs that still run: they are known again before
    anything is planned, so that nothing complete runs twice. Quiet where there is nothing; a repository that cannot be
    reached is the controller's to say."""
    from labwright.cli.counting import counting
    from labwright.domain.errors import LabError
    from labwright.wiring import open_clock, open_lease

    if of.ledger.exists():
        return
    try:
        of.make()
        lease = open_lease(of)
        lease.acquire()
        try:
            with counting("looking for results") as tick:
                done = _Rebuild(of, open_clock().now(), tick).run()
        finally:
            lease.release()
    except LabError:
        return
    if done["jobs"] or done["adopted"]:
        note("this lab is not new: what it has done before is known again")
        _say(done)


@dataclass
class _Rebuild:
    """Everything is made beside what is there; only when all of it is whole does it take the old one's place."""

    of: Place
    now: datetime
    tick: Any
    warnings: list[str] = field(default_factory=list)

    @property
    def draft(self) -> Place:
        return Place(self.of.repo, self.of.state / "rebuild")

    @property
    def backup(self) -> Path:
        return self.of.state / f"backup-{self.now:%Y%m%dT%H%M%S}"

    def run(self) -> dict[str, Any]:
        from labwright.cli.drafting import desk

        shutil.rmtree(self.draft.state, ignore_errors=True)
        self.draft.state.mkdir(parents=True)
        try:
            work, branch, commit = tip_of(self.of)
            with desk(work, commit, branch) as at:
                return self._run(at)
        finally:
            shutil.rmtree(self.draft.state, ignore_errors=True)

    def _run(self, at: "Desk") -> dict[str, Any]:
        kept = readable(self.of)
        published = list(finished_files(self.of, at.lab, self.tick))
        points = self._records(published, kept)
        ledger, jobs, adopted = self._ledger(published, kept, at)
        try:
            left = self._unpublished(ledger)
            live = len(ledger.jobs(states=LIVE))
        finally:
            ledger.close()
        self._swap(keep_ledger=kept is not None)
        told = {"jobs": jobs, "points": points, "adopted": adopted, "live": live, "only_in_ledger": left}
        backup = str(self.backup) if self.backup.exists() else None
        return {
            **told,
            "ledger": "kept" if kept is not None else "made again",
            "backup": backup,
            "warnings": self.warnings,
        }

    def _records(self, files: Iterable[tuple[str, bytes]], kept: set[str] | None) -> int:
        from labwright.control.salvage import salvage
        from labwright.wiring import load_results, open_records

        new = open_records(self.draft)
        try:
            loaded = load_results(iter(list(files)), new)
            self.warnings += loaded.warnings
            try:
                old = open_records(self.of, read_only=True)
            except Exception:  # noqa: BLE001  # damaged in whatever way: that is why we are here
                return loaded.points
            try:
                salvage(old, new, kept or ())
            except Exception as error:  # noqa: BLE001
                self.warnings.append(f"of the old records not all could be read: {str(error).splitlines()[0]}")
            finally:
                old.close()
            return loaded.points
        finally:
            new.close()

    def _ledger(
        self, files: Iterable[tuple[str, bytes]], kept: set[str] | None, at: "Desk"
    ) -> tuple["Ledger", int, list[str]]:
        """One that can be read stays, so that nothing of it is lost, and gets what it does not know."""
        from labwright.control.adopt import adopt, finder
        from labwright.control.rebuild import restore
        from labwright.wiring import copy_ledger, open_ledger

        if kept is not None:
            self.backup.mkdir(exist_ok=True)
            copy_ledger(self.of, self.backup / "ledger.sqlite3")
        ledger = open_ledger(self.of if kept is not None else self.draft)
        try:
            find = finder(providers_of(self.of, at), self.warnings.append)
            manifests = ((path, data) for path, data in files if path.endswith("manifest.json"))
            with ledger.transaction():
                done = restore(ledger, at.repo, manifests, at.lab.name, find)
                origin = (at.branch, at.tree.snapshot.commit)
                asked = at.ask(at.tree, at.tree.tasks).values()
                found = adopt(ledger, asked, origin, at.lab.name, find, self.now)
        except BaseException:
            ledger.close()
            raise
        self.warnings += [text for text in done.warnings if text.split(":")[0] not in " ".join(self.warnings)]
        return ledger, done.jobs, [str(job) for job in found]

    def _unpublished(self, ledger: "Ledger") -> int:
        from labwright.control.salvage import unpublished_rows
        from labwright.wiring import open_records

        new = open_records(self.draft)
        try:
            return unpublished_rows(ledger, new)
        finally:
            new.close()

    def _swap(self, *, keep_ledger: bool) -> None:
        for name in (*_RECORDS, *(() if keep_ledger else _LEDGER)):
            old, new = self.of.state / name, self.draft.state / name
            if old.exists():
                self.backup.mkdir(exist_ok=True)
                old.replace(self.backup / name)
            if new.exists():
                new.replace(old)
        (self.of.state / "repo").write_text(self.of.repo + "\n", encoding="utf-8", errors="surrogateescape")


def _say(done: Mapping[str, Any]) -> None:
    from labwright.cli.tables import several
    from labwright.cli.terminal import say

    for warning in done["warnings"]:
        note(warning)
    say(
        f"{several(done['jobs'], 'finished job')} restored, {several(done['points'], 'point')} of metrics; ledger {done['ledger']}"
    )
    if done["adopted"]:
        say(f"{several(len(done['adopted']), 'job')} found at a provider: {' '.join(done['adopted'][:10])}")
    if done["live"]:
        say(f"{several(done['live'], 'job')} not ended: `lab serve` goes on with them")
    if done["backup"]:
        say(f"what was there before is in {done['backup']}")
