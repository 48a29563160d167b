"""What one check of `lab doctor` found."""

from dataclasses import dataclass

from labwright.domain.errors import LabError

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    result: str  # ok, warn or fail
    text: str
    mend: str = ""


def told(check: str, error: LabError) -> Finding:
    return Finding(check, FAIL, error.message, error.hint)
