"""Which checkpoints may go."""

from __future__ import annotations

from lab._numbers import encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def surplus(
    entries: list[dict[str, Any]], newest: dict[str, Any], last: int | None, best: int | None, lower_is_better: bool
) -> list[dict[str, Any]]:
    """Those of `entries` (oldest first) that neither rule keeps. The newest stays always, other ranks' are not ours.

    With `best` alone, checkpoints without a metric are left alone: no rule speaks of them.
    """
    if last is None and best is None:
        return []
    mine = [entry for entry in entries if entry.get("rank", 0) == newest["rank"]]
    kept = {newest["name"], *(entry["name"] for entry in mine[max(0, len(mine) - (last or 0)) :])}
    scored = sorted(
        (entry for entry in mine if _score(entry) is not None), key=lambda entry: _order(entry, lower_is_better)
    )
    kept.update(entry["name"] for entry in scored[: best or 0])
    pool = scored if last is None else mine
    return [entry for entry in pool if entry["name"] not in kept]


def _score(entry: dict[str, Any]) -> float | str | None:
    value = entry.get("metric")
    return None if value is None else encoded(float(value))  # "NaN" and "Infinity" are read by float too


def _order(entry: dict[str, Any], lower_is_better: bool) -> tuple[bool, float]:
    value = _score(entry)
    if value is None or value == "NaN":
        return True, 0.0  # NaN is worse than all
    return False, float(value) if lower_is_better else -float(value)
