"""What is left of a lab whose state is to be rebuilt: its tip, what was published or waits for it, its providers, its ledger."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from labwright.domain.errors import LabError, Refused
from labwright.domain.lifecycle import FINAL, LIVE
from labwright.settings import Place, is_url, place_of

if TYPE_CHECKING:
    from labwright.cli.drafting import Desk
    from labwright.domain.lab import Lab
    from labwright.ports.provider import Provider


def tip_of(of: Place) -> tuple[Place, str, str]:
    """The repository to read in (of a URL: a clone around here), its default branch, and that one's tip."""
    from labwright.wiring import reading

    work = of if not is_url(of.repo) else place_of(".")
    if is_url(work.repo):
        raise Refused("a lab at a URL is rebuilt from within a clone of it", hint="git clone, then go there")
    with reading(of) as (repo, tips):
        branch = repo.default_branch()
        if branch not in tips:
            raise Refused(f"{of.repo} has no commit yet", hint="there is nothing to rebuild")
        return work, branch, tips[branch]


def providers_of(of: Place, at: "Desk") -> Mapping[str, "Provider"]:
    """With their own folders, where their jobs lie."""
    from labwright.wiring import make_provider, open_clock

    made = {name: make_provider(of, at.repo, open_clock(), name, at.lab) for name in at.lab.providers}
    return {name: provider for name, provider in made.items() if provider is not None}


def finished_files(of: Place, lab: "Lab", tick: Callable[[int], None]) -> Iterator[tuple[str, bytes]]:
    """The results branch's files, then those of jobs that still wait for it."""
    from labwright.control.outbox import Outbox
    from labwright.decide.manifest_of import parse_manifest, results_folder
    from labwright.wiring import published

    with suppress(Refused):  # no such branch: nothing has been published
        for count, (path, data) in enumerate(published(of, lab.results.branch), 1):
            tick(count)
            if path.endswith(("/manifest.json", "/metrics.parquet")):
                yield path, data
    outbox = Outbox(of.outbox)
    for job in outbox.waiting():
        files = dict(outbox.files(job))
        with suppress(LabError):
            folder = results_folder(parse_manifest(files.get("manifest.json", b""), job))
            yield from ((f"{folder}/{name}", data) for name, data in files.items())


def readable(of: Place) -> set[str] | None:
    """Jobs that will be read again from their provider; None where the ledger is gone or damaged."""
    from labwright.wiring import open_ledger

    try:
        ledger = open_ledger(of, read_only=True)
    except LabError:
        return None
    try:
        live = {str(job.id) for job in ledger.jobs(states=LIVE)}
        ended = {str(attempt.job) for attempt in ledger.attempts() if attempt.outcome and not attempt.collected}
        ledger.jobs(states=FINAL)
        return live | ended
    except LabError:
        return None
    finally:
        ledger.close()
