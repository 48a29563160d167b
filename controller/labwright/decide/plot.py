"""Small pictures as SVG text: curves, and points of a sweep. The same values give the same bytes; readable on light and dark."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from labwright.decide.markdown import short

_COLOURS = (
    "#3b82d6",
    "#e0562f",
    "#2f9e62",
    "#a866c9",
    "#c9930e",
    "#1a9fb3",
    "#a0704a",
    "#d9568f",
    "#7c8794",
    "#6a63d8",
)
_STYLE = """<style>
text{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#57606a}
.title{font-size:14px;font-weight:600;fill:#1f2328}.card{fill:#fff;stroke:#d0d7de}.grid{stroke:#d0d7de;stroke-width:.6}
.axis{stroke:#8c959f}.best{font-weight:600;fill:#1f2328}.curve{fill:none;stroke-width:1.5;stroke-linejoin:round}
@media(prefers-color-scheme:dark){text{fill:#9198a1}.title,.best{fill:#f0f6fc}.card{fill:#0d1117;stroke:#3d444d}
.grid{stroke:#3d444d}.axis{stroke:#656c76}}
</style>"""
_WIDTH, _TOP, _BOTTOM, _LEFT, _RIGHT = 760, 44, 50, 68, 20
_PLOT_HEIGHT = 260
_MOST_POINTS = 400
_HUGE = 1e150  # beyond it, differences and ratios leave the range of floats

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    name: str
    points: Points
    best: bool = False
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    label: str
    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """0 at `low`, 1 at `high`."""
        if self.log:
            return (math.log10(value) - self.low) / (self.high - self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> Sequence[float]:
        if self.log:
            decades = range(math.floor(self.low), math.floor(self.high + 1e-9) + 1)
            within = (1, 2, 5) if len(decades) <= 3 else (1,)
            ticks = [m * 10.0**n for n in decades for m in within if self.low <= math.log10(m) + n <= self.high]
            return ticks[:: max(1, -(-len(ticks) // 9))]
        step = _nice((self.high - self.low) / 5)
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def line_plot(title: str, x: str, y: str, curves: Sequence[Curve]) -> str:
    """Empty when no curve has a finite point."""
    finite = [Curve(c.name, [p for p in c.points if all(map(_drawable, p))], c.best, c.bold) for c in curves]
    finite = [c for c in finite if c.points]
    if not finite:
        return ""
    across, up = _axis(x, (p[0] for c in finite for p in c.points)), _axis(y, (p[1] for c in finite for p in c.points))
    above = sorted(enumerate(finite), key=lambda item: item[1].best or item[1].bold)
    drawn = [_curve(curve, n, across, up) for n, curve in above]
    return _picture(title, across, up, drawn, list(_legend(finite)), -(-len(finite) // 2))


def scatter_plot(title: str, x: str, y: str, points: Points, best: tuple[float, float] | None = None) -> str:
    """Empty when there are fewer than two finite points."""
    finite = [p for p in points if all(map(_drawable, p))]
    if len(finite) < 2:
        return ""
    across, up = _axis(x, (p[0] for p in finite)), _axis(y, (p[1] for p in finite))
    dots = [
        f'<circle cx="{_x(across, a):.1f}" cy="{_y(up, b):.1f}" r="4" fill="{_COLOURS[0]}" fill-opacity=".65"/>'
        for a, b in sorted(set(finite))[:2000]
    ]
    if best and best in finite:
        title = short(title, 56)
        dots.append(f'<circle cx="{_x(across, best[0]):.1f}" cy="{_y(up, best[1]):.1f}" r="6" fill="{_COLOURS[1]}"/>')
        text = f"best: {number(best[1])} at {escape(short(x, 30))} = {number(best[0])}"
        dots.append(f'<text class="best" x="{_WIDTH - _RIGHT}" y="26" text-anchor="end">{text}</text>')
    return _picture(title, across, up, dots, [], 0)


def _drawable(value: float) -> bool:
    return abs(value) < _HUGE  # NaN is not


def number(value: float) -> str:
    """At most four digits that mean something."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    if 1e-3 <= abs(value) < 1e6:
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    mantissa, _, exponent = f"{value:.3e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _axis(label: str, values: Iterable[float]) -> Axis:
    """Logarithmic where positive values span more than two decades."""
    many = list(values)
    low, high = min(many), max(many)
    if low > 1 / _HUGE and high / low >= 100:
        pad = 0.04 * math.log10(high / low)
        return Axis(label, math.log10(low) - pad, math.log10(high) + pad, log=True)
    pad = 0.04 * (high - low) or abs(high) * 0.1 or 1.0
    return Axis(label, low - pad, high + pad)


def _nice(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next((m * power for m in (1, 2, 2.5, 5) if m * power >= raw * 0.999), 10 * power)


def _x(axis: Axis, value: float) -> float:
    return _LEFT + axis.place(value) * (_WIDTH - _LEFT - _RIGHT)


def _y(axis: Axis, value: float) -> float:
    return _TOP + (1 - axis.place(value)) * _PLOT_HEIGHT


def _curve(curve: Curve, n: int, across: Axis, up: Axis) -> str:
    colour = _COLOURS[n % len(_COLOURS)]
    points = [(_x(across, a), _y(up, b)) for a, b in _thinned(curve.points)]
    if len(points) == 1:
        return f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="3" fill="{colour}"/>'
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    wide = ' style="stroke-width:2.8"' if curve.best or curve.bold else ""
    return f'<polyline class="curve" stroke="{colour}"{wide} points="{path}"/>'


def _thinned(points: Points) -> Points:
    """Of many points the lowest and highest of each stretch, so that spikes stay."""
    if len(points) <= _MOST_POINTS:
        return points
    size = 2 * len(points) / _MOST_POINTS
    kept: list[tuple[float, float]] = []
    for n in range(_MOST_POINTS // 2):
        part = points[int(n * size) : int((n + 1) * size)]
        ends = {min(range(len(part)), key=lambda i: part[i][1]), max(range(len(part)), key=lambda i: part[i][1])}
        kept += [part[i] for i in sorted(ends)]
    return [points[0], *kept, points[-1]]


def _legend(curves: Sequence[Curve]) -> Iterator[str]:
    for n, curve in enumerate(curves):
        left, top = _LEFT + (n % 2) * 340, _TOP + _PLOT_HEIGHT + _BOTTOM + 12 + (n // 2) * 19
        style = ' class="best"' if curve.best or curve.bold else ""
        name = escape(short(curve.name, 46)) + (" (best)" if curve.best else "")
        colour = _COLOURS[n % len(_COLOURS)]
        yield f'<path d="M{left} {top - 4}h18" stroke="{colour}" stroke-width="3"/>'
        yield f'<text{style} x="{left + 25}" y="{top}">{name}</text>'


def _picture(title: str, across: Axis, up: Axis, drawn: Sequence[str], legend: Sequence[str], rows: int) -> str:
    height = _TOP + _PLOT_HEIGHT + _BOTTOM + (rows * 19 + 8 if rows else 0)
    name = escape(short(title, 90))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    parts = [
        f'{head} role="img" aria-label="{name}">',
        _STYLE,
        f'<rect class="card" x=".5" y=".5" width="{_WIDTH - 1}" height="{height - 1}" rx="6"/>',
        f'<text class="title" x="{_LEFT}" y="26">{name}</text>',
        *_frame(across, up),
        *drawn,
        *legend,
        "</svg>\n",
    ]
    return "\n".join(parts)


def _frame(across: Axis, up: Axis) -> Iterator[str]:
    right, bottom = _WIDTH - _RIGHT, _TOP + _PLOT_HEIGHT
    for tick in up.ticks():
        y = _y(up, tick)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number(_rounded(tick))}</text>'
    for tick in across.ticks():
        x = _x(across, tick)
        yield f'<path class="grid" d="M{x:.1f} {_TOP}V{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{number(_rounded(tick))}</text>'
    yield f'<path class="axis" fill="none" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>'
    label = f'y="{bottom + 38}" text-anchor="middle">{escape(short(across.label, 60))}'
    yield f'<text x="{(_LEFT + right) // 2}" {label}</text>'
    turned = f'transform="translate(16 {_TOP + _PLOT_HEIGHT // 2}) rotate(-90)" text-anchor="middle"'
    yield f"<text {turned}>{escape(short(up.label, 40))}</text>"


def _rounded(tick: float) -> float:
    return float(f"{tick:.10g}")
