"""Which schema this code reads and writes, and what is said of any other. Light: imports nothing."""

from labwright.domain.errors import Refused

REVISIONS = ("0001",)
"""Every migration, oldest first; the last one is what this code reads and writes."""


def is_current(found: str | None, *, read_only: bool) -> bool:
    """Whether nothing is to be done. Raises Refused for what cannot be opened as it is."""
    if found == REVISIONS[-1]:
        return True
    if found is not None and found not in REVISIONS:
        raise Refused(
            f"the ledger was written by a newer Labwright (its schema is {found}, this one knows {REVISIONS[-1]})",
            hint="upgrade with `pip install -U labwright`",
        )
    if read_only:
        what = "there is no ledger yet" if found is None else f"the ledger has an older schema ({found})"
        raise Refused(what, hint="`lab serve` makes it")
    return False
