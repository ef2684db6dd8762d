"""Kernels that turn a :class:`rtface.ops.Raster` into a picture: see :mod:`rtface.ops` for the rules they follow.

Their twins are in :mod:`rtface.ops.shading_reference`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rtface.ops import Float32, Int32, _kernels

__all__ = ["colorize", "encode_over", "seen_vertices"]

Bool = npt.NDArray[np.bool_]
UInt8 = npt.NDArray[np.uint8]


def seen_vertices(triangles: Int32, triangle_id: Int32, count: int) -> Bool:
    """Which vertices belong to a triangle that is seen somewhere: (V,) bool. Only those need shading.

    Args:
        triangles: (F, 3) int32, as given to :func:`rtface.ops.rasterize`.
        triangle_id: (H, W) int32, as it was returned.
        count: number of vertices V.

    Raises:
        InputError: wrong shape, dtype or layout, a vertex index outside 0..V-1, or a triangle id of F or more.
    """
    result: Bool = _kernels().seen_vertices(triangles, triangle_id, count)
    return result


def colorize(shaded: Float32, triangles: Int32, kinds: UInt8, uv: Float32, textured: Bool, texture: Float32 | None,
             triangle_id: Int32, barycentrics: Float32, shine: Float32, *, threads: int = 1) -> tuple[Float32, UInt8]:
    """Colour and label every pixel of a :class:`rtface.ops.Raster` in one pass.

    Args:
        shaded: (V, 4) float32: RGB of the vertices under their light, and the strength of their highlight.
        triangles: (F, 3) int32, as given to :func:`rtface.ops.rasterize`.
        kinds: (V,) uint8 labels; a triangle has the label of its first vertex.
        uv: (V, 2) float32, as :func:`rtface.ops.sample_texture` takes them.
        textured: (V,) bool; triangles whose first vertex is textured are multiplied with the texture.
        texture: (Th, Tw, 3) float32, looked up bilinearly; None: no texture anywhere.
        triangle_id, barycentrics: as :func:`rtface.ops.rasterize` returned them.
        shine: (3,) float32, colour of highlights, added.
        threads: 1..256.

    Returns:
        (H, W, 3) float32 RGB, 0 where there is no triangle, and (H, W) uint8 labels, 255 there.

    Raises:
        InputError: wrong shape, dtype or layout, a vertex index outside 0..V-1, or a triangle id of F or more.
    """
    result: tuple[Float32, UInt8] = _kernels().colorize(shaded, triangles, kinds, uv, textured, texture, triangle_id,
                                                        barycentrics, shine, threads=threads)
    return result


def encode_over(color: Float32, kind: UInt8, behind: Float32, grain: Float32, grained: Bool, curve: Float32, *,
                threads: int = 1) -> Float32:
    """Encode linear light by a curve and lay it over a background.

    Args:
        color: (H, W, 3) float32 linear; cut to 0..1 (NaN is 0) after the grain.
        kind: (H, W) uint8 labels; where it is 255, ``behind`` shows.
        behind: (H, W, 3) float32, encoded already.
        grain: (H, W) float32, factor on the colour of those labels that are ``grained``, (256,) bool.
        curve: (K,) float32, K from 2 to 65536: encoded values at equal steps of the square root of 0..1, between
            which it is linear. The square root spends the steps where the eye and the curve need them, in the dark.
        threads: 1..256.

    Returns:
        (H, W, 3) float32.

    Raises:
        InputError: wrong shape, dtype or layout.
    """
    result: Float32 = _kernels().encode_over(color, kind, behind, grain, grained, curve, threads=threads)
    return result
