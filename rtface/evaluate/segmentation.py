"""How well a segmentation agrees with a label: pure functions on class maps.

The measures of the consensus paper (Masi et al., CVPR 2020, §4): intersection over union and recall of a class, pixel
accuracy, and *sparsity*, by how many connected components a prediction differs from its label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError

Classes = NDArray[np.integer[Any]]
Valid = NDArray[np.bool_]
Counts = NDArray[np.int64]


def confusion(predicted: Classes, truth: Classes, valid: Valid, classes: int) -> Counts:
    """(classes, classes) pixel counts: rows are the label's classes, columns the prediction's.

    predicted, truth: (H, W) class numbers; valid (H, W): which pixels are scored. InputError for other shapes or
    classes that are out of range where it is valid.
    """
    if predicted.shape != truth.shape or truth.shape != valid.shape or truth.ndim != 2:
        raise InputError(f"confusion: got predictions {predicted.shape}, labels {truth.shape} and valid pixels "
                         f"{valid.shape}, expected the same (H, W) thrice")
    p, t = predicted[valid].astype(np.int64), truth[valid].astype(np.int64)
    for name, values in (("predictions", p), ("labels", t)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise InputError(f"confusion: got {name} from {values.min()} to {values.max()}, expected 0 to "
                             f"{classes - 1}")
    return np.bincount(t * classes + p, minlength=classes * classes).reshape(classes, classes)


def iou(counts: Counts, k: int) -> float:
    """Intersection over union of class ``k`` over summed counts (…, K, K) → one number; NaN where it never occurs."""
    total = counts.reshape(-1, *counts.shape[-2:]).sum(axis=0)
    union = total[k].sum() + total[:, k].sum() - total[k, k]
    return float(total[k, k] / union) if union else float("nan")


def recall(counts: Counts, k: int) -> float:
    """Share of the label's class ``k`` that was found; NaN where the label has none."""
    total = counts.reshape(-1, *counts.shape[-2:]).sum(axis=0)
    return float(total[k, k] / total[k].sum()) if total[k].sum() else float("nan")


def mean_recall(counts: Counts) -> float:
    """Mean of :func:`recall` over the classes that the label has (*recall_all*)."""
    values = [recall(counts, k) for k in range(counts.shape[-1])]
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


def accuracy(counts: Counts) -> float:
    """Share of the pixels whose class is right; NaN without pixels."""
    total = counts.reshape(-1, *counts.shape[-2:]).sum(axis=0)
    return float(np.trace(total) / total.sum()) if total.sum() else float("nan")


def f1(counts: Counts, k: int) -> float:
    """Harmonic mean of precision and recall of class ``k``; NaN where neither label nor prediction has it."""
    total = counts.reshape(-1, *counts.shape[-2:]).sum(axis=0)
    either = total[k].sum() + total[:, k].sum()
    return float(2 * total[k, k] / either) if either else float("nan")


def components(classes: Classes, valid: Valid, count: int) -> int:
    """Connected components (8 neighbours) of every class of a map (H, W), counted where it is valid."""
    return sum(cv2.connectedComponents(((classes == k) & valid).astype(np.uint8), connectivity=8)[0] - 1
               for k in range(count))


def sparsity(predicted: Classes, truth: Classes, valid: Valid, count: int) -> int:
    """|components of the prediction − components of the label|: 0 is best; scattered islands raise it."""
    return abs(components(predicted, valid, count) - components(truth, valid, count))


def mean_f1(counts: Counts, classes: Sequence[int]) -> float:
    """Mean of :func:`f1` over those of ``classes`` that occur; NaN where none does."""
    values = [f1(counts, k) for k in classes]
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


def superpixels_right(predicted: Classes, truth: Classes, superpixels: Classes, valid: Valid,
                      classes: int) -> tuple[int, int]:
    """How many super-pixels have the right class, and how many there are.

    A super-pixel's class is the most frequent one among its valid pixels (of equally frequent ones the lowest), in the
    prediction as in the label (Masi et al., CVPR 2020, on Part Labels; Kae et al., CVPR 2013). All maps (H, W);
    superpixels: a number from 0 on per pixel; those without a valid pixel do not count.
    """
    if superpixels.shape != truth.shape:
        raise InputError(f"super-pixels: got a map {superpixels.shape} and labels {truth.shape}, expected the same "
                         f"size")
    confusion(predicted, truth, valid, classes)  # checks
    number = superpixels[valid].astype(np.int64)
    if not number.size:
        return 0, 0
    rows = int(number.max()) + 1
    votes = [np.bincount(number * classes + values[valid].astype(np.int64), minlength=rows * classes
                         ).reshape(rows, classes) for values in (predicted, truth)]
    there = votes[1].any(axis=1)
    return int((votes[0].argmax(axis=1) == votes[1].argmax(axis=1))[there].sum()), int(there.sum())
