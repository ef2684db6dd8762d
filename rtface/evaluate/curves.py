"""Curves behind the figures, as plain numbers: for the JSON document, and for the page to draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError

Doubles = NDArray[np.float64]


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
