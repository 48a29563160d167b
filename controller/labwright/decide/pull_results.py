"""What a pull request's comment says once something runs: progress, failures, and results against the base branch."""

import math
from collections import Counter
from collections.abc import Iterator

from labwright.decide.markdown import code, fence, image, link, prose, row
from labwright.decide.plot import number
from labwright.decide.pull_head import STATES, many
from labwright.decide.pull_parts import address_of, details, duration, listed
from labwright.domain.lifecycle import State
from labwright.domain.pull_page import Delta, Figures, JobLine, PullPage

_BETTER, _WORSE, _SAME, _UNKNOWN = "🟢", "🔴", "⚪", "·"
_SPREAD = 2.0  # standard errors that a difference must have to count


def progress(page: PullPage, most: int) -> str:
    """Counts by state, a line for each task where there are several: of one task the first line says it all."""
    names = list(dict.fromkeys(job.task for job in page.jobs))
    if len(names) < 2 or most == 0:
        return ""
    by_task: dict[str, Counter[State]] = {name: Counter() for name in names}
    for job in page.jobs:
        by_task[job.task][job.state] += 1
    states = [state for state in STATES if any(found[state] for found in by_task.values())]
    head = [row(["task", *(STATES[state] for state in states)]), row(["---", *["---:"] * len(states)])]
    lines = [row([code(n), *(f"{by_task[n][s]:,}" if by_task[n][s] else "" for s in states)]) for n in names[:most]]
    more = [f"\n… and {len(names) - most:,} more tasks"] if len(names) > most else []
    return "\n".join([*head, *lines, *more])


def failures(page: PullPage, most: int, lines: int) -> str:
    """With the last `lines` of each log."""
    failed = [job for job in page.jobs if job.state is State.FAILED]
    if not failed:
        return ""
    parts = [f"❌ **{many(len(failed), 'job')} failed**"]
    for job in failed[:most]:
        reason = prose(job.reason, 300) or "no reason is known"
        parts.append(f"{code(job.task)} {_named(job)} {code(_point(job), 100)}: {reason}")
        if lines and job.log_tail.strip():
            parts.append(details("the log's last lines", fence(job.log_tail, lines=lines)))
    if len(failed) > most:
        reasons = Counter(job.reason for job in failed).most_common(3)
        told = "; ".join(f"{count:,}× {prose(reason, 100) or 'no reason'}" for reason, count in reasons)
        parts.append(f"… and {len(failed) - most:,} more. Most often: {told}" if most else f"Most often: {told}")
    return "\n\n".join(parts)


def jobs(page: PullPage, most: int) -> str:
    """Finished ones of each task first, the best before the others."""
    if not page.jobs or most == 0:
        return ""
    lower = {task.task: task.lower_is_better for task in page.tasks}
    metric = {task.task: task.metric for task in page.tasks}
    shown = sorted(page.jobs, key=lambda job: (job.task, *_rank(job, lower.get(job.task))))
    head = [
        row(["job", "task", "parameters", "state", "score", "time"]),
        row(["---", "---", "---", "---", "---:", "---:"]),
    ]
    lines = [_job_row(job, metric.get(job.task, "")) for job in shown[:most]]
    return details("Jobs", listed("\n".join(head), lines, len(shown), page).replace("\n\n|", "\n|", 1))


def _rank(job: JobLine, lower: bool | None) -> tuple[int, float, int]:
    if job.score is None or not math.isfinite(job.score) or job.state is not State.COMPLETE:
        return (1, 0.0, job.trial)
    return (0, 0.0 if lower is None else job.score if lower else -job.score, job.trial)


def _job_row(job: JobLine, metric: str) -> str:
    score = number(job.score) + (f" {code(metric, 40)}" if metric else "") if job.score is not None else ""
    state = STATES[job.state] + (", reused" if job.reused else "")
    said = f"{state}: {prose(job.reason, 80)}" if job.reason and job.state is not State.COMPLETE else state
    return row([_named(job), code(job.task), code(_point(job), 100), said, score, duration(job.seconds)])


def _named(job: JobLine) -> str:
    return link(code(job.job, 20), job.link)


def _point(job: JobLine) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(job.parameters.items()))


