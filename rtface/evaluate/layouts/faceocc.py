"""FaceOcc (Yin & Chen, 2022, arXiv:2201.08425), as its own programs read it (face3d0725/FaceExtraction, dataset.py).

- ``COFW_test/img`` and ``COFW_test/mask``: COFW's test faces, upright and cut out, 255 where the face is seen. All of
  such a picture is scored, face or not.
- ``CelebAHQ`` and ``ffhq``: pictures with an alpha channel, opaque where something hides the face. Only that is
  labelled (the face's own masks come as Python pickles, which are not read), so only the occluder is scored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.evaluate.dataset import Sample
from rtface.evaluate.layouts.listed import beside, by_stem, listed
from rtface.evaluate.masks import DRAWN, Label, MaskSet, Rule, box_around, read_map
from rtface.stages.occlude import BACKGROUND, OCCLUDER

OCCLUDED: Final = ("CelebAHQ", "ffhq")
OPAQUE: Final = 128


def masks(root: Path) -> list[MaskSet]:
    """The sets that are there; InputError where none is."""
    sets = []
    test = root / "COFW_test"
    if test.is_dir():
        sets.append(MaskSet(beside("cofw_test", root, test / "img", test / "mask"), _seen))
    files = [file for name in OCCLUDED for file in by_stem(root / name, [".png"]).values()]
    if files:
        found = listed("faceocc", root, [(file, file, file.relative_to(root).as_posix()) for file in files])
        sets.append(MaskSet(found, _alpha))
    if not sets:
        raise InputError(f"{root}: got neither COFW_test nor {' nor '.join(OCCLUDED)}, expected the folders of FaceOcc")
    return sets


def _seen(sample: Sample, pixels: NDArray[np.uint8]) -> Label:
    assert sample.mask is not None
    truth = (read_map(sample.mask, pixels) == DRAWN).astype(np.uint8)
    return Label(truth, np.ones(truth.shape, np.bool_), Rule.FACE_OR_NOT, box_around(truth))


def _alpha(sample: Sample, pixels: NDArray[np.uint8]) -> Label:
    stored = cv2.imread(str(sample.file), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.ndim != 3 or stored.shape[2] != 4:
        raise InputError("got a picture without an alpha channel, expected one that is opaque where the face is hidden")
    hidden = np.asarray(stored[:, :, 3] >= OPAQUE)
    pixels[:] = stored[:, :, 2::-1]  # not as shown on white: what is transparent is part of the photograph
    truth = np.where(hidden, OCCLUDER, BACKGROUND).astype(np.uint8)
    return Label(truth, np.ones(truth.shape, np.bool_), Rule.OCCLUDER_OR_NOT, None, {"any": hidden})
