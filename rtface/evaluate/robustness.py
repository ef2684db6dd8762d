"""Protocol ``robustness``: how far the result moves when something is put before a face.

A picture with one clean face is measured, an occluder of the factory is pasted where it would be on that face, and the
picture is measured again from the same detector box. What moved is the occluder's doing: the truth need not be known.

- ``landmarks``: mean shift of the network's 68 points, per cent of the eye corners' distance; hidden and seen apart.
- ``shape``: mean distance of the mesh's vertices (identity and expression, head space) in mm, over the face.
- ``identity``: the same of the identity alone.
- ``turn``: angle between both head rotations in degrees.
- ``confidence``: how much the presence falls.

Faces whose clean result is itself doubtful (presence below the tracker's) are left out and counted.

Systems are readers by name, each compared with its own clean result; where the occluder is put, from which box faces
are read, and which points it hides, is the first one's say. Today there is one: ``off``, without de-occlusion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from rtface.errors import InputError
from rtface.evaluate.dataset import Pack, Pixels, Problem, Sample, SampleSet
from rtface.evaluate.metrics import bootstrap_interval
from rtface.evaluate.networks import FaceReader, Measured
from rtface.evaluate.pasting import Paster, hidden_landmarks
from rtface.evaluate.report import Cell, Report, Table, percent
from rtface.figures.plot import Curve, Plot
from rtface.geometry import boxes_from_landmarks, rotation_matrices
from rtface.morphable import MorphableModel
from rtface.synth.head import NOT_FACE_REGIONS
from rtface.types import Frame

SETS: Final = ("cc0_people", "lfpw_test", "helen_test")
KINDS: Final = ("glasses", "sunglasses", "mask", "hand", "microphone", "cup", "phone", "headset", "scarf", "bar")
BINS: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0)
"""Covered share of the face."""
OFF: Final = "off"
"""The system without de-occlusion."""
WORST, WORST_OF_KIND = 12, 3
"""How many pictures are kept to be looked at, and at most of one occluder."""
SHOWN: Final = {"landmarks": "landmarks, of the eye corners' distance", "shape_mm": "mesh, mm",
                "identity_mm": "identity alone, mm"}
"""What is drawn over the covered share."""


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """One pasted picture against its clean one."""

    system: str
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


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A pasted picture to look at."""

    moved: Moved
    sample: Sample
    clean: Pixels
    pasted: Pixels
    before: Measured
    after: Measured


def run(pack: Pack, readers: Mapping[str, FaceReader], model: MorphableModel, *, sets: Sequence[str] = SETS,
        kinds: Sequence[str] = KINDS, seed: int = 0, settings: Mapping[str, Any] | None = None,
        look: Callable[[Sequence[Shown]], None] | None = None) -> Report:
    """Paste every kind once on every clean face, and read it with every system.

    ``look`` gets the pictures of the first system whose mesh moved most, worst first.
    """
    if not readers:
        raise InputError("robustness: got no systems, expected at least one reader")
    paster, moved, read, shown = Paster(model), list[Moved](), list[SampleSet](), list[Shown]()
    doubtful, lost = 0, dict.fromkeys(readers, 0)
    first = next(iter(readers))
    for name in sets:
        found = pack.faces(name)
        read.append(found)
        for number, (sample, pixels) in enumerate(found.pictures()):
            frame = Frame(pixels, number, 0.0)
            box = (boxes_from_landmarks(sample.points[None])[0] if sample.points is not None
                   else readers[first].largest(frame))
            read_clean = {} if box is None else {system: reader.measure(frame, box)
                                                 for system, reader in readers.items()}
            clean = {system: measured for system, measured in read_clean.items() if measured is not None}
            if box is None or len(clean) < len(readers):
                found.problems[sample.path] = Problem(sample.path, "no face found")
                continue
            if any(clean[system].presence < reader.landmarks.min_presence for system, reader in readers.items()):
                doubtful += 1
                continue
            for k, kind in enumerate(kinds):
                pasted = paster.paste(np.random.default_rng([seed, number, k]), pixels, clean[first].coefficients, kind)
                hidden = hidden_landmarks(clean[first].points, pasted.cover)
                for system, reader in readers.items():
                    after = reader.measure(Frame(pasted.pixels, number, 0.0), box)
                    if after is None:
                        lost[system] += 1
                        continue
                    moved.append(Moved(system, name, kind, pasted.coverage,
                                       **compare(model, clean[system], after, hidden)))
                    if look is not None and system == first:
                        shown = keep_worst([*shown, Shown(moved[-1], sample, pixels, pasted.pixels, clean[first],
                                                          after)])
    if look is not None:
        look(shown)
    results = [figures(system, group, label, rows) for system in readers
               for group, label, rows in _groups([m for m in moved if m.system == system], kinds) if rows]
    notes = [f"{doubtful} faces left out because the clean result was doubtful",
             *(f"{system}: {count} lost under an occluder" for system, count in lost.items())]
    return Report("robustness", [_table(results)], results, read,
                  {**(settings or {}), "kinds": list(kinds), "seed": seed}, notes, _curves(results, list(readers)))


