"""Signs of life on standard error while something long goes on, if a person is looking."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def counted(files: Iterator[tuple[str, bytes]], tick: Callable[[int], None]) -> Iterator[tuple[str, bytes]]:
    for count, file in enumerate(files, 1):
        tick(count)
        yield file


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """A function that is told how many files are done."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed:,} files"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda count: progress.update(task, completed=count)


@contextmanager
def copying(total: int) -> Iterator[Callable[[str, int], None]]:
    """A bar over `total` bytes; told which file it is and how many of its bytes came."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from labwright.cli.terminal import clean

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda name, count: progress.update(task, advance=count, description=clean(name)[:40])
