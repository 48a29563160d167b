"""What the shell offers at the TAB key: quick, and silent when anything is wrong."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain

_MOST = 100


def tasks(incomplete: str) -> list[str]:
    return _offered(incomplete, _tasks)


def jobs(incomplete: str) -> list[tuple[str, str]]:
    """With their task and state as help."""
    found: list[tuple[str, str]] = []
    with suppress(Exception):
        found = [pair for pair in _jobs() if pair[0].startswith(incomplete)][:_MOST]
    return found


def tasks_and_jobs(incomplete: str) -> list[str]:
    return _offered(incomplete, lambda: chain(_tasks(), (job for job, _ in _jobs())))


def providers(incomplete: str) -> list[str]:
    return _offered(incomplete, _providers)


def doctored(incomplete: str) -> list[str]:
    """What `lab doctor` looks at by name."""
    return _offered(incomplete, lambda: chain(("forge",), _providers()))


def _offered(incomplete: str, names: Callable[[], Iterator[str]]) -> list[str]:
    found: list[str] = []
    with suppress(Exception):
        found = [name for name in names() if name.startswith(incomplete)][:_MOST]
    return found


def _tasks() -> Iterator[str]:
    from labwright.cli.gitwork import git

    listed = git(".", "ls-files", "-z", "--full-name", ":(top,glob)experiments/**/task.yaml") or ""
    for path in listed.split("\0"):
        if path.isprintable() and path.count("/") > 1:
            yield path.removeprefix("experiments/").removesuffix("/task.yaml")


def _jobs() -> Iterator[tuple[str, str]]:
    from labwright.domain.lifecycle import LIVE
    from labwright.settings import find_place
    from labwright.wiring import open_ledger

    ledger = open_ledger(find_place(None), read_only=True)
    known = ledger.jobs(states=LIVE) or ledger.jobs()[-_MOST:]
    for job in reversed(known):
        yield job.id, f"{job.task} {job.state}"


def _providers() -> Iterator[str]:
    from pathlib import Path

    from labwright.cli.gitwork import git
    from labwright.decide.parse import parse_lab

    top = git(".", "rev-parse", "--show-toplevel")
    yield from parse_lab(Path(top or ".", "lab.yaml").read_bytes(), "lab.yaml").providers
