"""Plots as SVG text inside a page: no scripts, nothing loaded; colours of text and lines follow the page's."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

import numpy as np

from rtface.figures.plot import Curve, Plot

WIDTH, HEIGHT = 520, 320
SMALL_WIDTH, SMALL_HEIGHT = 262, 196
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 26, 44
ROW: Final = 16
"""Height of a line of the legend."""
TICKS: Final = 5
DOTS: Final = 12
"""Curves of at most so many points have dots."""
COLORS: Final = ("#3b82c4", "#e0752d", "#2a9d6f", "#b05fb8", "#c9a227", "#d0485c", "#5aa9b8", "#8a8f98")
"""Told apart on white and on black, also by most colour-blind people; from the ninth curve on lines are dashed."""
DASHES: Final = ("", "6 3", "2 3")
STYLE: Final = """
svg.plot { max-width: 100%; height: auto; vertical-align: top; font: 12px system-ui, sans-serif; }
svg.plot { margin: .4rem 1rem .8rem 0; }
svg.plot text { fill: currentColor; } svg.plot .axis { stroke: currentColor; stroke-opacity: .55; fill: none; }
svg.plot .grid { stroke: currentColor; stroke-opacity: .13; } svg.plot .title { font-weight: 600; }
svg.plot .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; } svg.plot .band { stroke: none; opacity: .14; }
svg.plot g:hover > .line { stroke-width: 3.2; }
.plots { display: flex; flex-wrap: wrap; } .plots svg.plot { margin: .2rem .4rem .2rem 0; }
.legend span { margin-right: 1.2rem; white-space: nowrap; } .legend svg { vertical-align: middle; margin-right: .3rem; }
"""
"""For the page's style sheet."""


