"""COFW (Burgos-Artizzu et al., ICCV 2013) with the 68 points of Ghiasi & Fowlkes (2015, arXiv:1506.08347).

The pictures are Caltech's ``COFW_test_color.mat`` (or ``COFW_test.mat``; cells ``IsT``), or ``im_N.png`` as the
benchmark's own program writes them; the labels are the benchmark's ``test_annotations/N_points.mat`` with ``Points``
(68, 2) and ``Occ`` (68) for the N-th picture. The first pixel has the number 1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from rtface.errors import InputError, MediaError
from rtface.evaluate.dataset import Pixels, to_pixel_centres, usable
from rtface.evaluate.layouts.matlab import is_hdf5, open_hdf5, read_mat
from rtface.evaluate.layouts.opened import Opened, Reading
from rtface.evaluate.schemes import point_flags, to_68

PICTURES: Final = ("COFW_test_color.mat", "COFW_test.mat")
ENDING: Final = "_points.mat"
CELLS: Final = "IsT"


def open_folder(folder: Path) -> Opened:
    """One set, ``cofw68``; InputError without labels or pictures, BackendError without the packages that read them."""
    labels = {int(path.name.removesuffix(ENDING)): path for path in folder.rglob(f"*{ENDING}")
              if path.name.removesuffix(ENDING).isdigit()}
    if not labels:
        raise InputError(f"{folder}: got no N_points.mat, expected the labels of the COFW68 benchmark "
                         f"(test_annotations)")
    holder = next((path for name in PICTURES for path in sorted(folder.rglob(name))), None)
    loose = {path for number, label in labels.items() if (path := _loose(label, number)).is_file()}
    if holder is None and not loose:
        raise InputError(f"{folder}: got no pictures, expected {' or '.join(PICTURES)} of COFW, or im_N.png beside the "
                         f"labels")
    stored = cells(holder, CELLS) if holder is not None else []
    reading = Reading("cofw68", folder)
    for number, label in sorted(labels.items()):
        try:
            points, flags = read_mat(label, "Points", "Occ")
            points, hidden = to_pixel_centres(usable(to_68(np.asarray(points, np.float64)))), point_flags(flags)
        except InputError as exc:
            reading.problem(reading.name_of(label), str(exc))
            continue
        if (picture := _loose(label, number)) in loose:
            reading.add(picture, points, hidden=hidden)
        elif holder is not None and number <= len(stored):
            name = f"{reading.name_of(holder)}:{number}"
            reading.add(holder, points, hidden=hidden, path=name, origin=name, stored=stored[number - 1])
        else:
            reading.problem(reading.name_of(label), f"got no picture {number}, expected one of {len(stored)}")
    for number in sorted(set(range(1, len(stored) + 1)) - labels.keys()):
        reading.problem(f"{holder and reading.name_of(holder)}:{number}", f"picture without a label {number}{ENDING}")
    return Opened(folder, [reading.done()])


def _loose(label: Path, number: int) -> Path:
    return label.with_name(f"im_{number}.png")


def cells(holder: Path, variable: str) -> list[Callable[[], Pixels]]:
    """One function per picture in a cell array of a MATLAB file, which gives its pixels."""
    if not is_hdf5(holder):
        (found,) = read_mat(holder, variable)
        return [partial(_rgb, f"{holder.name}:{k + 1}", cell) for k, cell in enumerate(np.ravel(found))]
    with open_hdf5(holder) as file:
        if variable not in file:
            raise InputError(f"{holder.name}: got no variable {variable}, expected the pictures of COFW")
        count = int(file[variable].size)
    return [partial(_from_hdf5, holder, variable, number) for number in range(count)]


def matrix(holder: Path, variable: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """A matrix of a MATLAB file, rows first."""
    if not is_hdf5(holder):
        (found,) = read_mat(holder, variable)
        return np.asarray(found, np.float64)
    with open_hdf5(holder) as file:
        if variable not in file:
            raise InputError(f"{holder.name}: got no variable {variable}, expected a matrix of COFW")
        return np.asarray(file[variable], np.float64).T


def _from_hdf5(holder: Path, variable: str, number: int) -> Pixels:
    """MATLAB writes columns first, so that axes come in the other order."""
    with open_hdf5(holder) as file:
        return _rgb(f"{holder.name}:{number + 1}", np.asarray(file[np.ravel(file[variable])[number]]).T)


def _rgb(name: str, picture: Any) -> Pixels:
    """(H, W) or (H, W, 3) uint8 → (H, W, 3)."""
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.ndim == 3 and pixels.shape[2] != 3:
        raise MediaError(f"{name}: got a picture {pixels.shape} {pixels.dtype}, expected (H, W) or (H, W, 3) uint8")
    return np.ascontiguousarray(np.broadcast_to(pixels.reshape(*pixels.shape[:2], -1), (*pixels.shape[:2], 3)))
