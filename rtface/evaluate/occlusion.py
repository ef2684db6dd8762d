"""Protocol ``occlusion``: does the three-class mask say what of a face is seen?

Measures of the consensus paper (Masi et al., CVPR 2020, §4): intersection over union of the face (and of what hides
it), pixel accuracy, recall of the face, mean recall over the label's classes, and *sparsity*, by how many connected
components a prediction differs from its label. Pixels of all pictures are counted together; ``_mean`` figures in the
JSON are means over pictures. What a label does not tell is not asked, see :class:`rtface.evaluate.masks.Rule`.

By kind of occluder: figures of the pictures that show it, and what share of its own pixels is not called face. Sets
with an image label only ("wearing a mask", box by a detector) give a *weak* figure: the share of the box's lower half
that is called occluder, beside that of its upper half.

Systems: ``network`` (crops placed from the label's box as tracking does), ``all face`` (all within the outline of
the 68 points is face, forehead included: what is assumed where nobody looks), and predictions from elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtface.evaluate import segmentation as seg
from rtface.evaluate.classmaps import Shown, Worst
from rtface.evaluate.dataset import Problem, Sample, SampleSet
from rtface.evaluate.masks import CLASSES, Area, Map, MaskedFace, MaskSet
from rtface.evaluate.metrics import bootstrap_interval, mean_interval
from rtface.evaluate.networks import LandmarkNetwork
from rtface.evaluate.placing import ClassNetwork, Placed, assumed_face, place
from rtface.evaluate.report import Cell, Report, Table, percent, percent_range
from rtface.geometry import FloatArray
from rtface.stages.detect import Detects
from rtface.stages.occlude import BACKGROUND, FACE, OCCLUDER

SETS: Final = ("handdrawn", "celebamask_hq")
BOXED: Final = ("rmfd_masked",)
"""Sets of faces that wear a mask, without pixel labels."""
NETWORK, ALL_FACE = "network", "all face"
MIN_KIND: Final = 0.01
"""A picture shows a kind of occluder where this is more than this share of the labelled face."""
Predictions = Mapping[str, Mapping[str, Map]]
"""By system and path of the picture: (H, W) three classes of the whole picture."""
FIGURES: Final[Mapping[str, Callable[[seg.Counts], float]]] = {
    "iou_face": partial(seg.iou, k=FACE), "iou_occluder": partial(seg.iou, k=OCCLUDER), "accuracy": seg.accuracy,
    "recall_face": partial(seg.recall, k=FACE), "recall_all": seg.mean_recall}


@dataclass(frozen=True, slots=True, eq=False)
class Systems:
    """What is compared."""

    landmarks: LandmarkNetwork
    detector: Detects | None = None
    """Finds faces where a label has no box."""
    network: ClassNetwork | None = None
    predictions: Predictions = field(default_factory=dict)


class KindPixels(NamedTuple):
    """Pixels of one kind of occluder in one picture."""

    all: int
    not_face: int
    """Not called face."""
    occluder: int
    """Called occluder."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One picture and one system."""

    path: str
    counts: seg.Counts
    """(3, 3) pixels, label by prediction."""
    islands: int
    kinds: Mapping[str, KindPixels]


def score(face: MaskedFace, predicted: Map) -> Scored:
    """A prediction of three classes (H, W) against the label, by the label's rule."""
    label = face.label
    told = label.rule.classes_of(predicted)
    large = MIN_KIND * int((label.valid & (label.truth != BACKGROUND)).sum())
    kinds = {kind: KindPixels(int(area.sum()), int((predicted[area] != FACE).sum()),
                              int((predicted[area] == OCCLUDER).sum()))
             for kind, area in label.kinds.items() if area.sum() > large}
    return Scored(face.sample.path, seg.confusion(told, label.truth, label.valid, CLASSES),
                  seg.sparsity(told, label.truth, label.valid, CLASSES), kinds)


