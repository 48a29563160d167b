"""Where the artifacts of a job are: in the lab's own store, and at the provider of the attempt that left them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labwright.cli.look import Look, Row, note
from labwright.domain.errors import LabError, Refused, Unavailable

if TYPE_CHECKING:
    from labwright.ports.provider import Provider

STORE = "store"


class Whereabouts:
    """Of one job. Only what is not in the store is asked of the provider."""

    def __init__(self, look: Look, job: str) -> None:
        from labwright.domain.ids import JobId
        from labwright.wiring import open_artifacts

        self._look, self._job = look, job
        self._store = open_artifacts(look.place)
        attempts = [a for a in (look.ledger.attempts([JobId(job)]) if look.ledger else ()) if a.handle is not None]
        self._attempt = attempts[-1] if attempts else None
        self._provider: Provider | None = None

    def places(self, rows: Sequence[Row]) -> list[list[str]]:
        """Of each row, where it can be had: `store`, then the provider's name. Empty: nowhere that is known here."""
        digests = [str(row["sha256"] or "") for row in rows]  # of a job that runs, it says what it likes
        kept, there = self._store.has(digests), [self._attempt.provider] if self._attempt else []
        return [[STORE, *there] if digest in kept else there for digest in digests]

    def fetch(self, row: Row, into: Path) -> None:
        """Raises Refused for what is nowhere any more, Unavailable while its provider is away."""
        if self._store.has([row["sha256"] or ""]):
            try:
                return self._store.fetch(row["sha256"], into)
            except LabError as error:
                note(f"{error}; taken from its provider")
        if self._attempt is None or self._attempt.handle is None:
            raise Refused(
                f"{row['path']} of {self._job} is not kept here, and at no provider any more",
                hint="`lab rerun` makes it again",
            )
        if self._provider is None:
            self._provider = _provider(self._look, self._attempt.provider)
        self._provider.fetch(self._attempt.handle, row["path"], into)
        return None

    def close(self) -> None:
        if self._provider is not None:
            self._provider.close()


def _provider(look: Look, name: str) -> "Provider":
    from labwright.domain.lab import Lab
    from labwright.wiring import make_provider, open_clock, open_repo

    text = look.ledger.cursor("lab.yaml") if look.ledger else None
    lab = Lab.model_validate_json(text) if text else Lab()
    repo, clock = open_repo(look.place), open_clock()
    provider = make_provider(look.place, repo, clock, name, lab)
    if provider is None:
        raise Unavailable(f"lab.yaml has no provider {name} any more", hint="put it back to reach what lies there")
    return provider