def keep_worst(shown: Sequence[Shown]) -> list[Shown]:
    """The :data:`WORST` whose meshes moved most, worst first, at most :data:`WORST_OF_KIND` of one occluder."""
    kept, count = [], dict[str, int]()
    for one in sorted(shown, key=lambda one: -one.moved.shape_mm):
        count[one.moved.kind] = count.get(one.moved.kind, 0) + 1
        if count[one.moved.kind] <= WORST_OF_KIND:
            kept.append(one)
    return kept[:WORST]


def _groups(moved: Sequence[Moved], kinds: Sequence[str]) -> list[tuple[str, str, list[Moved]]]:
    groups = [("kind", kind, [m for m in moved if m.kind == kind]) for kind in kinds]
    groups += [("coverage", f"{100 * low:.0f}..{100 * high:.0f} %",
                [m for m in moved if low <= m.coverage < high or m.coverage >= high == BINS[-1]])
               for low, high in zip(BINS[:-1], BINS[1:], strict=True)]
    return [*groups, ("all", "all", list(moved))]


def _curves(results: Sequence[Mapping[str, Any]], systems: Sequence[str]) -> list[Plot]:
    """Mean displacement over the mean coverage of each bin, with 95 % intervals."""
    plots = []
    for field, label in SHOWN.items():
        curves = []
        for system in systems:
            lines = [line for line in results if line["system"] == system and line["group"] == "coverage"]
            curves.append(Curve(system, [line["coverage"] for line in lines], [line[field] for line in lines],
                                [line[f"{field}_95"][0] for line in lines], [line[f"{field}_95"][1] for line in lines]))
        plots.append(Plot(f"What an occluder moves: {label}", "covered share of the face", label, curves, (0, 0.8),
                          percent="xy" if field == "landmarks" else "x"))
    return plots


def figures(system: str, group: str, name: str, rows: Sequence[Moved]) -> dict[str, Any]:
    """Means over pasted pictures, with intervals of what is drawn."""
    def mean(field: str) -> float:
        values = np.array([getattr(row, field) for row in rows], np.float64)
        return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")

    def interval(field: str) -> tuple[float, float]:
        return bootstrap_interval(np.array([getattr(row, field) for row in rows]), lambda r: float(r.mean()))

    fields = ("coverage", "landmarks", "hidden", "seen", "shape_mm", "identity_mm", "turn_deg", "presence_drop")
    return {"system": system, "group": group, "name": name, "pasted": len(rows),
            **{field: mean(field) for field in fields}, **{f"{field}_95": interval(field) for field in SHOWN}}


def _table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [line["name"], line["system"], line["pasted"], percent(line["coverage"], 1), percent(line["landmarks"]),
         percent(line["seen"]), percent(line["hidden"]), f"{line['shape_mm']:.2f}",
         "{:.2f}..{:.2f}".format(*line["shape_mm_95"]), f"{line['identity_mm']:.2f}", f"{line['turn_deg']:.1f}",
         percent(line["presence_drop"], 1)] for line in lines]
    return Table("What an occluder moves (landmarks in per cent of the eye corners' distance, mesh in mm)",
                 ("occluder", "de-occlusion", "pasted", "coverage", "landmarks", "seen", "hidden", "shape mm", "95 %",
                  "identity mm", "turn deg", "presence lost"), rows)
