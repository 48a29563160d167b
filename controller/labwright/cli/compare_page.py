"""What `lab compare` shows."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from labwright.cli.look import Row
from labwright.cli.tables import cell, number, span, state, table

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

_MOST_LINES = 200
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def page(made: Row) -> "Group":
    from rich.console import Group

    return Group(*_parts(made))


def _parts(made: Row) -> Iterator["RenderableType"]:
    from rich.text import Text

    a, b = made["a"], made["b"]
    head = table(["", a["job"], b["job"]], whole=["", a["job"], b["job"]])
    head.add_row("task", cell(a["task"]), cell(b["task"]))
    head.add_row("state", state(a["state"]), state(b["state"]))
    head.add_row("commit", cell((a["commit"] or "")[:12]), cell((b["commit"] or "")[:12]))
    head.add_row("time", span(a["seconds"]), span(b["seconds"]))
    yield head
    for title in ("parameters", "environment"):
        yield Text()
        yield from _sides(title, made[title], made)
    yield Text()
    yield from _metrics(made["metrics"], made)
    yield Text()
    yield from _code(made["code"])


def _sides(title: str, rows: Mapping[str, Row], made: Row) -> Iterator["RenderableType"]:
    from rich.text import Text

    if not rows:
        yield Text.assemble((title, "bold underline"), ("  the same", "dim"))
        return
    yield Text(title, style="bold underline")
    shown = table(["", made["a"]["job"], made["b"]["job"]], whole=[])
    for name, row in rows.items():
        shown.add_row(cell(name), cell(number(row["a"]), "red"), cell(number(row["b"]), "green"))
    yield shown


def _metrics(rows: Mapping[str, Row], made: Row) -> Iterator["RenderableType"]:
    from rich.text import Text

    if not rows:
        yield Text.assemble(("metrics", "bold underline"), ("  neither logged any", "dim"))
        return
    yield Text("metrics", style="bold underline")
    names = ["", made["a"]["job"], made["b"]["job"], "delta", "%"]
    shown = table(names, right=names[1:], whole=[])
    for name, row in rows.items():
        delta, base = row["delta"], row["a"]
        share = f"{delta / abs(base) * 100:+.3g}" if delta is not None and base else ""
        change = "" if delta is None else "=" if delta == 0 else f"{delta:+.5g}"
        shown.add_row(cell(name), number(row["a"]), number(row["b"]), change, share if delta else "")
    yield shown


def _code(files: list[Row]) -> Iterator["RenderableType"]:
    from rich.text import Text

    if not files:
        yield Text.assemble(("code", "bold underline"), ("  the same", "dim"))
        return
    yield Text("code", style="bold underline")
    left = _MOST_LINES
    for file in files:
        lines = file["diff"].split("\n") if file["diff"] else []
        yield Text.assemble(cell(file["path"], "bold"), cell(f"  {file['what']}", "dim"))
        for line in lines[2:][: max(left, 0)]:
            yield cell(line, _COLOURS.get(line[:1], ""), most=1000)
        left -= len(lines)
        if left < 0:
            yield cell("… (--json has all)", "dim")
