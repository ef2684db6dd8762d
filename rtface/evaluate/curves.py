"""Curves behind the figures, as plain numbers: for the JSON document, and for the page to draw (:mod:`svg`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    """As many as x; NaN leaves a gap."""
    low: Sequence[float] = ()
    """Lower and upper bounds of y (95 % intervals), as many as x or none."""
    high: Sequence[float] = ()

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or len(self.low) != len(self.high) or len(self.low) not in (0, len(self.x)):
            raise InputError(f"curve {self.name}: got {len(self.x)} x, {len(self.y)} y and {len(self.low)}, "
                             f"{len(self.high)} bounds, expected as many of each (or no bounds)")


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves on common axes."""

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    x_range: tuple[float, float] | None = None
    """None: as the points ask."""
    y_range: tuple[float, float] | None = None
    percent: str = ""
    """Axes that are shares and shown as per cent: ``x``, ``y`` or ``xy``."""
    group: str = ""
    """Consecutive plots of one group are drawn small, side by side under this title."""

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        group = {"group": self.group} if self.group else {}
        return {"title": self.title, **group, "x": self.x_label, "y": self.y_label, "curves": [
            {"name": c.name, "x": list(c.x), "y": list(c.y), **({"low": list(c.low), "high": list(c.high)} if c.low
                                                                else {})} for c in self.curves]}


def cumulative(errors: Doubles, limit: float, steps: int = 50) -> tuple[list[float], list[float]]:
    """Cumulative error distribution: x from 0 to ``limit``, y the share of errors ≤ x; +inf is never reached.

    InputError without errors.
    """
    if not len(errors):
        raise InputError("cumulative: got no errors, expected at least one")
    x = np.linspace(0, limit, steps + 1)
    return x.tolist(), (np.searchsorted(np.sort(errors), x, side="right") / len(errors)).tolist()


def receiver_operating(scores: Doubles, same: NDArray[np.bool_]) -> tuple[list[float], list[float]]:
    """ROC: x false positive rates (finer below 0.1), y the share of same pairs that a threshold accepts which accepts
    at most x of the others. Scores (P,), same (P,); InputError unless there are pairs of both kinds.
    """
    if not same.any() or same.all():
        raise InputError("ROC: got pairs of one kind only, expected some of one person and some of two")
    x = np.concatenate([np.linspace(0, 0.1, 21), np.linspace(0.12, 1, 45)])
    others = np.sort(scores[~same])[::-1]
    allowed = np.floor(x * len(others) + 1e-9).astype(int)
    bound = np.append(others, -np.inf)[allowed]  # the best of those that must be refused
    return x.tolist(), [float(np.mean(scores[same] > limit)) for limit in bound]


def share_from(values: Doubles, thresholds: Sequence[float]) -> list[float]:
    """Share of values (N,) that reach each threshold; NaN without values."""
    return [float(np.mean(values >= limit)) if len(values) else float("nan") for limit in thresholds]
