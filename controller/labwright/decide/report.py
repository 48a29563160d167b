"""The pages of the results branch: one README an experiment, and one above them all. Bounded, whatever the number of jobs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from labwright.decide.manifest_of import ROOT, results_folder
from labwright.decide.markdown import code, fence, plain
from labwright.decide.plot import number
from labwright.decide.report_plots import Series, task_plots
from labwright.decide.standing import Standing, standings
from labwright.domain.manifest import Manifest

MOST_ROWS = 50
_MOST_TASKS = 20  # with a table of their own
_MOST_FAILED = 10
_MOST_PARAMETERS = 6
_MOST_METRICS = 4
_STATES = {"COMPLETE": "✓ complete", "FAILED": "✗ failed", "STOPPED": "– stopped"}


def experiment_page(experiment: str, manifests: Sequence[Manifest], series: Series) -> Mapping[str, bytes]:
    """`results/<experiment>/README.md` and the plots that it shows. `series` is job → metric → (step, value) points; only
    those of each task's best ten jobs (`standings`) are drawn, so no others need to be given."""
    top = f"{ROOT}/{experiment}"
    tasks = list(standings(manifests))
    files: dict[str, bytes] = {}
    parts = [f"# {plain(experiment)}", _counts(manifests)]
    for standing in tasks[:_MOST_TASKS]:
        plots = task_plots(standing, series)
        files |= {f"{top}/plots/{name}": svg.encode() for name, (_, svg) in plots.items()}
        parts += _task_part(standing, top)
        parts += [f"![{plain(title)}](plots/{name})" for name, (title, _) in plots.items()]
    if len(tasks) > _MOST_TASKS:
        parts.append(f"And {len(tasks) - _MOST_TASKS:,} more tasks: ask `lab sql --repo .`")
    parts += _failures(manifests)
    parts.append("<sub>Written by Labwright; metrics are as the jobs reported them.</sub>")
    files[f"{top}/README.md"] = ("\n\n".join(parts) + "\n").encode("utf-8", "replace")
    return files


def index_page(lines_of: Mapping[str, str]) -> Mapping[str, bytes]:
    """`results/README.md`: a line (`index_line`) an experiment, with its best result."""
    head = "| experiment | jobs | complete | failed | stopped | best | last end |\n| --- | ---: | ---: | ---: | ---: | --- | --- |"
    lines = [line for _, line in sorted(lines_of.items())]
    more = f"\n\nAnd {len(lines) - 500:,} more experiments." if len(lines) > 500 else ""
    page = "# Results\n\n" + "\n".join([head, *lines[:500]]) + more + "\n"
    return {f"{ROOT}/README.md": page.encode("utf-8", "replace")}


def index_line(name: str, manifests: Sequence[Manifest]) -> str:
    states = Counter(m.state for m in manifests)
    best = next((s for s in standings(manifests) if s.best), None)
    shown = (
        f"**{number(best.scores[best.best.job])}** {code(best.metric)} of {code(best.task)}"
        if best and best.best
        else ""
    )
    last = max((m.ended for m in manifests if m.ended), default=None)
    numbers = [len(manifests), states["COMPLETE"], states["FAILED"], states["STOPPED"]]
    link = f"[{plain(name)}]({_url(name)}/README.md)"
    return _row([link, *(f"{n:,}" for n in numbers), shown, f"{last:%Y-%m-%d %H:%M} UTC" if last else ""])


def _counts(manifests: Sequence[Manifest]) -> str:
    states = Counter(str(m.state) for m in manifests)
    seconds = sum(s for m in manifests if (s := _seconds(m)) is not None)
    told = ", ".join(f"{states[s]:,} {word.split(' ')[1]}" for s, word in _STATES.items() if states[s])
    jobs = f"{len(manifests):,} job{'s' if len(manifests) != 1 else ''}"
    return f"{jobs}: {told or 'none finished'}. {_time(seconds)} of running time."


