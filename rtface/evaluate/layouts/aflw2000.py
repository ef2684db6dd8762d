"""AFLW2000-3D (Zhu et al., CVPR 2016): ``image00002.jpg`` with ``image00002.mat`` beside each.

Points are the first two rows of ``pt3d_68`` (jaw of the fitted head, also where it is hidden), tags the head's turn by
``Pose_Para``. The first pixel has the number 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtface.errors import InputError
from rtface.evaluate.dataset import to_pixel_centres, usable, yaw_tag
from rtface.evaluate.layouts.matlab import read_mat
from rtface.evaluate.layouts.opened import Opened, Reading, pictures_below
from rtface.evaluate.schemes import to_68
from rtface.geometry import FloatArray


def open_folder(folder: Path) -> Opened:
    """One set, ``aflw2000``; InputError without any .mat file, BackendError without SciPy."""
    labels = sorted(path for path in folder.rglob("*.mat") if path.parent.name != "Code")
    if not labels:
        raise InputError(f"{folder}: got no .mat files, expected AFLW2000's pictures with a .mat file beside each")
    reading, used = Reading("aflw2000", folder), set()
    for label in labels:
        picture = label.with_suffix(".jpg")
        used.add(picture)
        try:
            points, yaw = read_label(label)
        except InputError as exc:
            reading.problem(reading.name_of(label), str(exc))
            continue
        reading.add(picture, points, tags=(yaw_tag(yaw),))
    for picture in pictures_below(folder):
        if picture not in used and picture.parent in {label.parent for label in labels}:
            reading.problem(reading.name_of(picture), "picture without a label, expected a .mat file beside it")
    return Opened(folder, [reading.done()])


def read_label(path: Path) -> tuple[FloatArray, float]:
    """(68, 2) px in rtface's convention and the yaw in rad; InputError says what is wrong with the file."""
    points, pose = (np.asarray(value, np.float64) for value in read_mat(path, "pt3d_68", "Pose_Para"))
    if points.ndim != 2 or len(points) < 2 or pose.size < 3:
        raise InputError(f"{path.name}: got pt3d_68 {points.shape} and Pose_Para {pose.shape}, expected (3, 68) and "
                         f"(1, 7)")
    return to_pixel_centres(usable(to_68(points[:2].T))), float(pose.ravel()[1])
