"""Protocol ``robustness``: how far the result moves when something is put before a face.

A picture with one clean face is measured, an occluder of the factory is pasted where it would be on that face, and the
picture is measured again from the same detector box. What moved is the occluder's doing: the truth need not be known.

- ``landmarks``: mean shift of the network's 68 points, per cent of the eye corners' distance; hidden and seen apart.
- ``shape``: mean distance of the mesh's vertices (identity and expression, head space) in mm, over the face.
  ``seen mm`` and ``hidden mm``: of the vertices beside and under what was pasted.
- ``identity``: the same of the identity alone.
- ``turn``: angle between both head rotations in degrees.
- ``confidence``: how much the presence falls.

Faces whose clean result is itself doubtful (presence below the tracker's) are left out and counted.

Systems are readers by name, each compared with its own clean result; where the occluder is put, from which box faces
are read, and which points it hides, is the first one's say. ``regressor only`` is that one's regressor on the crop of
the clean picture's points: what the occluder does to the regressor, without what it does to the landmarks. Other
systems' results on the same clean and pasted pictures come from files (:mod:`rtface.evaluate.predictions`) and are
compared in the same way, as far as they go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.evaluate.dataset import Pack, Pixels, Problem, Sample, SampleSet
from rtface.evaluate.displacement import Faces, Result, compare, predicted_result, under
from rtface.evaluate.exports import Inputs
from rtface.evaluate.metrics import mean_interval
from rtface.evaluate.networks import FaceReader, Measured
from rtface.evaluate.pasting import Pasted, Paster
from rtface.evaluate.predictions import Predictions
from rtface.evaluate.report import Cell, Report, Table, amount, amount_range, percent, percent_range
from rtface.figures.plot import Curve, Plot
from rtface.geometry import FloatArray, boxes_from_landmarks
from rtface.morphable import MorphableModel
from rtface.types import Frame

SETS: Final = ("cc0_people", "lfpw_test", "helen_test")
KINDS: Final = ("glasses", "sunglasses", "mask", "hand", "microphone", "cup", "phone", "headset", "scarf", "bar")
BINS: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0)
"""Covered share of the face."""
OFF: Final = "off"
"""The system without de-occlusion."""
REGRESSOR: Final = "regressor only"
WORST, WORST_OF_KIND = 12, 3
"""How many pictures are kept to be looked at, and at most of one occluder."""
SHOWN: Final = {"landmarks": "landmarks, of the eye corners' distance", "shape_mm": "mesh, mm",
                "identity_mm": "identity alone, mm"}
"""What is drawn over the covered share."""
ANSWER: Final = ("KEY: (68, 2) points in px; KEY:mesh, KEY:identity: (V, 3) mm, the face before the head is turned, "
                 "with expression and without; KEY:rotation: (3, 3); any of them; inputs: the fingerprint")
BY_KIND: Final = {"landmarks": "of eyes' distance", "shape_mm": "mm"}
"""What is drawn for every kind as well, and its unit."""
LEAST_DRAWN: Final = 5
"""Fewer pictures in a bin say nothing about it."""


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
    shape_seen_mm: float
    """Of the vertices that were not pasted over; of the others next. NaN for meshes other than the first system's."""
    shape_hidden_mm: float
    identity_mm: float
    turn_deg: float
    presence_drop: float


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
        kinds: Sequence[str] | None = None, seed: int = 0, settings: Mapping[str, Any] | None = None,
        look: Callable[[Sequence[Shown]], None] | None = None, files: Sequence[Predictions] = (),
        inputs: Inputs | None = None) -> Report:
    """Paste every kind (None: :data:`KINDS`) once on every clean face, and read it with every system.

    ``look`` gets the pictures of the first system whose mesh moved most, worst first. files: results of other systems;
    inputs: gets the pictures that they are for.
    """
    if not readers:
        raise InputError("robustness: got no systems, expected at least one reader")
    kinds = kinds or KINDS
    comparison = _Comparison(readers, files, Faces(model), inputs or Inputs("robustness"))
    paster, read, shown, doubtful = Paster(model), list[SampleSet](), list[Shown](), 0
    for name in sets:
        found = pack.faces(name)
        read.append(found)
        for number, (sample, pixels) in enumerate(found.pictures()):
            clean = comparison.clean(sample, pixels)
            if clean is None:
                found.problems[sample.path] = Problem(sample.path, "no face found")
                continue
            if clean.doubtful:
                doubtful += 1
                continue
            for k, kind in enumerate(kinds):
                pasted = paster.paste(np.random.default_rng([seed, number, k]), pixels, clean.first.coefficients, kind)
                own = comparison.paste(clean, name, kind, pasted)
                if look is not None and own is not None:
                    shown = keep_worst([*shown, own])
    if look is not None:
        look(shown)
    moved, systems = comparison.moved, list(comparison.lost)
    lines = [figures(system, group, label, rows) for system in systems
             for group, label, rows in _groups([m for m in moved if m.system == system], kinds) if rows]
    notes = [f"{doubtful} faces left out because the clean result was doubtful",
             *(f"{system}: {count} lost under an occluder" for system, count in comparison.lost.items()),
             *comparison.inputs.finish(ANSWER, files), *(note for one in files for note in one.notes())]
    return Report("robustness", [_table(lines)], lines, read,
                  {**(settings or {}), "kinds": list(kinds), "seed": seed, "inputs": comparison.inputs.fingerprint,
                   "peer_files": {one.name: one.describe() for one in files}}, notes, _curves(lines, kinds))


