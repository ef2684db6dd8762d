"""Protocol ``detector``: does rtface find the faces of still pictures, judged by labels and by another detector?

A detection is a face when it overlaps the reference box by at least 0.5 (PASCAL VOC, Everingham et al. 2010), best
score first. References are

- ``labels``: the box of :func:`rtface.geometry.boxes_from_landmarks` around the 68 labelled points (hair line to chin,
  ear to ear). One face per picture is labelled although others may be in it, so there is recall but no precision.
- ``peer``: all boxes of another detector (YuNet, score ≥ 0.6). Neither is the truth; disagreement is what is counted.

Boxes from files (:mod:`rtface.evaluate.predictions`) are judged by both, all but by size.

Box conventions differ between detectors. Each reference is therefore also used after a re-fit: fixed numbers that move
and scale the subject's boxes in their own width and height, fitted on one half of the pictures (medians over pairs that
overlap by 0.2) and applied to the other half, and the other way round. Those figures are reported apart.

By size: every labelled picture is scaled and put into a grey 640 × 480 frame so that its face has a given share of the
frame's height, for the recall of small and of large faces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtface import ops
from rtface.evaluate.curves import share_from
from rtface.evaluate.dataset import Pack, Sample, SampleSet
from rtface.evaluate.metrics import SAME_FACE_IOU, DetectionCounts, bootstrap_interval, match_boxes, mean_interval
from rtface.evaluate.predictions import Predictions
from rtface.evaluate.report import Cell, Report, Table, percent, percent_range
from rtface.figures.plot import Curve, Plot
from rtface.geometry import FloatArray, apply_affine, box_iou, boxes_from_landmarks, invert_affine
from rtface.stages.detect import Detections, Detects
from rtface.types import Frame

LABELLED_SETS: Final = ("lfpw_test", "helen_test")
UNLABELLED_SETS: Final = ("cc0_people", "public_domain")
SETS: Final = (*LABELLED_SETS, *UNLABELLED_SETS)
THRESHOLDS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SHOWN_IOUS: Final = tuple(round(0.3 + 0.025 * k, 3) for k in range(26))
LOWEST_SCORE: Final = THRESHOLDS[0]
"""What the detector under test must be asked for; its usual threshold is applied here."""
PAIR_IOU: Final = 0.2
"""Boxes of the same face overlap by more, whatever the convention."""
POOLED: Final = "all"
FACE_SHARES: Final = (0.05, 0.075, 0.1, 0.15, 0.25, 0.4, 0.6, 0.9)
"""Heights of the labelled box over the frame's height."""
CANVAS: Final = (640, 480)
"""Width and height in px of the frames that pictures are put into."""
GREY: Final = 115


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One picture, as everybody sees it."""

    set_name: str
    sample: Sample
    detections: Mapping[str, Detections]
    """By detector: ``rtface`` (from LOWEST_SCORE on) and ``peer``."""
    label: FloatArray | None
    """(1, 4) px box of the labelled face."""


class Refit(NamedTuple):
    """Boxes of one convention → another, in widths and heights of the box."""

    shift: NDArray[np.float64]
    """(2,) of the centre, per width and height."""
    scale: NDArray[np.float64]
    """(2,) of width and height."""

    def apply(self, boxes_xyxy: FloatArray) -> FloatArray:
        """(M, 4) → (M, 4)."""
        size = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
        center = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2 + self.shift * size
        half = size * self.scale / 2
        return np.concatenate([center - half, center + half], axis=1).astype(np.float32)


def run(pack: Pack, detectors: Mapping[str, Detects], *, min_score: float, sets: Sequence[str] = SETS,
        files: Sequence[Predictions] = (), settings: Mapping[str, Any] | None = None,
        look: Callable[[Sequence[Seen]], None] | None = None) -> Report:
    """Compare the detectors under the names ``rtface`` and ``peer`` (either may be missing) on sets of the pack.

    ``rtface`` must give its detections from :data:`LOWEST_SCORE` on; ``min_score`` is its threshold in use.
    ``look`` gets what was seen, for pictures of where the detectors disagree.
    """
    read = [pack.faces(name) for name in sets]
    seen = [record for found in read for record in _look(found, detectors, files)]
    subjects = [*detectors, *(one.name for one in files)]
    if look is not None:
        look(seen)
    names = [*(name for name in sets if any(s.set_name == name for s in seen)), *([POOLED] if seen else [])]
    results = [line for name in names for line in _lines(_of(seen, name), name, subjects, min_score)]
    sweep = [line for name in names for line in _sweep(_of(seen, name), name)] if "rtface" in detectors else []
    sizes = list(_by_size(read, detectors, min_score))
    notes = ["recall against labels counts the one labelled face of each picture; other faces in it are not labelled, "
             "so there is no precision"]
    refits: list[dict[str, Any]] = []
    for subject, reference in _pairs(subjects):
        if (fitted := _fit(seen, subject, reference, min_score)) is None:
            continue
        (shift, scale), pairs = fitted
        refits.append({"kind": "refit", "subject": subject, "reference": reference, "shift": list(shift),
                       "scale": list(scale), "pairs": pairs})
        notes.append(f"re-fit of {subject} to {reference} (all {pairs} pairs): centre {shift[0]:+.3f} widths, "
                     f"{shift[1]:+.3f} heights; width x {scale[0]:.3f}, height x {scale[1]:.3f}")
    notes += [note for one in files for note in one.notes()]
    return Report("detector", [_table(results), _sweep_table(sweep), _size_table(sizes)],
                  [*results, *sweep, *sizes, *refits], read,
                  {**(settings or {}), "min_score": min_score, "iou": SAME_FACE_IOU,
                   "peer_files": {one.name: one.describe() for one in files}}, notes,
                  [*_overlap_curves(seen, subjects, min_score), *_sweep_curves(sweep)] if seen else [])


def best_overlaps(seen: Sequence[Seen], subject: str, min_score: float) -> NDArray[np.float64]:
    """(K,) of every labelled face: its overlap with the detection that overlaps it most, 0 without any."""
    found = []
    for record in seen:
        boxes = boxes_of(record, subject, min_score)
        if record.label is not None and boxes is not None:
            found.append(float(box_iou(boxes[0], record.label).max(initial=0)))
    return np.array(found)


def _overlap_curves(seen: Sequence[Seen], subjects: Sequence[str], min_score: float) -> Iterator[Plot]:
    overlaps = {subject: best_overlaps(seen, subject, min_score) for subject in subjects}
    curves = [Curve(subject, SHOWN_IOUS, share_from(values, SHOWN_IOUS)) for subject, values in overlaps.items()
              if len(values)]
    if curves:
        yield Plot("all sets: labelled faces by the overlap asked for", "overlap (IoU) of at least", "recall", curves,
                   (SHOWN_IOUS[0], SHOWN_IOUS[-1]), (0, 1), "y")


def _sweep_curves(sweep: Sequence[Mapping[str, Any]]) -> Iterator[Plot]:
    """Precision over recall against the peer's boxes, one point per threshold."""
    lines = {name: [line for line in sweep if line["set"] == name and "precision_peer" in line]
             for name in dict.fromkeys(line["set"] for line in sweep)}
    curves = [Curve(name, [line["recall_peer"] for line in rows], [line["precision_peer"] for line in rows])
              for name, rows in lines.items() if rows]
    if curves:
        yield Plot(f"rtface against the peer's boxes, score from {THRESHOLDS[0]} to {THRESHOLDS[-1]}", "recall",
                   "precision", curves, percent="xy")


