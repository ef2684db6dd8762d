"""From rtface's camera to OpenGL's clip space: the only place where the two conventions meet.

rtface: pixel centres at +0.5, x right, y down, depth away from the camera (``rtface.geometry.pose_vertices``).
OpenGL: clip space −1..1, y up, framebuffer row 0 at the bottom, pixel centres at +0.5.

The matrices do not flip y: picture row 0 is framebuffer row 0. Pixels are read back top row first without a copy,
scissor rectangles are picture rectangles, and counter-clockwise triangles arrive clockwise (``front_face = "cw"``).
Whoever shows the result in a window flips it there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtface.geometry import rotation_matrices
from rtface.render.scene import RenderFace


class Rectangle(NamedTuple):
    """Pixels x..x+width, y..y+height of a picture; also a framebuffer's scissor and viewport."""

    x: int
    y: int
    width: int
    height: int

    @property
    def empty(self) -> bool:
        return self.width <= 0 or self.height <= 0


class View(NamedTuple):
    """A face as the camera sees it."""

    camera_from_head: NDArray[np.float64]
    """(3, 3) rotation."""
    low: NDArray[np.float64]
    """(3,) smallest x px, y px, depth px of the box around the face."""
    high: NDArray[np.float64]


def view_face(face: RenderFace, low_mm: NDArray[np.float64], high_mm: NDArray[np.float64]) -> View:
    """Place the box low..high (3,) mm around a face's vertices in the picture; x px, y px, depth px."""
    rotation = rotation_matrices(np.asarray(face.rotation, np.float32)[None])[0].astype(np.float64)
    center, half = (high_mm + low_mm) / 2, (high_mm - low_mm) / 2
    middle = rotation @ center * face.scale
    middle[:2] += np.asarray(face.translation, np.float64)
    reach = np.abs(rotation) @ half * face.scale
    return View(rotation, middle - reach, middle + reach)


def clip_from_head(face: RenderFace, view: View, height: int, width: int,
                   depth_slice: tuple[float, float] = (-1.0, 1.0)) -> NDArray[np.float32]:
    """(4, 4) float32 matrix on column vectors (x mm, y mm, z mm, 1) of head space, row-major.

    A vertex that ``pose_vertices`` puts at (x, y) px lands at (x, y) of the framebuffer's pixel grid. Depths
    low..high of the view fill ``depth_slice`` of clip space (−1 nearest), so that faces, whose depths are not
    comparable, are kept apart in one depth buffer.
    """
    picture = view.camera_from_head * face.scale  # px from mm
    near, far = float(view.low[2]), float(view.high[2])
    first, last = depth_slice
    margin = 0.01 * (last - first)
    extent = max(far - near, 1e-3 * abs(near), 1e-3)  # flat things stay within float32
    depth = (last - first - 2 * margin) / extent
    matrix = np.zeros((4, 4))
    for row, size in ((0, width), (1, height)):
        matrix[row, :3] = picture[row] * 2 / size
        matrix[row, 3] = float(face.translation[row]) * 2 / size - 1
    matrix[2, :3] = picture[2] * depth
    matrix[2, 3] = first + margin - near * depth
    matrix[3, 3] = 1
    return matrix.astype(np.float32)


def bounding_rectangle(views: list[View], height: int, width: int, margin_px: float) -> Rectangle:
    """The pixels that any of the faces may touch, cut to the picture; empty where none does."""
    if not views:
        return Rectangle(0, 0, 0, 0)
    low = np.min([v.low[:2] for v in views], axis=0) - margin_px
    high = np.max([v.high[:2] for v in views], axis=0) + margin_px
    size = (width, height)
    x0, y0 = (int(v) for v in np.clip(np.floor(low), 0, size))
    x1, y1 = (int(v) for v in np.clip(np.ceil(high), 0, size))
    return Rectangle(x0, y0, x1 - x0, y1 - y0)
