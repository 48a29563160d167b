"""Which tests of the forge suite a forge is left out of: those about something that it says it has not."""

from collections.abc import Callable, Collection
from typing import Any, ClassVar, TypeVar

Test = TypeVar("Test", bound=Callable[..., None])
KNOWN = frozenset(
    {"comments", "forks", "hooks", "labels", "protection", "requests", "reset", "roles", "teams", "tokens"}
)
"""`comments`: people write them; `labels`: anybody puts any on; `requests`: every question reaches the server; `reset`: it tells
when a pull request was reopened or aimed elsewhere; `roles`, `teams`: the forge's own; `tokens`: it knows some and others not."""


def needs(*what: str) -> Callable[[Test], Test]:
    assert set(what) <= KNOWN, what

    def mark(test: Test) -> Test:
        test.needs = frozenset(what)  # type: ignore[attr-defined]
        return test

    return mark


class Needing:
    """A suite says `without` for what its forge has not; whoever does so owes tests of what is there in its place."""

    without: ClassVar[Collection[str]] = ()

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        assert set(cls.without) <= KNOWN, cls.without
        for name in dir(cls):
            if getattr(getattr(cls, name), "needs", frozenset()) & set(cls.without):
                setattr(cls, name, None)  # which pytest does not collect
