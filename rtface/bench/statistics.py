"""Distributions of times, and what can be said about their differences.

Frames that follow each other are alike, so noise is judged between rounds, never between frames: a round's median is
one observation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError

Doubles = NDArray[np.float64]
QUANTILES: Final = {"min": 0.0, "p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True)
class Distribution:
    """Times in ms of one stage, or end to end; one array per round, empty rounds left out."""

    rounds: tuple[Doubles, ...]

    @classmethod
    def of(cls, rounds: Sequence[Sequence[float]]) -> Distribution:
        """From lists; InputError when all are empty."""
        kept = tuple(np.asarray(values, np.float64) for values in rounds if len(values))
        if not kept:
            raise InputError("distribution: got no times, expected at least one")
        return cls(kept)

    @property
    def samples(self) -> Doubles:
        """All rounds, one after the other."""
        return np.concatenate(self.rounds)

    @property
    def jitter(self) -> float:
        """Mean |difference| of one time to the next within a round; 0 with fewer than two."""
        steps = [np.abs(np.diff(values)) for values in self.rounds if len(values) > 1]
        return float(np.concatenate(steps).mean()) if steps else 0.0

    def quantile(self, percent: float) -> float:
        """Over all rounds."""
        return float(np.percentile(self.samples, percent))

    def per_round(self, percent: float) -> list[float]:
        """The same quantile of each round."""
        return [float(np.percentile(values, percent)) for values in self.rounds]

    def document(self, samples: bool) -> dict[str, Any]:
        """For JSON, all in ms: count, mean, :data:`QUANTILES`, jitter, p50 and p95 of each round, maybe every time."""
        values = self.samples
        out: dict[str, Any] = {"count": len(values), "mean": float(values.mean()), "jitter": self.jitter,
                               **{name: self.quantile(q) for name, q in QUANTILES.items()},
                               "rounds_p50": self.per_round(50), "rounds_p95": self.per_round(95)}
        return {**out, "samples": [np.round(r, 3).tolist() for r in self.rounds]} if samples else out


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times longer B took than A, with a 95 % interval."""

    value: float
    low: float
    high: float


def paired_ratio(a: Mapping[int, float], b: Mapping[int, float], *, seed: int = 0) -> Ratio:
    """Geometric mean of B / A over the rounds that both have, as {round: value}, all above 0.

    Bootstrap over rounds, so what disturbed a whole round disturbs both. With few rounds plain percentiles are too
    narrow; they are taken further out as in Hesterberg, "What teachers should know about the bootstrap" (2015), the
    expanded percentile interval. InputError with fewer than three rounds.
    """
    common = sorted(a.keys() & b.keys())
    if len(common) < 3:
        raise InputError(f"ratio: got {len(common)} rounds with both, expected at least 3; measure longer")
    logs = np.log([b[k] / a[k] for k in common])
    n = len(logs)
    tail = NormalDist().cdf(-math.sqrt(n / (n - 1)) * t_quantile(0.975, n - 1))
    means = np.random.default_rng(seed).choice(logs, (RESAMPLES, n)).mean(axis=1)
    low, high = np.exp(np.quantile(means, [tail, 1 - tail]))
    return Ratio(float(np.exp(logs.mean())), float(low), float(high))


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of B less mean of A, and one-sided bounds."""

    value: float
    low: float
    """B less A is at least this, with the confidence asked for."""
    high: float
    """B less A is at most this, likewise."""


def unpaired_difference(a: Sequence[float], b: Sequence[float], confidence: float) -> Difference:
    """Welch's interval for two runs that were measured one after the other; each value is that of a round.

    InputError with fewer than three values on a side.
    """
    if min(len(a), len(b)) < 3:
        raise InputError(f"difference: got {len(a)} and {len(b)} rounds, expected at least 3 each; measure longer")
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    parts = [values.var(ddof=1) / len(values) for values in (first, second)]
    error = math.sqrt(sum(parts))
    value = float(second.mean() - first.mean())
    if error == 0:
        return Difference(value, value, value)
    freedom = sum(parts) ** 2 / sum(part**2 / (len(x) - 1) for part, x in zip(parts, (first, second), strict=True))
    reach = error * t_quantile(confidence, freedom)
    return Difference(value, value - reach, value + reach)


def t_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t for a probability above 0.5: G. W. Hill, Algorithm 396, Comm. ACM 13 (1970)."""
    if not 0.5 < probability < 1 or freedom < 1:
        raise InputError(f"t quantile: got probability {probability}, freedom {freedom}, expected above 0.5 and 1")
    both = 2 * (1 - probability)  # Hill counts both tails
    if freedom == 1:
        return 1 / math.tan(both * math.pi / 2)
    if freedom == 2:
        return math.sqrt(2 / (both * (2 - both)) - 2)
    a = 1 / (freedom - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * freedom
    y = (d * both) ** (2 / freedom)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(both / 2)
        y = x**2
        if freedom < 5:
            c += 0.3 * (freedom - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y**2)
    else:
        y = ((1 / (((freedom + 6) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2) * 3) + 0.5 / (freedom + 4)) * y
             - 1) * (freedom + 1) / (freedom + 2) + 1 / y
    return math.sqrt(freedom * y)