def draw(plot: Plot) -> str:
    """One ``<svg>`` element; curves carry their names as tool tips and in a legend below."""
    x_range = plot.x_range or _extent([v for curve in plot.curves for v in curve.x])
    y_range = plot.y_range or _extent([v for curve in plot.curves for v in (*curve.y, *curve.high)], zero=True)
    columns = max(1, min(3, (WIDTH - LEFT) // (7 * max((len(c.name) for c in plot.curves), default=1) + 40)))
    small = bool(plot.group)
    place = _Place(x_range, y_range, *((SMALL_WIDTH, SMALL_HEIGHT) if small else (WIDTH, HEIGHT)))
    height = place.height + (0 if small else ROW * -(-len(plot.curves) // columns) + ROW // 2)
    parts = [f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" width="{place.width}" height="{height}" '
             f'viewBox="0 0 {place.width} {height}" role="img" aria-label="{html.escape(plot.title)}">',
             f'<text class="title" x="{LEFT}" y="15">{html.escape(plot.title)}</text>',
             *_axes(plot, place),
             *(_curve(curve, place, _stroke(k)) for k, curve in enumerate(plot.curves)),
             *([] if small else _legend(plot.curves, columns)), "</svg>"]
    return "\n".join(parts)


def draw_all(plots: Sequence[Plot]) -> list[str]:
    """Elements for a page: plots as they are, those of a group side by side under its title and one legend."""
    out = []
    for title, members in groupby((plot for plot in plots if plot.curves), key=lambda plot: plot.group):
        drawn = list(members)
        parts = [draw(plot) for plot in drawn]
        if title:
            keys = "".join(f'<span><svg width="24" height="8"><line x1="0" x2="24" y1="4" y2="4" stroke-width="2.5" '
                           f'{_stroke(k)[1]}/></svg>{html.escape(curve.name)}</span>'
                           for k, curve in enumerate(drawn[0].curves))
            parts = [f'<h3>{html.escape(title)}</h3><p class="legend">{keys}</p><div class="plots">', *parts, "</div>"]
        out += parts
    return out


class _Place:
    """Values → px."""

    def __init__(self, x_range: tuple[float, float], y_range: tuple[float, float], width: int = WIDTH,
                 height: int = HEIGHT) -> None:
        self.x_range, self.y_range, self.width, self.height = x_range, y_range, width, height

    def x(self, value: float) -> float:
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (self.width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.height - BOTTOM - (value - low) / (high - low) * (self.height - TOP - BOTTOM)

    def point(self, x: float, y: float) -> str:
        """Cut to a little beyond the axes."""
        low, high = self.y_range
        return f"{self.x(x):.1f},{self.y(min(max(y, low), high)):.1f}"


def _extent(values: Sequence[float], zero: bool = False) -> tuple[float, float]:
    """Round bounds around values; from 0 on where asked."""
    finite = [v for v in values if math.isfinite(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    low = min(low, 0.0) if zero else low
    step = _step(low, high if high > low else low + 1)
    return math.floor(low / step + 1e-9) * step, max(math.ceil(high / step - 1e-9) * step, low + step)


def _step(low: float, high: float) -> float:
    """A round distance between about :data:`TICKS` ticks."""
    raw = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    return float(next(m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999) * power)


def _ticks(low: float, high: float) -> list[float]:
    step = _step(low, high)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _axes(plot: Plot, place: _Place) -> Iterator[str]:
    left, right, bottom, top = LEFT, place.width - RIGHT, place.height - BOTTOM, TOP
    for value in _ticks(*place.x_range):
        x = place.x(value)
        yield (f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/><text x="{x:.1f}" '
               f'y="{bottom + 15}" text-anchor="middle">{_number(value, "x" in plot.percent)}</text>')
    for value in _ticks(*place.y_range):
        y = place.y(value)
        yield (f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/><text x="{left - 6}" '
               f'y="{y + 4:.1f}" text-anchor="end">{_number(value, "y" in plot.percent)}</text>')
    x_label, y_label = (html.escape(label + (" (%)" if axis in plot.percent else ""))
                        for axis, label in (("x", plot.x_label), ("y", plot.y_label)))
    middle = (top + bottom) / 2
    yield (f'<path class="axis" d="M{left},{top}V{bottom}H{right}"/><text x="{(left + right) / 2:.0f}" '
           f'y="{bottom + 33}" text-anchor="middle">{x_label}</text><text transform="translate(14,{middle:.0f}) '
           f'rotate(-90)" text-anchor="middle">{y_label}</text>')


def _number(value: float, percent: bool) -> str:
    return f"{100 * value if percent else value:.3g}"


def _stroke(number: int) -> tuple[str, str]:
    """Colour and attributes of the n-th curve."""
    color, dash = COLORS[number % len(COLORS)], DASHES[number // len(COLORS) % len(DASHES)]
    return color, f'stroke="{color}"' + (f' stroke-dasharray="{dash}"' if dash else "")


def _curve(curve: Curve, place: _Place, stroke: tuple[str, str]) -> str:
    color, attributes = stroke
    band = ""
    if curve.low:
        kept = [(x, a, b) for x, a, b in zip(curve.x, curve.low, curve.high, strict=True) if np.isfinite([a, b]).all()]
        outline = [*(place.point(x, b) for x, _, b in kept), *(place.point(x, a) for x, a, _ in reversed(kept))]
        band = f'<polygon class="band" fill="{color}" points="{" ".join(outline)}"/>' if kept else ""
    lines = "".join(f'<polyline class="line" {attributes} points="{points}"/>'
                    for points in _runs(curve, place))
    return f"<g><title>{html.escape(curve.name)}</title>{band}{lines}{''.join(_marks(curve, place, color))}</g>"


def _marks(curve: Curve, place: _Place, color: str) -> Iterator[str]:
    """Dots where there are few points; a point without neighbours, which has no line and no band, has its interval."""
    known = [math.isfinite(x) and math.isfinite(y) for x, y in zip(curve.x, curve.y, strict=True)]
    for k, (x, y) in enumerate(zip(curve.x, curve.y, strict=True) if len(curve.x) <= DOTS else ()):
        if not known[k]:
            continue
        px, py = place.point(x, y).split(",")
        yield f'<circle cx="{px}" cy="{py}" r="2.4" fill="{color}"/>'
        if curve.low and not any(known[max(0, k - 1):k] + known[k + 1:k + 2]) and math.isfinite(curve.low[k]):
            ends = [place.point(x, bound[k]).split(",")[1] for bound in (curve.low, curve.high)]
            yield f'<line x1="{px}" x2="{px}" y1="{ends[0]}" y2="{ends[1]}" stroke="{color}" stroke-width="1.5"/>'


def _runs(curve: Curve, place: _Place) -> Iterator[str]:
    """Points of every stretch without a gap."""
    run: list[str] = []
    for x, y in zip((*curve.x, math.nan), (*curve.y, math.nan), strict=True):
        if math.isfinite(x) and math.isfinite(y):
            run.append(place.point(x, y))
        elif run:
            yield " ".join(run)
            run = []


def _legend(curves: Sequence[Curve], columns: int) -> Iterator[str]:
    width = (WIDTH - LEFT) / columns
    for k, curve in enumerate(curves):
        _, attributes = _stroke(k)
        x, y = LEFT + width * (k % columns), HEIGHT + ROW * (k // columns) + ROW // 2 + 4
        yield (f'<line x1="{x:.0f}" x2="{x + 22:.0f}" y1="{y - 4}" y2="{y - 4}" stroke-width="2.5" '
               f'{attributes}/><text x="{x + 28:.0f}" y="{y}">{html.escape(curve.name)}</text>')
