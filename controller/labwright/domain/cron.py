"""When a schedule is due, as cron writes it."""

import re

from labwright.domain.forms import Fault

_CRON = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def cron(value: str) -> str:
    """Five fields (minute hour day month weekday), each `*`, numbers, ranges, lists, steps; or `@daily` and the like."""
    if value in ("@hourly", "@daily", "@weekly", "@monthly"):
        return value
    fields = value.split()
    if len(fields) != len(_CRON) or not all(_in_cron(f, *b) for f, b in zip(fields, _CRON, strict=True)):
        raise Fault("must be five fields as cron has them", "such as `0 3 * * 1`: minute, hour, day, month, weekday")
    return value


def _in_cron(field: str, low: int, high: int) -> bool:
    for part in field.split(","):
        found = re.fullmatch(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([1-9][0-9]?))?", part)
        if not found or (found[1] and not low <= int(found[1]) <= int(found[2] or found[1]) <= high):
            return False
    return True
