"""Protocol ``completion``: is what is drawn in the hole what was there?

A photograph's face is measured, an occluder of the factory is pasted before it, and its crop is completed; the truth
is the crop without the occluder. Scored is the pasted area alone (contour paper, §4: PSNR, SSIM, L1 by hole ratio).

Systems: ``input`` (the occluder stays), ``mean colour`` (of the visible face), ``telea`` (Telea 2004) and
``navier-stokes`` (Bertalmio et al. 2001) by OpenCV, ``rtface`` with the same hole as these, and ``rtface (own mask)``,
which has to find the hole as well. ``contour``: precision and recall of the lines drawn in the hole against those that
the parsing network sees on the clean picture.

With ``--layout irregular`` nothing is pasted: holes are the masks that the folder brings, gray in the input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.config import OcclusionConfig
from rtface.contours import outlines
from rtface.errors import InputError, RtfaceError
from rtface.evaluate import pictures, sheets
from rtface.evaluate.dataset import Pack, Problem, Sample, SampleSet
from rtface.evaluate.metrics import bootstrap_interval
from rtface.evaluate.networks import FaceReader
from rtface.evaluate.pasting import Paster
from rtface.evaluate.report import Cell, Report, Table
from rtface.evaluate.robustness import KINDS
from rtface.geometry import FloatArray, boxes_from_landmarks, opencv_affine
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
BINS: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0)
"""Share of the crop that is hidden."""
OWN_MASK: Final = "own mask"
"""The kind of hole that a picture brings."""
GRAY: Final = 128
LEAST_PX: Final = 20
"""Holes of fewer crop pixels are not scored."""
RADIUS_PX: Final = 3.0
"""Of OpenCV's inpainting."""
METRICS: Final[Mapping[str, Callable[[FloatArray, FloatArray, NDArray[np.bool_]], float]]] = {
    "psnr": pictures.psnr, "ssim": pictures.ssim, "l1": pictures.l1, "gmsd": pictures.gmsd}
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

    def fill(self, crops: FaceCrops, cover: NDArray[np.bool_],
             landmarks: FloatArray) -> tuple[dict[str, FloatArray], NDArray[np.bool_]]:
        """Every system's (S, S, 3) 0..1 crop, and the contours (S, S) drawn; landmarks (1, 68, 2) frame px."""
        mask = hole(cover[None, None].astype(np.float32), round(self._grow * crops.size))
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
        return out, structure.contour[0, 0] > 0.5


def run(pack: Pack, reader: FaceReader, engines: Mapping[str, Engine], model: MorphableModel, *,
        sets: Sequence[str] = SETS, kinds: Sequence[str] = KINDS, seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        look: Callable[[Sequence[Filled]], None] | None = None, own_masks: bool = False) -> Report:
    """Paste every kind once on every clean face of the sets; ``look`` gets all that was filled.

    own_masks: cut the pictures' own masks out instead of pasting.
    """
    systems, paster = Systems(engines), None if own_masks else Paster(model)
    kinds = (OWN_MASK,) if own_masks else kinds
    filled, read, doubtful = [], [], 0
    for name in sets:
        found = pack.faces(name)
        read.append(found)
        for number, (sample, pixels) in enumerate(found.pictures()):
            one = _complete(found, sample, pixels, reader, systems, paster, kinds, [seed, number])
            doubtful += one is None
            filled += one or []
    if look is not None and filled:
        look(filled)
    groups = [("hole", f"{100 * low:.0f}..{100 * high:.0f} %", [f for f in filled if low <= f.ratio < high])
              for low, high in zip(BINS[:-1], BINS[1:], strict=True)]
    groups += [("kind", kind, [f for f in filled if f.kind == kind]) for kind in kinds] + [("all", "all", filled)]
    results = [figures(group, name, system, rows) for group, name, rows in groups if rows for system in SYSTEMS]
    lines = [contour_figures(group, name, rows) for group, name, rows in groups if rows]
    notes = [f"{doubtful} pictures left out because no face was found or the clean result was doubtful"]
    return Report("completion", [_table(results), _contour_table(lines)], [*results, *lines], read,
                  {**(settings or {}), "kinds": list(kinds), "seed": seed, "crop_px": systems.size}, notes)


