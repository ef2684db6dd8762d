"""LFW Part Labels (Kae et al., CVPR 2013): hair, skin and background of funneled LFW pictures, and super-pixels.

Learned from programs that read it: ``parts_test.txt`` has rows of a person's name and a number,
``lfw_funneled/PERSON/PERSON_0001.jpg`` is the picture, ``parts_lfw_funneled_gt_images/PERSON_0001.ppm`` the label
(hair red, skin green, background blue), ``parts_lfw_funneled_superpixels_mat/PERSON/PERSON_0001.dat`` the super-pixel's
number of every pixel, as text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError, MediaError
from rtface.evaluate.dataset import Sample
from rtface.evaluate.layouts.listed import listed, read_lines
from rtface.evaluate.parts import THREE_PARTS, Numbers, PartLabel, PartSet

LIST, PICTURES, LABELS, SUPERPIXELS = ("parts_test.txt", "lfw_funneled", "parts_lfw_funneled_gt_images",
                                       "parts_lfw_funneled_superpixels_mat")
STRONG: Final = 128


def parts(root: Path) -> list[PartSet]:
    """The test set; InputError where its list is missing."""
    pairs = []
    for line in read_lines(root / LIST, "the list of the test pictures of LFW Part Labels"):
        person, _, number = line.rpartition(" ")
        if not person or not number.isdigit():
            raise InputError(f"{root / LIST}: got the line {line!r}, expected a name and a number")
        name = f"{person.strip()}_{int(number):04d}"
        pairs.append((root / PICTURES / person.strip() / f"{name}.jpg", root / LABELS / f"{name}.ppm", name))
    found = listed("lfw_parts", root, pairs)
    return [PartSet(found, THREE_PARTS, lambda sample, pixels: read(root, sample, pixels))]


def read(root: Path, sample: Sample, pixels: NDArray[np.uint8]) -> PartLabel:
    """Classes by colour, and super-pixels. No box: skin goes on below the face, so a detector has to find it."""
    colors = cv2.imread(str(sample.mask), cv2.IMREAD_COLOR)
    if colors is None:
        raise MediaError(f"{sample.origin}.ppm: cannot be decoded, expected a label picture; copy it again")
    if colors.shape != pixels.shape:
        raise InputError(f"got a label {colors.shape[:2]} for a picture {pixels.shape[:2]}, expected the same size")
    strong = colors[:, :, ::-1] >= STRONG
    if not (strong.sum(axis=2) == 1).all():
        raise InputError("got colours that are not red, green or blue, expected a label picture")
    return PartLabel(THREE_PARTS.from_label(strong.argmax(axis=2).astype(np.uint8)), None,
                     _superpixels(root / SUPERPIXELS / sample.file.parent.name / f"{sample.origin}.dat", pixels))


def _superpixels(path: Path, pixels: NDArray[np.uint8]) -> Numbers:
    try:
        numbers = np.loadtxt(path, dtype=np.int64, ndmin=2)
    except (OSError, ValueError) as exc:
        raise InputError(f"{path.name}: got {exc}, expected super-pixel numbers as text") from exc
    if numbers.shape != pixels.shape[:2] or numbers.min() < 0:
        raise InputError(f"{path.name}: got numbers {numbers.shape} from {numbers.min(initial=0)}, expected "
                         f"{pixels.shape[:2]} from 0")
    return numbers
