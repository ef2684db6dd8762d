"""Protocol ``shape``: how far the reconstructed face lies from the measured one, in millimetres.

A mesh is brought onto a scan, and every point of the scan's face is measured against the mesh's triangles:

- ``anchored``: aligned by seven landmarks alone (:data:`rtface.evaluate.scans.SEVEN`), with scale.
- ``ICP``: then by the surface, with scale, as the benchmark NoW does (Sanyal et al., CVPR 2019), over the ball around
  the nose that it compares; median, mean, standard deviation, and the ``90 %`` largest error (the one that 90 % of a
  picture's points stay below), which the papers give for MICC Florence. NoW pools the points of all pictures; here
  each picture gives its own figure and pictures are averaged, so that intervals are those of people and pictures.
- ``in mm``: the same without scale: what the mesh says about size counts.
- Regions as in REALY (Chai et al., ECCV 2022): nose, mouth, forehead, cheeks, each aligned on its own (turned and
  shifted, from the ICP of the face) before its mean error is taken. REALY's bending of the scan before it is compared
  is left out, so these figures are lower than REALY's and not to be compared with its tables.
- ``identity``: where the basis drew the face, the mean distance of corresponding vertices of the face without
  expression, after the best similarity: no point can slide to a nearer one.

Beside ``rtface`` stands the ``mean face``: mean identity under the same predicted expression, measured in the same
way. What does not come nearer than it knows nothing about who is seen. Everything is measured again with eyeglasses of
the factory pasted on the picture. A picture without a face found is counted and left out of the means. Other systems'
meshes come from files (:mod:`rtface.evaluate.predictions`); sets with neutral scans (``now``, ``micc``, ``ict``) want
theirs without expression.

Intervals are over people, each with the mean of their pictures; for a set of one person, over pictures: they say how
much views differ, nothing about other people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from rtface.errors import InputError
from rtface.evaluate.alignment import Similarity, fit_similarity, fit_surface
from rtface.evaluate.dataset import Pack, Problem, SampleSet
from rtface.evaluate.exports import Inputs
from rtface.evaluate.metrics import mean_interval
from rtface.evaluate.networks import FaceReader
from rtface.evaluate.pasting import Paster
from rtface.evaluate.peer_meshes import predicted_mesh
from rtface.evaluate.predictions import Predictions
from rtface.evaluate.report import Cell, Report, Table, amount, amount_range
from rtface.evaluate.scans import REGIONS, SEVEN, Doubles, Scan, Templates
from rtface.evaluate.shape_cases import PEOPLE, SYNTHETIC, Case, people_cases, scan_cases
from rtface.evaluate.shape_layouts import LAYOUTS
from rtface.evaluate.sheets import Pixels, fit
from rtface.evaluate.surface import Surface
from rtface.evaluate.verification import code
from rtface.geometry import FloatArray
from rtface.morphable import NOT_FACE_REGIONS, MorphableModel
from rtface.types import Coefficients, Frame

SETS: Final = ("james", SYNTHETIC)
SYSTEMS: Final = ("rtface", "mean face")
ANSWER: Final = ("KEY: (V, 3) vertices in mm; KEY:triangles or triangles: (F, 3); KEY:landmarks or landmarks: (7, 3) "
                 "points or (7,) vertices, outer and inner corner of the right eye, inner and outer corner of the left "
                 "one, below the nose, corners of the mouth; inputs: the fingerprint")
SHOWN_PX: Final = 260
MEASURES: Final = ("anchored", "median", "mean", "sd", "p90", "metric")
"""Figures of one picture; ``metric`` is the median without scale."""


class Errors(NamedTuple):
    """One mesh against one scan, mm."""

    points: FloatArray
    """(P,) float32 distances after ICP, of the scan's measured points."""
    values: Mapping[str, float]
    """By :data:`MEASURES`, :data:`rtface.evaluate.scans.REGIONS` and ``identity``; NaN where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One picture, with or without glasses."""

    set_name: str
    case: Case
    """With a small picture."""
    glasses: bool
    errors: Mapping[str, Errors]
    """By system; those that found no face are not in it."""


