"""Values of the domain ↔ rows. The tables have the fields of the values, in the same order."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Row

from labwright.domain.ids import JobId
from labwright.domain.job import Act, ActKind, Attempt, Job, Transition, Want, Wanted
from labwright.domain.lifecycle import Outcome, State
from labwright.ports.ledger import PlanRow

Value = Job | Attempt | Act | PlanRow | Want
_NAMES: Mapping[type, Sequence[str]] = {
    kind: tuple(field.name for field in fields(kind)) for kind in (Job, Attempt, Act, PlanRow, Want)
}


def row(value: Value) -> dict[str, Any]:
    return {name: getattr(value, name) for name in _NAMES[type(value)]}


def job(found: Row[Any]) -> Job:
    values = found._asdict()
    values["state"] = State(values["state"])
    values["needs"] = tuple(values["needs"])
    return Job(**values)


def attempt(found: Row[Any]) -> Attempt:
    values = found._asdict()
    values["outcome"] = values["outcome"] and Outcome(values["outcome"])
    return Attempt(**values)


def transition(found: Row[Any]) -> Transition:
    before = found.before and State(found.before)
    return Transition(JobId(found.job), found.at, before, State(found.after), found.reason)


def want(found: Row[Any]) -> Want:
    values = found._asdict()
    del values["place"]
    return Want(**{**values, "how": Wanted(values["how"])})


def act(found: Row[Any]) -> Act:
    values = found._asdict()
    return Act(**{**values, "kind": ActKind(values["kind"])})


def plan(found: Row[Any]) -> PlanRow:
    return PlanRow(**found._asdict())
