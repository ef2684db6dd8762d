"""Protocol ``robustness``: how far the result moves when something is put before a face.

A picture with one clean face is measured, an occluder of the factory is pasted where it would be on that face, and the
picture is measured again from the same detector box. What moved is the occluder's doing: the truth need not be known.

- ``landmarks``: mean shift of the network's 68 points, per cent of the eye corners' distance; hidden and seen apart.
- ``shape``: mean distance of the mesh's vertices (identity and expression, head space) in mm, over the face.
- ``identity``: the same of the identity alone.
- ``turn``: angle between both head rotations in degrees.
- ``confidence``: how much the presence falls.

Faces whose clean result is itself doubtful (presence below the tracker's) are left out and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from rtface.evaluate.dataset import Pack, Problem
from rtface.evaluate.metrics import bootstrap_interval
from rtface.evaluate.networks import FaceReader, Measured
from rtface.evaluate.pasting import Paster, hidden_landmarks
from rtface.evaluate.report import Cell, Report, Table, percent
from rtface.geometry import FloatArray, boxes_from_landmarks, rotation_matrices
from rtface.morphable import MorphableModel
from rtface.synth.head import NOT_FACE_REGIONS
from rtface.types import Frame

SETS: Final = ("cc0_people", "lfpw_test", "helen_test")
KINDS: Final = ("glasses", "sunglasses", "mask", "hand", "microphone", "cup", "phone", "headset", "scarf", "bar")
BINS: Final = (0.0, 0.1, 0.2, 0.4, 0.6, 1.0)
"""Covered share of the face."""


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """One pasted picture against its clean one."""

    set_name: str
    kind: str
    coverage: float
    landmarks: float
    """Mean shift over the outer eye corners' distance; so the next two, NaN without such points."""
    hidden: float
    seen: float
    shape_mm: float
    identity_mm: float
    turn_deg: float
    presence_drop: float


def compare(model: MorphableModel, clean: Measured, pasted: Measured, hidden: Any) -> dict[str, float]:
    """The figures of :class:`Moved` that follow from two results."""
    shift = np.linalg.norm(pasted.points - clean.points, axis=1) / float(
        np.linalg.norm(clean.points[36] - clean.points[45]))
    keep = ~model.region_mask(*NOT_FACE_REGIONS)
    a, b = clean.coefficients, pasted.coefficients
    still = np.zeros_like(a.expression)

    def apart(first: Any, second: Any) -> float:
        return float(np.linalg.norm(first[0, keep] - second[0, keep], axis=1).mean())

    vertices = model.vertices
    between = rotation_matrices(a.rotation)[0].T @ rotation_matrices(b.rotation)[0]
    cosine = np.clip((np.trace(between) - 1) / 2, -1, 1)
    return {"landmarks": float(shift.mean()), "hidden": float(shift[hidden].mean()) if hidden.any() else np.nan,
            "seen": float(shift[~hidden].mean()) if not hidden.all() else np.nan,
            "shape_mm": apart(vertices(a.identity, a.expression), vertices(b.identity, b.expression)),
            "identity_mm": apart(vertices(a.identity, still), vertices(b.identity, still)),
            "turn_deg": float(np.degrees(np.arccos(cosine))), "presence_drop": clean.presence - pasted.presence}


def run(pack: Pack, reader: FaceReader, model: MorphableModel, *, sets: Sequence[str] = SETS,
        kinds: Sequence[str] = KINDS, seed: int = 0, settings: Mapping[str, Any] | None = None) -> Report:
    """Paste every kind once on every clean face."""
    paster, moved, read, doubtful, lost = Paster(model), [], [], 0, 0
    for name in sets:
        found = pack.faces(name)
        read.append(found)
        for number, (sample, pixels) in enumerate(found.pictures()):
            frame = Frame(pixels, number, 0.0)
            box = (boxes_from_landmarks(sample.points[None])[0] if sample.points is not None
                   else _largest(reader.detector.detect(frame).boxes_xyxy))
            clean = None if box is None else reader.measure(frame, box)
            if box is None or clean is None:
                found.problems[sample.path] = Problem(sample.path, "no face found")
                continue
            if clean.presence < reader.landmarks.min_presence:
                doubtful += 1
                continue
            for k, kind in enumerate(kinds):
                pasted = paster.paste(np.random.default_rng([seed, number, k]), pixels, clean.coefficients, kind)
                after = reader.measure(Frame(pasted.pixels, number, 0.0), box)
                if after is None:
                    lost += 1
                    continue
                moved.append(Moved(name, kind, pasted.coverage, **compare(
                    model, clean, after, hidden_landmarks(clean.points, pasted.cover))))
    groups = [("kind", kind, [m for m in moved if m.kind == kind]) for kind in kinds]
    groups += [("coverage", f"{100 * low:.0f}..{100 * high:.0f} %", [m for m in moved if low <= m.coverage < high])
               for low, high in zip(BINS[:-1], BINS[1:], strict=True)]
    groups.append(("all", "all", moved))
    results = [figures(group, name, rows) for group, name, rows in groups if rows]
    notes = [f"{doubtful} faces left out because the clean result was doubtful; {lost} lost under an occluder"]
    return Report("robustness", [_table(results)], results, read,
                  {**(settings or {}), "kinds": list(kinds), "seed": seed}, notes)


def _largest(boxes_xyxy: FloatArray) -> FloatArray | None:
    if not len(boxes_xyxy):
        return None
    best: FloatArray = boxes_xyxy[int(np.prod(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], axis=1).argmax())]
    return best


def figures(group: str, name: str, rows: Sequence[Moved]) -> dict[str, Any]:
    """Means over pasted pictures."""
    def mean(field: str) -> float:
        values = np.array([getattr(row, field) for row in rows], np.float64)
        return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")

    shape = np.array([row.shape_mm for row in rows])
    fields = ("coverage", "landmarks", "hidden", "seen", "shape_mm", "identity_mm", "turn_deg", "presence_drop")
    return {"group": group, "name": name, "pasted": len(rows), **{field: mean(field) for field in fields},
            "shape_mm_95": bootstrap_interval(shape, lambda r: float(r.mean()))}


def _table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [line["name"], line["pasted"], percent(line["coverage"], 1), percent(line["landmarks"]), percent(line["seen"]),
         percent(line["hidden"]), f"{line['shape_mm']:.2f}", "{:.2f}..{:.2f}".format(*line["shape_mm_95"]),
         f"{line['identity_mm']:.2f}", f"{line['turn_deg']:.1f}", percent(line["presence_drop"], 1)] for line in lines]
    return Table("What an occluder moves (landmarks in per cent of the eye corners' distance, mesh in mm)",
                 ("occluder", "pasted", "coverage", "landmarks", "seen", "hidden", "shape mm", "95 %", "identity mm",
                  "turn deg", "presence lost"), rows)
