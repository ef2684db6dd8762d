"""CelebAMask-HQ (Lee et al., CVPR 2020): ``CelebA-HQ-img/N.jpg`` and a picture per part.

``CelebAMask-HQ-mask-anno/F/0000N_part.png`` (F = N // 2000) is above 0 where the part is; later parts of
:data:`PARTS` lie over earlier ones, as the authors' program joins them (switchablenorms/CelebAMask-HQ, g_mask.py). The
labels are half as large as the pictures. Where ``CelebA-HQ-to-CelebA-mapping.txt`` is there, only the test part is
taken: pictures that come from CelebA's (``orig_idx`` from 182638 on, as in g_partition.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError, MediaError
from rtface.evaluate.dataset import Sample, SampleSet
from rtface.evaluate.layouts.listed import by_stem, listed, read_lines
from rtface.evaluate.masks import Label, Map, MaskSet, from_parsing
from rtface.evaluate.parts import ALL_PARTS, PartLabel, PartSet, face_box

PICTURES, LABELS, MAPPING = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno", "CelebA-HQ-to-CelebA-mapping.txt"
PER_FOLDER: Final = 2000
FIRST_TEST: Final = 182638
PARTS: Final = ("skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip",
                "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth")
"""Names in files, in the order of the classes 1 to 18."""


def masks(root: Path) -> list[MaskSet]:
    """The set as visible face or not, see :func:`rtface.evaluate.masks.from_parsing`."""
    def read(sample: Sample, pixels: NDArray[np.uint8]) -> Label:
        return from_parsing(read_parts(sample, pixels))
    return [MaskSet(find(root), read)]


def parts(root: Path) -> list[PartSet]:
    """The set with all its classes."""
    def read(sample: Sample, pixels: NDArray[np.uint8]) -> PartLabel:
        classes = read_parts(sample, pixels)
        return PartLabel(classes, face_box(classes))
    return [PartSet(find(root), ALL_PARTS, read)]


def find(root: Path) -> SampleSet:
    """Pictures and the skin label of each; InputError where the folders are not there."""
    pictures = {stem: path for stem, path in by_stem(root / PICTURES).items() if stem.isdigit()}
    name, wanted = "celebamask_hq (all)", sorted(pictures, key=int)
    if (root / MAPPING).is_file():
        name, wanted = "celebamask_hq (test)", test_part(root / MAPPING)
    return listed(name, root, [(pictures.get(n), label_of(root, int(n), PARTS[0]), n) for n in wanted])


def label_of(root: Path, number: int, part: str) -> Path:
    """The picture of one part."""
    return root / LABELS / str(number // PER_FOLDER) / f"{number:05d}_{part}.png"


def test_part(mapping: Path) -> list[str]:
    """Numbers of the test pictures; rows are number, number in CelebA, name in CelebA, below a line of titles."""
    rows = [line.split() for line in read_lines(mapping, "the table from CelebA-HQ to CelebA")]
    try:
        return [row[0] for row in rows if row[0].isdigit() and int(row[1]) >= FIRST_TEST]
    except (IndexError, ValueError) as exc:
        raise InputError(f"{mapping}: got {exc}, expected rows of two numbers and a name") from exc


def read_parts(sample: Sample, pixels: NDArray[np.uint8]) -> Map:
    """(H, W) of 19 classes at the picture's size; parts that have no file are not there. MediaError on damaged ones."""
    assert sample.mask is not None
    stem = sample.mask.name.removesuffix(f"{PARTS[0]}.png")
    classes: Map | None = None
    for k, part in enumerate(PARTS, start=1):
        file = sample.mask.with_name(f"{stem}{part}.png")
        if not file.exists():
            continue
        layer = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        if layer is None or (classes is not None and layer.shape != classes.shape):
            raise MediaError(f"{file.name}: got no picture of the other parts' size, expected one; copy it again")
        classes = np.zeros(layer.shape, np.uint8) if classes is None else classes
        classes[layer > 0] = k
    assert classes is not None  # there is skin
    height, width = pixels.shape[:2]
    if height * classes.shape[1] != width * classes.shape[0]:
        raise InputError(f"got labels {classes.shape} for a picture {pixels.shape[:2]}, expected the same shape")
    return np.asarray(cv2.resize(classes, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