def results(page: PullPage, most: int) -> str:
    """Metrics against the base branch, the greatest improvement first."""
    if not page.deltas:
        return ""
    ranked = sorted(page.deltas, key=lambda delta: -effect(delta))
    lines = [_delta_row(delta) for delta in ranked[:most]]
    tally = Counter(verdict(delta) for delta in page.deltas)
    words = {_BETTER: "better", _WORSE: "worse", _SAME: "within the spread", _UNKNOWN: "not compared"}
    told = ", ".join(f"{mark} {tally[mark]:,} {word}" for mark, word in words.items() if tally[mark])
    title = f"**Results against {code(page.base_branch, 60)}**: {told}"
    if not lines:
        return title
    head = [row(["", "task", "metric", "base", "this", "change"]), row(["---", "---", "---", "---:", "---:", "---:"])]
    more = [f"\n… and {len(ranked) - most:,} more"] if len(ranked) > most else []
    note = f"\nMean ± standard deviation (jobs). {_SAME}: a difference of less than two standard errors. As the jobs reported."
    return "\n".join([f"{title}\n", *head, *lines, *more, note])


def _delta_row(delta: Delta) -> str:
    metric = code(delta.metric, 60) + {True: " ↓", False: " ↑", None: ""}[delta.lower_is_better]
    return row(
        [verdict(delta), code(delta.task), metric, _figures(delta.base), _figures(delta.head), _difference(delta)]
    )


def _figures(figures: Figures | None) -> str:
    if figures is None:
        return "none"
    spread = f" ± {number(figures.sd)}" if figures.sd is not None else ""
    return f"{number(figures.mean)}{spread} ({figures.n:,})"


def _difference(delta: Delta) -> str:
    if delta.base is None or delta.head is None:
        return ""
    change = delta.head.mean - delta.base.mean
    share = f" ({change / abs(delta.base.mean):+.1%})" if delta.base.mean else ""
    return f"{'+' if change > 0 else ''}{number(change)}{share}"


def verdict(delta: Delta) -> str:
    """A mark: better, worse, no more than chance, or not to be told."""
    if delta.base is None or delta.head is None or delta.lower_is_better is None:
        return _UNKNOWN
    change = delta.head.mean - delta.base.mean
    if not math.isfinite(change):
        return _WORSE if math.isfinite(delta.base.mean) else _UNKNOWN  # it diverged
    if abs(change) <= _SPREAD * _standard_error(delta.base, delta.head):
        return _SAME
    return _BETTER if (change < 0) == delta.lower_is_better else _WORSE


def effect(delta: Delta) -> float:
    """How much better, as a share of the base; what cannot be told comes last."""
    if verdict(delta) == _UNKNOWN or delta.base is None or delta.head is None:
        return -math.inf
    change = delta.head.mean - delta.base.mean
    better = -change if delta.lower_is_better else change
    return better / abs(delta.base.mean) if delta.base.mean else math.copysign(math.inf, better) if better else 0.0


def _standard_error(*both: Figures) -> float:
    """Of a difference of means. One job has no spread of its own: what the other side shows counts for it."""
    known = [figures.sd for figures in both if figures.sd is not None]
    if not known:
        return 0.0
    return math.hypot(*((f.sd if f.sd is not None else max(known)) / math.sqrt(f.n) for f in both))


def requirements(page: PullPage, width: int) -> str:
    marks = {True: "✅", False: "❌", None: "⏳"}
    words = {True: "passed", False: "failed", None: "not known yet"}
    lines = [
        f"- {marks[r.passed]} {code(f'require: {r.text}', width)} → **{words[r.passed]}**"
        + (f": {prose(r.words, width)}" if r.words else "")
        for r in sorted(page.requirements, key=lambda r: (r.passed is not False, r.passed is None))[:20]
    ]
    more = [f"- and {len(page.requirements) - 20:,} more"] if len(page.requirements) > 20 else []
    return "\n".join([*lines, *more])


def plots(page: PullPage, most: int) -> str:
    return "\n\n".join(_images(page, most))


def _images(page: PullPage, most: int) -> Iterator[str]:
    for plot in page.plots[:most]:
        if address := address_of(page.links, page.links.raw, plot.path):
            yield image(plot.title, address)
