"""Files of a pull request on the results branch: its whole plan, and curves of its jobs beside the base branch's."""

import json
from collections.abc import Iterator, Mapping, Sequence

from labwright.control.pulls.page import Draft, folder_of
from labwright.control.pulls.results import MOST_METRICS
from labwright.decide.plot import Curve, Points, line_plot
from labwright.decide.pull_page import full_plan, plan_json
from labwright.decide.report_plots import plot_name
from labwright.domain.job import Job
from labwright.domain.lifecycle import State
from labwright.domain.pull_page import Plot, PullPage
from labwright.ports.records import Records

MOST_TASKS, MOST_PLOTS, MOST_CURVES = 4, 2, 6  # pictures of a task; curves of each side

Series = Mapping[str, Mapping[str, Points]]


def plan_files(page: PullPage) -> Mapping[str, bytes]:
    """Markdown for people and JSON for programs."""
    whole = json.dumps(plan_json(page), indent=1, default=str)
    return {page.plan_path: full_plan(page).encode(), page.plan_path.removesuffix(".md") + ".json": whole.encode()}


def plots_of(draft: Draft, records: Records) -> Mapping[str, tuple[Plot, bytes]]:
    """Path → what it is called, SVG."""
    found: dict[str, tuple[Plot, bytes]] = {}
    for task in sorted(draft.lane.touched)[:MOST_TASKS]:
        mine, theirs = _complete(draft.jobs, task), _complete(draft.base_jobs, task)
        series = _series(records, [*mine, *theirs]) if mine else {}
        for metric in _curved(series)[:MOST_PLOTS]:
            curves = [*_curves(mine, metric, series, "this"), *_curves(theirs, metric, series, "base")]
            if svg := line_plot(f"{task}: {metric}", "step", metric, curves):
                path = f"{folder_of(draft.lane)}/{plot_name(task, metric)}"
                found[path] = (Plot(f"{metric} of {task}", path), svg.encode())
    return found


def _complete(jobs: Sequence[Job], task: str) -> list[Job]:
    return [job for job in jobs if job.task == task and job.state is State.COMPLETE][:MOST_CURVES]


def _curved(series: Series) -> list[str]:
    """Metrics that have a course, losses first."""
    names = {name for metrics in series.values() for name, points in metrics.items() if len(points) > 1}
    return sorted(names, key=lambda name: ("loss" not in name.lower(), name))[:MOST_METRICS]


def _curves(jobs: Sequence[Job], metric: str, series: Series, side: str) -> Iterator[Curve]:
    for job in jobs:
        if points := series.get(job.id, {}).get(metric):
            yield Curve(f"{side} {job.id}", points, bold=side == "this")


def _series(records: Records, jobs: Sequence[Job]) -> Series:
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in records.series([job.id for job in jobs]).to_pylist():
        if not row["rank"]:
            points = found.setdefault(row["job"], {}).setdefault(row["name"], [])
            points.append((float(len(points) if row["step"] is None else row["step"]), row["value"]))
    return found
