"""`lab status --watch`: a screen that is worth leaving open."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from labwright.cli.look import Look, looking
from labwright.cli.seeing import see
from labwright.cli.status_page import page
from labwright.cli.tables import cell, console
from labwright.domain.errors import LabError, Refused
from labwright.wiring import open_clock

if TYPE_CHECKING:
    from rich.console import RenderableType

_EVERY = 1.0  # seconds


def watch(repo: str | None) -> None:
    """Until `q` or Ctrl-C."""
    from rich.live import Live

    out = console()
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        raise Refused("--watch needs a terminal", hint="`lab status --json` is for programs")
    with looking(repo) as look, _keys(), Live(console=out, screen=True, auto_refresh=False) as live:
        while True:
            size = out.size
            live.update(_view(look, size.width, size.height), refresh=True)
            if _wait():
                return


def _view(look: Look, width: int, height: int) -> "RenderableType":
    """What goes wrong for a moment is shown, and looked at again."""
    from rich.console import Group
    from rich.text import Text

    look.now = open_clock().now()
    try:
        shown: RenderableType = page(see(look), look.now, width=width, height=height - 2)
    except LabError as error:
        shown = cell(str(error), "bold red", most=1000)
    return Group(shown, Text(), Text(f"{look.now:%H:%M:%S} UTC   q quits", style="dim"))


def _wait() -> bool:
    """A second, or less when the window changes its size. True when it is time to go."""
    until, before = time.monotonic() + _EVERY, os.get_terminal_size()
    while (left := until - time.monotonic()) > 0:
        try:
            ready, _, _ = select.select([sys.stdin], [], [], min(left, 0.2))
        except KeyboardInterrupt:
            return True
        if ready and os.read(sys.stdin.fileno(), 64)[:1] in (b"q", b"Q", b"\x03", b"\x04", b""):
            return True
        if os.get_terminal_size() != before:
            return False
    return False


@contextmanager
def _keys() -> Iterator[None]:
    """Single keys, unechoed; the terminal is as before afterwards, whatever happens."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    except KeyboardInterrupt:
        pass
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