def run(masked: Sequence[MaskSet], systems: Systems, *,
        boxed: Sequence[tuple[SampleSet, Mapping[str, FloatArray]]] = (), settings: Mapping[str, Any] | None = None,
        look: Callable[[str, Sequence[Shown]], None] | None = None) -> Report:
    """Score every system on every picture; ``look`` gets the network's worst pictures of each set, worst first.

    boxed: sets that have only boxes (4,) px by path, see the module's text.
    """
    results: list[dict[str, Any]] = []
    for one in masked:
        worst = Worst()
        scored = _score_set(one, systems, worst)
        per_second = systems.network.per_second() if systems.network is not None else float("nan")
        for system, rows in scored.items():
            results.append({"group": "set", "name": one.found.name, "set": one.found.name, "system": system,
                            **figures(rows), "fps": per_second if system == NETWORK else float("nan")})
        kinds = sorted({kind for rows in scored.values() for row in rows for kind in row.kinds})
        results += [{"group": "kind", "name": kind, "set": one.found.name, "system": system,
                     **figures(chosen), **kind_figures(kind, chosen)} for kind in kinds
                    for system, rows in scored.items() if (chosen := [row for row in rows if kind in row.kinds])]
        if look is not None:
            look(one.found.name, worst.items())
    for found, boxes in boxed:
        worst = Worst()
        for system, halves in _score_boxed(found, boxes, systems, worst).items():
            results.append({"group": "boxed", "name": found.name, "set": found.name, "system": system,
                            **half_figures(halves)})
        if look is not None:
            look(found.name, worst.items())
    by = {group: [line for line in results if line["group"] == group] for group in ("set", "kind", "boxed")}
    notes = ["handdrawn: within the face area everything is seen or hidden; celebamask_hq, cofw: face or not; "
             "spectacles of celebamask_hq are not scored, but their pixels count by kind"] if masked else []
    return Report("occlusion", [_table(by["set"]), _kind_table(by["kind"]), _boxed_table(by["boxed"])], results,
                  [*(one.found for one in masked), *(found for found, _ in boxed)],
                  {**(settings or {}), "min_kind": MIN_KIND}, notes)


def _predictions(sample: Sample, pixels: NDArray[np.uint8], placed: Placed, systems: Systems,
                 problems: dict[str, Problem]) -> Iterator[tuple[str, Map]]:
    """Every system's classes (H, W) of one picture."""
    if systems.network is not None:
        yield NETWORK, systems.network.classes(pixels, placed).classes
    yield ALL_FACE, assumed_face(placed, pixels.shape).astype(np.uint8)
    for name, maps in systems.predictions.items():
        given = given_map(name, maps, sample.path, pixels.shape, CLASSES, problems)
        if given is not None:
            yield name, given


def given_map(system: str, maps: Mapping[str, Map], path: str, shape: tuple[int, ...], classes: int,
              problems: dict[str, Problem]) -> Map | None:
    """A system's map (H, W) of a picture of ``shape`` (H, W, …); None and a problem where there is none that fits."""
    given = maps.get(path)
    if given is None:
        what = "no prediction"
    elif given.shape != shape[:2] or given.dtype.kind not in "iu":
        what = f"got a prediction {given.shape} {given.dtype}, expected whole numbers {shape[:2]} as the picture"
    elif given.size and not 0 <= given.min() <= given.max() < classes:
        what = f"got classes from {given.min()} to {given.max()}, expected 0 to {classes - 1}"
    else:
        return np.asarray(given, np.uint8)
    problems[f"{path} ({system})"] = Problem(path, f"{system}: {what}")
    return None


def _score_set(one: MaskSet, systems: Systems, worst: Worst) -> dict[str, list[Scored]]:
    scored: dict[str, list[Scored]] = defaultdict(list)
    for face in one.faces():
        placed = place(face.pixels, face.label.box_xyxy, systems.landmarks, systems.detector)
        if placed is None:
            one.found.problems[face.sample.path] = Problem(face.sample.path, "no face found")
            continue
        for system, predicted in _predictions(face.sample, face.pixels, placed, systems, one.found.problems):
            row = score(face, predicted)
            scored[system].append(row)
            if system == NETWORK:
                right = seg.iou(row.counts, FACE)
                caption = f"IoU face {percent(right, 1)}  {percent(seg.accuracy(row.counts), 1)}"
                worst.add(-right, Shown(face.sample, face.pixels, face.label.truth, face.label.valid, predicted,
                                        placed, caption))
    return scored


class Halves(NamedTuple):
    """Shares of a box that are called occluder."""

    lower: float
    upper: float


def halves_of(predicted: Map, box_xyxy: FloatArray) -> Halves:
    """Of three classes (H, W): both halves of a box (4,) px; NaN where it lies outside of the picture."""
    height, width = predicted.shape
    x0, y0, x1, y1 = np.clip(np.round(box_xyxy), 0, [width, height, width, height]).astype(int)
    middle = int(np.clip(np.round((box_xyxy[1] + box_xyxy[3]) / 2), 0, height))

    def share(part: Area) -> float:
        return float(part.mean()) if part.size else float("nan")

    hidden = predicted == OCCLUDER
    return Halves(share(hidden[middle:y1, x0:x1]), share(hidden[y0:middle, x0:x1]))


