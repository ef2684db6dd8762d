"""Protocol ``parsing``: does the network name the parts of a face?

Per class the F1 of its pixels over all pictures together, their mean over the classes without the background, pixel
accuracy, and the accuracy of super-pixels (the most frequent class of each; Kae et al., CVPR 2013;
the measures of the consensus paper, Masi et al., CVPR 2020, §4, on Part Labels, of MaskGAN, Lee et al., CVPR 2020, on
CelebAMask-HQ and of Smith et al., CVPR 2013, on Helen). Datasets with fewer than 19 classes are scored in theirs, see
:mod:`rtface.evaluate.parts`. Super-pixels are those that the dataset brings, or else SLIC's
(:mod:`rtface.evaluate.superpixels`); every line and the notes say which.

Scored is what lies in the crop, for every system alike: it reaches a little beyond the face, so most hair, neck and
clothes of a wide picture are not asked for, and figures of whole pictures in the papers are of another task. Systems:
``network`` (crops placed from the label's box as tracking does), and predictions from elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.evaluate import segmentation as seg
from rtface.evaluate import superpixels
from rtface.evaluate.classmaps import Shown, Worst
from rtface.evaluate.dataset import Problem
from rtface.evaluate.masks import Map
from rtface.evaluate.metrics import bootstrap_interval
from rtface.evaluate.networks import LandmarkNetwork
from rtface.evaluate.occlusion import given_map
from rtface.evaluate.parts import CLASSES, Numbers, ParsedFace, PartSet, Scheme
from rtface.evaluate.placing import Area, ClassNetwork, place
from rtface.evaluate.report import Cell, Report, Table, percent, percent_range
from rtface.stages.detect import Detects

SETS: Final = ("celebamask_hq",)
NETWORK: Final = "network"
GIVEN: Final = "data set"
"""Where super-pixels come from; or from the next."""
MADE: Final = "SLIC"
Predictions = Mapping[str, Mapping[str, Map]]
"""By system and path of the picture: (H, W) of 19 classes of the whole picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Systems:
    """What is compared."""

    landmarks: LandmarkNetwork
    network: ClassNetwork
    """Also says where the crop is, for predictions from elsewhere."""
    detector: Detects | None = None
    """Finds faces where a label has no box."""
    predictions: Predictions = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One picture and one system."""

    path: str
    counts: seg.Counts
    """(19, 19) pixels, label by prediction."""
    superpixels: tuple[int, int]
    """How many are right, and how many there are."""
    superpixels_from: str
    """:data:`GIVEN` or :data:`MADE`."""


def superpixels_of(face: ParsedFace, valid: Area) -> Numbers:
    """(H, W) those of the dataset, or SLIC's of what is scored; BackendError without scikit-image."""
    given = face.label.superpixels
    return superpixels.slic(face.pixels, valid) if given is None else given


def score(face: ParsedFace, scheme: Scheme, predicted: Map, valid: Area, numbers: Numbers) -> Scored:
    """A prediction of 19 classes (H, W) against the label, within ``valid`` (H, W), in the classes of the dataset.

    numbers: (H, W) a super-pixel per px, from :func:`superpixels_of`.
    """
    told, label = scheme.merge(predicted), face.label
    return Scored(face.sample.path, seg.confusion(told, label.truth, valid, CLASSES),
                  seg.superpixels_right(told, label.truth, numbers, valid, CLASSES),
                  MADE if label.superpixels is None else GIVEN)


def run(parsed: Sequence[PartSet], systems: Systems, *, settings: Mapping[str, Any] | None = None,
        look: Callable[[str, Sequence[Shown]], None] | None = None) -> Report:
    """Score every system on every picture; ``look`` gets the network's worst pictures of each set, worst first."""
    results, per_class = [], []
    for one in parsed:
        worst = Worst()
        scored = _score_set(one, systems, worst)
        per_second = systems.network.per_second()
        lines = [{"group": "set", "name": one.found.name, "system": system, **figures(rows, one.scheme),
                  "fps": per_second if system == NETWORK else float("nan")}
                 for system, rows in scored.items()]
        results += lines
        per_class += [_class_table(one, lines)]
        if look is not None:
            look(one.found.name, worst.items())
    made = superpixels.describe() if any(line["superpixels_from"] == MADE for line in results) else None
    notes = ["scored is what lies in the crop"] if results else []
    notes += dict.fromkeys(_superpixel_note(line, made) for line in results)
    return Report("parsing", [_table(results), *per_class], results, [one.found for one in parsed],
                  {**(settings or {}), "superpixels": made}, notes)


