"""Pictures with class masks, brought to three classes: 0 background, 1 visible face, 2 something before the face.

Sets differ in what their masks say, so every label carries the rule by which a prediction is scored, see
:class:`Rule`, and by kind the pixels of what hides the face.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError, MediaError
from rtface.evaluate.dataset import Pack, Problem, Sample, SampleSet
from rtface.evaluate.schemes import HIDDEN, SEEN, UNKNOWN, Flags
from rtface.geometry import FloatArray
from rtface.stages.occlude import BACKGROUND, FACE, OCCLUDER

Map = NDArray[np.uint8]
Area = NDArray[np.bool_]
CLASSES: Final = 3
DRAWN, UNSURE = 255, 128
"""Values of hand-drawn masks."""
SKIN_AND_FEATURES: Final = (1, 2, 4, 5, 6, 7, 10, 11, 12)
"""CelebAMask-HQ classes that are the visible face: skin, nose, eyes, brows, mouth, lips."""
SPECTACLES: Final = 3
BEFORE_FACES: Final[Mapping[str, int]] = {"eyeglasses": SPECTACLES, "hat": 14, "hair": 13}
"""CelebAMask-HQ classes that can lie before a face, by kind."""


class Rule(enum.Enum):
    """What a label knows, and so how three predicted classes are held against it."""

    SEEN_OR_HIDDEN = enum.auto()
    """Within the face area every pixel is seen or hidden: what is not called face counts as hidden."""
    FACE_OR_NOT = enum.auto()
    """What hides a face is background too, as on COFW in the consensus paper (Masi et al., CVPR 2020, §4)."""
    OCCLUDER_OR_NOT = enum.auto()
    """Only what hides the face is labelled."""

    def classes_of(self, predicted: Map) -> Map:
        """Three predicted classes (H, W) as far as the label can tell them."""
        if self is Rule.OCCLUDER_OR_NOT:
            return np.where(predicted == OCCLUDER, OCCLUDER, BACKGROUND).astype(np.uint8)
        other = OCCLUDER if self is Rule.SEEN_OR_HIDDEN else BACKGROUND
        return np.where(predicted == FACE, FACE, other).astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """What is known of a picture; all maps (H, W)."""

    truth: Map
    """Three classes."""
    valid: Area
    """What is scored."""
    rule: Rule
    box_xyxy: FloatArray | None
    """(4,) px around the face, hidden parts included; None where the label does not tell."""
    kinds: Mapping[str, Area] = field(default_factory=dict)
    """Pixels of what hides the face, by kind."""


class MaskedFace(NamedTuple):
    """A picture and its label."""

    sample: Sample
    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    label: Label


Reader = Callable[[Sample, NDArray[np.uint8]], Label]
"""The label of a picture; InputError or MediaError says what is wrong with it."""


def box_around(area: Map | Area) -> FloatArray:
    """(4,) px around the pixels of a map (H, W) that are not 0; InputError where there are none."""
    x, y, width, height = cv2.boundingRect(area.astype(np.uint8))
    if not width:
        raise InputError("got a mask without a face, expected one")
    return np.array([x, y, x + width, y + height], np.float32)


def read_map(path: Path, like: NDArray[np.uint8] | None = None) -> Map:
    """(H, W) uint8 class picture; like: a picture (H, W, 3) that it belongs to.

    MediaError where it cannot be read or has colours, InputError where its size is not the picture's.
    """
    try:
        picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error) as exc:
        raise MediaError(f"{path}: {exc}; expected a picture of classes") from exc
    if picture is None or picture.ndim != 2 or picture.dtype != np.uint8:
        raise MediaError(f"{path}: got no one-channel 8-bit picture, expected a picture of classes; copy it again")
    if like is not None and picture.shape != like.shape[:2]:
        raise InputError(f"got a mask {picture.shape} for a picture {like.shape[:2]}, expected the same size")
    return np.asarray(picture, np.uint8)


def _seen_or_hidden(sample: Sample, pixels: NDArray[np.uint8]) -> tuple[Map, Area]:
    """Classes and what is scored of a hand-drawn mask."""
    mask = _mask_of(sample)
    label, region = read_map(mask, pixels), read_map(mask.parent.parent / "regions" / mask.name)
    if region.shape != label.shape:
        raise InputError(f"{mask.name}: got a face area {region.shape} and a mask {label.shape}, expected the "
                         "same size")
    inside = region == DRAWN
    truth = np.where(inside, np.where(label == DRAWN, OCCLUDER, FACE), BACKGROUND).astype(np.uint8)
    return truth, inside & (label != UNSURE)


def hand_drawn(sample: Sample, pixels: NDArray[np.uint8]) -> Label:
    """A mask of 0 clear, 128 unsure, 255 occluder, the face area beside it, and the polygons that it was drawn with.

    Only the face area is scored: what is outside of it was not labelled.
    """
    truth, valid = _seen_or_hidden(sample, pixels)
    hidden = truth == OCCLUDER
    kinds = {kind: drawn & hidden for kind, drawn in _polygons(_mask_of(sample), truth.shape).items()}
    return Label(truth, valid, Rule.SEEN_OR_HIDDEN, box_around(truth > BACKGROUND), kinds)


def _polygons(mask: Path, shape: tuple[int, ...]) -> dict[str, Area]:
    """Areas by kind from annotations.json beside the folder of the masks; InputError where it does not fit."""
    path = mask.parent.parent / "annotations.json"
    try:
        items = json.loads(path.read_text(encoding="utf-8"))["items"]
        (entry,) = [item for item in items if Path(item["mask"]).name == mask.name]
        drawn = [(str(one["kind"]), np.array(one["polygon"], np.float64).reshape(-1, 2)) for one in entry["occluders"]]
    except (OSError, KeyError, TypeError, ValueError) as exc:
        raise InputError(f"{path.name}: got {exc!r}, expected one entry with mask {mask.name} and occluders of kind "
                         f"and polygon") from exc
    areas: dict[str, Area] = {}
    for kind, points in drawn:
        area = cv2.fillPoly(np.zeros(shape, np.uint8), [np.round(points).astype(np.int32)], (1,))
        areas[kind] = areas.get(kind, np.zeros(shape, np.bool_)) | (area > 0)
    return areas


def celebamask(sample: Sample, pixels: NDArray[np.uint8]) -> Label:
    """CelebAMask-HQ's 19 classes as a class map, see :func:`from_parsing`."""
    return from_parsing(read_map(_mask_of(sample), pixels))