def _score_boxed(found: SampleSet, boxes: Mapping[str, FloatArray], systems: Systems,
                 worst: Worst) -> dict[str, list[Halves]]:
    scored: dict[str, list[Halves]] = defaultdict(list)
    for sample, pixels in found.pictures():
        placed = place(pixels, boxes.get(sample.path), systems.landmarks)
        if placed is None:  # without a box, which is a problem already
            continue
        for system, predicted in _predictions(sample, pixels, placed, systems, found.problems):
            halves = halves_of(predicted, boxes[sample.path])
            scored[system].append(halves)
            if system == NETWORK:
                nothing = np.zeros_like(predicted)
                worst.add(-halves.lower, Shown(sample, pixels, nothing, nothing > 0, predicted, placed,
                                               f"lower half {percent(halves.lower, 1)}"))
    return scored


def figures(rows: Sequence[Scored]) -> dict[str, Any]:
    """All figures of one system on some pictures, as shares; sparsity in components."""
    counts = np.stack([row.counts for row in rows])
    islands = np.array([row.islands for row in rows], np.float64)
    out: dict[str, Any] = {"faces": len(rows)}
    for name, figure in FIGURES.items():
        each = np.array([figure(one) for one in counts])
        out |= {name: figure(counts), f"{name}_95": bootstrap_interval(counts, figure),
                f"{name}_mean": float(np.nanmean(each)) if not np.isnan(each).all() else float("nan")}
    return {**out, "sparsity": float(islands.mean()),
            "sparsity_95": mean_interval(islands)}


def kind_figures(kind: str, rows: Sequence[Scored]) -> dict[str, Any]:
    """How much of an occluder's own pixels is not called face, and is called occluder."""
    pixels = np.array([row.kinds[kind] for row in rows], np.float64)

    def not_face(values: NDArray[np.float64]) -> float:
        return float(values[:, 1].sum() / values[:, 0].sum())

    def occluder(values: NDArray[np.float64]) -> float:
        return float(values[:, 2].sum() / values[:, 0].sum())

    return {"not_face": not_face(pixels), "not_face_95": bootstrap_interval(pixels, not_face),
            "called_occluder": occluder(pixels), "called_occluder_95": bootstrap_interval(pixels, occluder)}


def half_figures(halves: Sequence[Halves]) -> dict[str, Any]:
    """Mean shares of the boxes' halves that are called occluder."""
    values = np.array(halves, np.float64)

    def lower(rows: NDArray[np.float64]) -> float:
        return float(np.nanmean(rows[:, 0])) if not np.isnan(rows[:, 0]).all() else float("nan")

    return {"faces": len(values), "lower_half": lower(values), "lower_half_95": bootstrap_interval(values, lower),
            "upper_half": lower(values[:, 1:]), "upper_half_95": bootstrap_interval(values[:, 1:], lower)}


def _table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [line["name"], line["system"], line["faces"], percent(line["iou_face"], 1), percent_range(line["iou_face_95"]),
         percent(line["iou_occluder"], 1), percent_range(line["iou_occluder_95"]), percent(line["accuracy"], 1),
         percent_range(line["accuracy_95"]), percent(line["recall_face"], 1), percent(line["recall_all"], 1),
         f"{line['sparsity']:.1f}", "{:.1f}..{:.1f}".format(*line["sparsity_95"]),
         round(line["fps"]) if np.isfinite(line["fps"]) else None] for line in lines]
    return Table("What of a face is seen (per cent; sparsity in components)",
                 ("set", "system", "faces", "IoU face", "95 %", "IoU occluder", "95 %", "accuracy", "95 %",
                  "recall face", "recall all", "sparsity", "95 %", "fps"), rows)


def _kind_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [line["name"], line["set"], line["system"], line["faces"], percent(line["not_face"], 1),
         percent_range(line["not_face_95"]), percent(line["called_occluder"], 1), percent(line["iou_face"], 1),
         percent_range(line["iou_face_95"]), percent(line["iou_occluder"], 1)] for line in lines]
    return Table("By what hides the face (per cent): of its own pixels, and on the pictures that show it",
                 ("kind", "set", "system", "faces", "not called face", "95 %", "called occluder", "IoU face", "95 %",
                  "IoU occluder"), rows)


def _boxed_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [line["name"], line["system"], line["faces"], percent(line["lower_half"], 1),
         percent_range(line["lower_half_95"]), percent(line["upper_half"], 1)] for line in lines]
    return Table("Faces that wear a mask, weak: share of an automatic box called occluder (per cent)",
                 ("set", "system", "faces", "lower half", "95 %", "upper half"), rows)
