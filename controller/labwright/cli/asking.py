"""What a human asks for goes into the ledger once; a controller that runs is woken and its answer waited for."""

import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from labwright.cli.asjson import print_json
from labwright.cli.gitwork import person
from labwright.cli.shell import REFUSED
from labwright.cli.terminal import say
from labwright.domain.errors import LabError
from labwright.domain.ids import JobId
from labwright.domain.job import Act, ActKind
from labwright.ports.ledger import Ledger
from labwright.settings import Place

PATIENCE = 10.0  # seconds for the controller's answer; what it has not answered by then stays asked
_POLL = 0.05
_SHOWN = 10  # jobs of an answer that a person is shown
_JOB = re.compile(r"\b[a-z2-7]{12}\b")
_LISTS = re.compile(r"(?:launched|reused|stopping)((?: [a-z2-7]{12})+)")


@dataclass(frozen=True, slots=True)
class Wish:
    kind: ActKind
    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answered:
    act: Act  # with `done` and `answer` once it was carried out

    @property
    def refused(self) -> bool:
        return self.act.answer.startswith("refused: ")

    @property
    def jobs(self) -> list[JobId]:
        """That the answer names: launched, reused or stopping."""
        return [JobId(job) for part in _LISTS.findall(self.act.answer) for job in _JOB.findall(part)]


def ask(place: Place, wishes: Sequence[Wish]) -> list[Answered]:
    """Each wish once. Answered where a controller runs, else noted for the next one."""
    from labwright.cli.rebuild import restore_if_new
    from labwright.wiring import open_clock, open_ledger

    here = Path(place.repo) if Path(place.repo).is_dir() else Path()
    by, now = person(here), open_clock().now()
    acts = [Act(f"cli:{os.urandom(8).hex()}", w.kind, w.target, by, now, w.arguments) for w in wishes]
    restore_if_new(place)
    ledger = open_ledger(place)
    try:
        with ledger.transaction():
            for act in acts:
                ledger.put_act(act)
        return answers(place, ledger, acts, PATIENCE) if running(place) else [Answered(act) for act in acts]
    finally:
        ledger.close()


def running(place: Place) -> bool:
    from labwright.wiring import lease_holder

    return lease_holder(place) is not None


def answers(place: Place, ledger: Ledger, acts: Sequence[Act], patience: float) -> list[Answered]:
    """What came of them within so many seconds."""
    wake(place)
    ids, until = {act.id for act in acts}, time.monotonic() + patience
    while ids & {act.id for act in ledger.acts()} and time.monotonic() < until:
        time.sleep(_POLL)
    known = {act.id: act for act in ledger.acts(pending=False) if act.id in ids}
    return [Answered(known.get(act.id, act)) for act in acts]


def wake(place: Place) -> None:
    from labwright.web.client import wake as call

    with suppress(LabError):  # it looks once a second in any case
        call(place.socket)


def report(place: Place, answered: Sequence[Answered], *, as_json: bool = False) -> None:
    """Print what came of it. Raises typer.Exit where something was refused."""
    if as_json:
        print_json([to_json(one) for one in answered])
    else:
        for one in answered:
            answer = _LISTS.sub(_some, one.act.answer)
            say(f"lab: {answer}" if one.refused else answer or _waits(place, one.act.kind), err=one.refused)
    if any(one.refused for one in answered):
        raise typer.Exit(REFUSED)


def _some(listed: re.Match[str]) -> str:
    """Of a long list the beginning: `--json` has them all."""
    verb, *jobs = listed[0].split(" ")
    more = f" … and {len(jobs) - _SHOWN:,} more" if len(jobs) > _SHOWN else ""
    return " ".join([verb, *jobs[:_SHOWN]]) + more


def to_json(one: Answered) -> Mapping[str, Any]:
    act = one.act
    state = "refused" if one.refused else "done" if act.done else "queued"
    fields = {"act": act.id, "kind": str(act.kind), "target": act.target, "by": act.by, "state": state}
    return {**fields, "answer": act.answer, "jobs": one.jobs}


def _waits(place: Place, kind: ActKind) -> str:
    if running(place):
        return "asked; the controller has not answered yet (`lab status`)"
    starts = kind in (ActKind.RUN, ActKind.RERUN, ActKind.RETRY)
    words = "queued: it starts" if starts else "noted: it is carried out"
    return f"{words} when `lab serve` runs (for {place.repo})"
