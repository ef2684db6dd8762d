"""The layout of 300-VW (Shen et al., "The First Facial Landmark Tracking in-the-Wild Challenge", ICCVW 2015).

A folder per clip with ``vid.avi`` and ``annot/000001.pts``, one file of 68 points per frame, numbered from 1. A .pts
file reads ``version: 1``, ``n_points: 68``, then the points between braces, x and y per line, with the centre of the
first pixel at (1, 1); half a pixel is subtracted (:func:`rtface.evaluate.dataset.to_pixel_centres`).

The set is for research, so its pictures are taken as non-commercial.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from rtface.errors import InputError, MediaError
from rtface.evaluate.dataset import Problem, Sample, SampleSet, to_pixel_centres
from rtface.evaluate.recording import Clip, Truth
from rtface.geometry import FloatArray
from rtface.io import open_source
from rtface.types import LANDMARKS

NAME: Final = "300vw"
VIDEO: Final = "vid.avi"
ANNOTATIONS: Final = "annot"
RIGHTS: Final = "non_commercial"
USUAL_FPS: Final = 25.0


def find(folder: Path) -> SampleSet:
    """The clips in a folder; those without a video or without labels are problems. InputError when it has neither."""
    folder = Path(folder)
    names = sorted({p.parent.name for pattern in (VIDEO, f"{ANNOTATIONS}/") for p in folder.glob(f"*/{pattern}")})
    if not names:
        raise InputError(f"{folder}: got no clip, expected folders with {VIDEO} and {ANNOTATIONS}/000001.pts as in "
                         f"300-VW; give the folder that holds them with --data")
    found = SampleSet(NAME, (), len(names))
    samples = []
    for name in names:
        if not (folder / name / VIDEO).is_file():
            found.problems[name] = Problem(name, f"got no {VIDEO}")
        elif not any((folder / name / ANNOTATIONS).glob("*.pts")):
            found.problems[name] = Problem(name, f"got no labels in {ANNOTATIONS}/")
        else:
            samples.append(Sample(name, folder / name / VIDEO, RIGHTS))
    found.samples = tuple(samples)
    return found


def clips(found: SampleSet) -> Iterator[Clip]:
    """The clips with their labels; frames without a usable label are problems and have no truth."""
    for sample in found.samples:
        try:
            with open_source(sample.file) as source:
                fps = source.info.fps or USUAL_FPS
        except MediaError as exc:
            found.problems[sample.path] = Problem(sample.path, f"unreadable clip ({exc})")
            continue
        yield Clip(sample.path, NAME, fps, partial(open_source, sample.file), "labelled", sample.rights,
                   (Truth(_labels(sample, found)),), found)


def _labels(sample: Sample, found: SampleSet) -> FloatArray:
    """(T, 68, 2) px up to the last numbered label, NaN where there is none."""
    folder = sample.file.parent / ANNOTATIONS
    numbered: dict[int, FloatArray | str] = {}
    for file in sorted(folder.glob("*.pts")):
        number = int(file.stem) if file.stem.isdecimal() else 0
        points = read_points(file) if number else "got a name without a frame number, expected 000001.pts"
        if isinstance(points, str):
            name = f"{sample.path}/{ANNOTATIONS}/{file.name}"
            found.problems[name] = Problem(name, points)
        if number:
            numbered[number] = points
    out = np.full((max(numbered, default=0), LANDMARKS, 2), np.nan, np.float32)
    for number in range(1, len(out) + 1):
        label = numbered.get(number)
        if label is None:
            name = f"{sample.path}/{ANNOTATIONS}/{number:06d}.pts"
            found.problems[name] = Problem(name, "missing label")
        elif not isinstance(label, str):
            out[number - 1] = label
    return out


def read_points(file: Path) -> FloatArray | str:
    """The (68, 2) px of a .pts file in rtface's convention, or what is wrong with it."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as exc:
        return f"unreadable label ({exc.strerror or exc})"
    body, closed, _ = text.partition("{")[2].partition("}")
    try:
        points = np.array([line.split() for line in body.strip().splitlines()], np.float64)
    except ValueError as exc:
        return f"label that is no list of points ({exc})"
    if not closed or points.shape != (LANDMARKS, 2):
        return f"got points of shape {points.shape}{'' if closed else ' without an end'}, expected ({LANDMARKS}, 2)"
    extent = points.max(axis=0) - points.min(axis=0)
    if not np.isfinite(points).all() or not (extent > 0).all() or (points[36] == points[45]).all():
        return "label whose points are not finite or have no extent"
    return to_pixel_centres(points, None)
