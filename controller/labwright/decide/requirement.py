"""Whether results are as `require` wants them. What cannot be told is never a success."""

import math
from dataclasses import dataclass

from labwright.decide.versus import SAME, Sample
from labwright.domain.requirement import Requirement, parse_requirement

__all__ = ["Judgement", "Requirement", "judge", "parse_requirement"]


@dataclass(frozen=True, slots=True)
class Judgement:
    passed: bool | None  # None: cannot be told
    words: str  # one line of plain text, which may hold the metric's name as people wrote it: `markdown.plain` before it is shown


def judge(requirement: Requirement, head: Sample | None, base: Sample | None) -> Judgement:
    """By the means. `head`, `base`: of the requirement's metric; None where no job of that side has reported it. Values that are
    the same but for the rounding of floats count as the same: 0.8 <= 0.7 + 0.1 holds."""
    if head is None or head.n < 1:
        return Judgement(None, f"{requirement.metric}: no job has reported it")
    if not math.isfinite(head.mean):
        return Judgement(False, f"{requirement.metric} is {head.mean}, and {requirement.text} is required")
    if requirement.of_base and (why := _unfit(requirement, base)):
        return Judgement(None, f"{requirement.metric}: {why}, and {requirement.text} is required")
    limit = _limit(requirement, base)
    if not math.isfinite(limit):
        return Judgement(None, f"{requirement.metric}: the limit of {requirement.text} is no finite number")
    passed = _holds(requirement.comparison, head.mean, limit)
    holds = requirement.comparison if passed else f"is not {requirement.comparison}"
    value, bound = _told(head.mean, limit)
    of = f" (base {base.mean:.6g})" if requirement.of_base and base else ""
    return Judgement(passed, f"{requirement.metric} {value} {holds} {bound}{of}")


def _unfit(requirement: Requirement, base: Sample | None) -> str:
    """Why this base cannot be compared with."""
    if base is None or base.n < 1:
        return "the base branch has no result of it"
    if not math.isfinite(base.mean):
        return f"it is {base.mean} on the base branch"
    if requirement.sds and base.n < 2:
        return "the base branch has one run, and a standard deviation needs two"
    return ""


def _limit(requirement: Requirement, base: Sample | None) -> float:
    if not requirement.of_base or base is None:
        return requirement.offset
    beside = requirement.offset + abs(base.mean) * requirement.share
    return base.mean * requirement.factor + beside + (base.sd * requirement.sds if requirement.sds else 0.0)


def _holds(comparison: str, value: float, limit: float) -> bool:
    if math.isclose(value, limit, rel_tol=SAME):
        return comparison in ("<=", ">=")
    return value < limit if comparison.startswith("<") else value > limit


def _told(value: float, limit: float) -> tuple[str, str]:
    """Both with as many digits as it takes to see that they differ."""
    short = f"{value:.6g}", f"{limit:.6g}"
    return short if short[0] != short[1] or value == limit else (repr(value), repr(limit))
