"""The kernels of :mod:`rtface.ops.shading` in readable NumPy: same bits, same errors."""

from __future__ import annotations

import numpy as np

from rtface.errors import InputError
from rtface.ops import Float32, Int32
from rtface.ops.reference import MAX_SIDE, _check, _check_triangles, _got, interpolate, sample_texture
from rtface.ops.shading import Bool, UInt8


def seen_vertices(triangles: Int32, triangle_id: Int32, count: int) -> Bool:
    """See :func:`rtface.ops.shading.seen_vertices`."""
    if not 0 <= count < 2**31:
        raise InputError(f"count: got {count}, expected a number of vertices")
    _check_triangles(triangles, count)
    _check_ids(triangle_id, len(triangles))
    out = np.zeros(count, np.bool_)
    out[triangles[triangle_id[triangle_id >= 0]]] = True
    return out


def colorize(shaded: Float32, triangles: Int32, kinds: UInt8, uv: Float32, textured: Bool, texture: Float32 | None,
             triangle_id: Int32, barycentrics: Float32, shine: Float32) -> tuple[Float32, UInt8]:
    """See :func:`rtface.ops.shading.colorize`."""
    _check(shaded, "shaded", ["float32"], [(None, 4)])
    count = len(shaded)
    _check_triangles(triangles, count)
    _check(kinds, "kinds", ["uint8"], [(count,)])
    _check(uv, "uv", ["float32"], [(count, 2)])
    _check(textured, "textured", ["bool"], [(count,)])
    if texture is not None:
        _check(texture, "texture", ["float32"], [(None, None, 3)])
        if not all(1 <= side <= MAX_SIDE for side in texture.shape[:2]):
            raise InputError(f"texture: {_got(texture)}, expected shape (Th, Tw, 3) with Th and Tw from 1 to "
                             f"{MAX_SIDE}")
    _check_ids(triangle_id, len(triangles))
    _check(barycentrics, "barycentrics", ["float32"], [(*triangle_id.shape, 3)])
    _check(shine, "shine", ["float32"], [(3,)])
    covered = triangle_id >= 0
    first = triangles[triangle_id[covered], 0]
    values = interpolate(shaded, triangles, triangle_id, barycentrics)
    color = values[..., :3]
    if texture is not None:
        place = interpolate(uv, triangles, triangle_id, barycentrics)
        on_map = np.zeros(triangle_id.shape, np.bool_)
        on_map[covered] = textured[first]
        color[on_map] *= sample_texture(texture, place)[on_map]
    color = color + values[..., 3:] * shine
    color[~covered] = 0
    kind = np.full(triangle_id.shape, 255, np.uint8)
    kind[covered] = kinds[first]
    return color, kind


def encode_over(color: Float32, kind: UInt8, behind: Float32, grain: Float32, grained: Bool,
                curve: Float32) -> Float32:
    """See :func:`rtface.ops.shading.encode_over`."""
    _check(kind, "kind", ["uint8"], [(None, None)])
    _check(color, "color", ["float32"], [(*kind.shape, 3)])
    _check(behind, "behind", ["float32"], [(*kind.shape, 3)])
    _check(grain, "grain", ["float32"], [kind.shape])
    _check(grained, "grained", ["bool"], [(256,)])
    _check(curve, "curve", ["float32"], [(None,)])
    if not 2 <= len(curve) <= 65536:
        raise InputError(f"curve: {_got(curve)}, expected shape (K,), K from 2 to 65536")
    value = color * np.where(grained[kind], grain, np.float32(1))[..., None]
    value = np.where(value > 0, value, np.float32(0))
    value = np.where(value < 1, value, np.float32(1))
    place = np.sqrt(value) * np.float32(len(curve) - 1)
    step = np.minimum(place.astype(np.int32), len(curve) - 2)
    low = curve[step]
    encoded = low + (curve[step + 1] - low) * (place - step.astype(np.float32))
    out: Float32 = np.where((kind == 255)[..., None], behind, encoded)
    return out


def _check_ids(triangle_id: Int32, faces: int) -> None:
    _check(triangle_id, "triangle_id", ["int32"], [(None, None)])
    if triangle_id.size and triangle_id.max() >= faces:
        raise InputError(f"triangle_id: got {triangle_id.max()}, expected ids below F = {faces} "
                         "(and -1 where there is no triangle)")
