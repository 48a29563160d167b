"""`lab confirm`: let a change go ahead that was larger than the lab's limits."""

from typing import TYPE_CHECKING, Annotated

import typer

from labwright.cli.asjson import print_json
from labwright.cli.shell import JsonOption, RepoOption
from labwright.cli.terminal import say, write_table
from labwright.settings import Place, find_place

if TYPE_CHECKING:
    from labwright.ports.ledger import PlanRow


def confirm(
    plan: Annotated[
        str | None, typer.Argument(metavar="PLAN", help="The plan's digest, or its start; left out: list them")
    ] = None,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Confirm a plan that is held because it exceeds policy.limits. Without a digest: list the plans that wait."""
    from labwright.cli.asking import Wish, ask, report
    from labwright.domain.job import ActKind

    place = find_place(repo)
    if plan is None:
        _list(_waiting(place), as_json=as_json)
    else:
        report(place, ask(place, [Wish(ActKind.CONFIRM, plan)]), as_json=as_json)


def _list(plans: "list[PlanRow]", *, as_json: bool) -> None:
    if as_json:
        fields = ("digest", "commit", "branch", "at", "launched", "superseded")
        print_json([{name: getattr(plan, name) for name in fields} | {"why": _why(plan)} for plan in plans])
    elif not plans:
        say("no plan waits for confirmation")
    else:
        rows = [(p.digest[:12], p.commit[:10], p.branch, p.launched, p.superseded, _why(p)) for p in plans]
        write_table(("plan", "commit", "branch", "jobs", "stops", "why"), rows, right=("jobs", "stops"))


def _why(plan: "PlanRow") -> str:
    return str((plan.detail or {}).get("why_held", "")).partition("; confirm with")[0]


def _waiting(place: Place) -> "list[PlanRow]":
    from labwright.wiring import open_ledger

    if not place.used:
        return []
    ledger = open_ledger(place, read_only=True)
    try:
        return [plan for plan in ledger.plans(most=1000) if plan.held and not plan.confirmed]
    finally:
        ledger.close()
