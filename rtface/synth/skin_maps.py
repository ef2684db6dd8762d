"""Fields over the face's UV map, in millimetres on the mean face: what the skin painter draws with.

Everything here depends on the shipped basis and the texture size only and is computed once per process and size
(about half a second at 256 px).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.morphable import MorphableModel

FloatArray = NDArray[np.float32]
Array = NDArray[Any]
TILE: Final = 512


class BrowFrame(NamedTuple):
    """Texels near one brow, in coordinates along it."""

    texels: Array
    """(P,) flat texel numbers."""
    along: FloatArray
    """(P,) 0 at the nose, 1 at the temple; a little beyond at the ends."""
    above: FloatArray
    """(P,) mm, positive towards the forehead."""
    streak: Array
    """(P, 2) int32 row and column into the streak tile."""


class SkinMaps(NamedTuple):
    """Float32 (S, S) unless said otherwise; distances in mm, masks 0..1."""

    size: int
    lip: FloatArray
    """Mask of the vermilion."""
    lip_distance: FloatArray
    """From the lips' outline, positive outside, at most 40."""
    mouth_inside: FloatArray
    """Mask of the lips' inner rims."""
    lid_distance: FloatArray
    """From the nearest lid margin, at most 30."""
    upper_lid: FloatArray
    """1 above the line through the eye's corners, 0 below."""
    inner_rim: FloatArray
    """Mask of the lids' inner rims."""
    outer_corner: FloatArray
    """1 at the temple's side of the eyes."""
    under_eye: FloatArray
    cheeks: FloatArray
    nose: FloatArray
    ears: FloatArray
    chin: FloatArray
    moustache: FloatArray
    goatee: FloatArray
    beard: FloatArray
    """Cheeks, jaw and upper neck; signed mm inside the usual outline."""
    hairline: FloatArray
    """Signed mm, positive on the scalp."""
    occlusion: FloatArray
    """0 open skin .. 1 deep crease."""
    brows: tuple[BrowFrame, BrowFrame]
    """Right and left."""


@lru_cache(maxsize=1)
def noise_tiles() -> tuple[FloatArray, FloatArray, FloatArray]:
    """Periodic (512, 512) tiles with mean 0 and deviation 1: soft (4 octaves), fine grain, vertical streaks."""
    rng = np.random.default_rng(7)

    def blurred(sx: float, sy: float) -> Array:
        tile = np.fft.rfft2(rng.standard_normal((TILE, TILE)))
        fy, fx = np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None]
        out = np.fft.irfft2(tile * np.exp(-2 * np.pi ** 2 * ((sx * fx) ** 2 + (sy * fy) ** 2)), s=(TILE, TILE))
        return out / out.std()

    soft = np.sum([blurred(s, s) * w for s, w in ((40, 1.0), (16, 0.7), (6, 0.45), (2.5, 0.3))], axis=0)
    tiles = (soft, blurred(0.9, 0.9), blurred(0.7, 3.5))
    return tuple((t / t.std()).astype(np.float32) for t in tiles)


def raster(uv: Array, triangles: Array, values: Array, size: int) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Spread per-vertex values (V, C) over the map (S, S, C); texels outside take the nearest inside ones."""
    steps = 9 if size <= 256 else 16
    grid = [(a, b) for a in range(steps) for b in range(steps - a)]
    total = np.zeros((size * size, values.shape[1]))
    hits = np.zeros(size * size)
    corners_uv, corners = uv[triangles].astype(np.float32), values[triangles].astype(np.float32)
    for a, b in grid:
        w = np.array([a + 1 / 3, b + 1 / 3, steps - a - b - 2 / 3], np.float32) / steps
        place = np.tensordot(w, corners_uv, axes=(0, 1))
        texel = np.clip((place * size).astype(int), 0, size - 1) @ np.array([1, size])
        value = np.tensordot(w, corners, axes=(0, 1))
        hits += np.bincount(texel, minlength=size * size)
        for c in range(values.shape[1]):
            total[:, c] += np.bincount(texel, value[:, c], size * size)
    inside = hits > 0
    filled = (total / np.maximum(hits, 1)[:, None]).astype(np.float32)
    _, label = cv2.distanceTransformWithLabels((~inside).astype(np.uint8).reshape(size, size), cv2.DIST_L2, 5,
                                               labelType=cv2.DIST_LABEL_PIXEL)
    where = np.zeros(int(label.max()) + 1, int)
    where[label.ravel()[inside]] = np.flatnonzero(inside)
    filled = filled[where[label.ravel()]]
    return filled.reshape(size, size, -1), inside.reshape(size, size)


def polyline_distance(points: Array, line: Array) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Distance (P,), arc position 0..1 (P,) and nearest point (P, 3) of an open polyline (K, 3)."""
    a, d = line[:-1].astype(np.float32), np.diff(line, axis=0).astype(np.float32)
    length = np.linalg.norm(d, axis=1)
    starts = np.concatenate([[0], np.cumsum(length)])
    best = np.full(len(points), np.inf, np.float32)
    along = np.zeros(len(points), np.float32)
    nearest = np.zeros((len(points), 3), np.float32)
    for k in range(len(d)):
        t = np.clip((points - a[k]) @ d[k] / max(float(d[k] @ d[k]), 1e-9), 0, 1)
        foot = a[k] + t[:, None] * d[k]
        distance = np.linalg.norm(points - foot, axis=1)
        nearer = distance < best
        best[nearer], nearest[nearer] = distance[nearer], foot[nearer]
        along[nearer] = (starts[k] + t[nearer] * length[k]) / starts[-1]
    return best, along, nearest