def _look(found: SampleSet, detectors: Mapping[str, Detects], files: Sequence[Predictions]) -> Iterator[Seen]:
    for number, (sample, pixels) in enumerate(found.pictures()):
        frame = Frame(pixels, number, 0.0)
        detections = {name: detector.detect(frame) for name, detector in detectors.items()}
        detections |= {one.name: _given(one.of(sample.path.partition("#")[0])) for one in files}
        label = None if sample.points is None else boxes_from_landmarks(sample.points[None])
        yield Seen(found.name, sample, detections, label)


def _given(rows: NDArray[Any] | None) -> Detections:
    """(M, 5) boxes and scores, or (M, 4) of equal scores."""
    rows = np.zeros((0, 5)) if rows is None else rows
    scores = rows[:, 4] if rows.shape[1] == 5 else np.ones(len(rows))
    return Detections(rows[:, :4].astype(np.float32), scores.astype(np.float32))


def on_canvas(pixels: NDArray[np.uint8], label: FloatArray, share: float) -> tuple[NDArray[np.uint8], FloatArray]:
    """The picture in a grey frame, its face's box (1, 4) px in the middle and ``share`` of the frame high.

    Returns the frame (H, W, 3) and the box in it.
    """
    width, height = CANVAS
    frame_from_canvas = np.zeros((1, 2, 3), np.float32)
    step = float(label[0, 3] - label[0, 1]) / (share * height)  # picture px per canvas px
    frame_from_canvas[0, 0, 0] = frame_from_canvas[0, 1, 1] = step
    center = (label[0, :2] + label[0, 2:]) / 2
    frame_from_canvas[0, :, 2] = center - step * np.array([width, height]) / 2
    square = ops.sample_crops(np.ascontiguousarray(pixels), frame_from_canvas, max(CANVAS), border="constant",
                              border_value=GREY)[0, :, :height, :width]
    box = apply_affine(invert_affine(frame_from_canvas), label.reshape(1, 2, 2)).reshape(1, 4).astype(np.float32)
    return np.ascontiguousarray((square * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)), box


