"""Protocol ``completion``: is what is drawn in the hole what was there?

A photograph's face is measured, an occluder of the factory is pasted before it, and its crop is completed; the truth
is the crop without the occluder. Scored is the pasted area alone (contour paper, §4: PSNR, SSIM, L1 by hole ratio;
GMSD; and ``features``, a distance of deep features that is like LPIPS and is not it: :mod:`rtface.evaluate.features`).

Systems: ``input`` (the occluder stays), ``mean colour`` (of the visible face), ``telea`` (Telea 2004) and
``navier-stokes`` (Bertalmio et al. 2001) by OpenCV, ``rtface`` with the same hole as these, and ``rtface (own mask)``,
which has to find the hole as well. ``contour``: precision and recall of the lines drawn in the hole (where they are
:data:`rtface.contours.LIKELY`) against those that the parsing network sees on the clean picture.

Occluders hide little of a crop: the largest holes are gray free-form strokes (:mod:`rtface.evaluate.strokes`), drawn in
the crop. ``rtface (own mask)`` is not told of them, and a network that looks for things before a face can hardly take
plain gray for one: its figures on strokes say that, and not how well it completes.

Other systems complete the crops that ``--export-inputs`` writes, and are scored from a file
(:mod:`rtface.evaluate.predictions`); where it has no answer, the occluder stays.

With ``--layout irregular`` nothing is pasted: holes are the masks that the folder brings, gray in the input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.config import OcclusionConfig
from rtface.contours import LIKELY, outlines
from rtface.errors import InputError, RtfaceError
from rtface.evaluate import pictures, sheets, strokes
from rtface.evaluate.dataset import Pack, Problem, Sample, SampleSet
from rtface.evaluate.exports import Inputs
from rtface.evaluate.features import FeatureDistance
from rtface.evaluate.metrics import mean_interval
from rtface.evaluate.networks import FaceReader
from rtface.evaluate.pasting import Paster
from rtface.evaluate.predictions import Predictions
from rtface.evaluate.report import Cell, Report, Table
from rtface.evaluate.robustness import KINDS as SINGLE_KINDS
from rtface.figures.plot import Curve, Plot
from rtface.geometry import FloatArray, apply_affine, boxes_from_landmarks, opencv_affine
from rtface.inference import Engine
from rtface.io import read_picture
from rtface.morphable import MorphableModel
from rtface.stages.complete import Completer
from rtface.stages.crop import crop_faces
from rtface.stages.deocclude import Deoccluder, completed
from rtface.stages.structure import Structurer, hole
from rtface.types import Coefficients, FaceCrops, Frame

SETS: Final = ("cc0_people",)
SYSTEMS: Final = ("input", "mean colour", "telea", "navier-stokes", "rtface", "rtface (own mask)")
AND: Final = " + "
STROKES: Final[Mapping[str, tuple[float, float]]] = {
    "strokes": (0.1, 0.35), "large strokes": (0.35, 0.5), "largest strokes": (0.5, 0.6)}
"""Free-form holes, and the least and most of a crop that they hide."""
KINDS: Final = (*SINGLE_KINDS, "headset + mask", "headset + mask + hand", *STROKES)
"""Occluders, alone and several at once, and strokes. A kind's place seeds what is drawn: new ones go to the end."""
BINS: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0)
"""Share of the crop that is hidden."""
OWN_MASK: Final = "own mask"
"""The kind of hole that a picture brings."""
GRAY: Final = 128
LEAST_PX: Final = 20
"""Holes of fewer crop pixels are not scored."""
RADIUS_PX: Final = 3.0
"""Of OpenCV's inpainting."""
Metric = Callable[[FloatArray, FloatArray, NDArray[np.bool_]], float]
METRICS: Final[Mapping[str, Metric]] = {
    "psnr": pictures.psnr, "ssim": pictures.ssim, "l1": pictures.l1, "gmsd": pictures.gmsd}
FEATURES: Final = "features"
SHOWN: Final = {"psnr": "PSNR, dB", FEATURES: "distance of deep features"}
"""What is drawn over the hidden share."""
ANSWER: Final = "KEY: (S, S, 3) uint8 RGB, the picture with its hole (white) filled; inputs: the fingerprint"
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """One pasted picture, completed by every system."""

    sample: Sample
    kind: str
    ratio: float
    """Hidden share of the crop."""
    scores: Mapping[str, Mapping[str, float]]
    """By system and metric."""
    contour: tuple[float, float]
    """Precision and recall."""
    shown: Mapping[str, Pixels]
    """(S, S, 3) by name: truth and systems, for pictures."""


