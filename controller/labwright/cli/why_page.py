"""What `lab why` shows."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labwright.cli.look import Row
from labwright.cli.tables import STYLES, cell, parameters

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

_MARKS = {True: ("✓ ", "green"), False: ("✗ ", "bold red"), None: ("• ", "yellow")}
_MOST = 20


def page(found: Row, title: str = "") -> "Group":
    """`title` in place of the task's name."""
    from rich.console import Group

    return Group(*_parts(found, title))


def _parts(found: Row, title: str) -> Iterator["RenderableType"]:
    from rich.text import Text

    yield Text.assemble(cell(title or found["task"], "bold"), cell(f"  {found['job']}" if found["job"] else ""))
    for gate in found["gates"]:
        yield Text.assemble(_MARKS[gate["passed"]], cell(gate["text"], most=1000))
        if gate["hint"]:
            yield Text.assemble("    → ", cell(gate["hint"], "cyan"))
    many = len(found["trials"]) > 1
    for row in found["trials"][:_MOST]:
        passed = {"COMPLETE": True, "FAILED": False, "STOPPED": False}.get(row["state"] or "")
        which = " ".join(filter(None, (row.get("task"), parameters(row["parameters"] or {}, most=60)))) if many else ""
        yield Text.assemble(
            _MARKS[passed],
            cell(f"{which}: " if which else "", "bold"),
            cell(row["text"], STYLES["FAILED"] if passed is False else "", 1000),
        )
        if row["next"]:
            yield Text.assemble("    → ", cell(row["next"], "cyan"))
    if len(found["trials"]) > _MOST:
        yield cell(f"and {len(found['trials']) - _MOST} more trials (--json has all)", "dim")