def from_parsing(classes: Map) -> Label:
    """The label that a map (H, W) of CelebAMask-HQ's 19 classes gives; spectacles (glass and all) are not scored.

    Nothing there says where a face goes on behind what hides it, so there is only face and background. What lies
    before a face is taken to be the spectacles, the hat and the hair within the convex hull of the visible face.
    """
    if classes.max(initial=0) > 18:
        raise InputError(f"CelebAMask: got class {classes.max()}, expected 0 to 18")
    face = np.isin(classes, SKIN_AND_FEATURES).astype(np.uint8)
    box, hull = box_around(face), np.zeros_like(face)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.argwhere(face)[:, ::-1].astype(np.int32)), (1,))
    kinds = {kind: (classes == k) & (hull > 0) for kind, k in BEFORE_FACES.items()}
    return Label(face, classes != SPECTACLES, Rule.FACE_OR_NOT, box, kinds)


def _mask_of(sample: Sample) -> Path:
    if sample.mask is None:
        raise InputError("no mask in index.json, expected one for every picture of this set")
    return sample.mask


READERS: Final[Mapping[str, Reader]] = {"handdrawn": hand_drawn, "celebamask_hq": celebamask}
"""How the label pictures of the pack's sets are read."""


def hidden_points(name: str, sample: Sample, pixels: NDArray[np.uint8]) -> Flags | None:
    """(68,) which points the mask of a sample covers; None where the set has no masks of things before faces.

    Points on unsure pixels or beyond the face area are :data:`UNKNOWN`. MediaError, InputError on unusable masks.
    """
    if name != "handdrawn" or sample.mask is None or sample.points is None:
        return None
    truth, valid = _seen_or_hidden(sample, pixels)
    height, width = truth.shape
    column, row = np.floor(sample.points).astype(int).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    at = row.clip(0, height - 1), column.clip(0, width - 1)
    return np.where(inside & valid[at], np.where(truth[at] == OCCLUDER, HIDDEN, SEEN), UNKNOWN).astype(np.int8)


class MaskSet(NamedTuple):
    """Pictures with masks, and how they are read."""

    found: SampleSet
    """Grows problems while faces are drawn."""
    read: Reader

    def faces(self) -> Iterator[MaskedFace]:
        """Face by face; what cannot be read becomes a problem of the set."""
        for sample, pixels, label in self.found.labels(self.read):
            yield MaskedFace(sample, pixels, label)


def mask_set(pack: Pack, name: str) -> MaskSet:
    """A set of the pack; InputError where it has no masks, or none of this name."""
    if name not in READERS:
        raise InputError(f"set: got {name!r}, expected one of {', '.join(READERS)}")
    return MaskSet(pack.pictures(name), READERS[name])


def automatic_boxes(pack: Pack, name: str) -> tuple[SampleSet, dict[str, FloatArray]]:
    """Pictures of a set that has only boxes by a detector (``box_auto``: x, y, width, height), and these by path.

    Boxes (4,) xyxy px; pictures without one become problems.
    """
    found, boxes = pack.pictures(name), dict[str, FloatArray]()
    entries: dict[str, Any] = pack.entries(name)
    for sample in found.samples:
        try:
            x, y, width, height = (float(v) for v in entries[Path(sample.path).name]["box_auto"])
        except (KeyError, TypeError, ValueError) as exc:
            found.problems[sample.path] = Problem(sample.path, f"got no box_auto of 4 numbers ({exc!r})")
            continue
        boxes[sample.path] = np.array([x, y, x + width, y + height], np.float32)
    return found, boxes