class Systems:
    """The chain and what it is compared with, on single crops."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        config = OcclusionConfig(recipe="contour")
        self._grow = config.grow_share
        self._deoccluder = Deoccluder(engines, config)
        self._structurer = Structurer(engines["parse"], engines["contour"])
        self._completer = Completer(engines["complete"])
        self._parse = engines["parse"]
        self.size = self._structurer.size

    def contours(self, crops: FaceCrops) -> NDArray[np.bool_]:
        """(S, S) lines of a clean crop."""
        return outlines(self._parse.run(crops=crops.pixels)["probability"].argmax(axis=1).astype(np.uint8))[0]

    def hole(self, cover: NDArray[np.bool_]) -> NDArray[np.float32]:
        """What every system has to fill, 0 or 1 (1, 1, S, S): the covered pixels (S, S) and a border around them."""
        return hole(cover[None, None].astype(np.float32), round(self._grow * len(cover)))

    def fill(self, crops: FaceCrops, mask: NDArray[np.float32],
             landmarks: FloatArray) -> tuple[dict[str, FloatArray], NDArray[np.bool_]]:
        """Every system's (S, S, 3) 0..1 crop, and the contours (S, S) drawn; landmarks (1, 68, 2) frame px."""
        structure = self._structurer.draw(crops, mask, landmarks)
        picture = crops.pixels[0].transpose(1, 2, 0)
        inside = mask[0, 0] > 0.5
        as_bytes = (picture * 255 + 0.5).astype(np.uint8)
        area = inside.astype(np.uint8)
        flat = picture.copy()
        flat[inside] = np.median(picture[~inside], axis=0) if not inside.all() else 0.5
        _, own = self._deoccluder.apply(crops, landmarks)
        out = {"input": picture, "mean colour": flat,
               "telea": cv2.inpaint(as_bytes, area, RADIUS_PX, cv2.INPAINT_TELEA) / np.float32(255),
               "navier-stokes": cv2.inpaint(as_bytes, area, RADIUS_PX, cv2.INPAINT_NS) / np.float32(255),
               "rtface": self._completer.fill(crops, mask, structure).pixels[0].transpose(1, 2, 0),
               "rtface (own mask)": completed(crops, own).pixels[0].transpose(1, 2, 0)}
        return out, structure.contour[0, 0] > LIKELY


def run(pack: Pack, reader: FaceReader, engines: Mapping[str, Engine], model: MorphableModel, *,
        sets: Sequence[str] = SETS, kinds: Sequence[str] | None = None, seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        look: Callable[[Sequence[Filled]], None] | None = None, own_masks: bool = False,
        files: Sequence[Predictions] = (), inputs: Inputs | None = None) -> Report:
    """Hide every clean face of the sets by every kind (None: :data:`KINDS`); ``look`` gets all that was filled.

    own_masks: cut the pictures' own masks out instead of pasting. files: answers of other systems; inputs: gets what
    they answer to. BackendError without the package onnx.
    """
    systems, paster = Systems(engines), None if own_masks else Paster(model)
    ruler, inputs = FeatureDistance(), inputs or Inputs("completion")
    scoring = _Scoring({**METRICS, FEATURES: ruler.distance}, files, inputs)
    kinds = (OWN_MASK,) if own_masks else kinds or KINDS
    filled, read, doubtful = [], [], 0
    for name in sets:
        found = pack.faces(name)
        read.append(found)
        for number, (sample, pixels) in enumerate(found.pictures()):
            one = _complete(found, sample, pixels, reader, systems, paster, kinds, [seed, number], scoring)
            doubtful += one is None
            filled += one or []
    if look is not None and filled:
        look(filled)
    groups = [("hole", f"{100 * low:.0f}..{100 * high:.0f} %", [f for f in filled if low <= f.ratio < high])
              for low, high in zip(BINS[:-1], BINS[1:], strict=True)]
    groups += [("kind", kind, [f for f in filled if f.kind == kind]) for kind in kinds] + [("all", "all", filled)]
    names = (*SYSTEMS, *(one.name for one in files))
    results = [figures(group, name, system, rows) for group, name, rows in groups if rows for system in names]
    lines = [contour_figures(group, name, rows) for group, name, rows in groups if rows]
    notes = [f"{doubtful} pictures left out because no face was found or the clean result was doubtful",
             *(["strokes are gray: rtface (own mask) is not told of them and can hardly know that they hide anything"]
               if any(kind in STROKES for kind in kinds) else []),
             f"features: not LPIPS, but the same idea with rtface's own {ruler.describe()['network']}; 0 is best",
             *inputs.finish(ANSWER, files), *(note for one in files for note in one.notes())]
    return Report("completion", [_table(results), _contour_table(lines)], [*results, *lines], read,
                  {**(settings or {}), "kinds": list(kinds), "seed": seed, "crop_px": systems.size,
                   "features": ruler.describe(), "inputs": inputs.fingerprint,
                   "peer_files": {one.name: one.describe() for one in files}}, notes, _curves(results, names))


