"""Helen's parts (Smith et al., CVPR 2013): ``images/NAME.jpg`` and ``labels/NAME/NAME_lbl00.png`` … ``_lbl10.png``.

Learned from the README of its authors: each of the 11 pictures is the probability of one part (0 to 255); the likeliest
part is the label, and where all are 0 it is background. ``testing.txt`` lists ``number , NAME`` of the 100 test
pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.evaluate.dataset import Sample
from rtface.evaluate.layouts.listed import by_stem, listed, read_lines
from rtface.evaluate.masks import read_map
from rtface.evaluate.parts import ELEVEN_PARTS, PartLabel, PartSet, face_box

LIST: Final = "testing.txt"


def parts(root: Path) -> list[PartSet]:
    """The test set; InputError where its list is missing."""
    names = []
    for line in read_lines(root / LIST, "the list of Helen's test pictures"):
        _, comma, name = line.partition(",")
        if not comma or not name.strip():
            raise InputError(f"{root / LIST}: got the line {line!r}, expected 'number , NAME'")
        names.append(name.strip())
    pictures = by_stem(root / "images")
    return [PartSet(listed("helen_parts", root, [(pictures.get(n), root / "labels" / n, n) for n in names]),
                    ELEVEN_PARTS, read)]


def read(sample: Sample, pixels: NDArray[np.uint8]) -> PartLabel:
    """The likeliest part of every pixel."""
    assert sample.mask is not None
    name = sample.mask.name
    maps = [read_map(sample.mask / f"{name}_lbl{k:02d}.png", pixels) for k in range(len(ELEVEN_PARTS.numbers))]
    truth = ELEVEN_PARTS.from_label(np.argmax(maps, axis=0).astype(np.uint8))
    return PartLabel(truth, face_box(truth))
