"""The benchmark on a page: distributions, time-lines and where the time goes. A single file, nothing loaded."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from rtface.bench import tables
from rtface.bench.waterfall import colors_of, draw_waterfall
from rtface.errors import InputError
from rtface.figures import svg
from rtface.figures.page import table_html, write_page
from rtface.figures.plot import Curve, Plot

STEPS: Final = 200
"""Points of a distribution's curve."""
BINS: Final = 60
"""At most."""
SHOWN_PERCENT: Final = 99.5
"""Axes end where this share of the slowest case does; single outliers are in the tables."""
MOST_ROUNDS: Final = 16
"""Streams and rounds that a time-line shows one after the other."""


def write_bench_page(document: Mapping[str, Any]) -> str:
    """HTML. document: of :func:`rtface.bench.document.build_document` with samples, InputError without."""
    cases = [case for case in document["cases"] if case["paced"]["end_to_end_ms"]]
    if any("samples" not in case["paced"]["end_to_end_ms"] for case in cases):
        raise InputError("page: got a document without samples, expected one that rtface bench --json wrote")
    fps = document["settings"]["fps"]
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in tables.notes(document))
    parts = [f'<ul class="failed">{lines}</ul>' if lines else "", table_html(tables.overview(document)),
             table_html(tables.split(document)),
             *(table_html(t) for t in (tables.ratios(document), tables.served(document)) if t.rows)]
    if cases:
        parts += ["<h2>Latency</h2>", *(svg.draw(plot) for plot in _distributions(cases, fps))]
        parts += [svg.draw(plot) for plot in _loads(document)]
        colors = colors_of(name for case in cases for name in case["paced"]["parts_ms"])
        parts += ["<h2>Where the time goes</h2>", *(draw_waterfall(
            case["label"], case["paced"]["parts_ms"], case["paced"]["end_to_end_ms"], colors) for case in cases)]
        parts += ["<h2>Over time</h2>", *(svg.draw(_timeline(case)) for case in cases)]
    parts += ["<h2>Tables</h2>", *(table_html(table) for table in tables.all_tables(document)[1:])]
    parts += [f'<p class="note">{html.escape(tables.conditions(document))}</p>']
    machine = {**document["machine"], "conditions": document["conditions"], "settings": document["settings"]}
    return write_page("rtface bench", "\n".join(parts), machine)


def _samples(case: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.concatenate([np.asarray(r, np.float64) for r in case["paced"]["end_to_end_ms"]["samples"]])


def _distributions(cases: Sequence[Mapping[str, Any]], fps: float) -> Iterator[Plot]:
    """Share of frames that are done after so many ms, and how often each latency occurs."""
    samples = {case["label"]: _samples(case) for case in cases}
    limit = max(float(np.percentile(values, SHOWN_PERCENT)) for values in samples.values())
    shares = np.linspace(0, 1, STEPS + 1)
    yield Plot("Frames that are done within a time", "ms from capture to result", "share of frames",
               [Curve(name, np.minimum(np.percentile(values, 100 * shares), _round_up(limit)).tolist(), shares.tolist())
                for name, values in samples.items()], x_range=(0.0, _round_up(limit)), y_range=(0.0, 1.0), percent="y")
    same = {case["label"]: samples[case["label"]] for case in cases
            if (case["faces"], case["streams"]) == (cases[0]["faces"], cases[0]["streams"])}
    limit = max(float(np.percentile(values, SHOWN_PERCENT)) for values in same.values())
    bins = int(np.clip(2 * math.sqrt(min(len(values) for values in same.values())), 10, BINS))
    edges = np.linspace(0, _round_up(limit), bins + 1)
    curves = []
    for name, values in same.items():
        heights = np.histogram(values, edges)[0] / len(values)
        curves.append(Curve(name, np.repeat(edges, 2)[1:-1].tolist(), np.repeat(heights, 2).tolist()))
    yield Plot(f"Histogram of the first load, bins of {edges[1]:.2g} ms", f"ms from capture to result at {fps:g} fps",
               "share of frames", curves, x_range=(0.0, float(edges[-1])), percent="y")


def _round_up(value: float) -> float:
    """To two digits."""
    unit = 10.0 ** (math.floor(math.log10(max(value, 1e-3))) - 1)
    return math.ceil(value / unit) * unit


def _loads(document: Mapping[str, Any]) -> Iterator[Plot]:
    """Latency and drops over faces and streams, where several numbers were measured."""
    for load, other in (("faces", "streams"), ("streams", "faces")):
        latency, drops = [], []
        first = document["cases"][0][other]
        for variant in dict.fromkeys(_variant(case) for case in document["cases"]):
            cases = sorted((case for case in document["cases"] if _variant(case) == variant and case[other] == first
                            and case["paced"]["end_to_end_ms"]), key=lambda case: int(case[load]))
            if len(cases) < 2:
                continue
            x = [float(case[load]) for case in cases]
            latency += [Curve(f"{variant}, {q}", x, [case["paced"]["end_to_end_ms"][q] for case in cases])
                        for q in ("p50", "p99")]
            drops.append(Curve(variant, x, [case["paced"]["dropped_share"] for case in cases]))
        if latency:
            yield Plot(f"Latency over {load}", load, "ms", latency)
            yield Plot(f"Dropped frames over {load}", load, "share of frames", drops, percent="y")


def _variant(case: Mapping[str, Any]) -> str:
    return " ".join(case[name] for name in ("backend", "precision", "profile", "recipe"))


def _timeline(case: Mapping[str, Any]) -> Plot:
    """Latency of frame after frame; rounds and streams one after the other, gaps between them."""
    x: list[float] = []
    y: list[float] = []
    offset = 0.0
    for stretch in case["paced"]["timelines"][:MOST_ROUNDS]:
        x += [offset + t for t, _ in stretch] + [offset + stretch[-1][0]]
        y += [ms for _, ms in stretch] + [math.nan]
        offset += stretch[-1][0]
    return Plot(case["label"], "s of measurement", "ms from capture to result", [Curve("frames", x, y)])