def scan_to_mesh(scan: Scan, vertices: Doubles, triangles: Any, landmarks: Doubles) -> Errors:
    """Measure a mesh (V, 3), (F, 3) with its seven landmarks (7, 3), in mm and any pose, against a scan."""
    surface, points = Surface(vertices, triangles), scan.points

    def distances(scan_from_mesh: Similarity, rows: Any = slice(None)) -> Doubles:
        away: Doubles = surface.nearest(scan_from_mesh.undo(points[rows])).distance * scan_from_mesh.scale
        return away

    anchor = fit_similarity(landmarks, scan.landmarks)
    settled = fit_surface(points, surface, anchor)
    rigid = fit_surface(points, surface, fit_similarity(landmarks, scan.landmarks, scaled=False), scaled=False)
    after = distances(settled)
    values = {"anchored": float(np.median(distances(anchor))), "median": float(np.median(after)),
              "mean": float(after.mean()), "sd": float(after.std()), "p90": float(np.quantile(after, 0.9)),
              "metric": float(np.median(distances(rigid)))}
    for name in REGIONS:
        rows = np.flatnonzero(scan.regions[name])
        values[name] = float("nan") if not len(rows) else float(
            distances(fit_surface(points[rows], surface, settled, scaled=False), rows).mean())
    return Errors(after.astype(np.float32), values)


def corresponding(first: Doubles, second: Doubles) -> float:
    """Mean distance of vertices (V, 3) from their partners (V, 3) after the best similarity."""
    return float(np.linalg.norm(fit_similarity(first, second).apply(first) - second, axis=1).mean())


class Ruler:
    """Measures coefficients against scans."""

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        self._face = ~model.region_mask(*NOT_FACE_REGIONS)
        self._triangles = np.concatenate([model.triangles, model.eyes.triangles + len(model.mean)])

    def mesh(self, identity: FloatArray, expression: FloatArray) -> Doubles:
        """Coefficients (1, 80) and (1, 64) → (V, 3) mm of the face and then of the eyeballs, which scans show too."""
        parts = [self.model.vertices(identity, expression)[0], self.model.eye_vertices(identity, expression)[0]]
        return np.concatenate(parts).astype(np.float64)

    def prediction(self, coefficients: Coefficients) -> tuple[Doubles, Any, Doubles]:
        """The face of one person (N = 1) without expression: (V, 3) mm, (F, 3), and its seven landmarks (7, 3)."""
        mesh = self.mesh(coefficients.identity, np.zeros_like(coefficients.expression))
        return mesh, self._triangles, mesh[self.model.landmarks68[list(SEVEN)]]

    def measure(self, case: Case, coefficients: Coefficients) -> dict[str, Errors]:
        """Coefficients of one face (N = 1) against a case, by system."""
        expression = coefficients.expression * np.float32(not case.neutral)
        out = {}
        for system, identity in zip(SYSTEMS, (coefficients.identity, np.zeros_like(coefficients.identity)),
                                    strict=True):
            mesh = self.mesh(identity, expression)
            errors = scan_to_mesh(case.scan, mesh, self._triangles, mesh[self.model.landmarks68[list(SEVEN)]])
            out[system] = errors._replace(values={**errors.values, "identity": self._identity(case, identity)})
        return out

    def _identity(self, case: Case, identity: FloatArray) -> float:
        if case.identity is None:
            return float("nan")
        still = np.zeros((1, len(self.model.expression_names)), np.float32)
        found, true = (self.model.vertices(rows, still)[0, self._face] for rows in (identity, case.identity[None]))
        return corresponding(found, true)