def _superpixel_note(line: Mapping[str, Any], made: Mapping[str, Any] | None) -> str:
    """Whose super-pixels a set's are."""
    if made is None or line["superpixels_from"] != MADE:
        return f"{line['name']}: super-pixels given by the {GIVEN}"
    return (f"{line['name']}: super-pixels by {MADE} of scikit-image {made['scikit-image']}, about "
            f"{made['segments']} in the box around the crop, compactness {made['compactness']:g}")


def _score_set(one: PartSet, systems: Systems, worst: Worst) -> dict[str, list[Scored]]:
    scored: dict[str, list[Scored]] = defaultdict(list)
    for face in one.faces():
        placed = place(face.pixels, face.label.box_xyxy, systems.landmarks, systems.detector)
        if placed is None:
            one.found.problems[face.sample.path] = Problem(face.sample.path, "no face found")
            continue
        own, inside = systems.network.classes(face.pixels, placed)
        numbers = superpixels_of(face, inside)
        row = score(face, one.scheme, own, inside, numbers)
        scored[NETWORK].append(row)
        mean = seg.mean_f1(row.counts, one.scheme.classes[1:])
        caption = f"mean F1 {percent(mean, 1)}  {percent(seg.accuracy(row.counts), 1)}"
        worst.add(-mean, Shown(face.sample, face.pixels, face.label.truth, inside, one.scheme.merge(own), placed,
                               caption))
        for name, maps in systems.predictions.items():
            given = given_map(name, maps, face.sample.path, face.pixels.shape, CLASSES, one.found.problems)
            if given is not None:
                scored[name].append(score(face, one.scheme, given, inside, numbers))
    return scored


def figures(rows: Sequence[Scored], scheme: Scheme) -> dict[str, Any]:
    """All figures of one system on some pictures, as shares."""
    counts = np.stack([row.counts for row in rows])
    pairs = np.array([row.superpixels for row in rows], np.float64)
    mean = partial(seg.mean_f1, classes=scheme.classes[1:])

    def right(values: NDArray[np.float64]) -> float:
        right, number = values.sum(axis=0)
        return float(right / number) if number else float("nan")

    return {"faces": len(rows), "mean_f1": mean(counts), "mean_f1_95": bootstrap_interval(counts, mean),
            "accuracy": seg.accuracy(counts), "accuracy_95": bootstrap_interval(counts, seg.accuracy),
            "superpixel_accuracy": right(pairs), "superpixel_accuracy_95": bootstrap_interval(pairs, right),
            "superpixels": int(pairs[:, 1].sum()), "superpixels_from": rows[0].superpixels_from,
            "f1": {scheme.name_of(k): seg.f1(counts, k) for k in scheme.classes},
            "f1_95": {scheme.name_of(k): bootstrap_interval(counts, partial(seg.f1, k=k)) for k in scheme.classes},
            "shown_in": {scheme.name_of(k): int((counts[:, k].sum(axis=1) > 0).sum()) for k in scheme.classes}}


def _table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [line["name"], line["system"], line["faces"], percent(line["mean_f1"], 1), percent_range(line["mean_f1_95"]),
         percent(line["accuracy"], 1), percent_range(line["accuracy_95"]), percent(line["superpixel_accuracy"], 1),
         percent_range(line["superpixel_accuracy_95"]), round(line["fps"]) if np.isfinite(line["fps"]) else None]
        for line in lines]
    return Table("Parts of the face (per cent)",
                 ("set", "system", "faces", "mean F1", "95 %", "accuracy", "95 %", "super-pixels", "95 %", "fps"), rows)


def _class_table(one: PartSet, lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = []
    for name in (one.scheme.name_of(k) for k in one.scheme.classes):
        for line in lines:
            rows.append([name, line["system"], line["shown_in"][name], percent(line["f1"][name], 1),
                         percent_range(line["f1_95"][name])])
    return Table(f"{one.found.name}: F1 by class (per cent), and how many pictures show it",
                 ("class", "system", "pictures", "F1", "95 %"), rows)