def _by_size(read: Sequence[SampleSet], detectors: Mapping[str, Detects], min_score: float) -> Iterator[dict[str, Any]]:
    """Recall of the labelled face at each share of the frame's height, over all labelled sets."""
    hits: dict[tuple[str, float], list[int]] = {}
    for found in read:
        if not any(sample.points is not None for sample in found.samples):
            continue
        for sample, pixels in found.pictures():
            if sample.points is None:
                continue
            for share in FACE_SHARES:
                canvas, box = on_canvas(pixels, boxes_from_landmarks(sample.points[None]), share)
                for name, detector in detectors.items():
                    seen = Seen(found.name, sample, {name: detector.detect(Frame(canvas, 0, 0.0))}, box)
                    rows, _ = _counts([seen], name, "labels", min_score)
                    hits.setdefault((name, share), []).append(int(rows[0, 0]))
    for (name, share), found_faces in hits.items():
        yield {"kind": "size", "subject": name, "face_share": share, "pictures": len(found_faces),
               "recall": float(np.mean(found_faces)),
               "recall_95": mean_interval(np.array(found_faces))}


def _of(seen: Sequence[Seen], name: str) -> list[Seen]:
    return list(seen) if name == POOLED else [s for s in seen if s.set_name == name]


def _pairs(detectors: Iterable[str]) -> list[tuple[str, str]]:
    """Who is judged by whom."""
    names = list(detectors)
    return [*((name, "labels") for name in names),
            *((name, "peer") for name in names if "peer" in names and name != "peer")]


def boxes_of(record: Seen, who: str, min_score: float) -> tuple[FloatArray, FloatArray] | None:
    """Boxes and scores; None where there is no such reference."""
    if who == "labels":
        return None if record.label is None else (record.label, np.ones(1, np.float32))
    found = record.detections[who]
    kept = found.scores >= min_score if who == "rtface" else np.ones(len(found), bool)
    return found.boxes_xyxy[kept], found.scores[kept]


def _counts(seen: Sequence[Seen], subject: str, reference: str, min_score: float,
            refits: Mapping[int, Refit] | None = None) -> tuple[NDArray[np.int64], list[float]]:
    """Per picture with this reference: hits, detections, references (K, 3); and the overlaps of loose pairs."""
    rows: list[tuple[int, int, int]] = []
    overlaps: list[float] = []
    for number, record in enumerate(seen):
        wanted, got = boxes_of(record, reference, min_score), boxes_of(record, subject, min_score)
        if wanted is None or got is None:
            continue
        boxes = refits[number % 2].apply(got[0]) if refits else got[0]
        hits = match_boxes(boxes, got[1], wanted[0])
        rows.append((int((hits.reference >= 0).sum()), len(boxes), len(wanted[0])))
        loose = match_boxes(boxes, got[1], wanted[0], PAIR_IOU)
        overlaps += loose.iou[loose.reference >= 0].tolist()
    return np.array(rows, np.int64).reshape(-1, 3), overlaps


def _fit(seen: Sequence[Seen], subject: str, reference: str, min_score: float,
         half: int | None = None) -> tuple[Refit, int] | None:
    """Medians over loose pairs of all pictures, or of those whose number is ``half`` modulo 2; None without pairs."""
    shifts, scales = [], []
    for number, record in enumerate(seen):
        wanted, got = boxes_of(record, reference, min_score), boxes_of(record, subject, min_score)
        if wanted is None or got is None or (half is not None and number % 2 != half):
            continue
        pairs = match_boxes(got[0], got[1], wanted[0], PAIR_IOU)
        a, b = got[0][pairs.reference >= 0], wanted[0][pairs.reference[pairs.reference >= 0]]
        size = a[:, 2:] - a[:, :2]
        shifts += list(((b[:, :2] + b[:, 2:]) - (a[:, :2] + a[:, 2:])) / 2 / size)
        scales += list((b[:, 2:] - b[:, :2]) / size)
    if not shifts:
        return None
    shift, scale = (np.median(np.asarray(rows, np.float64), axis=0) for rows in (shifts, scales))
    return Refit(shift, scale), len(shifts)