def run(pack: Pack, reader: FaceReader, model: MorphableModel, *, sets: Sequence[str] = SETS, layout: str = "pack",
        people: int = PEOPLE, seed: int = 0, settings: Mapping[str, Any] | None = None,
        look: Callable[[Sequence[Scored]], None] | None = None,
        predicted: Callable[[Case, Ruler, Coefficients], None] | None = None, files: Sequence[Predictions] = (),
        inputs: Inputs | None = None, progress: Callable[[str], None] = lambda line: None) -> Report:
    """Measure sets of the pack, or with ``layout`` one of :data:`rtface.evaluate.shape_layouts.LAYOUTS` in its folder.

    look: gets everything that was scored. predicted: gets every result on a picture without pasted glasses.
    files: meshes of other systems; inputs: gets the pictures that they are made from.
    """
    ruler, paster, templates = Ruler(model), Paster(model), Templates(model)
    inputs = inputs or Inputs("shape")
    scored: list[Scored] = []
    read: list[SampleSet] = []
    for name in sets if layout == "pack" else (layout,):
        found, cases = _open(pack, name, layout, templates, people)
        read.append(found)
        for number, case in enumerate(cases):
            plain = code(reader, Frame(case.pixels, number, 0.0))
            inputs.add(case.name, {"picture": case.pixels})
            scored.append(Scored(name, _small(case, case.name, case.pixels), False,
                                 _all_systems(case, case.name, ruler, plain, files)))
            if plain is None:
                found.problems[case.name] = Problem(case.name, "no face found")
                continue
            if predicted is not None:
                predicted(case, ruler, plain)
            rng = np.random.default_rng([seed, number])
            pasted = paster.paste(rng, case.pixels, plain, "glasses").pixels
            worn, title = code(reader, Frame(pasted, number, 0.0)), f"{case.name}, glasses"
            inputs.add(title, {"picture": pasted})
            scored.append(Scored(name, _small(case, title, pasted), True,
                                 _all_systems(case, title, ruler, worn, files)))
            if worn is None:
                found.problems[f"{case.name} with glasses"] = Problem(case.name, "no face found with glasses")
        progress(f"{name}: {len(found)} pictures")
    if look is not None:
        look(scored)
    results = [line for name in dict.fromkeys(row.set_name for row in scored)
               for line in _lines(name, [row for row in scored if row.set_name == name],
                                  (*SYSTEMS, *(one.name for one in files)))]
    alone = [name for name in dict.fromkeys(row.set_name for row in scored)
             if len({row.case.person for row in scored if row.set_name == name}) == 1]
    notes = [*(f"{name}: one person; its intervals are over pictures and say nothing about other people"
               for name in alone), *inputs.finish(ANSWER, files), *(note for one in files for note in one.notes())]
    return Report("shape", [_face_table(results), _region_table(results), _knowledge_table(results)], results, read,
                  {**(settings or {}), "layout": layout, "people": people, "seed": seed, "inputs": inputs.fingerprint,
                   "peer_files": {one.name: one.describe() for one in files}}, notes)


def _all_systems(case: Case, key: str, ruler: Ruler, found: Coefficients | None,
                 files: Sequence[Predictions]) -> dict[str, Errors]:
    """Every system that has a face on a picture."""
    out = {} if found is None else ruler.measure(case, found)
    for one in files:
        mesh = predicted_mesh(one, key)
        try:
            if mesh is not None:
                errors = scan_to_mesh(case.scan, *mesh)
                out[one.name] = errors._replace(values={**errors.values, "identity": float("nan")})
        except InputError as exc:  # triangles without vertices, landmarks on a line
            one.wrong[key] = str(exc)
    return out


def _open(pack: Pack, name: str, layout: str, templates: Templates, people: int) -> tuple[SampleSet, Iterable[Case]]:
    if layout != "pack":
        found = SampleSet(layout, (), 0)
        return found, LAYOUTS[layout](pack.folder, found, templates)
    if name == SYNTHETIC:
        found = SampleSet(name, (), 0)
        return found, people_cases(found, templates, people)
    found = pack.files(name)
    return found, scan_cases(pack, name, found, templates)


def _small(case: Case, name: str, pixels: Pixels) -> Case:
    """The case with a small picture: sets have hundreds of large ones."""
    return replace(case, name=name, pixels=fit(pixels, SHOWN_PX, SHOWN_PX))


def person_means(values: Doubles, people: Sequence[str]) -> Doubles:
    """(N,) values of pictures → one mean per person; the values themselves where all are of one person."""
    names = np.array(people)
    each = dict.fromkeys(people)
    return values if len(each) < 2 else np.array([values[names == name].mean() for name in each])