def _task_part(standing: Standing, top: str) -> Iterator[str]:
    yield f"## {plain(standing.task)}"
    word = "lower" if standing.lower_is_better else "higher"
    order = (
        f"{word} is better"
        if standing.told
        else f"{word} first; the task has no `sweep_metric` that says which is better"
    )
    facts = [f"Ranked by {code(standing.metric)}, {order}."] if len(standing.scores) > 1 else []
    if same := standing.constant:
        facts.append("The same in all: " + ", ".join(f"{code(k)} {_value(v)}" for k, v in same.items()) + ".")
    if facts:
        yield " ".join(facts)
    yield "\n".join(_table(standing, top))
    if (more := len(standing.ranked) - MOST_ROWS) > 0:
        yield f"And {more:,} more jobs: ask `lab sql --repo .`"


def _table(standing: Standing, top: str) -> Iterator[str]:
    ranked = standing.ranked[:MOST_ROWS]
    parameters = standing.varying
    columns, rest = parameters[:_MOST_PARAMETERS], parameters[_MOST_PARAMETERS:]
    metrics = _common_metrics(ranked, standing.metric)
    scored = [standing.metric or "score"] if standing.scores else []
    yield _row(
        [
            "job",
            *map(code, columns),
            *(["…"] if rest else []),
            *map(code, [*scored, *metrics]),
            "state",
            "time",
            "commit",
        ]
    )
    yield _row(
        [
            "---",
            *(["---:"] * (len(columns))),
            *(["---"] if rest else []),
            *["---:"] * len(scored + metrics),
            "---",
            "---:",
            "---",
        ]
    )
    for job in ranked:
        best = standing.best is not None and job.job == standing.best.job
        values = [_value(job.parameters.get(name, "")) for name in columns]
        others = (
            [", ".join(f"{name}={job.parameters[name]}" for name in rest if name in job.parameters)] if rest else []
        )
        figures = [_number(standing.scores.get(job.job))] if scored else []
        figures += [_number(job.metrics[name].last if name in job.metrics else None) for name in metrics]
        link = f"[{job.job}]({_url(results_folder(job)[len(top) + 1 :])}/manifest.json)"
        cells = [link, *values, *map(code, others), *figures]
        tail = [_STATES[job.state], _time(_seconds(job)), f"`{job.commit[:10]}`"]
        yield _row([*(f"**{c}**" if best and c else c for c in cells), *tail])


def _failures(manifests: Sequence[Manifest]) -> Iterator[str]:
    failed = sorted(
        (m for m in manifests if m.state == "FAILED"), key=lambda m: (m.ended or m.created, m.job), reverse=True
    )
    if not failed:
        return
    yield "## Failed"
    for job in failed[:_MOST_FAILED]:
        said = job.reason or next((a.detail for a in reversed(job.attempts) if a.detail), "no reason is known")
        parameters = ", ".join(f"{k}={v}" for k, v in job.parameters.items())
        yield f"**{plain(job.task)}** `{job.job}` {code(parameters)}: {plain(said, 400)}"
        if job.log_tail.strip():
            yield f"<details><summary>the log's last lines</summary>\n\n{fence(job.log_tail)}\n\n</details>"
    if len(failed) > _MOST_FAILED:
        by_reason = Counter(plain(m.reason, 120) for m in failed)
        told = "; ".join(f"{count:,}× {reason or 'no reason'}" for reason, count in by_reason.most_common(5))
        yield f"The newest {_MOST_FAILED} of {len(failed):,} failed jobs. Most often: {told}."


def _common_metrics(manifests: Sequence[Manifest], metric: str) -> list[str]:
    counts = Counter(name for m in manifests for name in m.metrics if name != metric)
    return [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_METRICS]]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    return str(value) if isinstance(value, int) else code(str(value), 60)


def _number(value: float | None) -> str:
    return "" if value is None else number(value)


def _seconds(manifest: Manifest) -> float | None:
    spent = [(a.ended - a.started).total_seconds() for a in manifest.attempts if a.ended and a.started]
    return sum(spent) if spent else None


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.3g} min" if minutes < 60 else f"{hours:,.1f} h"


def _url(path: str) -> str:
    """A relative link: what is not plain ASCII letters becomes %xx."""
    plain_ones = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./")
    return "".join(
        c if c in plain_ones else "".join(f"%{b:02X}" for b in c.encode("utf-8", "surrogatepass")) for c in path
    )


__all__ = ["MOST_ROWS", "experiment_page", "index_line", "index_page"]
