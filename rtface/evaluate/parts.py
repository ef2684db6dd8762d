"""Pictures whose pixels are labelled with parts of the face, brought to CelebAMask-HQ's 19 classes.

Datasets know fewer parts than that. A :class:`Scheme` says which number of a dataset is which of the 19 classes, and
what the dataset calls each of the 19: labels go through the first table, labels and predictions through the second, so
that nobody is asked for what the dataset does not tell (whose ear is skin, for instance, or which eye is the left one).
Left and right are the person's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtface.contours import PARSING
from rtface.errors import InputError
from rtface.evaluate.dataset import Pack, Sample, SampleSet
from rtface.evaluate.masks import SKIN_AND_FEATURES, Map, box_around, read_map
from rtface.geometry import FloatArray

CLASSES: Final = len(PARSING)
NUMBER: Final[Mapping[str, int]] = {name: k for k, name in enumerate(PARSING)}
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Scheme:
    """How a dataset names parts."""

    numbers: tuple[str, ...]
    """The class (by name) of each number in its labels."""
    called: Mapping[str, str]
    """What it calls classes that it does not tell apart; others keep their names."""
    names: Mapping[str, str]
    """Of classes that stand for several, for reports."""

    def __post_init__(self) -> None:
        for name in (*self.numbers, *self.called, *self.called.values(), *self.names):
            if name not in NUMBER:
                raise InputError(f"scheme: got the class {name!r}, expected one of {', '.join(PARSING)}")
        for name in self.called.values():
            if self.called.get(name, name) != name:
                raise InputError(f"scheme: got {name!r} both as a name and as renamed, expected one of them")

    @property
    def table(self) -> Map:
        """(19,) the class that each class counts as."""
        return np.array([NUMBER[self.called.get(name, name)] for name in PARSING], np.uint8)

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes that are told apart, background first."""
        return tuple(sorted(set(self.table.tolist())))

    def name_of(self, k: int) -> str:
        """For reports."""
        return self.names.get(PARSING[k], PARSING[k])

    def from_label(self, label: Map) -> Map:
        """A dataset's numbers (H, W) → 19 classes, as far as they are told apart; InputError on other numbers."""
        if label.max(initial=0) >= len(self.numbers):
            raise InputError(f"got class {label.max()}, expected 0 to {len(self.numbers) - 1}")
        return self.merge(np.array([NUMBER[name] for name in self.numbers], np.uint8)[label])

    def merge(self, classes: Map) -> Map:
        """19 classes (H, W) → those that are told apart."""
        merged: Map = self.table[classes]
        return merged


def _sided(*parts: str) -> dict[str, str]:
    return {f"right_{part}": f"left_{part}" for part in parts}


ALL_PARTS: Final = Scheme(PARSING, {}, {})
"""CelebAMask-HQ (Lee et al., CVPR 2020)."""
ELEVEN_PARTS: Final = Scheme(
    ("background", "skin", "left_brow", "right_brow", "left_eye", "right_eye", "nose", "upper_lip", "mouth",
     "lower_lip", "hair"),
    {**_sided("brow", "eye"), "eye_glasses": "skin", **dict.fromkeys(
        ("left_ear", "right_ear", "hat", "earring", "necklace", "neck", "cloth"), "background")},
    {"left_brow": "brows", "left_eye": "eyes"})
"""Helen (Smith et al., CVPR 2013) and LaPa (Liu et al., AAAI 2020): eyes and brows without sides, as Helen is reported;
ears and neck are background there, and the face goes on under spectacles."""
THREE_PARTS: Final = Scheme(
    ("hair", "skin", "background"),
    {**dict.fromkeys(("nose", "eye_glasses", "left_eye", "right_eye", "left_brow", "right_brow", "left_ear",
                      "right_ear", "mouth", "upper_lip", "lower_lip", "neck"), "skin"),
     **dict.fromkeys(("hat", "earring", "necklace", "cloth"), "background")},
    {"skin": "face"})
"""LFW Part Labels (Kae et al., CVPR 2013): hair, skin with ears and neck, everything else."""


@dataclass(frozen=True, slots=True, eq=False)
class PartLabel:
    """What is known of a picture."""

    truth: Map
    """(H, W) of 19 classes, those that the scheme tells apart."""
    box_xyxy: FloatArray | None
    """(4,) px around the visible face; None where the label does not tell."""
    superpixels: Numbers | None = None
    """(H, W) a number per pixel; None where the dataset has none."""


class ParsedFace(NamedTuple):
    """A picture and its label."""

    sample: Sample
    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    label: PartLabel


Reader = Callable[[Sample, NDArray[np.uint8]], PartLabel]
"""The label of a picture; InputError or MediaError says what is wrong with it."""


class PartSet(NamedTuple):
    """Pictures with labelled parts, and how they are read."""

    found: SampleSet
    """Grows problems while faces are drawn."""
    scheme: Scheme
    read: Reader

    def faces(self) -> Iterator[ParsedFace]:
        """Face by face; what cannot be read becomes a problem of the set."""
        for sample, pixels, label in self.found.labels(self.read):
            yield ParsedFace(sample, pixels, label)


def face_box(classes: Map) -> FloatArray:
    """(4,) px around the visible face of a map (H, W) of 19 classes; InputError where there is none."""
    return box_around(np.isin(classes, SKIN_AND_FEATURES))


def class_map(scheme: Scheme) -> Reader:
    """Reads labels that are pictures of a dataset's numbers."""
    def read(sample: Sample, pixels: NDArray[np.uint8]) -> PartLabel:
        if sample.mask is None:
            raise InputError("no mask in index.json, expected one for every picture of this set")
        truth = scheme.from_label(read_map(sample.mask, pixels))
        return PartLabel(truth, face_box(truth))
    return read


PACK_SETS: Final[Mapping[str, Scheme]] = {"celebamask_hq": ALL_PARTS}


def part_set(pack: Pack, name: str) -> PartSet:
    """A set of the pack; InputError where its parts are not labelled, or where there is none of this name."""
    if name not in PACK_SETS:
        raise InputError(f"set: got {name!r}, expected one of {', '.join(PACK_SETS)}")
    return PartSet(pack.pictures(name), PACK_SETS[name], class_map(PACK_SETS[name]))