@dataclass(frozen=True, slots=True, eq=False)
class _Scoring:
    """What is done with every hole besides filling it."""

    metrics: Mapping[str, Metric]
    files: Sequence[Predictions]
    inputs: Inputs

    def answers(self, key: str, picture: FloatArray) -> dict[str, FloatArray]:
        """What the files say of an input (S, S, 3), 0..1; the input itself where they have nothing usable."""
        out = {}
        for one in self.files:
            given = one.of(key)
            if given is not None and (given.shape != picture.shape or given.min() < 0 or given.max() > 255):
                one.wrong[key] = (f"got {given.shape} with {given.min()}..{given.max()}, expected {picture.shape} with "
                                  f"0..255")
                given = None
            out[one.name] = picture if given is None else (given / 255).astype(np.float32)
        return out


def _complete(found: SampleSet, sample: Sample, pixels: Pixels, reader: FaceReader, systems: Systems,
              paster: Paster | None, kinds: Sequence[str], seed: Sequence[int],
              scoring: _Scoring) -> list[Filled] | None:
    """All kinds on one picture (without a paster its own mask); None without a face that is clear enough."""
    frame = Frame(pixels, 0, 0.0)
    box = reader.largest(frame) if sample.points is None else boxes_from_landmarks(sample.points[None])[0]
    found_face = None if box is None else reader.landmarks.locate(frame, box)
    if found_face is None:
        found.problems[sample.path] = Problem(sample.path, "no face found")
        return None
    if found_face.presence < reader.landmarks.min_presence:
        return None
    clean = crop_faces(frame, found_face.tracks, systems.size)
    coefficients = reader.regressor.regress(crop_faces(frame, found_face.tracks, reader.regressor.size))
    truth, lines = clean.pixels[0].transpose(1, 2, 0), systems.contours(clean)
    matrix = opencv_affine(clean.crop_from_frame[0])
    inside = cv2.warpAffine(np.ones(pixels.shape[:2], np.uint8), matrix, (systems.size, systems.size),
                            flags=cv2.INTER_NEAREST) > 0
    out = []
    for k, kind in enumerate(kinds):
        rng = np.random.default_rng([*seed, k])
        try:
            if kind in STROKES:
                after, cover = _stroked(rng, clean, inside, kind)
            else:
                changed, cover = _pasted(paster, rng, pixels, coefficients, kind, sample)
                after = crop_faces(Frame(changed, 0, 0.0), found_face.tracks, systems.size)
                cover = cv2.warpAffine(cover.astype(np.uint8), matrix, (systems.size, systems.size),
                                       flags=cv2.INTER_AREA) > 0
        except RtfaceError as exc:
            found.problems[sample.path] = Problem(sample.path, str(exc))
            continue
        if cover.sum() < LEAST_PX:
            continue
        key, mask = f"{sample.path}, {kind}", systems.hole(cover)
        shown_input = after.pixels[0].transpose(1, 2, 0)
        scoring.inputs.add(key, {"picture": _bytes(shown_input), "hole": (mask[0, 0] * 255).astype(np.uint8)},
                           crop_from_picture=after.crop_from_frame[0], points=apply_affine(
                               after.crop_from_frame, found_face.tracks.landmarks)[0])
        drawn, contour = systems.fill(after, mask, found_face.tracks.landmarks)
        drawn |= scoring.answers(key, shown_input)
        scores = {name: {metric: function(picture, truth, cover) for metric, function in scoring.metrics.items()}
                  for name, picture in drawn.items()}
        shown = {name: _bytes(picture) for name, picture in {"truth": truth, **drawn}.items()}
        out.append(Filled(sample, kind, float(cover.mean()), scores,
                          pictures.line_agreement(contour, lines, cover), shown))
    return out


def _bytes(picture: FloatArray) -> Pixels:
    """0..1 → 0..255."""
    return (picture * 255 + 0.5).astype(np.uint8)


def _stroked(rng: np.random.Generator, clean: FaceCrops, inside: NDArray[np.bool_],
             kind: str) -> tuple[FaceCrops, NDArray[np.bool_]]:
    """One crop with gray strokes, and where they are (S, S); inside (S, S): where the crop shows the picture."""
    cover = strokes.draw(rng, clean.size, rng.uniform(*STROKES[kind]), inside)
    return replace(clean, pixels=np.where(cover, np.float32(GRAY / 255), clean.pixels)), cover


