"""The first lines of a pull request's comment: what it is about, what it waits for, and what to know before anything else."""

from collections import Counter
from collections.abc import Iterator, Sequence

from labwright.decide.markdown import code, plain, prose
from labwright.decide.plot import number
from labwright.domain.lifecycle import FINAL, State
from labwright.domain.pull_page import Banner, JobLine, Notice, PullPage

SAID = {
    Banner.FORK: "⛔ **From a fork: its jobs never launch.** Somebody who may write can push the branch to this repository.",
    Banner.CONFIG: "⚠️ **Changes how the lab itself works** (lab.yaml, templates or approvers). This plan is under the rules of"
    " the base branch; the new ones hold once it is merged.",
    Banner.HELD: "✋ **Held: somebody must confirm the whole of it.**",
    Banner.SUSPENDED: "⏸️ **The controller is suspended:** nothing launches until `lab resume`.",
    Banner.DRAFT: "📝 **A draft:** nothing launches until it is ready for review.",
    Banner.CLOSED: "🚪 **Closed:** nothing of it launches any more.",
    Banner.VOID: "↩️ **No longer approved.**",
    Banner.NOTE: "ℹ️",
}
STATES = {
    State.COMPLETE: "complete",
    State.FAILED: "failed",
    State.RUNNING: "running",
    State.LAUNCHING: "launching",
    State.QUEUED: "queued",
    State.HELD: "held",
    State.STOPPING: "stopping",
    State.LOST: "lost",
    State.STOPPED: "stopped",
}


def many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def headline(page: PullPage, width: int = 200) -> str:
    """Two paragraphs at most: what it is about, and what it waits for or who approved. `width`: of each user text."""
    first = " · ".join([*_first(page, width), *_beside(page)])
    return "\n\n".join(line for line in (first, next_step(page, width)) if line)


def _first(page: PullPage, width: int) -> Iterator[str]:
    new = len(to_come(page))
    own = [job for job in page.jobs if not job.reused]
    if own:
        ended = sum(job.state in FINAL for job in own)
        unmet = any(requirement.passed is False for requirement in page.requirements)
        failed = unmet or any(job.state is State.FAILED for job in own)
        mark = "❌" if failed else "⏳" if ended < len(own) or new else "✅"
        head = many(ended, "job") if ended == len(own) else f"{ended:,} of {many(len(own), 'job')}"
        yield f"{mark} **{head} ended**: {counts(own)}"
    if new or not own:
        jobs = f"{many(new, 'job')} to launch" if new else "Nothing to launch"
        yield f"**{jobs}**{_places(page, width) if new else ''}{_hours(page) if new else ''}"


def to_come(page: PullPage) -> Sequence[str]:
    """Jobs of the plan that are not there yet."""
    there = {job.job for job in page.jobs}
    return [trial.job for task in page.tasks for trial in task.launch if trial.job not in there]


def counts(jobs: Sequence[JobLine]) -> str:
    found = Counter(job.state for job in jobs)
    return ", ".join(f"{found[state]:,} {word}" for state, word in STATES.items() if found[state])


def _places(page: PullPage, width: int) -> str:
    places = Counter(task.provider for task in page.tasks for _ in task.launch if task.provider)
    if not places:
        return ""
    named = [code(place, min(width, 40)) for place, _ in places.most_common(3)]
    return f" on {', '.join(named)}" + (f" and {len(places) - 3} more" if len(places) > 3 else "")


def _hours(page: PullPage) -> str:
    endless = any(task.launch and task.accelerators and task.limit_seconds is None for task in page.tasks)
    if not page.gpu_hours and not endless:
        return ""
    if endless and not page.gpu_hours:
        return ", GPU-hours not known: there is no time limit"
    asked = f"{number(page.gpu_hours)}{' or more' if endless else ''} GPU-hours asked"
    expected = page.expected_gpu_hours
    past = f" (≈ {number(expected)} from past runs)" if expected is not None else ""
    return f", {asked}{past}{'; some jobs have no time limit' if endless else ''}"


def _beside(page: PullPage) -> Iterator[str]:
    told = {"reused": page.reused, "superseded": page.superseded, "refused": page.refused}
    yield from (f"{count:,} {word}" for word, count in told.items() if count)
    invalid = len({problem.path for problem in page.problems})
    if invalid:
        yield f"**{many(invalid, 'file')} not valid**"
    failed = sum(requirement.passed is False for requirement in page.requirements)
    if failed:
        yield f"**{many(failed, 'requirement')} not met**"


def next_step(page: PullPage, width: int = 200) -> str:
    if page.has(Banner.FORK) or page.has(Banner.CLOSED):
        return ""
    if page.waits_for and (to_come(page) or any(job.state is State.HELD for job in page.jobs)):
        named = "; ".join(prose(words, width) for words in page.waits_for[:8])
        more = f"; and {len(page.waits_for) - 8} more" if len(page.waits_for) > 8 else ""
        return f"Waits for: {named}{more}."
    if page.approved_by and (page.launches or page.jobs):
        named = ", ".join(plain(who, 60) for who in page.approved_by[:8])
        more = f" and {len(page.approved_by) - 8} more" if len(page.approved_by) > 8 else ""
        return f"Approved by {named}{more}."
    return ""


def banners(notices: Sequence[Notice], width: int = 400) -> str:
    lines = [f"> {SAID[n.kind]} {prose(n.words, width)}".rstrip() for n in notices[:12]]
    return "\n>\n".join(lines)
