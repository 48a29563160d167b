"""A page within a limit of characters: parts are said in fewer words, the least important first, and never cut."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

BETWEEN = "\n\n"


@dataclass(frozen=True, slots=True)
class Part:
    """`forms`: the same in ever fewer words; an empty text leaves the part out. Parts of a lower `worth` give way first."""

    worth: int
    forms: Sequence[Callable[[], str]]


def fit(parts: Sequence[Part], limit: int) -> str:
    """In the order given. Every part takes a step before any takes its next one. May be longer than `limit` only where all
    parts are in their last forms."""
    texts = [part.forms[0]() for part in parts]
    order = sorted(range(len(parts)), key=lambda n: parts[n].worth)
    for step in range(1, max((len(part.forms) for part in parts), default=0)):
        for n in order:
            if _length(texts) <= limit:
                break
            if step < len(parts[n].forms):
                texts[n] = parts[n].forms[step]()
    return BETWEEN.join(text for text in texts if text)


def _length(texts: Sequence[str]) -> int:
    said = [len(text) + len(BETWEEN) for text in texts if text]
    return sum(said) - len(BETWEEN) if said else 0
