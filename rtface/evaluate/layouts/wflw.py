"""WFLW (Wu et al., CVPR 2018): ``WFLW_images`` and lists of 98 points in ``WFLW_annotations``.

A line of ``list_98pt_rect_attr_test.txt`` holds 196 coordinates, a box, six attributes of 0 or 1 and the picture's
name. The 98 points become 68, see :mod:`rtface.evaluate.schemes`; attributes become tags. Pixels count from 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from rtface.errors import InputError
from rtface.evaluate.dataset import to_pixel_centres, usable
from rtface.evaluate.layouts.opened import Opened, Reading
from rtface.evaluate.schemes import WFLW_POINTS, to_68
from rtface.geometry import FloatArray

LIST: Final = "list_98pt_rect_attr_test.txt"
IMAGES: Final = "WFLW_images"
ATTRIBUTES: Final = ("large pose", "expression", "illumination", "make-up", "occlusion", "blur")
NUMBERS: Final = WFLW_POINTS * 2 + 4 + len(ATTRIBUTES)


def open_folder(folder: Path) -> Opened:
    """One set, ``wflw_test``; InputError without the list."""
    lists = sorted(folder.rglob(LIST))
    images = next(iter(sorted(path for path in folder.rglob(IMAGES) if path.is_dir())), None)
    if not lists or images is None:
        raise InputError(f"{folder}: got no {LIST if not lists else IMAGES}, expected WFLW_annotations and {IMAGES}")
    try:
        lines = lists[0].read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{lists[0]}: got {exc}, expected a list of labels") from exc
    reading = Reading("wflw_test", folder)
    for number, line in enumerate(lines):
        try:
            if line.strip():
                name, points, tags = read_line(line)
                reading.add(images / name, points, tags=tags)
        except InputError as exc:
            reading.problem(f"{reading.name_of(lists[0])} line {number + 1}", str(exc))
    return Opened(folder, [reading.done()])


def read_line(line: str) -> tuple[str, FloatArray, tuple[str, ...]]:
    """The picture's name, its (68, 2) px in rtface's convention, and tags; InputError says what is wrong."""
    *values, name = line.strip().split(" ", NUMBERS)
    if len(values) != NUMBERS:
        raise InputError(f"got {len(values)} numbers and a name, expected {NUMBERS}")
    try:
        numbers = np.array([float(value) for value in values])
    except ValueError as exc:
        raise InputError(f"got {exc}, expected {NUMBERS} numbers and a name") from exc
    points = to_pixel_centres(usable(to_68(numbers[:WFLW_POINTS * 2].reshape(-1, 2))), first=0)
    return name, points, tuple(tag for tag, value in zip(ATTRIBUTES, numbers[-len(ATTRIBUTES):], strict=True) if value)