@dataclass(frozen=True, slots=True, eq=False)
class _Clean:
    """One picture without an occluder."""

    sample: Sample
    pixels: Pixels
    box: FloatArray
    first: Measured
    """What the first reader says."""
    results: Mapping[str, Result]
    """By system; files may lack it."""
    doubtful: bool


class _Comparison:
    """Reads pictures with every system and keeps what moved."""

    def __init__(self, readers: Mapping[str, FaceReader], files: Sequence[Predictions], faces: Faces,
                 inputs: Inputs) -> None:
        self.readers, self.files, self.faces, self.inputs = readers, files, faces, inputs
        self.moved: list[Moved] = []
        self.lost = dict.fromkeys((*readers, REGRESSOR, *(one.name for one in files)), 0)
        """Pasted pictures without a result, by system."""

    def clean(self, sample: Sample, pixels: Pixels) -> _Clean | None:
        """Every system's say on a clean picture; None where a reader finds no face."""
        frame, first = Frame(pixels, 0, 0.0), next(iter(self.readers))
        box = (boxes_from_landmarks(sample.points[None])[0] if sample.points is not None
               else self.readers[first].largest(frame))
        if box is None:
            return None
        read = {system: reader.measure(frame, box) for system, reader in self.readers.items()}
        found = {system: measured for system, measured in read.items() if measured is not None}
        if len(found) < len(read):
            return None
        if any(found[system].presence < reader.landmarks.min_presence for system, reader in self.readers.items()):
            return _Clean(sample, pixels, box, found[first], {}, True)
        self.inputs.add(sample.path, {"picture": pixels}, box_xyxy=box)
        return _Clean(sample, pixels, box, found[first], {
            **{system: self.faces.result(measured) for system, measured in found.items()},
            REGRESSOR: self._regressed(frame, found[first].points), **self._given(sample.path)}, False)

    def paste(self, clean: _Clean, set_name: str, kind: str, pasted: Pasted) -> Shown | None:
        """Every system on the pasted picture; the first reader's for people to see, None where it lost the face."""
        key = f"{clean.sample.path}, {kind}"
        self.inputs.add(key, {"picture": pasted.pixels}, box_xyxy=clean.box, coverage=round(pasted.coverage, 4))
        hidden = under(clean.first.points, pasted.cover)
        covered = self.faces.covered(clean.first.coefficients, pasted.cover)
        read = {system: reader.measure(Frame(pasted.pixels, 0, 0.0), clean.box)
                for system, reader in self.readers.items()}
        after = {**{system: self.faces.result(found) for system, found in read.items() if found is not None},
                 REGRESSOR: self._regressed(Frame(pasted.pixels, 0, 0.0), clean.first.points), **self._given(key)}
        own: Moved | None = None
        for number, system in enumerate(self.lost):
            values = self._values(clean.results.get(system), after.get(system), (hidden, covered), system, key)
            if values is None:
                self.lost[system] += 1
                continue
            self.moved.append(Moved(system, set_name, kind, pasted.coverage, **values))
            own = self.moved[-1] if number == 0 else own
        seen = next(iter(read.values()))
        return None if own is None or seen is None else Shown(own, clean.sample, clean.pixels, pasted.pixels,
                                                              clean.first, seen)

    def _regressed(self, frame: Frame, points: FloatArray) -> Result:
        """The first reader's regressor on the crop of given points."""
        return self.faces.of_coefficients(next(iter(self.readers.values())).regress_at(frame, points))

    def _given(self, key: str) -> dict[str, Result]:
        """What the files say of a picture."""
        return {one.name: given for one in self.files if (given := predicted_result(one, key)) is not None}

    def _values(self, clean: Result | None, after: Result | None, below: tuple[NDArray[np.bool_], NDArray[np.bool_]],
                system: str, key: str) -> dict[str, float] | None:
        """below: landmarks (68,) and vertices (V,) that were pasted over."""
        if clean is None or after is None:
            return None
        try:
            return compare(clean, after, *below)
        except InputError as exc:
            for one in self.files:
                if one.name == system:
                    one.wrong[key] = str(exc)
            return None


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
    groups += [("coverage", *one) for one in _by_coverage(moved)]
    groups += [(f"coverage of {kind}", *one) for kind in kinds for one in _by_coverage(
        [m for m in moved if m.kind == kind])]
    return [*groups, ("all", "all", list(moved))]


