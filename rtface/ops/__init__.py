"""The array kernels of rtface: their contract, and the choice of who computes them.

NumPy arrays are computed by ``rtface._native`` (C++, no GIL); :mod:`rtface.ops.reference` holds the same functions in
readable NumPy. The twin is the specification: both give the same bits, and raise the same errors.

All arrays are C-contiguous and of exactly the dtype that is named; nothing is converted or copied silently, anything
else is an :class:`rtface.errors.InputError`. Inputs are never written to; results are new arrays that the caller owns.
Pixel centres lie at +0.5, x points right, y down, depth away from the camera. N pictures, V vertices, F triangles,
C channels; every one of them may be 0. ``threads`` never changes a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from rtface.errors import InputError

__all__ = ["Raster", "interpolate", "rasterize", "sample_crops", "sample_texture", "vertex_normals"]

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Cull = Literal["none", "back", "front"]
Border = Literal["replicate", "constant"]


class Raster(NamedTuple):
    """What :func:`rasterize` saw at every pixel centre; N leads every shape when the positions had it."""

    depth: Float32
    """(H, W) float32, in the unit of the positions' third column; +inf where there is no triangle."""
    triangle_id: Int32
    """(H, W) int32, row of ``triangles``; -1 where there is no triangle."""
    barycentrics: Float32
    """(H, W, 3) float32, weights of the triangle's three vertices, in its order; 0 where there is no triangle."""


def rasterize(positions: Float32, triangles: Int32, height: int, width: int, *, cull: Cull = "none",
              cull_first: int | None = None, inverse_w: Float32 | None = None, threads: int = 1) -> Raster:
    """Find the nearest triangle at every pixel centre.

    Args:
        positions: (V, 3) or (N, V, 3) float32: x px, y px, depth; the smaller depth is nearer. Rounded to 1/256 px.
        triangles: (F, 3) int32, rows of ``positions``.
        height, width: sides of the picture in px, 1..32768.
        cull: ``"back"`` leaves out the triangles that look clockwise on the screen, ``"front"`` the others.
        cull_first: only the first so many triangles are culled; None: all.
        inverse_w: (V,) or (N, V) float32, 1/w of a perspective camera, for perspective-correct barycentrics (the
            depth stays affine in the picture). None: affine barycentrics, as a scaled orthographic camera needs.
        threads: 1..256.

    Coverage is exact: by the top-left rule, each pixel of a closed seam belongs to exactly one triangle. Where two
    triangles are equally near, the lower id wins. Left out without an error: triangles without area, and triangles
    with a vertex that is not finite, further out than 65536 px, or whose inverse_w is not positive and finite.

    Raises:
        InputError: wrong shape, dtype, layout or option, or a vertex index outside 0..V-1.
    """
    return Raster(*_kernels().rasterize(positions, triangles, height, width, cull=cull, cull_first=cull_first,
                                        inverse_w=inverse_w, threads=threads))


def interpolate(attributes: Float32, triangles: Int32, triangle_id: Int32, barycentrics: Float32, *,
                background: Float32 | None = None, threads: int = 1) -> Float32:
    """Spread vertex attributes (colours, normals, uv, …) over the pixels of a :class:`Raster`.

    Args:
        attributes: (V, C) float32, or (N, V, C) for a batch; (V, C) also serves a whole batch.
        triangles: (F, 3) int32, as given to :func:`rasterize`.
        triangle_id, barycentrics: as :func:`rasterize` returned them; a negative id means no triangle.
        background: (C,) float32, the value where there is no triangle; None: zeros.
        threads: 1..256.

    Returns:
        (H, W, C) or (N, H, W, C) float32, in the unit of ``attributes``.

    Raises:
        InputError: wrong shape, dtype or layout, a vertex index outside 0..V-1, or a triangle id of F or more.
    """
    result: Float32 = _kernels().interpolate(attributes, triangles, triangle_id, barycentrics, background=background,
                                             threads=threads)
    return result