def _pasted(paster: Paster | None, rng: np.random.Generator, pixels: Pixels, coefficients: Coefficients, kind: str,
            sample: Sample) -> tuple[Pixels, NDArray[np.bool_]]:
    """The picture with something before the face, and where."""
    if paster is not None:
        cover = np.zeros(pixels.shape[:2], np.bool_)
        for one in kind.split(AND):
            pasted = paster.paste(rng, pixels, coefficients, one)
            pixels, cover = pasted.pixels, cover | pasted.cover
        return pixels, cover
    if sample.mask is None:
        raise InputError("got no mask for the picture, expected one")
    mask = cv2.cvtColor(read_picture(sample.mask), cv2.COLOR_RGB2GRAY)
    cover = cv2.resize(mask, pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 127
    return np.where(cover[..., None], np.uint8(GRAY), pixels), cover


def figures(group: str, name: str, system: str, rows: Sequence[Filled]) -> dict[str, Any]:
    """Means of a system over pasted pictures, with 95 % intervals."""
    metrics = rows[0].scores[system]
    values = {metric: np.array([row.scores[system][metric] for row in rows]) for metric in metrics}
    return {"group": group, "name": name, "system": system, "pasted": len(rows),
            "ratio": float(np.mean([row.ratio for row in rows])),
            **{metric: float(np.nanmean(v)) for metric, v in values.items()},
            **{f"{metric}_95": mean_interval(v) for metric, v in values.items()}}


def contour_figures(group: str, name: str, rows: Sequence[Filled]) -> dict[str, Any]:
    """Means of the contours' precision and recall where they are defined, with 95 % intervals."""
    out: dict[str, Any] = {"group": group, "name": name, "system": "contour", "pasted": len(rows)}
    for k, what in enumerate(("precision", "recall")):
        values = np.array([row.contour[k] for row in rows])
        values = values[~np.isnan(values)]
        out |= {what: float(values.mean()) if len(values) else float("nan"), f"{what}_95": mean_interval(values)}
    return out


def worst(rows: Sequence[Filled], folder: Path, *, count: int = 12, side: int = 128) -> None:
    """``worst_completions.jpg``: truth and every system beside one another where rtface's PSNR is lowest, then typical.

    The same for the best half of the sheet would flatter; typical rows are those around the median.
    """
    order = np.argsort([row.scores["rtface"]["psnr"] for row in rows], kind="stable")
    middle = len(order) // 2
    chosen = [*order[:count], *order[max(middle - count // 2, min(count, len(order))):middle + count // 2]]
    cells = [sheets.labelled(sheets.fit(picture, side, side), f"{rows[k].kind} {name}" if name == "truth" else
                             f"{name.removeprefix('rtface (').rstrip(')')[:13]} {rows[k].scores[name]['psnr']:.1f}")
             for k in chosen for name, picture in rows[k].shown.items()]
    sheets.write_picture(folder / "worst_completions.jpg", sheets.grid(cells, len(rows[0].shown)))


def _curves(lines: Sequence[Mapping[str, Any]], systems: Sequence[str]) -> list[Plot]:
    """Means over the mean hidden share of each bin, with 95 % intervals."""
    plots = []
    for field, label in SHOWN.items():
        curves = []
        for system in systems:
            rows = [line for line in lines if line["system"] == system and line["group"] == "hole"]
            low, high = ([line[f"{field}_95"][k] for line in rows] for k in (0, 1))
            curves.append(Curve(system, [line["ratio"] for line in rows], [line[field] for line in rows], low, high))
        plots.append(Plot(f"Completed pixels: {label}", "hidden share of the crop", label, curves, percent="x"))
    return plots


DIGITS: Final = {"psnr": 2, "ssim": 3, "l1": 4, "gmsd": 3, FEATURES: 3}


def _table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [line["name"], line["system"], line["pasted"], *(cell for metric, digits in DIGITS.items() for cell in (
            f"{line[metric]:.{digits}f}", "{:.{d}f}..{:.{d}f}".format(*line[f"{metric}_95"], d=digits)))]
        for line in lines]
    return Table("Hidden pixels of crops, completed (by share of the crop that is hidden, then by kind)",
                 ("hole", "system", "pasted", "PSNR dB", "95 %", "SSIM", "95 %", "L1", "95 %", "GMSD", "95 %",
                  "features", "95 %"), rows)


def _contour_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [line["name"], line["pasted"], *(cell for what in ("precision", "recall") for cell in (
            f"{line[what]:.2f}", "{:.2f}..{:.2f}".format(*line[f"{what}_95"])))] for line in lines]
    return Table("Contours drawn in the hole, within 2 px of those seen on the clean picture",
                 ("hole", "pasted", "precision", "95 %", "recall", "95 %"), rows)
