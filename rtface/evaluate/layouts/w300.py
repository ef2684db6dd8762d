"""300-W (Sagonas et al., ICCV-W 2013): pictures with a ``.pts`` file of the same name beside each.

Every folder that holds .pts files is a set, named by its path: ``lfpw/testset``, ``helen/testset``, ``ibug``, or
``300W/01_Indoor`` of the challenge. The usual split of the test set is given as tags: *common* (test sets of LFPW and
HELEN) and *challenging* (IBUG). The first pixel has the number 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from rtface.errors import InputError
from rtface.evaluate.dataset import PICTURES, SampleSet, to_pixel_centres, usable
from rtface.evaluate.layouts.opened import Opened, Reading
from rtface.evaluate.schemes import to_68
from rtface.geometry import FloatArray

TAGS: Final = (("lfpw/testset", "common"), ("helen/testset", "common"), ("ibug", "challenging"),
               ("01_indoor", "indoor"), ("02_outdoor", "outdoor"))
"""End of a folder's path and the tag of its pictures."""


def open_folder(folder: Path) -> Opened:
    """All sets below a folder; InputError without any .pts file."""
    holders = sorted({path.parent for path in folder.rglob("*.pts")})
    if not holders:
        raise InputError(f"{folder}: got no .pts files, expected pictures of 300-W with a .pts file beside each")
    return Opened(folder, [_read(holder, folder) for holder in holders])


def _read(holder: Path, folder: Path) -> SampleSet:
    name = holder.relative_to(folder).as_posix()
    place = (holder.resolve().as_posix()).lower()
    reading, tags = Reading(holder.name if name == "." else name, folder), tuple(
        tag for end, tag in TAGS if place.endswith(f"/{end}"))
    files = {path.name: path for path in holder.iterdir()}
    pictures = {Path(name).stem: path for name, path in sorted(files.items()) if path.suffix.lower() in PICTURES}
    labels = {Path(name).stem: path for name, path in files.items() if path.suffix == ".pts"}
    for stem in sorted(labels):
        if stem not in pictures:
            reading.problem(reading.name_of(labels[stem]), "got no picture of this name, expected one beside the label")
            continue
        try:
            points = read_pts(labels[stem])
        except InputError as exc:
            reading.problem(reading.name_of(pictures[stem]), str(exc))
            continue
        reading.add(pictures[stem], points, tags=tags)
    for stem in sorted(pictures.keys() - labels.keys()):
        reading.problem(reading.name_of(pictures[stem]), "picture without a label, expected a .pts file beside it")
    return reading.done()


def read_pts(path: Path) -> FloatArray:
    """The (68, 2) px of a .pts file, rtface's convention; InputError says what is wrong with it."""
    try:
        text = path.read_text(encoding="ascii")
        head, _, rest = text.partition("{")
        points = np.array([[float(value) for value in line.split()] for line in rest.partition("}")[0].splitlines()
                           if line.strip()])
        told = [int(line.partition(":")[2]) for line in head.splitlines() if line.startswith("n_points")]
    except (OSError, ValueError) as exc:
        raise InputError(f"{path.name}: got a damaged file ({exc}), expected a list of points") from exc
    if told and told[0] != len(points):
        raise InputError(f"{path.name}: got {len(points)} points, expected {told[0]} as it says itself")
    return to_pixel_centres(usable(to_68(points)))
