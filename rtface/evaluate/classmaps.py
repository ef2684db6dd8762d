"""Class maps for people to look at: the pictures that a network does worst on, beside label and prediction."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtface.evaluate import sheets
from rtface.evaluate.dataset import Sample
from rtface.evaluate.placing import Area, Map, Pixels, Placed
from rtface.evaluate.sheets import View, labelled

WORST: Final = 12
REACH: Final = 1.6
"""Sheets show this much around faces, in their sizes."""
STRENGTH: Final = 0.55
UNSCORED: Final = (90, 90, 90)
MASK_COLORS: Final = np.array([[0, 0, 0], [60, 230, 90], [255, 70, 60]], np.uint8)
"""Background is left as it is, face green, what hides it red."""


class Shown(NamedTuple):
    """A picture to look at."""

    sample: Sample
    pixels: Pixels
    truth: Map
    """(H, W) classes."""
    valid: Area
    """(H, W) what is scored; where no picture of a sheet has any, labels are not shown."""
    predicted: Map
    placed: Placed
    caption: str


class Worst:
    """Keeps the few items of highest error of many."""

    def __init__(self, count: int = WORST) -> None:
        self._count = count
        self._heap: list[tuple[float, int, Shown]] = []
        self._added = 0

    def add(self, error: float, item: Shown) -> None:
        """An error of NaN is not kept."""
        if error != error:
            return
        self._added += 1
        entry = (error, -self._added, item)
        if len(self._heap) < self._count:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def items(self) -> list[Shown]:
        """Worst first; of equal ones the first that was added."""
        return [item for _, _, item in sorted(self._heap, key=lambda entry: (-entry[0], -entry[1]))]


def painted(pixels: Pixels, classes: Map, colors: NDArray[np.uint8], valid: Area | None = None) -> Pixels:
    """A picture (H, W, 3) under the colours (K, 3) of its classes (H, W); what is not valid turns grey.

    Class 0 leaves the picture as it is.
    """
    over, strength = colors[classes].astype(np.float32), np.where(classes > 0, np.float32(STRENGTH), np.float32(0))
    if valid is not None:
        over[~valid], strength = UNSCORED, np.where(valid, strength, np.float32(STRENGTH))
    mixed = pixels + (over - pixels) * strength[..., None]
    return np.asarray(np.clip(np.round(mixed), 0, 255), np.uint8)


def worst_sheet(shown: Sequence[Shown], path: Path, colors: NDArray[np.uint8] = MASK_COLORS, *, side: int = 220,
                columns: int = 2) -> None:
    """One picture of cells input | label | prediction, whatever the rights: for a private folder."""
    cells, labels = [], any(one.valid.any() for one in shown)
    for one in shown:
        view = View.around(one.placed.box_xyxy[None], (one.pixels.shape[1], one.pixels.shape[0]), side, side, REACH)
        truth = [painted(one.pixels, one.truth, colors, one.valid)] if labels else []
        pictures = [one.pixels, *truth, painted(one.pixels, one.predicted, colors)]
        cells.append(labelled(np.concatenate([view.cut(picture) for picture in pictures], axis=1),
                              f"{one.caption}  {Path(one.sample.path).stem}"))
    if cells:
        sheets.write_picture(path, sheets.grid(cells, columns))