def sample_texture(texture: npt.NDArray[np.float32 | np.uint8], uv: Float32, *,
                   mask: npt.NDArray[np.bool_ | np.uint8] | None = None, threads: int = 1) -> Float32:
    """Look a texture up bilinearly, one uv per pixel.

    Args:
        texture: (Th, Tw, C) float32, returned in its own unit, or uint8, returned as 0..1; Th and Tw 1..32768.
        uv: (H, W, 2) or (N, H, W, 2) float32: u right, v down; (0, 0) is the outer corner of the texture's first
            texel, (1, 1) that of its last one (as in glTF). Outside of 0..1 the edge texels are repeated.
        mask: uv's shape without its last axis, bool or uint8; the result is 0 where it is 0, and where uv is NaN.
        threads: 1..256.

    Returns:
        (H, W, C) or (N, H, W, C) float32.

    Raises:
        InputError: wrong shape, dtype or layout.
    """
    result: Float32 = _kernels().sample_texture(texture, uv, mask=mask, threads=threads)
    return result


def vertex_normals(vertices: Float32, triangles: Int32, *, threads: int = 1) -> Float32:
    """Unit normals of the vertices: the area-weighted mean over their triangles.

    Args:
        vertices: (N, V, 3) float32, any unit of length.
        triangles: (F, 3) int32, rows of the V vertices, shared by the batch; counter-clockwise seen from outside
            gives normals that point out.
        threads: 1..256; a thread takes whole meshes.

    Returns:
        (N, V, 3) float32 of length 1; zeros for a vertex whose triangles have no area, cancel out, or are not finite.

    Raises:
        InputError: wrong shape, dtype or layout, or a vertex index outside 0..V-1.
    """
    result: Float32 = _kernels().vertex_normals(vertices, triangles, threads=threads)
    return result


def sample_crops(frame: npt.NDArray[np.uint8], frame_from_crop: Float32, size: int, *,
                 scale: float | Sequence[float] = 1.0, offset: float | Sequence[float] = 0.0,
                 border: Border = "replicate", border_value: int = 0, threads: int = 1) -> Float32:
    """Cut square crops out of a frame, bilinearly, planar and normalised: ready for a network.

    Args:
        frame: (H, W, 3) uint8 RGB.
        frame_from_crop: (N, 2, 3) float32, affine, crop px → frame px; finite.
        size: side S of the crops in px, 1..32768.
        scale, offset: a number, or one for each of R, G, B: the result is ``value * scale + offset`` with the value
            in 0..1. For the usual mean and deviation: ``scale=1/deviation, offset=-mean/deviation``.
        border: outside of the frame, ``"replicate"`` repeats its edge, ``"constant"`` is ``border_value`` (0..255).
        threads: 1..256.

    Each crop pixel is the mean of a k×k grid of bilinear taps at most 1.5 frame px apart: one tap up to a scale (the
    longer column of the transform) of 1.5 frame px per crop px, 2×2 up to 3, … 8×8; beyond 12 some aliasing remains.

    Returns:
        (N, 3, S, S) float32.

    Raises:
        InputError: wrong shape, dtype, layout or option, or a transform that is not finite.
    """
    result: Float32 = _kernels().sample_crops(
        frame, frame_from_crop, size, scale=_per_channel(scale, "scale"), offset=_per_channel(offset, "offset"),
        border=border, border_value=border_value, threads=threads)
    return result


def _kernels() -> ModuleType:
    """The module that computes; the one place where it is chosen."""
    try:
        from rtface import _native
    except ImportError as exc:
        raise ImportError("rtface._native, the compiled part of rtface, is missing or does not load here: "
                          f"{exc}. Build it in the repository with `pip install -e .`, or `pip install .`"
                          " to install rtface for use.") from exc
    return _native


def _per_channel(value: Any, name: str) -> tuple[float, float, float]:
    numbers = np.asarray(value, np.float64)
    if numbers.shape not in ((), (3,)):
        raise InputError(f"{name}: got shape {numbers.shape}, expected a number or one for each of R, G, B")
    red, green, blue = np.broadcast_to(numbers, 3).tolist()
    return red, green, blue
