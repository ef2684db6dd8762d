"""Pictures with class masks, brought to three classes: 0 background, 1 visible face, 2 something before the face."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError, MediaError
from rtface.evaluate.dataset import Pack, Problem, Sample, SampleSet
from rtface.evaluate.schemes import HIDDEN, SEEN, UNKNOWN, Flags

Map = NDArray[np.uint8]
CLASSES: Final = 3
OCCLUDER, UNSURE = 255, 128
"""Values of hand-drawn masks."""
SKIN_AND_FEATURES: Final = (1, 2, 4, 5, 6, 7, 10, 11, 12)
"""CelebAMask-HQ classes that are the visible face: skin, nose, eyes, brows, mouth, lips."""
SPECTACLES: Final = 3


class MaskedFace(NamedTuple):
    """A picture and its label."""

    sample: Sample
    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    truth: Map
    """(H, W) three classes."""
    valid: NDArray[np.bool_]
    """(H, W) what is scored."""
    box_xyxy: NDArray[np.float32]
    """(4,) px around the face, hidden parts included."""


def hand_drawn(label: Map, sample: Sample) -> tuple[Map, NDArray[np.bool_], Map]:
    """Truth, valid pixels and face area of a mask of 0 clear, 128 unsure, 255 occluder and its face area beside it.

    Only the face area is scored: what is outside of it was not labelled.
    """
    assert sample.mask is not None
    region = read_map(sample.mask.parent.parent / "regions" / sample.mask.name)
    if region.shape != label.shape:
        raise InputError(f"{sample.mask.name}: got a face area {region.shape} and a mask {label.shape}, expected the "
                         "same size")
    inside = region == OCCLUDER
    truth = np.where(inside, np.where(label == OCCLUDER, 2, 1), 0).astype(np.uint8)
    return truth, inside & (label != UNSURE), inside.astype(np.uint8)


def celebamask(label: Map, _: Sample) -> tuple[Map, NDArray[np.bool_], Map]:
    """Truth, valid pixels and face area of CelebAMask-HQ's 19 classes; spectacles (glass and all) are not scored.

    Nothing there says where a face goes on behind what hides it, so the label has only face and background.
    """
    if label.max(initial=0) > 18:
        raise InputError(f"CelebAMask: got class {label.max()}, expected 0 to 18")
    face = np.isin(label, SKIN_AND_FEATURES).astype(np.uint8)
    return face, label != SPECTACLES, face


READERS: Final[dict[str, Callable[[Map, Sample], tuple[Map, NDArray[np.bool_], Map]]]] = {
    "handdrawn": hand_drawn, "celebamask_hq": celebamask}
"""How the label pictures of a set are read."""


def read_map(path: Path) -> Map:
    """(H, W) uint8 class picture; MediaError where it cannot be read or has colours."""
    try:
        picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error) as exc:
        raise MediaError(f"{path}: {exc}; expected a picture of classes") from exc
    if picture is None or picture.ndim != 2 or picture.dtype != np.uint8:
        raise MediaError(f"{path}: got no one-channel 8-bit picture, expected a picture of classes; copy it again")
    return np.asarray(picture, np.uint8)


def hidden_points(name: str, sample: Sample) -> Flags | None:
    """(68,) which points the mask of a sample covers; None where the set has no masks of things before faces.

    Points on unsure pixels or beyond the face area are :data:`UNKNOWN`. MediaError, InputError on unusable masks.
    """
    if name != "handdrawn" or sample.mask is None or sample.points is None:
        return None
    truth, valid, _ = hand_drawn(read_map(sample.mask), sample)
    height, width = truth.shape
    column, row = np.floor(sample.points).astype(int).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    at = row.clip(0, height - 1), column.clip(0, width - 1)
    return np.where(inside & valid[at], np.where(truth[at] == 2, HIDDEN, SEEN), UNKNOWN).astype(np.int8)


def faces(pack: Pack, name: str) -> tuple[SampleSet, Iterator[MaskedFace]]:
    """The set, and its faces one by one; what cannot be read becomes a problem of the set while they are drawn."""
    if name not in READERS:
        raise InputError(f"set: got {name!r}, expected one of {', '.join(READERS)}")
    found = pack.pictures(name)
    return found, _each(found, READERS[name])


def _each(found: SampleSet, read: Callable[[Map, Sample], Any]) -> Iterator[MaskedFace]:
    for sample, pixels in found.pictures():
        try:
            if sample.mask is None:
                raise InputError("no mask in index.json, expected one for every picture of this set")
            label = read_map(sample.mask)
            if label.shape != pixels.shape[:2]:
                raise InputError(f"got a mask {label.shape} for a picture {pixels.shape[:2]}, expected the same size")
            truth, valid, area = read(label, sample)
            if not area.any():
                raise InputError("got a mask without a face, expected one")
        except (InputError, MediaError) as exc:
            found.problems[sample.path] = Problem(sample.path, str(exc))
            continue
        x, y, width, height = cv2.boundingRect(area)
        yield MaskedFace(sample, pixels, truth, valid, np.array([x, y, x + width, y + height], np.float32))
