"""A process that has everything imported and makes a controller of each fork: `python lives.py REPO [slurm]` reads one line a
life, `kill_at seed`, and answers with how it ended. The controller is the real one; it kills itself at the kill_at-th point where
something was or is about to be written, submitted, recorded or pushed (0 = lives until nothing is left to do)."""

import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import structlog

from labwright.adapters.artifacts.folder import FolderArtifacts
from labwright.adapters.ledgers.sql import ledger as sql_ledger
from labwright.adapters.providers.local import LocalProvider
from labwright.adapters.providers.slurm.desk import Desk
from labwright.adapters.providers.slurm.submit import Submitter
from labwright.adapters.records import from_results  # noqa: F401  # imported before the fork: each life starts at once
from labwright.adapters.records.duckdb.records import DuckDbRecords
from labwright.adapters.repos.git.mirror import GitRepo
from labwright.adapters.results.branch import GitResultsBranch
from labwright.control.outbox import Outbox
from labwright.control.world import Options
from labwright.settings import find_place
from labwright.wiring import open_site

Point = tuple[type, str]
POINTS: list[Point] = [
    (sql_ledger.SqlLedger, "insert"),
    (sql_ledger.SqlLedger, "move"),
    (sql_ledger.SqlLedger, "put_attempts"),
    (sql_ledger.SqlLedger, "set_cursor"),
    (LocalProvider, "submit"),
    (LocalProvider, "observe"),
    (LocalProvider, "find"),
    (LocalProvider, "read"),
    (LocalProvider, "collect"),
    (LocalProvider, "fetch"),
    (LocalProvider, "forget"),
    (LocalProvider, "tidy"),
    (FolderArtifacts, "put"),
    (DuckDbRecords, "write"),
    (GitRepo, "fetch"),
    (GitResultsBranch, "publish"),
    (GitResultsBranch, "_push"),
    (Outbox, "put"),
    (Outbox, "drop"),
]

SLURM: list[Point] = [  # each call to the cluster, besides what is written here
    (sql_ledger.SqlLedger, "move"),
    (sql_ledger.SqlLedger, "put_attempts"),
    (Submitter, "_batch"),
    (Desk, "_run"),
    (Desk, "_run"),
    (DuckDbRecords, "write"),
    (Outbox, "put"),
]


class Doom:
    """Counts points over all threads and kills the process at one of them."""

    def __init__(self, at: int, seed: int) -> None:
        self.left, self.lock, self.seed = at, threading.Lock(), seed

    def point(self) -> None:
        with self.lock:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def deadly(*args: Any, **kwargs: Any) -> Any:
            self.point()
            try:
                return function(*args, **kwargs)
            finally:
                self.point()

        return deadly


def live(repo: str, kill_at: int, seed: int, points: Sequence[Point] = POINTS, soon: float = 0.6) -> None:
    """`soon`: of some lives, the seconds within which they end at no point in particular."""
    if kill_at:
        doom = Doom(kill_at, seed)
        for owner, name in points:
            setattr(owner, name, doom.around(getattr(owner, name)))
        if random.Random(seed).random() < 0.3:  # and sometimes at no point in particular
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            threading.Timer(
                random.Random(seed).uniform(0.01, soon), lambda: os.kill(os.getpid(), signal.SIGKILL)
            ).start()
    site = open_site(find_place(repo), Options(launch_existing=True, poll_seconds=1.0, publish_seconds=0.2))
    site.controller.run(once=True)
    site.close()


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    for line in sys.stdin:
        kill_at, seed = map(int, line.split())
        pid = os.fork()
        if pid == 0:
            try:
                if sys.argv[2:] == ["slurm"]:
                    live(sys.argv[1], kill_at, seed, SLURM, 3.0)
                else:
                    live(sys.argv[1], kill_at, seed)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(70)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
