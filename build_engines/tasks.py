"""How far two answers of a network are apart, in the units of its task, and how far they may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from rtface.config import DetectorConfig
from rtface.geometry import box_iou, pose_vertices
from rtface.morphable import MorphableModel
from rtface.stages.occlude import OCCLUDER
from rtface.types import Array, Coefficients

IOU: Final = 0.995
PSNR_DB: Final = 45.0
VERTICES_MM: Final = 0.1
LANDMARKS_PX: Final = 0.1
PROBABILITY: Final = 0.02
"""Limits of a float16 network against float32."""
Answers = Sequence[Mapping[str, Array]]
"""One mapping of outputs per feed of :func:`build_engines.samples.realistic`."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One difference; the limit is a least value for IoU and PSNR, a greatest one for the others."""

    name: str
    value: float
    limit: float
    share: float
    """Part of the limit that is used up; above 1 the limit is broken. Infinite for NaN."""

    @property
    def kept(self) -> bool:
        """Whether the limit holds."""
        return self.share <= 1.0


def compare(name: str, feeds: Answers, reference: Answers, got: Answers) -> tuple[Figure, ...]:
    """Figures of network ``name``: ``got`` against ``reference``, both for the inputs ``feeds``."""
    pairs = list(zip(feeds, reference, got, strict=True))
    if not all(np.isfinite(value).all() for _, _, answer in pairs for value in answer.values()):
        return (Figure("finite", 0.0, 1.0, float("inf")),)
    return tuple(_TASKS[name](pairs))


def worst_share(figures: Sequence[Figure]) -> float:
    """Share of the strictest limit."""
    return max(figure.share for figure in figures)


def _at_most(name: str, value: float, limit: float) -> Figure:
    return Figure(name, float(value), limit, float(value) / limit)


def _iou(name: str, value: float) -> Figure:
    return Figure(name, float(value), IOU, (1.0 - float(value)) / (1.0 - IOU))


def _psnr(name: str, error: float) -> Figure:
    """error: root of the mean squared difference of values 0..1. 120 dB stands for equal."""
    value = min(120.0, -20 * math.log10(max(float(error), 1e-6)))
    return Figure(name, value, PSNR_DB, float(error) / 10 ** (-PSNR_DB / 20))


_Pairs = list[tuple[Mapping[str, Array], Mapping[str, Array], Mapping[str, Array]]]


def _landmarks(pairs: _Pairs) -> list[Figure]:
    ((_, a, b),) = pairs
    far = np.linalg.norm(a["landmarks"] - b["landmarks"], axis=-1).max()
    sure = max(np.abs(a[key] - b[key]).max() for key in ("presence", "visibility"))
    return [_at_most("landmarks, greatest, px", far, LANDMARKS_PX), _at_most("probability", sure, PROBABILITY)]


def _regressor(pairs: _Pairs) -> list[Figure]:
    ((_, a, b),) = pairs
    model = _model()
    first, second = (Coefficients.from_vector(np.ascontiguousarray(v["coefficients"], np.float32), "")
                     for v in (a, b))
    shapes = [model.vertices(c.identity, c.expression) for c in (first, second)]
    marks = [pose_vertices(model.landmarks(shape), c.rotation, c.scale, c.translation)[..., :2]
             for shape, c in zip(shapes, (first, second), strict=True)]
    return [_at_most("vertices, greatest, mm", np.linalg.norm(shapes[0] - shapes[1], axis=-1).max(), VERTICES_MM),
            _at_most("landmarks of the posed mesh, greatest, px", np.linalg.norm(marks[0] - marks[1], axis=-1).max(),
                     LANDMARKS_PX)]


def _segment(pairs: _Pairs) -> list[Figure]:
    ((_, a, b),) = pairs
    first, second = (v["probability"].argmax(axis=1) == OCCLUDER for v in (a, b))
    return [_iou("mask IoU", _overlap(first, second)), _classes(a, b)]


def _parse(pairs: _Pairs) -> list[Figure]:
    ((_, a, b),) = pairs
    return [_classes(a, b)]


def _classes(a: Mapping[str, Array], b: Mapping[str, Array]) -> Figure:
    """Pooled intersection over union of all classes."""
    same = (a["probability"].argmax(axis=1) == b["probability"].argmax(axis=1)).mean()
    return _iou("IoU of all classes", same / (2 - same))


def _contour(pairs: _Pairs) -> list[Figure]:
    """Lines are a pixel wide and few are drawn: one pixel at the threshold would decide an IoU."""
    ((feed, a, b),) = pairs
    error = (a["contour_goal"] - b["contour_goal"])[feed["mask"] > 0.5]
    return [_psnr("PSNR in the hole, dB", np.sqrt(np.mean(error**2)))]


def _complete(pairs: _Pairs) -> list[Figure]:
    ((feed, a, b),) = pairs
    inside = np.broadcast_to(feed["mask"] > 0.5, a["pixels"].shape)
    return [_psnr("PSNR in the hole, dB", np.sqrt(np.mean((a["pixels"] - b["pixels"])[inside] ** 2)))]


def _detector(pairs: _Pairs) -> list[Figure]:
    """Over all cells that both or one of them take for a face."""
    least, gap = 1.0, 0.0
    for _, a, b in pairs:
        likely = np.maximum(a["scores"], b["scores"])[0] >= DetectorConfig().min_score
        gap = max(gap, float(np.abs(a["scores"] - b["scores"]).max()))
        if likely.any():
            first, second = a["boxes"][0][likely], b["boxes"][0][likely]
            least = min(least, float(np.diagonal(box_iou(first, second)).min()))
    return [_iou("IoU of boxes, least", least), _at_most("score", gap, PROBABILITY)]


def _overlap(a: Array, b: Array) -> float:
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


@lru_cache(maxsize=1)
def _model() -> MorphableModel:
    return MorphableModel.load()


_TASKS: Final[Mapping[str, Callable[[_Pairs], list[Figure]]]] = {
    "landmarks": _landmarks, "regressor": _regressor, "segment": _segment, "parse": _parse, "contour": _contour,
    "complete": _complete, "detector": _detector}
