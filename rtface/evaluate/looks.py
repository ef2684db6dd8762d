"""What people look at: meshes over clips, faces that were missed, and the worst landmarks over their pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np

from rtface.evaluate import sheets
from rtface.evaluate.dataset import Sample
from rtface.evaluate.detector import Seen, boxes_of
from rtface.evaluate.landmarks import Scored
from rtface.evaluate.metrics import match_boxes, nme_interocular
from rtface.evaluate.passing import Shown as Passing
from rtface.evaluate.robustness import Shown
from rtface.evaluate.sheets import Pixels
from rtface.evaluate.verification import GLASSES, Judged, best_threshold
from rtface.evaluate.verification import NOT_FOUND as NO_SCORE
from rtface.evaluate.videos import ClipRun
from rtface.geometry import FloatArray
from rtface.morphable import MorphableModel
from rtface.render import MeshRenderer, Style, border_fade, faces_from_mesh, headless_context
from rtface.stages.mesh import MeshBuilder
from rtface.types import REGIONS, Coefficients, FrameResult

NOT_FOUND, WORST, TYPICAL = 4, 12, 4
"""On a system's sheet of landmarks: at most so many of the worst faces, among them at most so many that were not found,
and so many typical ones, with errors around the median."""
PAIRS: Final = 12
"""At most so many pairs on a sheet."""
REACH: Final = 2.0
"""Sheets show this much around faces, in their sizes."""
LABEL_COLOR: Final = (60, 230, 90)
POINT_COLOR: Final = (255, 70, 60)
BOX_COLORS: Final = {"labels": LABEL_COLOR, "peer": (70, 120, 255), "rtface": POINT_COLOR}
STYLE: Final = Style(opacity=0.8, color=(0.62, 0.74, 0.80))


class Overlays:
    """Draws meshes over frames of any size; a context manager. RenderError without OpenGL."""

    def __init__(self, model: MorphableModel) -> None:
        self._mesh = MeshBuilder(model)
        self._fade = border_fade(model.mean, model.triangles)
        with ExitStack() as stack:
            context = stack.enter_context(headless_context())
            self._renderer = stack.enter_context(MeshRenderer(context, 64, 64))
            self._stack = stack.pop_all()

    def draw(self, result: FrameResult) -> Pixels:
        """The frame with the mesh of every face over it."""
        pixels: Pixels = result.frame.pixels
        if not len(result.tracks):
            return pixels
        return self.over(pixels, result.coefficients, result.regions)

    def over(self, pixels: Pixels, coefficients: Coefficients, regions: FloatArray | None = None) -> Pixels:
        """A picture (H, W, 3) with meshes of coefficients in its px; regions None: all of the face is shown."""
        if regions is None:
            regions = np.ones((len(coefficients), len(REGIONS)), np.float32)
        self._renderer.resize(*pixels.shape[:2])
        faces = faces_from_mesh(self._mesh.build(coefficients, regions), coefficients, opacity=self._fade)
        picture: Pixels = self._renderer.render_overlay(pixels, faces, style=STYLE)
        return picture

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stack.close()


def clip_sheet(runs: Sequence[ClipRun], model: MorphableModel, path: Path, *, width: int = 240, height: int = 180,
               columns: int = 8) -> list[str]:
    """One picture of meshes over frames of the *free* clips; returns the clips on it. Others are never on it."""
    free = [run for run in runs if run.sample.free]
    with Overlays(model) as overlays:
        cells = [sheets.labelled(_view(result, width, height).cut(overlays.draw(result)), _caption(run, result))
                 for run in free for result in run.shown]
    sheets.write_picture(path, sheets.grid(cells, columns))
    return [run.sample.path for run in free]


def clip_pictures(runs: Sequence[ClipRun], model: MorphableModel, folder: Path, *, width: int = 480,
                  height: int = 360) -> None:
    """One picture per clip, the network's points above, the mesh below, whatever the rights: for a private folder."""
    with Overlays(model) as overlays:
        for run in runs:
            upper, lower = [], []
            for result in run.shown:
                view, caption = _view(result, width, height), _caption(run, result)
                points = view.place(result.tracks.landmarks.reshape(-1, 2))
                upper.append(sheets.labelled(sheets.with_points(view.cut(result.frame.pixels), points, POINT_COLOR),
                                             caption))
                lower.append(sheets.labelled(view.cut(overlays.draw(result)), caption))
            name = run.sample.path.removeprefix("videos/").replace("/", "_")
            sheets.write_picture(folder / f"{name}.jpg", sheets.grid([*upper, *lower], max(len(upper), 1)))


