"""How far lips, lids and brows open, held against labels: what a mean error of points hides.

A system that always draws a mouth half open has a small mean error and is useless for animation. So distances between
pairs of the 68 points, in inter-ocular distances of the label, are regressed on the labelled ones over the faces of a
set: the slope is 1 where a mouth opens as far as labelled and 0 where it always looks the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from rtface.evaluate import metrics
from rtface.evaluate.report import Cell, Table
from rtface.geometry import FloatArray

OPENINGS: Final[Mapping[str, tuple[tuple[int, int], ...]]] = {
    "mouth open": ((61, 67), (62, 66), (63, 65)), "mouth wide": ((48, 54),), "jaw down": ((33, 8),),
    "eyes open": ((37, 41), (38, 40), (43, 47), (44, 46)), "brows up": ((19, 37), (24, 44))}
"""Pairs of points, of which the mean distance counts."""
LEAST_FACES: Final = 8
"""A slope needs some faces."""


def distances(points: FloatArray, pairs: Sequence[tuple[int, int]]) -> FloatArray:
    """(N, 68, 2) → (N,) mean distance of the pairs, same unit."""
    one, other = np.array(pairs).T
    mean: FloatArray = np.linalg.norm(points[:, one] - points[:, other], axis=-1).mean(axis=1)
    return mean


def slope(rows: FloatArray) -> float:
    """Least-squares slope of the second of two columns over the first; rows (N, 2)."""
    centred = rows - rows.mean(axis=0)
    return float((centred[:, 0] * centred[:, 1]).sum() / max(float((centred[:, 0] ** 2).sum()), 1e-12))


def correlation(rows: FloatArray) -> float:
    """Of two columns; rows (N, 2)."""
    centred = rows - rows.mean(axis=0)
    spread = np.sqrt((centred ** 2).sum(axis=0).prod())
    return float((centred[:, 0] * centred[:, 1]).sum() / max(float(spread), 1e-12))


def openings(predicted: FloatArray, truth: FloatArray) -> dict[str, dict[str, Any]]:
    """Slope with its 95 % interval and correlation by opening; (N, 68, 2) px each. {} for fewer than eight faces."""
    if len(truth) < LEAST_FACES:
        return {}
    eyes = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=-1)
    out = {}
    for name, pairs in OPENINGS.items():
        rows = np.stack([distances(truth, pairs) / eyes, distances(predicted, pairs) / eyes], axis=1)
        out[name] = {"slope": slope(rows), "slope_95": metrics.bootstrap_interval(rows, slope),
                     "correlation": correlation(rows)}
    return out


def openings_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    """Of the protocol's result lines."""
    rows: list[list[Cell]] = [[line["name"], line["system"], *(_cell(line["openings"][name]) for name in OPENINGS)]
                              for line in lines if line["openings"]]
    return Table("How far faces open: slope over the labelled distance (1: as far), its 95 % interval, in brackets the "
                 "correlation", ("set", "system", *OPENINGS), rows)


def _cell(values: Mapping[str, Any]) -> str:
    low, high = values["slope_95"]
    return f"{values['slope']:.2f} {low:.2f}..{high:.2f} ({values['correlation']:.2f})"