def _lines(name: str, rows: Sequence[Scored], systems: Sequence[str]) -> list[dict[str, Any]]:
    groups = [("all", rows), *((group, [row for row in rows if row.case.group == group])
                               for group in dict.fromkeys(row.case.group for row in rows))]
    return [figures(name, group, glasses, system, [row for row in members if row.glasses == glasses])
            for group, members in groups for glasses in (False, True) for system in systems]


def figures(set_name: str, group: str, glasses: bool, system: str, rows: Sequence[Scored]) -> dict[str, Any]:
    """Means over people with 95 % intervals, and how much nearer than the mean face they are (same pictures)."""
    found = [row for row in rows if system in row.errors]
    people = [row.case.person for row in found]
    both = [row for row in found if SYSTEMS[1] in row.errors]
    line: dict[str, Any] = {"set": set_name, "group": group, "glasses": glasses, "system": system,
                            "pictures": len(rows), "found": len(found), "people": len(set(people))}

    def values(who: str, measure: str, members: Sequence[Scored]) -> Doubles:
        each = np.array([row.errors[who].values[measure] for row in members])
        return person_means(each, [row.case.person for row in members])

    for measure in (*MEASURES, *REGIONS, "identity"):
        mine = values(system, measure, found)
        line[measure] = float(mine.mean()) if len(mine) else float("nan")
        line[f"{measure}_95"] = mean_interval(mine)
        if system != SYSTEMS[1]:
            gain = values(SYSTEMS[1], measure, both) - values(system, measure, both)
            line[f"{measure}_gain"] = float(gain.mean()) if len(gain) else float("nan")
            line[f"{measure}_gain_95"] = mean_interval(gain)
    return line


def verdict(interval: tuple[float, float]) -> str:
    """Whether a gain in mm over the mean face is one, by its 95 % interval."""
    low, high = interval
    if not np.isfinite(low + high):
        return "-"
    return "nearer than the mean face" if low > 0 else "worse than the mean face" if high < 0 else "no difference seen"


def _start(line: Mapping[str, Any]) -> list[Cell]:
    return [line["set"], line["group"], "glasses" if line["glasses"] else "none", line["system"]]


def _face_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [*_start(line), line["pictures"], line["found"], amount(line["median"]), amount_range(line["median_95"]),
         amount(line["mean"]), amount(line["sd"]), amount(line["p90"]), amount_range(line["p90_95"]),
         amount(line["anchored"]), amount(line["metric"])] for line in lines]
    return Table("Scan to mesh, mm (ICP with scale; anchored: median by landmarks alone; in mm: median without scale)",
                 ("set", "view", "pasted", "system", "pictures", "found", "median", "95 %", "mean", "sd", "90 %",
                  "95 % of it", "anchored", "in mm"), rows)


def _region_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [*_start(line), *(cell for name in REGIONS for cell in (amount(line[name]), amount_range(line[f"{name}_95"])))]
        for line in lines if line["group"] == "all"]
    return Table("Scan to mesh by region, mean in mm, each region aligned on its own",
                 ("set", "view", "pasted", "system", *(c for name in REGIONS for c in (name, "95 %"))), rows)


def _knowledge_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = []
    for line in lines:
        for measure, title in (("median", "median"), ("p90", "90 %"), ("metric", "in mm"), ("identity", "identity")):
            if line["system"] != SYSTEMS[1] and np.isfinite(line[measure]) and line["group"] == "all":
                interval = line[f"{measure}_gain_95"]
                rows.append([line["set"], "glasses" if line["glasses"] else "none", title, line["system"],
                             amount(line[measure]), amount(line[measure] + line[f"{measure}_gain"]),
                             amount(line[f"{measure}_gain"]), amount_range(interval), verdict(interval)])
    return Table("Against the mean face, mm (identity: corresponding vertices without expression)",
                 ("set", "pasted", "figure", "system", "error", "mean face", "nearer by", "95 %", "verdict"), rows)