def worst_landmarks(scored: Sequence[Scored], folder: Path, *, side: int = 300, columns: int = 4) -> None:
    """Per system one picture: faces not found, the worst, and typical ones; label in green, points in red.

    For a private folder.
    """
    for system in dict.fromkeys(system for face in scored for system in face.points):
        faces = [face for face in scored if system in face.points and face.sample.points is not None]
        errors = nme_interocular(np.stack([face.points[system] for face in faces]),
                                 np.stack([face.sample.points for face in faces if face.sample.points is not None]))
        order = np.argsort(-errors, kind="stable")
        lost = int((~np.isfinite(errors)).sum())
        unseen = min(lost, NOT_FOUND)
        end = lost + WORST - unseen
        middle = max(end, (lost + len(order) - TYPICAL) // 2)
        chosen = [*order[:unseen], *order[lost:end], *order[middle:middle + TYPICAL]]
        cells = [_scored_cell(faces[k], system, float(errors[k]), side) for k in chosen]
        sheets.write_picture(folder / f"worst_{_file_name(system)}.jpg", sheets.grid(cells, columns))


def doubtful_detections(seen: Sequence[Seen], min_score: float, folder: Path, *, side: int = 300,
                        columns: int = 6) -> None:
    """Pictures where a face was missed or found by one detector only: label in green, rtface in red, peer in blue."""
    cells = []
    for record in seen:
        boxes = {who: found[0] for who in ("labels", "peer", "rtface")
                 if (who == "labels" or who in record.detections) and (found := boxes_of(record, who, min_score))}
        judged = boxes.get("rtface", boxes.get("peer", np.zeros((0, 4), np.float32)))
        missed = [who for who in ("labels", "peer") if who in boxes
                  and (match_boxes(boxes[who], np.ones(len(boxes[who])), judged).reference < 0).any()]
        extra = len(judged) > len(boxes.get("peer", judged))
        if missed or extra:
            picture = record.sample.pixels()
            for who, rows in boxes.items():
                picture = sheets.with_boxes(picture, rows, BOX_COLORS[who])
            text = " ".join([*(f"missed {who}" for who in missed), *(["extra"] if extra else [])])
            cells.append(sheets.labelled(sheets.fit(picture, side, side), f"{text}  {Path(record.sample.path).stem}"))
    if cells:
        sheets.write_picture(folder / "doubtful_detections.jpg", sheets.grid(cells, columns))


def wrong_pairs(judged: Sequence[Judged], pictures: Mapping[str, Sample], folder: Path, *, side: int = 200,
                columns: int = 3) -> None:
    """Per system one picture, without glasses: the pairs judged most wrongly, side by side, with their scores.

    Wrong is what lies on the other side of the best threshold; pairs without two faces are not shown. Private.
    """
    for one in judged:
        found = one.scores > NO_SCORE
        if one.glasses != GLASSES[0] or not found.any():
            continue
        threshold = best_threshold(one.scores[found], one.same[found])
        beyond = np.where(one.same, threshold - one.scores, one.scores - threshold)
        beyond[~found] = -np.inf
        chosen = [k for k in np.argsort(-beyond, kind="stable")[:PAIRS] if beyond[k] > 0]
        cells = []
        for k in chosen:
            pair = one.pairs[k]
            two = [sheets.fit(pictures[path].pixels(), side, side) for path in pair[:2]]
            verdict = "one person" if pair.same else "two people"
            cells.append(sheets.labelled(np.concatenate(two, axis=1), f"{verdict}, score {one.scores[k]:.2f}, "
                                                                      f"same from {threshold:.2f}"))
        if cells:
            name = _file_name(f"wrong {one.set_name} {one.system}")
            sheets.write_picture(folder / f"{name}.jpg", sheets.grid(cells, columns))


def most_moved(shown: Sequence[Shown], model: MorphableModel, folder: Path, *, side: int = 220,
               columns: int = 2) -> None:
    """One picture: clean, pasted, and the mesh over both, of the faces whose mesh moved most. For a private folder."""
    if not shown:
        return
    cells = []
    with Overlays(model) as overlays:
        for one in shown:
            height, width = one.clean.shape[:2]
            points = one.before.points
            view = sheets.View.around(np.concatenate([points.min(axis=0), points.max(axis=0)])[None], (width, height),
                                      side, side, REACH)
            pictures = (one.clean, one.pasted, overlays.over(one.clean, one.before.coefficients),
                        overlays.over(one.pasted, one.after.coefficients))
            text = f"{one.moved.kind} {one.moved.shape_mm:.1f} mm, {100 * one.moved.coverage:.0f} % covered"
            cells.append(sheets.labelled(np.concatenate([view.cut(picture) for picture in pictures], axis=1),
                                         f"{text}  {Path(one.sample.path).stem}"))
    sheets.write_picture(folder / "most_moved.jpg", sheets.grid(cells, columns))


def passing_strips(shown: Sequence[Passing], model: MorphableModel, folder: Path, *, side: int = 200) -> None:
    """A picture for each: meshes over the clean frames and, system by system, over those with an occluder. Private."""
    with ExitStack() as stack:
        overlays = stack.enter_context(Overlays(model)) if shown else None
        for number, one in enumerate(shown):
            assert overlays is not None
            height, width = one.clean[0].shape[:2]
            points = np.concatenate([face.points for face in one.before])
            view = sheets.View.around(np.concatenate([points.min(axis=0), points.max(axis=0)])[None], (width, height),
                                      side, side, REACH)
            rows = {"clean": (one.clean, one.before), **{system: (one.pasted, faces)
                                                         for system, faces in one.after.items()}}
            cells = []
            for name, (pictures, faces) in rows.items():
                told = f" {one.moved_mm[name]:.2f} mm" if name in one.moved_mm else ""
                for moment, picture, face in zip(one.moments, pictures, faces, strict=True):
                    drawn = picture if face is None else overlays.over(picture, face.coefficients)
                    cells.append(sheets.labelled(view.cut(drawn), f"{name}{told}, {moment}"))
            name = _file_name(f"passing {number} {Path(one.sample.path).stem} {one.kind}")
            sheets.write_picture(folder / f"{name}.jpg", sheets.grid(cells, len(one.moments)))


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text).strip("_")


def _scored_cell(face: Scored, system: str, error: float, side: int) -> Pixels:
    """The labelled face with its surroundings."""
    assert face.sample.points is not None
    picture = face.sample.pixels()
    box = np.concatenate([face.sample.points.min(axis=0), face.sample.points.max(axis=0)])[None]
    view = sheets.View.around(box, (picture.shape[1], picture.shape[0]), side, side, REACH)
    cell = view.cut(picture)
    for points, color in ((face.sample.points, LABEL_COLOR), (face.points[system], POINT_COLOR)):
        cell = sheets.with_points(cell, view.place(points), color)
    text = f"{100 * error:.1f} %" if np.isfinite(error) else "not found"
    return sheets.labelled(cell, f"{text}  {Path(face.sample.path).stem}")


def _view(result: FrameResult, width: int, height: int) -> sheets.View:
    return sheets.View.around(result.tracks.boxes_xyxy, (result.frame.width, result.frame.height), width, height, REACH)


def _caption(run: ClipRun, result: FrameResult) -> str:
    states = " ".join(f"{identifier}:{status[0]}" for identifier, status in
                      zip(result.tracks.ids.tolist(), result.status, strict=True))
    return f"{Path(run.sample.path).stem[:24]} {result.frame.index} {states}"
