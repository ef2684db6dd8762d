"""How far two runs of a network lie apart, in the units of its task: pixels, millimetres, overlap, decibels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from rtface.geometry import pose_vertices
from rtface.morphable import MorphableModel
from rtface.stages.regress import MIN_SCALE
from rtface.types import Array, Coefficients

Outputs = Mapping[str, Array]
PEAK_DB: Final = 120.0
"""PSNR of equal pictures, instead of infinity."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number over all calls, and how far it may go before the other network counts as another network."""

    name: str
    value: float
    limit: float
    at_least: bool
    """The limit is a lower one."""

    @property
    def good(self) -> bool:
        """Within the limit; NaN never is."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        return f"{self.name} {self.value:.4g} ({'≥' if self.at_least else '≤'} {self.limit:g})"


LIMITS: Final[Mapping[str, tuple[float, bool]]] = {
    "landmarks px": (0.1, False), "presence": (0.02, False), "vertices mm": (0.1, False), "projected px": (0.1, False),
    "IoU": (0.995, True), "PSNR dB": (45.0, True), "boxes px": (0.25, False), "scores": (0.02, False)}
"""Of means over calls: limit, and whether it is a lower one. A landmark's noise between frames is about 0.3 px."""


def judge(name: str, reference: Sequence[Outputs], other: Sequence[Outputs]) -> list[Figure]:
    """Figures of network ``name``, the mean over calls, from outputs on the same inputs.

    A network without a unit of its own is compared as pictures are, by PSNR.
    """
    compare = _COMPARE.get(name, _pictures)
    rows = [compare(a, b) for a, b in zip(reference, other, strict=True)]
    out = []
    for key in rows[0]:
        values = [row[key] for row in rows if row[key] is not None]
        limit, at_least = LIMITS[key]
        out.append(Figure(key, float(np.mean(values)) if values else float("nan"), limit, at_least))
    return out


def _landmarks(a: Outputs, b: Outputs) -> dict[str, float]:
    return {"landmarks px": _distance(a["landmarks"], b["landmarks"]),
            "presence": float(np.abs(a["presence"] - b["presence"]).mean())}


def _regressor(a: Outputs, b: Outputs) -> dict[str, float]:
    """Of the face's shape in head space, and of its vertices as seen in the crop, pose included."""
    model = _model()
    shapes, projected = [], []
    for outputs in (a, b):
        found = Coefficients.from_vector(np.ascontiguousarray(outputs["coefficients"], np.float32), model.basis_id)
        shapes.append(model.vertices(found.identity, found.expression))
        projected.append(pose_vertices(shapes[-1], found.rotation, np.maximum(found.scale, MIN_SCALE),
                                       found.translation)[..., :2])
    return {"vertices mm": _distance(*shapes), "projected px": _distance(*projected)}


def _classes(a: Outputs, b: Outputs) -> dict[str, float]:
    """Mean IoU over the classes that the reference sees in at least 20 px."""
    first, second = (out["probability"].argmax(axis=1) for out in (a, b))
    ious = [float(((first == k) & (second == k)).sum() / ((first == k) | (second == k)).sum())
            for k in range(a["probability"].shape[1]) if (first == k).sum() >= 20]
    return {"IoU": float(np.mean(ious))}


def _pictures(a: Outputs, b: Outputs) -> dict[str, float]:
    """The worst of all outputs, for values of 0..1."""
    errors = [float(np.mean((a[name].astype(np.float64) - b[name]) ** 2)) for name in a]
    return {"PSNR dB": min(PEAK_DB, -10 * np.log10(max(*errors, 1e-12)))}


def _detector(a: Outputs, b: Outputs) -> dict[str, float | None]:
    """Where either is fairly sure of a face."""
    sure = np.maximum(a["scores"], b["scores"]) >= 0.4
    if not sure.any():
        return {"boxes px": None, "scores": None}
    return {"boxes px": float(np.abs(a["boxes"] - b["boxes"])[sure].mean()),
            "scores": float(np.abs(a["scores"] - b["scores"])[sure].mean())}


def _distance(a: Array, b: Array) -> float:
    return float(np.linalg.norm(a.astype(np.float64) - b, axis=-1).mean())


@cache
def _model() -> MorphableModel:
    return MorphableModel.load(level=0)


_COMPARE: Final[Mapping[str, Callable[[Outputs, Outputs], Mapping[str, float | None]]]] = {
    "landmarks": _landmarks, "regressor": _regressor, "segment": _classes, "parse": _classes, "detector": _detector}
