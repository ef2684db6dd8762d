"""Where the time of a frame goes, from capture to result, as bars one after the other: SVG text for a page."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any, Final

from rtface.figures.svg import COLORS

WIDTH: Final = 760
LEFT: Final = 90
RIGHT: Final = 190
"""px left for names and right for numbers."""
ROW: Final = 24
TOP: Final = 30


def colors_of(names: Iterable[str]) -> dict[str, str]:
    """One colour per name, for all drawings of a page."""
    return {name: COLORS[k % len(COLORS)] for k, name in enumerate(dict.fromkeys(names))}


def draw_waterfall(title: str, parts: Mapping[str, Mapping[str, Any]], whole: Mapping[str, Any],
                   colors: Mapping[str, str]) -> str:
    """One ``<svg>`` element: a row per part, each beginning where the one before ends.

    Lengths are means over all frames, so that they add up to the mean of the whole (a part that runs in some frames
    only counts with its share). parts, whole: as in the benchmark's document, ms; colors: of :func:`colors_of`.
    """
    scale = (WIDTH - LEFT - RIGHT) / max(whole["mean"], 1e-6)
    height = TOP + ROW * (len(parts) + 1) + 12
    rows = [f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{html.escape(title)}">'
            f'<text class="title" x="{LEFT}" y="15">{html.escape(title)}</text>'
            f'<text x="{WIDTH - 6}" y="15" text-anchor="end">mean, p95 where it ran (ms)</text>']
    at = 0.0
    for k, (name, times) in enumerate(parts.items()):
        mean = times["share"] * whole["mean"]
        rows.append(_row(name, k, LEFT + at * scale, mean * scale, f"{mean:.2f}", times["p95"], colors[name]))
        at += mean
    rows.append(_row("end to end", len(parts), LEFT, at * scale, f"{at:.2f}", whole["p95"], "currentColor"))
    return "\n".join([*rows, "</svg>"])


def _row(name: str, number: int, start: float, length: float, mean: str, p95: float, color: str) -> str:
    top = TOP + ROW * number
    text = top + ROW / 2 + 4
    opacity = ' fill-opacity=".35"' if color == "currentColor" else ""
    return (f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{top + ROW}" y2="{top + ROW}"/>'
            f'<text x="{LEFT - 8}" y="{text:.0f}" text-anchor="end">{html.escape(name)}</text>'
            f'<rect x="{start:.1f}" y="{top + 4}" width="{max(length, 0.8):.1f}" height="{ROW - 8}" rx="2" '
            f'fill="{color}"{opacity}/>'
            f'<text x="{WIDTH - 76}" y="{text:.0f}" text-anchor="end">{mean}</text>'
            f'<text x="{WIDTH - 6}" y="{text:.0f}" text-anchor="end">{p95:.2f}</text>')
