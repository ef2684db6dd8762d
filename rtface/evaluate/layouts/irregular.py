"""CelebA-HQ with irregular masks, as completion papers use them: ``images/`` and ``masks/`` in one folder.

Irregular masks (Liu et al., ECCV 2018) belong to no picture: white is the hole. They are given out in turn, by name,
and stretched to the picture. Both folders may hold any pictures; names need not match.
"""

from __future__ import annotations

from pathlib import Path

from rtface.errors import InputError
from rtface.evaluate.dataset import SampleSet
from rtface.evaluate.layouts.listed import by_stem, listed
from rtface.evaluate.layouts.opened import Opened

NAME = "irregular"


def open_folder(folder: Path) -> Opened:
    """One set, ``irregular``: every picture with its mask. InputError where there are no pictures or masks."""
    return Opened(folder, [_found(folder)])


def _found(folder: Path) -> SampleSet:
    masks = list(by_stem(folder / "masks").values())
    if not masks:
        raise InputError(f"{folder}: got no pictures in masks/, expected irregular masks there and faces in images/")
    pictures = by_stem(folder / "images")
    return listed(NAME, folder, [(picture, masks[k % len(masks)], stem)
                                 for k, (stem, picture) in enumerate(pictures.items())])