def _by_coverage(moved: Sequence[Moved]) -> list[tuple[str, list[Moved]]]:
    return [(f"{100 * low:.0f}..{100 * high:.0f} %",
             [m for m in moved if low <= m.coverage < high or m.coverage >= high == BINS[-1]])
            for low, high in zip(BINS[:-1], BINS[1:], strict=True)]


def _curves(lines: Sequence[Mapping[str, Any]], kinds: Sequence[str]) -> list[Plot]:
    """Mean displacement over the mean coverage of each bin, with 95 % intervals: of all kinds, then small, by kind.

    Small plots of one figure share their axes, so that kinds can be compared by eye. Bins with fewer than
    :data:`LEAST_DRAWN` pictures are left out of these; all are in the JSON document.
    """
    plots = [Plot(f"What an occluder moves: {label}", "covered share of the face", label,
                  [_curve(lines, "coverage", system, field) for system in _with(lines, field)], (0, 0.8),
                  percent=_percent(field)) for field, label in SHOWN.items()]
    drawn = [line for line in lines if line["pasted"] >= LEAST_DRAWN]
    for field, unit in BY_KIND.items():
        high = [line[f"{field}_95"][1] for line in drawn if line["group"].startswith("coverage of ")]
        top = max((value for value in high if np.isfinite(value)), default=1.0)
        plots += [Plot(kind, "covered share", unit, [
            _curve(drawn, f"coverage of {kind}", system, field) for system in _with(lines, field)], (0, 0.8), (0, top),
            _percent(field), group=f"By kind of occluder: {SHOWN[field]}") for kind in kinds]
    return plots


def _with(lines: Sequence[Mapping[str, Any]], field: str) -> list[str]:
    """Systems that have a figure at all."""
    return list(dict.fromkeys(line["system"] for line in lines if np.isfinite(line[field])))


def _curve(lines: Sequence[Mapping[str, Any]], group: str, system: str, field: str) -> Curve:
    rows = [line for line in lines if line["system"] == system and line["group"] == group]
    low, high = ([line[f"{field}_95"][k] for line in rows] for k in (0, 1))
    return Curve(system, [line["coverage"] for line in rows], [line[field] for line in rows], low, high)


def _percent(field: str) -> str:
    return "xy" if field == "landmarks" else "x"


def figures(system: str, group: str, name: str, rows: Sequence[Moved]) -> dict[str, Any]:
    """Means over pasted pictures, with intervals of what is drawn."""
    def mean(field: str) -> float:
        values = np.array([getattr(row, field) for row in rows], np.float64)
        return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")

    def interval(field: str) -> tuple[float, float]:
        return mean_interval(np.array([getattr(row, field) for row in rows], np.float64))

    fields = ("coverage", "landmarks", "hidden", "seen", "shape_mm", "shape_seen_mm", "shape_hidden_mm", "identity_mm",
              "turn_deg", "presence_drop")
    return {"system": system, "group": group, "name": name, "pasted": len(rows),
            **{field: mean(field) for field in fields},
            **{f"{field}_95": interval(field) for field in (*SHOWN, "turn_deg", "presence_drop")}}


def _table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [line["name"], line["system"], line["pasted"], percent(line["coverage"], 1), percent(line["landmarks"]),
         percent_range(line["landmarks_95"], 2), percent(line["seen"]), percent(line["hidden"]),
         amount(line["shape_mm"]), amount_range(line["shape_mm_95"]), amount(line["shape_seen_mm"]),
         amount(line["shape_hidden_mm"]), amount(line["identity_mm"]), amount_range(line["identity_mm_95"]),
         amount(line["turn_deg"], 1), percent(line["presence_drop"], 1)]
        for line in lines if not line["group"].startswith("coverage of ")]
    return Table("What an occluder moves (landmarks in per cent of the eye corners' distance, mesh in mm)",
                 ("occluder", "system", "pasted", "coverage", "landmarks", "95 %", "seen", "hidden", "shape mm", "95 %",
                  "seen mm", "hidden mm", "identity mm", "95 %", "turn deg", "presence lost"), rows)