def smoothstep(x: Array, low: float, high: float) -> Array:
    """0 below ``low``, 1 above ``high``, smooth between (high < low turns it round)."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@lru_cache(maxsize=4)
def skin_maps(size: int) -> SkinMaps:
    """All fields of the shipped basis for one texture size; computed once."""
    return make_maps(MorphableModel.load(), size)


def make_maps(model: MorphableModel, size: int) -> SkinMaps:
    """All fields of a basis (level 1) for one texture size."""
    mean, marks = model.mean, model.mean[model.landmarks68]
    names = list(model.region_names)
    one_hot = np.eye(len(names), dtype=np.float32)[model.regions]
    crease = _occlusion(model)
    values, _ = raster(model.uv, model.triangles, np.concatenate([mean, one_hot, crease[:, None]], axis=1), size)
    place = values[..., :3].reshape(-1, 3)
    region = {n: values[..., 3 + k] for k, n in enumerate(names)}
    x, y, z = place.T

    def shaped(a: Array) -> FloatArray:
        return np.ascontiguousarray(a, np.float32).reshape(size, size)

    def loop_distance(name: str, reach: float) -> Array:
        line = mean[model.contours[name]]
        near = ((place > line.min(axis=0) - reach) & (place < line.max(axis=0) + reach)).all(axis=1)
        out = np.full(len(place), reach, np.float32)
        out[near] = np.minimum(polyline_distance(place[near], line)[0], reach)
        return out

    def inside_loop(name: str) -> Array:
        picture = np.zeros((size * 4, size * 4), np.uint8)
        cv2.fillPoly(picture, [np.round(model.uv[model.contours[name]] * size * 4).astype(np.int32)], 255)
        return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA).ravel().astype(np.float32) / 255

    def blob(center: Array, sigma: float) -> Array:
        return np.exp(-((place - center) ** 2).sum(axis=1) / (2 * sigma ** 2))

    within = inside_loop("lip_outer")
    lips = loop_distance("lip_outer", 40.0) * np.where(within > 0.5, -1, 1)
    rims = np.maximum(inside_loop("eyelid_right"), inside_loop("eyelid_left"))
    lids = np.minimum(loop_distance("eyelid_right", 30.0), loop_distance("eyelid_left", 30.0))
    right = x < 0
    corner = np.where(right[:, None], marks[36], marks[45]), np.where(right[:, None], marks[39], marks[42])
    share = np.clip((x - corner[0][:, 0]) / (corner[1][:, 0] - corner[0][:, 0]), -0.4, 1.4)
    line_y = corner[0][:, 1] + share * (corner[1][:, 1] - corner[0][:, 1])
    upper = smoothstep(line_y - y, -1.5, 1.5)
    cheek = marks[36] * 0.52 + marks[48] * 0.48 + (-9, 0, 4)
    cheeks = blob(cheek, 15.0) + blob(cheek * (-1, 1, 1), 15.0)
    side = np.degrees(np.arctan2(np.abs(x), 42.0 - z))
    mouth_y, nose_y, chin_y = marks[48, 1], marks[33, 1], marks[8, 1]
    eye_y = marks[36, 1]
    ears = np.maximum(region["ear_right"], region["ear_left"]).ravel()
    moustache = (smoothstep(lips, 0.3, 2.0) * smoothstep(y, nose_y + 2, nose_y + 6)
                 * smoothstep(y, mouth_y + 1, mouth_y - 2) * smoothstep(z, -10, -25)
                 * smoothstep(np.abs(x) + 1.2 * (mouth_y - y), 42, 26))
    goatee = (smoothstep(lips, 1.5, 4) * smoothstep(y, mouth_y - 4, mouth_y + 2)
              * smoothstep(y, chin_y + 14, chin_y + 4) * smoothstep(np.abs(x) + 0.25 * (y - mouth_y), 40, 27)
              * smoothstep(z, 25, 5))
    top = np.interp(side, [20, 35, 50, 62, 70, 78],
                    [mouth_y + 4, mouth_y - 4, mouth_y - 12, nose_y - 16, eye_y + 14, eye_y - 6])
    bottom = np.interp(side, [0, 40, 80], [chin_y + 22, chin_y + 14, mouth_y + 26])
    beard = np.minimum(np.minimum(y - top, bottom - y), np.minimum((82 - side) * 0.9, lips - 1.5))
    beard = np.where(ears > 0.3, -10, beard)
    line = np.interp(side, [0, 25, 45, 60, 70, 80, 95], [-128, -127, -117, -96, -70, -40, -35])
    scalp = np.minimum(line - y, 20) + np.where(ears > 0.3, -60, 0) + np.where(side > 95, 40, 0)
    return SkinMaps(
        size, shaped(smoothstep(within, 0.1, 0.9)), shaped(lips),
        shaped(region["inner_mouth"].ravel() + inside_loop("lip_inner")).clip(0, 1), shaped(lids), shaped(upper),
        shaped(smoothstep(rims, 0.2, 0.9)), shaped(smoothstep(share, 0.6, 0.0)),
        shaped((1 - upper) * np.exp(-((lids - 5.5) / 3.5) ** 2) * (1 - rims) * smoothstep(share, 1.4, 0.9)),
        shaped(cheeks), shaped(blob(marks[30], 10) + 0.5 * blob(marks[31], 7) + 0.5 * blob(marks[35], 7)),
        shaped(ears), shaped(blob(marks[8] - (0, 8, 0), 13)), shaped(moustache), shaped(goatee), shaped(beard),
        shaped(scalp), shaped(values[..., -1]),
        (_brow(place, marks[[21, 20, 19, 18, 17]]), _brow(place, marks[22:27])))


def _brow(place: Array, line: Array) -> BrowFrame:
    """Coordinates along a brow; line (5, 3) from the nose to the temple."""
    knots = np.linspace(0, 4, 33)
    smooth = np.stack([np.polyval(np.polyfit(np.arange(5), line[:, c], 2), knots) for c in range(3)], axis=1)
    smooth = np.concatenate([smooth[:1] + (smooth[:1] - smooth[1:2]) * 3, smooth, smooth[-1:] * 4 - smooth[-2:-1] * 3])
    near = np.flatnonzero(((place > smooth.min(axis=0) - 14) & (place < smooth.max(axis=0) + 14)).all(axis=1))
    distance, along, foot = polyline_distance(place[near], smooth)
    close = distance < 12
    near, distance, along, foot = near[close], distance[close], along[close], foot[close]
    above = np.where(foot[:, 1] > place[near, 1], 1.0, -1.0) * distance
    total = np.linalg.norm(np.diff(smooth, axis=0), axis=1).sum()
    streak = np.stack([above * 3.0 + 0.35 * along * total, (along * total - above * 0.6) * 5.0], axis=1)
    return BrowFrame(near, ((along * 39 - 3) / 33).astype(np.float32), above.astype(np.float32),
                     np.floor(streak).astype(np.int32))


def _occlusion(model: MorphableModel) -> FloatArray:
    """(V,) concavity of the mean face at two scales, 0..1."""
    t, v = model.triangles, model.mean.astype(np.float64)
    normal = np.zeros_like(v)
    face = np.cross(v[t[:, 1]] - v[t[:, 0]], v[t[:, 2]] - v[t[:, 0]])
    for k in range(3):
        np.add.at(normal, t[:, k], face)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    pairs = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]], t[:, [1, 0]], t[:, [2, 1]], t[:, [0, 2]]])
    degree = np.bincount(pairs[:, 0], minlength=len(v))[:, None]

    def average(values: Array) -> Array:
        out = np.stack([np.bincount(pairs[:, 0], values[pairs[:, 1], c], len(v)) for c in range(values.shape[1])], 1)
        return out / degree

    out = np.zeros(len(v))
    blurred = v
    for step in range(1, 31):
        blurred = average(blurred)
        if step in (4, 30):
            depth = ((blurred - v) * normal).sum(axis=1)
            out += np.clip(depth / (1.2 if step == 4 else 4.5), 0, 1) * 0.5
    for _ in range(2):
        out = average(out[:, None])[:, 0]
    return np.clip(out * 1.6, 0, 1).astype(np.float32)
