"""The kernels of :mod:`rtface.ops` in readable NumPy: the specification that the fast ones are compared with.

Same signatures (less ``threads``), same checks, same bits. Where the order of floating-point operations is visible in
the result it is part of the specification, and written out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rtface.errors import InputError
from rtface.ops import Border, Cull, Float32, Int32, Raster, _per_channel

SUBPIXELS = 256
GUARD_BAND_PX = 65536
MAX_SIDE = 32768
MAX_TAP_STEP_PX = 1.5
MAX_TAPS = 8


def rasterize(positions: Float32, triangles: Int32, height: int, width: int, *, cull: Cull = "none",
              cull_first: int | None = None, inverse_w: Float32 | None = None) -> Raster:
    """See :func:`rtface.ops.rasterize`.

    Positions are whole numbers of 1/256 px, so edge functions are whole numbers and coverage is exact.
    """
    _check(positions, "positions", ["float32"], [(None, 3), (None, None, 3)])
    vertices = positions.shape[-2]
    _check_triangles(triangles, vertices)
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise InputError(f"height, width: got {height}, {width}, expected 1 to {MAX_SIDE} pixels")
    _check_choice(cull, "cull", ("none", "back", "front"))
    if cull_first is not None and cull_first < 0:
        raise InputError(f"cull_first: got {cull_first}, expected a number of triangles or None")
    if inverse_w is not None:
        _check(inverse_w, "inverse_w", ["float32"], [positions.shape[:-1]])

    batch = positions.shape[:-2]
    depth = np.full((*batch, height, width), np.inf, np.float32)
    triangle_id = np.full((*batch, height, width), -1, np.int32)
    barycentrics = np.zeros((*batch, height, width, 3), np.float32)
    for n in np.ndindex(batch):
        weights_w = np.ones(vertices) if inverse_w is None else inverse_w[n].astype(np.float64)
        points = positions[n].astype(np.float64)  # (V, 3)
        with np.errstate(over="ignore", invalid="ignore"):
            snapped = np.rint(points[:, :2] * SUBPIXELS)  # (V, 2) whole numbers of 1/256 px
        usable = ((np.abs(snapped) <= GUARD_BAND_PX * SUBPIXELS).all(1) & np.isfinite(points[:, 2])
                  & (weights_w > 0) & np.isfinite(weights_w))
        for f in range(len(triangles)):
            corners = triangles[f]
            if usable[corners].all():
                _draw(f, snapped[corners].astype(np.int64), points[corners, 2],
                      None if inverse_w is None else weights_w[corners],
                      cull if cull_first is None or f < cull_first else "none",
                      depth[n], triangle_id[n], barycentrics[n])
    return Raster(depth, triangle_id, barycentrics)


def _draw(f: int, corners: npt.NDArray[np.int64], z: npt.NDArray[np.float64], w: npt.NDArray[np.float64] | None,
          cull: Cull, depth: Float32, triangle_id: Int32, barycentrics: Float32) -> None:
    """Draw one triangle: corners (3, 2) in 1/256 px, depths z (3,), 1/w (3,) or None, into one picture."""
    (ax, ay), (bx, by), (cx, cy) = corners.tolist()
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)  # y points down: negative where counter-clockwise
    if area == 0 or (cull == "back" and area > 0) or (cull == "front" and area < 0):
        return
    # The pixels whose centres, 256 x + 128, lie in the bounding box.
    height, width = depth.shape
    low, high = corners.min(0), corners.max(0)
    x0, y0 = np.maximum((low + 127) // SUBPIXELS, 0)
    x1, y1 = np.minimum((high + 128) // SUBPIXELS, (width, height))
    if x0 >= x1 or y0 >= y1:
        return
    x = np.arange(x0, x1) * SUBPIXELS + 128  # (w,)
    y = (np.arange(y0, y1) * SUBPIXELS + 128)[:, None]  # (h, 1)

    inside = np.ones((y1 - y0, x1 - x0), bool)
    edges = []  # edges[i] belongs to the edge opposite corner i; positive inside
    for i in range(3):
        start, end = corners[(i + 1) % 3], corners[(i + 2) % 3]
        dx, dy = (end - start) * (1 if area > 0 else -1)
        edge = dx * (y - start[1]) - dy * (x - start[0])  # (h, w) int64
        on_top_or_left = dy < 0 or (dy == 0 and dx > 0)
        inside &= edge >= (0 if on_top_or_left else 1)
        edges.append(edge.astype(np.float64))

    box = np.s_[y0:y1, x0:x1]
    e0, e1, e2 = edges
    scale: Any = 1.0 / abs(area)
    with np.errstate(over="ignore"):
        new_depth = (((e0 * z[0] + e1 * z[1]) + e2 * z[2]) * scale).astype(np.float32)
    wins = inside & (new_depth < depth[box])  # strictly: the lower id keeps a tie
    if w is not None:
        e0, e1, e2 = e0 * w[0], e1 * w[1], e2 * w[2]
        with np.errstate(divide="ignore"):  # on the far side of an edge the sum may be 0
            scale = 1.0 / ((e0 + e1) + e2)
    with np.errstate(invalid="ignore", over="ignore"):
        weights = np.stack([e0 * scale, e1 * scale, e2 * scale], -1).astype(np.float32)
    depth[box][wins] = new_depth[wins]
    triangle_id[box][wins] = f
    barycentrics[box][wins] = weights[wins]


def interpolate(attributes: Float32, triangles: Int32, triangle_id: Int32, barycentrics: Float32, *,
                background: Float32 | None = None) -> Float32:
    """See :func:`rtface.ops.interpolate`."""
    _check(triangle_id, "triangle_id", ["int32"], [(None, None), (None, None, None)])
    _check(barycentrics, "barycentrics", ["float32"], [(*triangle_id.shape, 3)])
    batch = triangle_id.shape[:-2]
    _check(attributes, "attributes", ["float32"], [(None, None), *([(*batch, None, None)] if batch else [])])
    _check_triangles(triangles, attributes.shape[-2])
    channels = attributes.shape[-1]
    if background is not None:
        _check(background, "background", ["float32"], [(channels,)])
    if triangle_id.size and triangle_id.max() >= len(triangles):
        raise InputError(f"triangle_id: got {triangle_id.max()}, expected ids below F = {len(triangles)} "
                         "(and -1 where there is no triangle)")

    out = np.zeros((*triangle_id.shape, channels), np.float32)
    if background is not None:
        out[:] = background
    for n in np.ndindex(batch):
        values = attributes if attributes.ndim == 2 else attributes[n]
        covered = triangle_id[n] >= 0
        corners = values[triangles[triangle_id[n][covered]]]  # (P, 3, C)
        w0, w1, w2 = np.moveaxis(barycentrics[n][covered], -1, 0)[..., None]  # (P, 1) each
        out[n][covered] = (w0 * corners[:, 0] + w1 * corners[:, 1]) + w2 * corners[:, 2]
    return out


def sample_texture(texture: npt.NDArray[np.float32 | np.uint8], uv: Float32, *,
                   mask: npt.NDArray[np.bool_ | np.uint8] | None = None) -> Float32:
    """See :func:`rtface.ops.sample_texture`."""
    _check(texture, "texture", ["float32", "uint8"], [(None, None, None)])
    height, width = texture.shape[:2]
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise InputError(f"texture: {_got(texture)}, expected shape (Th, Tw, C) with Th and Tw from 1 to {MAX_SIDE}")
    _check(uv, "uv", ["float32"], [(None, None, 2), (None, None, None, 2)])
    if mask is not None:
        _check(mask, "mask", ["bool", "uint8"], [uv.shape[:-1]])

    with np.errstate(over="ignore"):
        x, y = uv[..., 0] * np.float32(width) - np.float32(0.5), uv[..., 1] * np.float32(height) - np.float32(0.5)
    drawn = ~(np.isnan(x) | np.isnan(y))
    if mask is not None:
        drawn &= mask != 0
    x, y = _clamp(x[drawn], 0, width - 1), _clamp(y[drawn], 0, height - 1)  # (P,)
    x0, y0 = x.astype(np.int32), y.astype(np.int32)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    out = np.zeros((*uv.shape[:-1], texture.shape[2]), np.float32)
    value = _bilinear(texture[y0, x0].astype(np.float32), texture[y0, x1].astype(np.float32),
                      texture[y1, x0].astype(np.float32), texture[y1, x1].astype(np.float32),
                      (x - x0.astype(np.float32))[:, None], (y - y0.astype(np.float32))[:, None])
    out[drawn] = value * (np.float32(1) / np.float32(255)) if texture.dtype == np.uint8 else value
    return out


def vertex_normals(vertices: Float32, triangles: Int32) -> Float32:
    """See :func:`rtface.ops.vertex_normals`. Sums are float64, in the order of the triangles."""
    _check(vertices, "vertices", ["float32"], [(None, None, 3)])
    _check_triangles(triangles, vertices.shape[1])
    out = np.zeros(vertices.shape, np.float32)
    for n in range(len(vertices)):
        a, b, c = vertices[n].astype(np.float64)[triangles.T]  # (F, 3) each
        with np.errstate(invalid="ignore", over="ignore"):
            (ux, uy, uz), (vx, vy, vz) = (b - a).T, (c - a).T
            normals = np.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], -1)  # length: 2 x area
            sums = np.zeros((vertices.shape[1], 3))
            np.add.at(sums, triangles.reshape(-1), np.repeat(normals, 3, axis=0))
            x, y, z = sums.T
            length = np.sqrt((x * x + y * y) + z * z)
            good = (length > 0) & (length < np.inf)
            out[n][good] = (sums[good] / length[good, None]).astype(np.float32)
    return out


def sample_crops(frame: npt.NDArray[np.uint8], frame_from_crop: Float32, size: int, *,
                 scale: float | Sequence[float] = 1.0, offset: float | Sequence[float] = 0.0,
                 border: Border = "replicate", border_value: int = 0) -> Float32:
    """See :func:`rtface.ops.sample_crops`."""
    _check(frame, "frame", ["uint8"], [(None, None, 3)])
    height, width = frame.shape[:2]
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise InputError(f"frame: {_got(frame)}, expected shape (H, W, 3) with H and W from 1 to {MAX_SIDE}")
    _check(frame_from_crop, "frame_from_crop", ["float32"], [(None, 2, 3)])
    if not np.isfinite(frame_from_crop).all():
        raise InputError("frame_from_crop: got NaN or infinity, expected finite numbers")
    if not 1 <= size <= MAX_SIDE:
        raise InputError(f"size: got {size}, expected 1 to {MAX_SIDE}")
    _check_choice(border, "border", ("replicate", "constant"))
    if not 0 <= border_value <= 255:
        raise InputError(f"border_value: got {border_value}, expected 0 to 255")
    gains, offsets = np.array(_per_channel(scale, "scale")), np.array(_per_channel(offset, "offset"))

    out = np.empty((len(frame_from_crop), 3, size, size), np.float32)
    for crop, ((a, b, c), (d, e, f)) in zip(out, frame_from_crop, strict=True):
        k = _taps_per_side(float(a), float(b), float(d), float(e))
        total = np.zeros((size, size, 3), np.float32)
        shifts = [np.float32((i + 0.5) / k) for i in range(k)]
        for shift_y in shifts:
            y = np.arange(size, dtype=np.float32)[:, None] + shift_y
            for shift_x in shifts:
                x = np.arange(size, dtype=np.float32) + shift_x
                with np.errstate(over="ignore", invalid="ignore"):
                    frame_x = a * x + ((b * y + c) - np.float32(0.5))  # whole numbers are pixel centres
                    frame_y = d * x + ((e * y + f) - np.float32(0.5))
                total = total + _tap(frame, frame_x, frame_y, border, border_value)
        gain = (gains / (255.0 * k * k)).astype(np.float32)
        crop[:] = np.moveaxis(total * gain + offsets.astype(np.float32), -1, 0)
    return out


def _taps_per_side(a: float, b: float, d: float, e: float) -> int:
    """The k of the k×k taps that average what one crop pixel covers in the frame."""
    scale = max(math.sqrt(a * a + d * d), math.sqrt(b * b + e * e))
    return math.ceil(min(max(scale / MAX_TAP_STEP_PX, 1), MAX_TAPS))


def _tap(frame: npt.NDArray[np.uint8], x: Float32, y: Float32, border: Border, border_value: int) -> Float32:
    """Bilinear value of the frame (0..255) at x, y (S, S), where whole numbers are pixel centres → (S, S, 3)."""
    height, width = frame.shape[:2]
    outside = 1 if border == "constant" else 0  # one pixel of border is all that can be seen of it
    x, y = _clamp(x, -outside, width - 1 + outside), _clamp(y, -outside, height - 1 + outside)
    x0, y0 = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)

    def texel(column: Int32, row: Int32) -> Float32:
        found = frame[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)].astype(np.float32)
        if border == "constant":
            found[(row < 0) | (row >= height) | (column < 0) | (column >= width)] = border_value
        return found

    return _bilinear(texel(x0, y0), texel(x0 + 1, y0), texel(x0, y0 + 1), texel(x0 + 1, y0 + 1),
                     (x - x0.astype(np.float32))[..., None], (y - y0.astype(np.float32))[..., None])


def _bilinear(top_left: Float32, top_right: Float32, bottom_left: Float32, bottom_right: Float32, wx: Float32,
              wy: Float32) -> Float32:
    top = top_left + (top_right - top_left) * wx
    bottom = bottom_left + (bottom_right - bottom_left) * wx
    blended: Float32 = top + (bottom - top) * wy
    return blended


def _clamp(value: Float32, low: int, high: int) -> Float32:
    """Into low..high; NaN becomes low."""
    value = np.where(value > low, value, np.float32(low))
    clamped: Float32 = np.where(value < high, value, np.float32(high))
    return clamped


def _got(value: Any) -> str:
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return f"got {type(value).__name__}"
    return f"got {value.dtype} array of shape {value.shape}"


def _check(value: Any, name: str, dtypes: list[str], shapes: Sequence[tuple[int | None, ...]]) -> None:
    """Compare an array with the dtypes and shapes (None: any size) it may have, and ask for C order."""
    fits = isinstance(value, np.ndarray) and any(
        value.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, value.shape, strict=True))
        for shape in shapes)
    if not fits or str(value.dtype) not in dtypes:
        patterns = " or ".join("(" + ", ".join("*" if s is None else str(s) for s in shape) + ")" for shape in shapes)
        raise InputError(f"{name}: {_got(value)}, expected a {' or '.join(dtypes)} array of shape {patterns}")
    if not value.flags.c_contiguous:
        raise InputError(f"{name}: {_got(value)}, expected it in C order without gaps; make it so with "
                         "numpy.ascontiguousarray")


def _check_triangles(triangles: Any, vertices: int) -> None:
    _check(triangles, "triangles", ["int32"], [(None, 3)])
    wrong = (triangles < 0) | (triangles >= vertices)
    if wrong.any():
        raise InputError(f"triangles: got vertex index {triangles[wrong][0]}, expected 0 to V - 1 with V = {vertices}")


def _check_choice(value: str, name: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name}: got {value!r}, expected one of {', '.join(map(repr, choices))}")
