"""COFW's face masks (Ghiasi & Fowlkes, BMVC 2015): ``masks/mask_N.png``, 255 where the face is seen.

They belong to the last 500 training pictures of COFW (Burgos-Artizzu et al., ICCV 2013), which come as MATLAB cells:
the repository of the masks (golnazghiasi/cofw-train-data-masks, its demo.m) pairs mask N with ``IsTr{end − 500 + N}``.
They are read from ``COFW_train_color.mat`` (or ``COFW_train.mat``) beside ``masks`` with their boxes, ``bboxesTr``; or
from ``images/N.png`` and ``boxes.csv`` with the columns ``number,x,y,width,height``. As in the consensus paper (Masi et
al., CVPR 2020, §4) background and what hides the face are one class, and the face box is what is scored.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.evaluate.dataset import Problem, Sample, SampleSet
from rtface.evaluate.layouts.cofw68 import cells, matrix
from rtface.evaluate.layouts.listed import RIGHTS, by_stem, listed, read_lines
from rtface.evaluate.masks import DRAWN, Label, MaskSet, Reader, Rule, read_map
from rtface.geometry import FloatArray

PICTURES: Final = ("COFW_train_color.mat", "COFW_train.mat")
MASKS: Final = 500


def masks(root: Path) -> list[MaskSet]:
    """The one set of this layout; InputError where folders or boxes are missing."""
    labels = {stem.removeprefix("mask_"): path for stem, path in by_stem(root / "masks", [".png"]).items()}
    holder = next((root / name for name in PICTURES if (root / name).is_file()), None)
    if holder is not None:
        return [_from_matlab(root, holder, labels)]
    boxes = read_boxes(root / "boxes.csv")
    pictures = by_stem(root / "images")
    numbers = sorted(pictures.keys() | labels.keys(), key=lambda n: (len(n), n))
    found = listed("cofw", root, [(pictures.get(n), labels.get(n), n) for n in numbers])
    return [MaskSet(found, _reader(boxes))]


def _from_matlab(root: Path, holder: Path, labels: Mapping[str, Path]) -> MaskSet:
    """The last pictures of the training file, one for each of the 500 masks by its number."""
    pictures, rows = cells(holder, "IsTr"), matrix(holder, "bboxesTr")
    first = len(pictures) - MASKS
    found, samples, boxes = SampleSet("cofw", (), 0), [], dict[str, FloatArray]()
    for number, label in sorted(labels.items(), key=lambda item: (len(item[0]), item[0])):
        found.whole += 1
        row = first + int(number) - 1 if number.isdigit() else -1
        if not 0 <= row < min(len(pictures), len(rows)):
            found.problems[label.name] = Problem(label.name, f"got no picture {number} in {holder.name}, expected one "
                                                             f"of {len(pictures)}")
            continue
        corner = rows[row, :2] - 1  # MATLAB counts from 1
        boxes[number] = np.concatenate([corner, corner + rows[row, 2:]]).astype(np.float32)
        samples.append(Sample(f"{holder.name}:{row + 1}", holder, RIGHTS, mask=label, origin=number,
                              stored=pictures[row]))
    found.samples = tuple(samples)
    return MaskSet(found, _reader(boxes))


def read_boxes(path: Path) -> dict[str, FloatArray]:
    """(4,) xyxy px by the picture's number; InputError where a row has no five numbers."""
    rows = list(csv.reader(read_lines(path, "boxes of COFW as number,x,y,width,height")))
    boxes: dict[str, FloatArray] = {}
    for row in rows[1:] if rows and not rows[0][0].isdigit() else rows:
        try:
            number, x, y, width, height = row
            corner = np.array([float(x), float(y)])
            boxes[number.strip()] = np.concatenate([corner, corner + [float(width), float(height)]]).astype(np.float32)
        except ValueError as exc:
            raise InputError(f"{path}: got the row {','.join(row)!r}, expected number,x,y,width,height") from exc
    return boxes


def _reader(boxes: dict[str, FloatArray]) -> Reader:
    def read(sample: Sample, pixels: NDArray[np.uint8]) -> Label:
        assert sample.mask is not None
        if sample.origin not in boxes:
            raise InputError(f"got no box for picture {sample.origin} in boxes.csv, expected one")
        truth = (read_map(sample.mask, pixels) == DRAWN).astype(np.uint8)
        return Label(truth, within(boxes[sample.origin], truth.shape), Rule.FACE_OR_NOT, boxes[sample.origin])
    return read


def within(box_xyxy: FloatArray, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W) the pixels whose centres lie in a box (4,) px; InputError where none does."""
    y, x = np.mgrid[:shape[0], :shape[1]] + 0.5
    x0, y0, x1, y1 = box_xyxy.tolist()
    inside = np.asarray((x0 <= x) & (x < x1) & (y0 <= y) & (y < y1))
    if not inside.any():
        raise InputError(f"got a box {box_xyxy.tolist()} outside of the picture, expected one around the face")
    return inside
