"""The chain at work: a sink that shows input, mask, contour, completed crop and mesh of a face side by side."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface import ops
from rtface.contours import LIKELY
from rtface.geometry import invert_affine, transform_coefficients
from rtface.io import VideoSink
from rtface.morphable import MorphableModel
from rtface.render import MeshRenderer, OwnRenderer, Style, border_fade, faces_from_mesh
from rtface.stages.mesh import MeshBuilder
from rtface.types import Coefficients, FaceStatus, FrameResult

PANELS: Final = ("input", "mask", "contour", "completed", "mesh")
SIDE: Final = 256
"""px of a panel."""
GROUND: Final = 24
HIDDEN: Final = np.array([235, 60, 50], np.float32)
"""Colour over what hides the face."""
DRAWN: Final = np.array([255, 210, 60], np.float32)
SEEN: Final = np.array([225, 225, 225], np.float32)
"""Colours of contours in the hole and elsewhere."""
Pixels = NDArray[np.uint8]


class StageRow:
    """Draws the panels of one frame: the largest face that was measured.

    Without occlusion nothing is drawn anew, so the completed crop is the input and the contour's panel stays dark.
    Frames without a measured face are plain.
    """

    def __init__(self, model: MorphableModel, renderer: MeshRenderer) -> None:
        """renderer: stays the caller's; its context must be current whenever :meth:`row` is called."""
        self._builder, self._renderer = MeshBuilder(model), renderer
        self._fade = border_fade(model.mean, model.triangles)

    def row(self, result: FrameResult) -> Pixels:
        """(SIDE, 5·SIDE, 3) uint8: the panels of a frame, in the order of :data:`PANELS`."""
        out = np.full((SIDE, len(PANELS) * SIDE, 3), GROUND, np.uint8)
        face = _largest(result)
        if face is None or result.occlusion is None:
            return out
        transform = result.occlusion.crop_from_frame[face][None]
        size = result.occlusion.mask.shape[-1]
        crop = ops.sample_crops(np.ascontiguousarray(result.frame.pixels), invert_affine(transform), size)[0]
        filled, contour, hole = crop, np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
        done = result.completion
        if done is not None:
            for k in np.flatnonzero(done.after.track_ids == result.tracks.ids[face]):
                filled, contour, hole = done.after.pixels[k], done.structure.contour[k, 0], done.mask[k, 0]
        mesh = self._mesh(result, face, transform, size, _enlarged(filled))
        drawn = np.where(hole[..., None] > 0.5, DRAWN, SEEN)
        # what is just likely is half as bright as what is seen
        shown = contour * (1 - LIKELY) / (contour * (1 - 2 * LIKELY) + LIKELY)
        lines = (shown[..., None] * drawn).transpose(2, 0, 1) / 255
        panels = (_enlarged(crop), _tinted(_enlarged(crop), result.occlusion.probability[face]), _enlarged(lines),
                  _enlarged(filled), mesh)
        for left, panel in zip(range(0, out.shape[1], SIDE), panels, strict=True):
            out[:, left:left + SIDE] = panel
        return out

    def _mesh(self, result: FrameResult, face: int, transform: Any, size: int, background: Pixels) -> Pixels:
        """The face's mesh over its completed crop."""
        vector = result.coefficients.to_vector()[face:face + 1]
        enlarge = transform * np.float32(SIDE / size)
        placed = transform_coefficients(Coefficients.from_vector(vector, result.coefficients.basis), enlarge)
        mesh = self._builder.build(placed, result.regions[face:face + 1])
        style = Style(opacity=0.85)
        picture: Pixels = self._renderer.render_overlay(background, faces_from_mesh(mesh, placed, opacity=self._fade),
                                                        style=style)
        return picture


class StagesSink:
    """Writes a video with one row of panels per frame (:class:`StageRow`), at the source's times.

    Rendering needs OpenGL through EGL, in the thread that makes the sink.
    """

    needs_mesh: Final = False

    def __init__(self, path: str | os.PathLike[str], model: MorphableModel, *, fps: float | None = None) -> None:
        """fps: None takes 25, for the file's header only. RenderError without OpenGL."""
        with ExitStack() as stack:
            self._own = OwnRenderer(SIDE, SIDE)
            stack.callback(self._own.release)
            with self._own.current() as renderer:
                self._view = StageRow(model, renderer)
            self._video = VideoSink(path, fps=fps)
            stack.pop_all()

    def write(self, result: FrameResult) -> None:
        """Draw one frame; ``result.frame.pixels`` must be the real picture."""
        self._video.write(self.row(result), result.frame.pts_s)

    def row(self, result: FrameResult) -> Pixels:
        """(SIDE, 5·SIDE, 3) uint8: the panels of a frame, as :meth:`write` encodes them."""
        with self._own.current():
            return self._view.row(result)

    def finish(self) -> list[Path]:
        """Give the video its final name."""
        files = self._video.finish()
        self._own.release()
        return files

    def abort(self) -> None:
        """Remove the temporary file and free what OpenGL holds."""
        self._video.abort()
        self._own.release()


def _largest(result: FrameResult) -> int | None:
    """Row of the largest face that was measured in this frame."""
    boxes = result.tracks.boxes_xyxy
    rows = [k for k, status in enumerate(result.status) if status is FaceStatus.TRACKED]
    return max(rows, key=lambda k: float((boxes[k, 2:] - boxes[k, :2]).prod())) if rows else None


def _enlarged(picture: Any) -> Pixels:
    """(3, S, S) 0..1 → (SIDE, SIDE, 3) uint8 by repeating pixels."""
    place = ((np.arange(SIDE) + 0.5) * picture.shape[-1] / SIDE).astype(np.intp)
    large: Pixels = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)[place][:, place]
    return np.ascontiguousarray(large)


def _tinted(picture: Pixels, probability: Any) -> Pixels:
    """What hides the face in red, background darkened, each as far as it is sure."""
    place = ((np.arange(SIDE) + 0.5) * probability.shape[-1] / SIDE).astype(np.intp)
    background, _, occluder = probability[:, place][:, :, place]
    out = picture * (1 - 0.6 * background[..., None])
    share = 0.65 * occluder[..., None]
    return np.asarray(out * (1 - share) + HIDDEN * share + 0.5, np.uint8)
