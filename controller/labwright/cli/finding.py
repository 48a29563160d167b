"""What one check of `lab doctor` found."""

from labwright.domain.finding import FAIL, OK, WARN, Finding, told

__all__ = ["FAIL", "OK", "WARN", "Finding", "told"]
