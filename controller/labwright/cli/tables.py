"""Tables and figures for people. Whatever text comes from a repository, a job or a results branch passes through `cell`."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from labwright.cli.terminal import clean

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

STYLES = {
    "COMPLETE": "green",
    "FAILED": "bold red",
    "STOPPED": "dim",
    "RUNNING": "bold cyan",
    "LAUNCHING": "cyan",
    "STOPPING": "yellow",
    "QUEUED": "blue",
    "HELD": "yellow",
    "LOST": "magenta",
}


def console(*, err: bool = False) -> "Console":
    """Colours only on a terminal (NO_COLOR and FORCE_COLOR are heeded); into a pipe nothing is cut to a width."""
    from rich.console import Console

    out = sys.stderr if err else sys.stdout
    made = Console(file=out, markup=False, highlight=False, emoji=False, soft_wrap=False)
    if not made.is_terminal:
        made = Console(file=out, markup=False, highlight=False, emoji=False, width=10_000)
    return made


def cell(value: object, style: str = "", most: int = 300) -> "Text":
    """Text on one line that can neither move the cursor nor be read as markup."""
    from rich.text import Text

    text = clean("" if value is None else value)
    return Text(text if len(text) <= most else text[: most - 1] + "…", style=style)


def state(word: object) -> "Text":
    return cell(word, STYLES.get(str(word), ""))


def table(columns: Iterable[str], *, right: Iterable[str] = (), whole: Iterable[str] = ("job",)) -> "Table":
    """Without lines; columns in `right` are flush right, those in `whole` are never cut."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    flush, kept = set(right), {*whole, *right}
    for name in columns:
        made.add_column(
            Text(clean(name)),
            justify="right" if name in flush else "left",
            no_wrap=name in kept,
            overflow="ellipsis" if name in kept else "fold",
        )
    return made


def pairs(rows: Iterable[tuple[str, Any]]) -> "Table":
    """Names and values, one a line; empty values are left out."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True, style="bold")
    made.add_column(overflow="fold")
    for name, value in rows:
        if value is not None and value != "":
            made.add_row(clean(name), value if isinstance(value, Text) else cell(value, most=2000))
    return made


def number(value: Any) -> str:
    """Up to five figures that count; empty for nothing."""
    if value is None or isinstance(value, str):
        return clean(value or "")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return clean(value)
    return f"{value:,}" if isinstance(value, int) and abs(value) < 1e12 else f"{value:.5g}"


def parameters(values: dict[str, Any], names: Sequence[str] | None = None, most: int = 60) -> str:
    chosen = values if names is None else {name: values[name] for name in names if name in values}
    text = " ".join(f"{clean(name)}={number(value)}" for name, value in chosen.items())
    return text if len(text) <= most else text[: most - 1] + "…"


def span(seconds: float | None) -> str:
    """`8.2 s`, `4 min 05 s`, `3 h 20 min`, `2 d 4 h`."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def ago(at: datetime | None, now: datetime) -> str:
    if at is None:
        return ""
    seconds = (now - at).total_seconds()
    if seconds < 10:
        return "just now"
    if seconds < 3600:
        return f"{seconds:.0f} s ago" if seconds < 60 else f"{seconds // 60:.0f} min ago"
    if seconds < 48 * 3600:
        return f"{seconds // 3600:.0f} h ago"
    return f"{seconds // 86400:.0f} d ago"


def size(count: float | None) -> str:
    if count is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"


def bar(percent: float | None, width: int = 16) -> "Text":
    from rich.text import Text

    if percent is None:
        return Text("")
    share = min(max(percent, 0.0), 100.0)
    full = round(share / 100 * width)
    return Text.assemble(("━" * full, "cyan"), ("━" * (width - full), "bright_black"), f" {share:3.0f}%")


def several(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
