"""What a defect of ours breaks stays small: the job that met it is put aside, loudly, and all others go on.

Errors that we know (LabError, OSError) say something of the world; whoever asked knows what to do, so they pass."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from labwright.domain.errors import LabError
from labwright.domain.ids import JobId

T = TypeVar("T")
R = TypeVar("R")

AGAIN = timedelta(seconds=60)  # until a job that was put aside is looked at again
MOST_CALLS = 64  # that may fail while the culprit is looked for


class Troubles:
    def __init__(self, alarms: Any, log: Any) -> None:
        self._alarms, self._log = alarms, log
        self._aside: dict[JobId, datetime] = {}

    @property
    def jobs(self) -> set[JobId]:
        """Those that were put aside."""
        return set(self._aside)

    @property
    def some(self) -> bool:
        return bool(self._aside)

    def aside(self, job: JobId, now: datetime) -> bool:
        return bool(self._aside) and self._aside.get(job, now) > now

    @contextmanager
    def containing(self, job: JobId, doing: str, now: datetime) -> Iterator[None]:
        """Around what is done for one job and writes nothing: an unknown error in it concerns that job only."""
        try:
            yield
        except (LabError, OSError):
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is: `met` says it
            self.met(job, doing, error, now)
        else:
            if self._aside and self._aside.pop(job, None) is not None:
                self._alarms.clear(f"job {job}")

    def met(self, job: JobId, doing: str, error: Exception, now: datetime) -> None:
        if job not in self._aside:
            self._log.error("defect", job=job, doing=doing, error=repr(error), exc_info=error)
        self._aside[job] = now + AGAIN
        self._alarms.raise_(
            f"job {job}", f"{doing} it met a defect of Labwright and waits: {error!r}; other jobs go on"
        )

    def forget(self, job: JobId) -> None:
        """It is over, one way or another."""
        if self._aside.pop(job, None) is not None:
            self._alarms.clear(f"job {job}")


def apart(call: Callable[[Sequence[T]], R], items: Sequence[T]) -> tuple[list[R], Mapping[T, Exception]]:
    """The answers of one call with all items; where that meets an unknown error, of calls with fewer, and which items are the
    cause. Raises what the call raises when it is LabError or OSError, or when too many fail."""
    answers: list[R] = []
    culprits: dict[T, Exception] = {}
    todo, failures = [items], 0
    while todo:
        part = todo.pop()
        try:
            answers.append(call(part))
        except (LabError, OSError):
            raise
        except Exception as error:
            failures += 1
            if failures > MOST_CALLS:
                raise
            if len(part) == 1:
                culprits[part[0]] = error
            else:
                todo += [part[len(part) // 2 :], part[: len(part) // 2]]
    return answers, culprits
