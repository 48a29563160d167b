"""What counts as a number: Python's, and by duck typing numpy's, torch's, jax's scalars; none of them is imported."""

from __future__ import annotations

_INFINITY = float("inf")
_EXACT = 2**63  # integers beyond this go as floats: readers hold 64 bits


def number(value: object) -> float:
    """`value` as an int or float. Raises TypeError or ValueError for what is not one number (text, arrays, None)."""
    if not isinstance(value, (int, float)):
        value = _unwrapped(value)
    if isinstance(value, float):
        return float(value)
    value = int(value)
    if -_EXACT <= value < _EXACT:
        return value
    try:
        return float(value)
    except OverflowError:
        return _INFINITY if value > 0 else -_INFINITY


def _unwrapped(value: object) -> int | float:
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{type(value).__name__} is not a number")
    item = getattr(value, "item", None)
    plain = item() if callable(item) else value
    if isinstance(plain, (int, float)):
        return plain
    return float(plain)  # type: ignore[arg-type]  # __float__ or TypeError


def encoded(value: float) -> float | str:
    """JSON has no NaN and no infinities: they are written as strings."""
    if -_INFINITY < value < _INFINITY:
        return value
    return "Infinity" if value > 0 else "-Infinity" if value < 0 else "NaN"


def plain(value: object) -> object:
    """For `json.dumps(default=)`: a number if it is one, else its text."""
    try:
        return encoded(number(value))
    except Exception:
        return str(value)


def parsed(text: str) -> float:
    """A number as a shell user writes it. Raises ValueError."""
    try:
        return int(text)
    except ValueError:
        return float(text)
