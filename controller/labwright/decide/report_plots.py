"""Which pictures a task's part of the report has: curves of its best jobs, and its score against what was swept."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from labwright.decide.plot import Curve, line_plot, scatter_plot
from labwright.decide.standing import Standing
from labwright.domain.manifest import Manifest

Series = Mapping[str, Mapping[str, Sequence[tuple[int | None, float]]]]
"""Job → metric → (step, value) in the order they were logged."""

MOST_CURVES = 10
_MOST_METRICS = 2
_MOST_SWEPT = 2


def task_plots(standing: Standing, series: Series) -> Mapping[str, tuple[str, str]]:
    """File name → (title, SVG)."""
    plots: dict[str, tuple[str, str]] = {}
    shown = [m for m in standing.ranked if m.job in series][:MOST_CURVES]
    for metric in _metrics(standing, shown, series):
        curves = [_curve(m, standing, series[m.job][metric]) for m in shown if metric in series[m.job]]
        many = f" of the best {len(curves)} jobs" if len(curves) > 1 else ""
        title = f"{metric}{many}"
        if svg := line_plot(f"{standing.task}: {title}", "step", metric, curves):
            plots[plot_name(standing.task, metric)] = (f"{title} of {standing.task}", svg)
    best = standing.best
    for parameter in _swept(standing):
        points = {
            m.job: (float(m.parameters[parameter]), standing.scores[m.job]) for m in _numeric(standing, parameter)
        }
        title = f"{standing.metric} against {parameter}"
        found = points.get(best.job) if best else None
        if svg := scatter_plot(f"{standing.task}: {title}", parameter, standing.metric, list(points.values()), found):
            plots[plot_name(standing.task, f"{standing.metric}-by-{parameter}")] = (f"{title} of {standing.task}", svg)
    return plots


def _metrics(standing: Standing, shown: Sequence[Manifest], series: Series) -> Sequence[str]:
    """The ranked one first, then losses, then what most jobs have."""
    counts = Counter(name for m in shown for name, points in series[m.job].items() if len(points) > 1)
    order = sorted(counts, key=lambda n: (n != standing.metric, "loss" not in n.lower(), -counts[n], n))
    return order[:_MOST_METRICS]


def _curve(manifest: Manifest, standing: Standing, points: Sequence[tuple[int | None, float]]) -> Curve:
    best = standing.best
    placed = [(float(n if step is None else step), value) for n, (step, value) in enumerate(points)]
    named = ", ".join(f"{k}={manifest.parameters[k]}" for k in standing.varying if k in manifest.parameters)
    return Curve(named or manifest.job, placed, best is not None and best.job == manifest.job)


def _swept(standing: Standing) -> Sequence[str]:
    """Numeric parameters, seeds aside, with three values or more among the scored jobs; those with most values first."""
    counts = {
        name: len({m.parameters[name] for m in _numeric(standing, name)})
        for name in standing.varying
        if "seed" not in name.lower()
    }
    return sorted((n for n in counts if counts[n] >= 3), key=lambda n: (-counts[n], n))[:_MOST_SWEPT]


def _numeric(standing: Standing, name: str) -> Sequence[Manifest]:
    def is_number(value: object) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool)

    scored = (m for m in standing.ranked if m.job in standing.scores)
    return [m for m in scored if is_number(m.parameters.get(name))]


def plot_name(task: str, what: str) -> str:
    """Of a file: letters, digits and dashes."""
    _, _, rest = task.partition("/")
    text = f"{rest or task}-{what}"
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:100] + ".svg"
