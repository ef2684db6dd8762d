"""The mesh over the video: a sink that draws every result over its frame and encodes it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rtface import ops
from rtface.io import VideoSink
from rtface.morphable import MorphableModel
from rtface.render import (
    OwnRenderer,
    RenderFace,
    RenderPart,
    Style,
    border_fade,
    faces_from_mesh,
    split_mesh,
    subdivision_lines,
)
from rtface.render.scene import Kind
from rtface.stages.mesh import srgb
from rtface.types import FaceMesh, FaceStatus, FrameResult

_KINDS: Final[dict[str, Kind]] = {"socket": "mouth", "cavity": "mouth", "teeth_upper": "teeth",
                                  "teeth_lower": "teeth", "tongue": "tongue"}


class FaceScene:
    """Turns results into what a renderer draws: skin with eyes and the inside of the mouth, guessed faces paler."""

    def __init__(self, model: MorphableModel) -> None:
        self._model = model
        self._interior = split_mesh(model.interior.triangles, model.interior.labels, model.interior.label_names,
                                    _KINDS)
        self._fade = border_fade(model.mean, model.triangles)
        self._lines = _quad_lines(model)

    def groups(self, result: FrameResult) -> list[tuple[list[RenderFace], float]]:
        """Faces that were guessed (held, interpolated) and measured ones, each group with its opacity; no empty ones.

        ``result.mesh`` must be there, else there are none.
        """
        mesh = result.mesh
        if mesh is None or not len(mesh):
            return []
        faces = self._whole(mesh, result)
        measured = [face for face, status in zip(faces, result.status, strict=True) if status is FaceStatus.TRACKED]
        guessed = [face for face, status in zip(faces, result.status, strict=True)
                   if status in (FaceStatus.HELD, FaceStatus.INTERPOLATED)]
        return [(group, opacity) for group, opacity in ((guessed, 0.5), (measured, 1.0)) if group]

    def _whole(self, mesh: FaceMesh, result: FrameResult) -> list[RenderFace]:
        """Skin with eyes and the inside of the mouth."""
        model, c = self._model, result.coefficients
        faces = faces_from_mesh(mesh, c, opacity=self._fade, lines=self._lines)
        eyes = np.ascontiguousarray(model.eye_vertices(c.identity, c.expression), np.float32)
        eye_normals = ops.vertex_normals(eyes, model.eyes.triangles)
        inside = np.ascontiguousarray(model.interior_vertices(c.identity, c.expression), np.float32)
        inside_normals = ops.vertex_normals(inside, model.interior.triangles)
        eye_colors, inside_colors = srgb(model.eyes.colors), srgb(model.interior.colors)
        return [replace(face, parts=(*face.parts,
                                     RenderPart(eyes[n], eye_normals[n], eye_colors, model.eyes.triangles, "eye"),
                                     *(piece.part(inside[n], inside_normals[n], inside_colors)
                                       for piece in self._interior)))
                for n, face in enumerate(faces)]


def _quad_lines(model: MorphableModel) -> NDArray[np.bool_] | None:
    """The edges that a wireframe shows: those of the mesh as modelled; the finer level's are too dense to read."""
    if model.level == 0:
        return None
    vertex_points, quads = model.coarse_count, len(model.triangles) // 8
    return subdivision_lines(model.triangles, vertex_points, len(model.mean) - vertex_points - quads)


class OverlaySink:
    """Writes a video of the source's frames, at their own times, with faces, eyes and mouths drawn over them.

    Faces that are held or interpolated are drawn paler. Rendering needs OpenGL through EGL, in the thread that makes
    the sink; RenderError when there is none. See :class:`rtface.io.VideoSink` for the file.
    """

    needs_mesh: Final = True

    def __init__(self, path: str | os.PathLike[str], model: MorphableModel, *, height: int, width: int,
                 fps: float | None = None, style: Style | None = None) -> None:
        """height, width: of the source's frames in px; fps: None takes 25, for the file's header only."""
        self._style = style or Style(opacity=0.85)
        self._scene = FaceScene(model)
        with ExitStack() as stack:
            self._own = OwnRenderer(height, width)
            stack.callback(self._own.release)
            self._video = VideoSink(path, fps=fps)
            stack.pop_all()

    def write(self, result: FrameResult) -> None:
        """Draw one frame; ``result.frame.pixels`` must be the real picture."""
        pixels = result.frame.pixels
        with self._own.current() as renderer:
            for faces, opacity in self._scene.groups(result):
                style = replace(self._style, opacity=self._style.opacity * opacity)
                pixels = renderer.render_overlay(pixels, faces, style=style)
        self._video.write(pixels, result.frame.pts_s)

    def finish(self) -> list[Path]:
        """Give the video its final name."""
        files = self._video.finish()
        self._own.release()
        return files

    def abort(self) -> None:
        """Remove the temporary file and free what OpenGL holds."""
        self._video.abort()
        self._own.release()