def _complete(found: SampleSet, sample: Sample, pixels: Pixels, reader: FaceReader, systems: Systems,
              paster: Paster | None, kinds: Sequence[str], seed: Sequence[int]) -> list[Filled] | None:
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
    out = []
    for k, kind in enumerate(kinds):
        try:
            changed, cover = _pasted(paster, np.random.default_rng([*seed, k]), pixels, coefficients, kind, sample)
        except RtfaceError as exc:
            found.problems[sample.path] = Problem(sample.path, str(exc))
            continue
        after = crop_faces(Frame(changed, 0, 0.0), found_face.tracks, systems.size)
        cover = cv2.warpAffine(cover.astype(np.uint8), matrix, (systems.size, systems.size),
                               flags=cv2.INTER_AREA) > 0
        if cover.sum() < LEAST_PX:
            continue
        drawn, contour = systems.fill(after, cover, found_face.tracks.landmarks)
        scores = {name: {metric: function(picture, truth, cover) for metric, function in METRICS.items()}
                  for name, picture in drawn.items()}
        shown = {name: (picture * 255 + 0.5).astype(np.uint8) for name, picture in {"truth": truth, **drawn}.items()}
        out.append(Filled(sample, kind, float(cover.mean()), scores,
                          pictures.line_agreement(contour, lines, cover), shown))
    return out


def _pasted(paster: Paster | None, rng: np.random.Generator, pixels: Pixels, coefficients: Coefficients, kind: str,
            sample: Sample) -> tuple[Pixels, NDArray[np.bool_]]:
    """The picture with something before the face, and where."""
    if paster is not None:
        pasted = paster.paste(rng, pixels, coefficients, kind)
        return pasted.pixels, pasted.cover
    if sample.mask is None:
        raise InputError("got no mask for the picture, expected one")
    mask = cv2.cvtColor(read_picture(sample.mask), cv2.COLOR_RGB2GRAY)
    cover = cv2.resize(mask, pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 127
    return np.where(cover[..., None], np.uint8(GRAY), pixels), cover


def figures(group: str, name: str, system: str, rows: Sequence[Filled]) -> dict[str, Any]:
    """Means of a system over pasted pictures."""
    values = {metric: np.array([row.scores[system][metric] for row in rows]) for metric in METRICS}
    return {"group": group, "name": name, "system": system, "pasted": len(rows),
            "ratio": float(np.mean([row.ratio for row in rows])),
            **{metric: float(np.nanmean(v)) for metric, v in values.items()},
            **{f"{metric}_95": bootstrap_interval(values[metric], lambda v: float(np.nanmean(v)))
               for metric in ("psnr", "ssim")}}


def contour_figures(group: str, name: str, rows: Sequence[Filled]) -> dict[str, Any]:
    """Means of the contours' precision and recall where they are defined."""
    def mean(k: int) -> float:
        values = np.array([row.contour[k] for row in rows])
        return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")

    return {"group": group, "name": name, "system": "contour", "pasted": len(rows), "precision": mean(0),
            "recall": mean(1)}


def worst(rows: Sequence[Filled], folder: Path, *, count: int = 12, side: int = 128) -> None:
    """``worst_completions.jpg``: truth and every system beside one another where rtface's PSNR is lowest, then typical.

    The same for the best half of the sheet would flatter; typical rows are those around the median.
    """
    order = np.argsort([row.scores["rtface"]["psnr"] for row in rows], kind="stable")
    middle = len(order) // 2
    chosen = [*order[:count], *order[max(middle - count // 2, min(count, len(order))):middle + count // 2]]
    cells = [sheets.labelled(sheets.fit(picture, side, side), f"{rows[k].kind} {name}" if name == "truth" else
                             f"{name[:10]} {rows[k].scores[name]['psnr']:.1f}")
             for k in chosen for name, picture in rows[k].shown.items()]
    sheets.write_picture(folder / "worst_completions.jpg", sheets.grid(cells, len(SYSTEMS) + 1))


def _table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [line["name"], line["system"], line["pasted"], f"{line['psnr']:.2f}", "{:.2f}..{:.2f}".format(*line["psnr_95"]),
         f"{line['ssim']:.3f}", "{:.3f}..{:.3f}".format(*line["ssim_95"]), f"{line['l1']:.4f}", f"{line['gmsd']:.3f}"]
        for line in lines]
    return Table("Hidden pixels of crops, completed (by share of the crop that is hidden, then by kind)",
                 ("hole", "system", "pasted", "PSNR dB", "95 %", "SSIM", "95 %", "L1", "GMSD"), rows)


def _contour_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [[line["name"], line["pasted"], f"{line['precision']:.2f}", f"{line['recall']:.2f}"]
                              for line in lines]
    return Table("Contours drawn in the hole, within 2 px of those seen on the clean picture",
                 ("hole", "pasted", "precision", "recall"), rows)