def _lines(seen: Sequence[Seen], name: str, subjects: Sequence[str], min_score: float) -> Iterator[dict[str, Any]]:
    """Figures of one set at the threshold in use, before and after the re-fit."""
    for subject, reference in _pairs(subjects):
        if not any(boxes_of(s, reference, min_score) is not None for s in seen):
            continue
        halves = {half: _fit(seen, subject, reference, min_score, 1 - half) for half in (0, 1)}
        yield _line(seen, name, subject, reference, min_score, None)
        if (even := halves[0]) is not None and (odd := halves[1]) is not None:
            yield _line(seen, name, subject, reference, min_score, {0: even[0], 1: odd[0]})


def _line(seen: Sequence[Seen], name: str, subject: str, reference: str, min_score: float,
          refits: Mapping[int, Refit] | None) -> dict[str, Any]:
    rows, overlaps = _counts(seen, subject, reference, min_score, refits)
    total = DetectionCounts(*rows.sum(axis=0).tolist())
    judged = reference != "labels"  # labels name one face of possibly several
    return {"kind": "refitted" if refits else "as_is", "set": name, "subject": subject, "reference": reference,
            "pictures": len(rows), **total._asdict(), "recall": total.recall,
            "recall_95": bootstrap_interval(rows, _recall), "precision": total.precision if judged else None,
            "precision_95": bootstrap_interval(rows, _precision) if judged else None,
            "f1": total.f1 if judged else None, "mean_iou": float(np.mean(overlaps)) if overlaps else None}


def _recall(rows: NDArray[Any]) -> float:
    return DetectionCounts(*rows.sum(axis=0).tolist()).recall


def _precision(rows: NDArray[Any]) -> float:
    return DetectionCounts(*rows.sum(axis=0).tolist()).precision


def _sweep(seen: Sequence[Seen], name: str) -> Iterator[dict[str, Any]]:
    """Recall and precision of rtface at several thresholds."""
    for threshold in THRESHOLDS:
        line: dict[str, Any] = {"kind": "threshold", "set": name, "min_score": threshold}
        for reference in ("labels", "peer"):
            if reference == "peer" and any("peer" not in s.detections for s in seen):
                continue
            rows, _ = _counts(seen, "rtface", reference, threshold)
            total = DetectionCounts(*rows.sum(axis=0).tolist())
            line[f"recall_{reference}"] = total.recall
            if reference == "peer":
                line["precision_peer"], line["f1_peer"] = total.precision, total.f1
        yield line


def _table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = []
    for line in lines:
        judged = line["precision"] is not None
        rows.append([line["set"], line["subject"], line["reference"],
                     "re-fitted" if line["kind"] == "refitted" else "as is", line["pictures"], line["references"],
                     line["hits"], percent(line["recall"]), percent_range(line["recall_95"]),
                     percent(line["precision"]) if judged else None,
                     percent_range(line["precision_95"]) if judged else None, percent(line["f1"]) if judged else None,
                     None if line["mean_iou"] is None else f"{line['mean_iou']:.3f}"])
    return Table(f"Faces found (overlap of at least {SAME_FACE_IOU}; per cent, 95 % bootstrap intervals over pictures)",
                 ("set", "detector", "against", "boxes", "pictures", "faces", "hits", "recall", "95 %", "precision",
                  "95 %", "F1", "mean IoU"), rows)


def _sweep_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [[line["set"], f"{line['min_score']:.1f}",
                               *(percent(line[key]) if line.get(key) is not None else None
                                 for key in ("recall_labels", "recall_peer", "precision_peer", "f1_peer"))]
                              for line in lines]
    return Table("rtface by score threshold (boxes as they are; per cent)",
                 ("set", "score from", "recall labels", "recall peer", "precision peer", "F1 peer"), rows)


def _size_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [[line["subject"], percent(line["face_share"], 1), f"{line['face_share'] * CANVAS[1]:.0f}",
                               line["pictures"], percent(line["recall"]), percent_range(line["recall_95"])]
                              for line in sorted(lines, key=lambda line: (line["subject"], line["face_share"]))]
    return Table(f"By size of the face in a {CANVAS[0]} x {CANVAS[1]} frame (labelled face, per cent)",
                 ("detector", "of the height", "px", "faces", "recall", "95 %"), rows)
