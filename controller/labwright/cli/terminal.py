"""What commands print for people. Names, messages and logs come from strangers' commits: nothing of them steers a terminal."""

import re
import sys
from collections.abc import Sequence
from typing import TextIO

_SEQUENCE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-_])")


def clean(value: object) -> str:
    """One line that only shows what it says: no escape sequence, control or direction-changing character."""
    text = _SEQUENCE.sub("", str(value))
    return text if text.isprintable() else "".join(map(_safe, text)).strip()


def clean_lines(text: str) -> str:
    """The same for text of many lines; of a line that was rewritten with carriage returns, what was left to see."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(clean(line.rstrip("\r").rpartition("\r")[2].expandtabs()) for line in lines)


def _safe(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else ""


def say(text: str, *, err: bool = False) -> None:
    """One line, cleaned. Whoever reads a pipe must not end the command: BrokenPipeError goes up to cli.shell.command."""
    out = sys.stderr if err else sys.stdout
    out.write(clean(text) + "\n")
    out.flush()


def write_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """To standard output: with rich on a terminal, aligned text elsewhere. `right` names columns set flush right."""
    cells = [[clean("" if value is None else value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _rich(columns, cells, right)
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for row in (list(columns), *cells):
        sys.stdout.write(_line(row, widths, [name in right for name in columns]) + "\n")
    sys.stdout.flush()


def _line(row: Sequence[str], widths: Sequence[int], flush: Sequence[bool]) -> str:
    parts = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(row, widths, flush, strict=True)
    ]
    return "  ".join(parts).rstrip()


def _rich(columns: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(Text(name), justify="right" if name in right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))  # Text: no markup is read out of it
    Console(highlight=False).print(table)


STYLES = {
    "COMPLETE": "green",
    "FAILED": "bold red",
    "STOPPED": "yellow",
    "RUNNING": "cyan",
    "HELD": "magenta",
    "LOST": "bold yellow",
    "launch": "green",
    "stop": "yellow",
    "refuse": "bold red",
    "invalid": "bold red",
}


def readable(data: bytes, out: TextIO) -> str:
    """What a job printed: as it is for a pipe, cleaned for a terminal."""
    text = data.decode("utf-8", "replace")
    return clean_lines(text) if out.isatty() else text
