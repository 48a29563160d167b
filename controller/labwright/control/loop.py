"""The whole product on one screen: look at the world, decide, act, until told to stop."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from labwright.control.acts import Acts
from labwright.control.collect import Collector
from labwright.control.contents import Contents
from labwright.control.finish import Finisher
from labwright.control.gather import Gatherer
from labwright.control.intake import Intake
from labwright.control.keep import Keeper
from labwright.control.launch import Launcher
from labwright.control.logs import Logs
from labwright.control.observe import Observer
from labwright.control.orphans import Orphans
from labwright.control.outbox import Outbox
from labwright.control.publish import Pages, Publisher
from labwright.control.pulls.pulls import Pulls
from labwright.control.retention import Retention
from labwright.control.world import World, later
from labwright.domain.errors import LabError
from labwright.domain.job import Held
from labwright.domain.lifecycle import AT_PROVIDER, State

MOST_FAILURES = 10  # turns in a row that a defect of ours may break
LONGEST_SLEEP = 1.0  # seconds: acts that a CLI put into the ledger without waking us are seen by then

LONGEST_WAIT = 10.0  # seconds after a turn that could not be written


class Controller:
    def __init__(
        self, world: World, outbox: Outbox, to_parquet: Callable[[Any], bytes], pages: Pages, keeper: Keeper
    ) -> None:
        self.world = world
        self.stopping = False
        self._failed = 0  # turns that could not be written, in a row
        contents, logs = Contents(world.book.ledger), Logs(world.logs)
        self.intake = Intake(world)
        self.acts = Acts(world, self.intake)
        self.pulls = Pulls(world, self.intake)
        self.launcher = Launcher(world, contents)
        self.observer = Observer(world, contents)
        self.orphans = Orphans(world)
        self.keeper = keeper
        self.collector = Collector(world, Finisher(world, outbox, logs, to_parquet), keeper)
        self.gatherer = Gatherer(world, contents, logs, self.collector)
        self.publisher = Publisher(world, outbox, pages)
        self.retention = Retention(world, keeper)

    def turn(self) -> datetime | None:
        """Look, decide, write, act: everything decided is one commit, and only then do its calls go off. When the next turn
        is due at the latest; None when nothing is waiting for time to pass."""
        world, now = self.world, self.world.now()
        try:
            with world.book.turn():
                if self._failed:
                    self._recover()
                due = self._steps(now)
        except (LabError, OSError) as error:
            return self._not_written(error, now, getattr(error, "retry_in", 5.0))
        except Exception as error:
            world.log.error("defect", doing="a turn", error=repr(error), exc_info=error)
            if self._failed >= MOST_FAILURES:
                raise  # a supervisor may do better with a new process; jobs that run go on
            return self._not_written(error, now, 5.0)
        self._failed = 0
        world.alarms.clear("ledger")
        world.calls.launch()
        return due

    def _not_written(self, error: Exception, now: datetime, wait: float) -> datetime:
        self._failed = 0 if isinstance(error, LabError | OSError) else self._failed
        self._failed += 1
        self.world.calls.drop()
        what = str(error) if isinstance(error, LabError) else repr(error)
        self.world.alarms.raise_("ledger", f"{what}; running jobs go on, nothing new is launched")
        return later(now, wait)

    def _steps(self, now: datetime) -> datetime | None:
        self.world.calls.settle()
        dues = [self.intake.step(now)]
        self.acts.step(now)
        dues.append(self.pulls.step(now))
        if self.acts.acted or self.pulls.moved:
            self.acts.acted = self.pulls.moved = False
            self.launcher.gates_moved()
        working = (self.launcher, self.observer, self.orphans, self.gatherer, self.collector)
        dues += [part.step(now) for part in (*working, self.publisher, self.keeper, self.retention)]
        return min((due for due in dues if due is not None), default=None)

    def _recover(self) -> None:
        """The turn was not written: whatever the parts remember of it is read again."""
        self.intake.recover()
        self.pulls.recover()
        self.launcher.recover()
        self.gatherer.recover()
        self.collector.recover()
        self.publisher.recover()

    def run(self, *, once: bool = False) -> None:
        """Until `stop`; with `once`, until nothing is left to do and every job that can run has ended."""
        world = self.world
        while not self.stopping:
            due = self.turn()
            if once and self.idle():
                return
            most = LONGEST_SLEEP if not self._failed else LONGEST_WAIT
            wait = most if due is None else min(most, (due - world.now()).total_seconds())
            if wait > 0:
                world.wake.wait(wait)
            world.wake.clear()

    def stop(self) -> None:
        """From any thread or a signal handler. Running jobs are not touched."""
        self.stopping = True
        self.world.wake.set()

    def idle(self) -> bool:
        world, book = self.world, self.world.book
        if len(world.calls) or self._failed or not (self.intake.up_to_date or self.intake.failing):
            return False
        stuck = self.launcher.submitter.stranded | world.troubles.jobs
        if book.ledger.acts() or book.count(State.QUEUED, *AT_PROVIDER) > len(stuck & book.live.keys()):
            return False
        if book.uncollected or book.dirty or world.notes:
            return False
        if not self.keeper.idle() or not (self.publisher.idle() or self.publisher.failing):
            return False
        return all(self._waits_for_a_human(job.reason) for job in book.in_state(State.HELD))

    @staticmethod
    def _waits_for_a_human(reason: str) -> bool:
        return reason.partition(":")[0] in {held.value for held in Held}

    def close(self) -> None:
        self.world.calls.close()
