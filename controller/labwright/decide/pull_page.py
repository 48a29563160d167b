"""A pull request's one comment, its commit status, and the whole plan behind both. The values come as domain/pull_page.py."""

import re
from collections.abc import Callable, Sequence
from functools import partial

from labwright.decide.fit import Part, fit
from labwright.decide.markdown import short
from labwright.decide.pull_head import banners, counts, headline, many, to_come
from labwright.decide.pull_parts import cautions, commands, files, foot, gates, problems, tasks
from labwright.decide.pull_plan import full_plan, plan_json
from labwright.decide.pull_results import failures, jobs, plots, progress, requirements, results
from labwright.domain.forge import Light
from labwright.domain.lifecycle import FINAL, State
from labwright.domain.pull_page import Banner, PullPage

LEAST = 4000  # characters that every comment may need, whatever it is about
WORDS = 140  # of a status
_ROWS = (100, 40, 15, 5, 2, 0)
_SIGNATURE = re.compile(r"[A-Za-z0-9_=+/.:-]{1,200}")


def render(page: PullPage, limit: int = 60_000) -> str:
    """The comment, of at most `limit` characters (4,000 or more): first line, gates, digest and marker always, the rest in
    fewer words where there is no room. No line of it starts as a command. Raises ValueError for a smaller limit."""
    if limit < LEAST:
        raise ValueError(f"a comment needs {LEAST:,} characters, and {limit:,} were given")
    last = marker(page)
    body = fit(_parts(page), limit - len(last) - 2)
    return f"{body}\n\n{last}"


def marker(page: PullPage) -> str:
    """The hidden last line, by which the comment is known again. Raises ValueError for a lane or signature that could end it."""
    for text in (page.lane, page.signature):
        if not _SIGNATURE.fullmatch(text) or "--" in text:
            raise ValueError(f"no part of a comment's marker can be {text[:40]!r}")
    return f"<!-- labwright:{page.lane}:{page.signature} -->"


def _parts(page: PullPage) -> Sequence[Part]:
    """What is said in six steps of ever fewer words, and in a seventh not at all, but for what a comment always says."""

    def steps(make: Callable[[PullPage, int], str], most: Sequence[int]) -> Sequence[Callable[[], str]]:
        return [*(partial(make, page, n) for n in most), _nothing]

    whole = partial(headline, page)
    told = partial(banners, page.banners)
    logs = [(10, 30), (10, 15), (5, 10), (3, 5), (2, 0), (0, 0)]
    return [
        Part(10, [whole, whole, whole, whole, whole, partial(headline, page, 60), partial(headline, page, 15)]),
        Part(9, [told, told, told, told, partial(banners, page.banners, 100), partial(_bare_banners, page)]),
        Part(6, steps(problems, _ROWS)),
        Part(7, steps(results, _ROWS)),
        Part(8, steps(requirements, (200, 200, 200, 60, 60, 60))),
        Part(3, steps(plots, (8, 4, 2))),
        Part(4, steps(progress, (40, 20, 10, 5, 0))),
        Part(5, [*(partial(failures, page, most, lines) for most, lines in logs), _nothing]),
        Part(1, steps(jobs, _ROWS)),
        Part(8, steps(tasks, _ROWS)),
        Part(7, steps(cautions, _ROWS)),
        Part(2, steps(files, _ROWS)),
        Part(9, [partial(gates, page, width) for width in (300, 300, 300, 100, 100, 100, 0)]),
        Part(3, [partial(commands, page)] * 5 + [_nothing]),
        Part(10, [partial(foot, page)] * 6 + [partial(foot, page, bare=True)]),
    ]


def _nothing() -> str:
    return ""


def _bare_banners(page: PullPage) -> str:
    """Those that keep everything from running come first; one is enough to know."""
    grave = sorted(page.banners, key=lambda notice: list(Banner).index(notice.kind))
    return banners(grave[:1], 15)


def status_words(page: PullPage) -> tuple[Light, str]:
    """Of the commit status: one line of at most 140 characters."""
    light, words = _status(page)
    return light, short(words.replace("`", ""), WORDS)


def _status(page: PullPage) -> tuple[Light, str]:
    own = [job for job in page.jobs if not job.reused]
    new = len(to_come(page))
    bad = _what_is_wrong(page)
    if own and not new:
        return _running(page, bad)
    if bad:
        return Light.FAILURE, "; ".join([*bad, *([f"{many(new, 'job')} to launch"] if new else [])])
    if not new:
        return Light.SUCCESS, f"nothing to launch{f', {page.reused:,} reused' if page.reused else ''}"
    jobs_and_hours = many(new, "job") + (f", {page.gpu_hours:,.4g} GPU-hours" if page.gpu_hours else "")
    return _waiting(page, jobs_and_hours)


def _waiting(page: PullPage, what: str) -> tuple[Light, str]:
    if page.has(Banner.CLOSED):
        return Light.ERROR, f"closed: {what} will not launch"
    if page.has(Banner.FORK):
        return Light.ERROR, f"from a fork: {what} never launch"
    if held := next((notice for notice in page.banners if notice.kind is Banner.HELD), None):
        return Light.PENDING, f"held: {held.words or what}"
    if page.has(Banner.SUSPENDED):
        return Light.PENDING, f"the controller is suspended: {what} wait"
    if page.waits_for:
        return Light.PENDING, f"{what} wait for: {'; '.join(page.waits_for)}"
    return Light.PENDING, f"{what}, launching"


def _what_is_wrong(page: PullPage) -> list[str]:
    invalid = len({problem.path for problem in page.problems})
    found = [f"{many(invalid, 'file')} not valid"] if invalid else []
    return [*found, *([f"{page.refused:,} refused"] if page.refused else [])]


def _running(page: PullPage, bad: Sequence[str]) -> tuple[Light, str]:
    own = [job for job in page.jobs if not job.reused]
    unmet = [requirement for requirement in page.requirements if requirement.passed is False]
    if any(job.state not in FINAL for job in own):
        ended = sum(job.state in FINAL for job in own)
        held = any(job.state is State.HELD for job in own) and page.waits_for
        waits = f"; waits for: {'; '.join(page.waits_for)}" if held else ""
        return Light.PENDING, f"{ended:,} of {many(len(own), 'job')} ended: {counts(own)}{waits}"
    words = "; ".join([counts(own), *(f"not met: {unmet_one.text}" for unmet_one in unmet), *bad])
    open_ones = any(requirement.passed is None for requirement in page.requirements)
    if unmet or bad or any(job.state is not State.COMPLETE for job in own):
        return Light.FAILURE, words
    return (Light.PENDING, f"{words}; requirements are not known yet") if open_ones else (Light.SUCCESS, words)


__all__ = ["LEAST", "WORDS", "full_plan", "marker", "plan_json", "render", "status_words"]
