"""docs/img/demo.svg out of a real run:   script -qec "make demo" /tmp/demo.ansi && .venv/bin/python scripts/picture.py </tmp/demo.ansi"""

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 140


def settled(raw: str) -> list[str]:
    """Lines as they stood when the command ended: a progress bar draws itself many times, the last one counts."""
    raw = re.sub(r"^Script (started|done).*\n", "", raw, flags=re.MULTILINE)
    lines: list[str] = []
    for line in raw.replace("\r\n", "\n").split("\n"):
        ups = len(re.findall(r"\x1b\[1A", line))
        del lines[len(lines) - ups :]
        lines.append(re.sub(r"\x1b\[(\?25[lh]|[0-9]*[AK])", "", line.split("\r")[-1]))
    return lines


def main() -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    lines = settled(sys.stdin.read())
    start = next(n for n, line in enumerate(lines) if "A lab is a git repository" in line)
    end = next(n for n, line in enumerate(lines) if "Done in" in line)
    for line in lines[start : end + 1]:
        console.print(Text.from_ansi(line), no_wrap=True, crop=True)
    target = Path(__file__).resolve().parent.parent / "docs" / "img" / "demo.svg"
    svg = re.sub(r"@font-face \{.*?\}\n", "", console.export_svg(title="make demo"), flags=re.DOTALL)  # fetches nothing
    target.write_text(svg)
    sys.stderr.write(f"{target}\n")


if __name__ == "__main__":
    main()
