"""Many pictures of different meshes in one call, on the CPU or on a GPU: what the face factory draws batches with.

A pack holds the meshes of N pictures one after the other in one array of vertices and one of triangles, as meshes of
different sizes have no common batch axis. NumPy arrays are computed by ``rtface._native``, picture by picture; CuPy
arrays by ``kernels/rasterize.cu`` on their GPU (:mod:`rtface.ops.cuda`). Both give the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rtface.errors import InputError
from rtface.ops import Raster, rasterize

__all__ = ["rasterize_packed"]


def rasterize_packed(positions: Any, triangles: Any, vertex_starts: Any, triangle_starts: Any, culled: Any, height: int,
                     width: int) -> Raster:
    """Find the nearest triangle at every pixel centre of N pictures; see :func:`rtface.ops.rasterize`.

    Args:
        positions: (V, 3) float32 of all pictures: x px, y px, depth. All arrays NumPy, or all CuPy on one GPU.
        triangles: (F, 3) int32, rows of ``positions``; those of a picture name vertices of that picture only.
        vertex_starts, triangle_starts: (N + 1,) int64, where each picture begins; the last entries are V and F.
        culled: (N,) int32, how many of a picture's first triangles are left out where they show their back.
        height, width: sides of the pictures in px, 1..32768.

    Returns:
        Depth (N, H, W) float32, row of ``triangles`` (N, H, W) int32, −1 where nothing is, and barycentric weights
        (N, H, W, 3) float32, on the device of the inputs.

    Raises:
        InputError: wrong shape, dtype, layout or size.
    """
    _check(positions, "positions", "float32", (None, 3))
    _check(triangles, "triangles", "int32", (None, 3))
    _check(culled, "culled", "int32", (None,))
    for starts, name in ((vertex_starts, "vertex_starts"), (triangle_starts, "triangle_starts")):
        _check(starts, name, "int64", (len(culled) + 1,))
    if not (1 <= height <= 32768 and 1 <= width <= 32768):
        raise InputError(f"height, width: got {height}×{width}, expected 1 to 32768 px each")
    if not isinstance(positions, np.ndarray):
        from rtface.ops import cuda
        return cuda.rasterize_packed(positions, triangles, triangle_starts, culled, height, width)
    shape = (len(culled), height, width)
    out = Raster(np.full(shape, np.inf, np.float32), np.full(shape, -1, np.int32), np.zeros((*shape, 3), np.float32))
    for n, (first, last) in enumerate(zip(triangle_starts[:-1], triangle_starts[1:], strict=True)):
        at, end = vertex_starts[n:n + 2]
        drawn = rasterize(positions[at:end], triangles[first:last] - np.int32(at), height, width, cull="back",
                          cull_first=int(culled[n]))
        out.depth[n], out.barycentrics[n] = drawn.depth, drawn.barycentrics
        out.triangle_id[n] = np.where(drawn.triangle_id >= 0, drawn.triangle_id + np.int32(first), -1)
    return out


def _check(array: Any, name: str, dtype: str, shape: tuple[int | None, ...]) -> None:
    good = (str(array.dtype) == dtype and array.ndim == len(shape) and bool(array.flags.c_contiguous)
            and all(wanted in (None, side) for side, wanted in zip(array.shape, shape, strict=True)))
    if not good:
        sides = ", ".join("·" if side is None else str(side) for side in shape)
        raise InputError(f"{name}: got {array.dtype} of shape {tuple(array.shape)}, expected C-contiguous {dtype} of "
                         f"shape ({sides})")
