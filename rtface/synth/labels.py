"""Dense labels of a rendered head: parsing, contours, depth, normals, which vertices are seen.

Parsing classes and their numbers are CelebAMask-HQ's; left and right are the person's own. Things that this list does
not name (hands, cups, cloth masks, microphones) are background there and occlusion in the three-class mask.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface import ops
from rtface.contours import PARSING, outlines
from rtface.morphable import MorphableModel
from rtface.synth.config import OCCLUDER_KINDS
from rtface.synth.head import CLOTHES, EARS_NECK, EYE, FACE, HAIR, MOUTH, OCCLUDER, SCALP
from rtface.synth.render import Drawing, Placed, kinds_of
from rtface.synth.shapes import FloatArray
from rtface.synth.skin import SkinParams, brow_cover
from rtface.synth.skin_maps import raster as uv_raster
from rtface.synth.skin_maps import skin_maps

_NUMBER: Final = {name: k for k, name in enumerate(PARSING)}
_WORN: Final = {"glasses": "eye_glasses", "sunglasses": "eye_glasses", "hat": "hat", "helmet": "hat", "scarf": "cloth",
                "chain": "earring"}
_REGION_CLASS: Final = {"nose": "nose", "ear_left": "left_ear", "ear_right": "right_ear", "inner_mouth": "mouth",
                        "neck": "neck"}
SKIN_TOLERANCE_PX: Final = 2.0
UV_SIDE: Final = 256
"""Of the classes over the UV map, px."""


@lru_cache(maxsize=4)
def _base_classes(size: int, haired: bool) -> NDArray[np.uint8]:
    """(S, S) parsing classes over the UV map without brows; lips by the vermilion."""
    model = MorphableModel.load()
    names = list(model.region_names)
    one_hot = np.eye(len(names), dtype=np.float32)[model.regions]
    values, _ = uv_raster(model.uv, model.triangles, one_hot, size)
    of_region = [("hair" if haired else "skin") if name == "scalp" else _REGION_CLASS.get(name, "skin")
                 for name in names]
    classes = np.array([_NUMBER[name] for name in of_region], np.uint8)[values.argmax(axis=-1)]
    maps = skin_maps(size)
    upper = values[..., names.index("upper_lip")] >= values[..., names.index("lower_lip")]
    lips = maps.lip > 0.5
    classes[lips & upper], classes[lips & ~upper] = _NUMBER["upper_lip"], _NUMBER["lower_lip"]
    classes.setflags(write=False)
    return classes


def uv_classes(skin: SkinParams, size: int, *, haired: bool) -> NDArray[np.uint8]:
    """(S, S) parsing classes over the UV map of one person: the brows are where they are painted."""
    classes = _base_classes(size, haired).copy()
    right, left = brow_cover(skin, size)
    for name, (texels, cover) in (("right_brow", right), ("left_brow", left)):
        classes.reshape(-1)[texels[cover > 0.4]] = _NUMBER[name]
    return classes


def kind_classes(*, haired: bool) -> NDArray[np.uint8]:
    """(256,) parsing class of every kind of surface, as far as the kind alone tells; of nothing: background."""
    table = np.zeros(256, np.uint8)
    for number, name in ((FACE, "skin"), (SCALP, "hair" if haired else "skin"), (HAIR, "hair"), (CLOTHES, "cloth"),
                         (MOUTH, "mouth"), (EARS_NECK, "neck")):
        table[number] = _NUMBER[name]
    for index, name in enumerate(OCCLUDER_KINDS):
        table[OCCLUDER + index] = _NUMBER[_WORN.get(name, "background")]
    return table


def parse(head: Placed, raster: ops.Raster, drawing: Drawing, skin: SkinParams, *, haired: bool) -> NDArray[np.uint8]:
    """(H, W) CelebAMask-HQ classes of a drawing.

    head and raster: the head alone; drawing: the head alone or with things before it. haired: whether the scalp is
    hair (else skin).
    """
    kind = drawing.kind
    out = kind_classes(haired=haired)[kind]
    own = (kind < HAIR) & (raster.triangle_id >= 0)
    corner = head.triangles[np.maximum(raster.triangle_id, 0), 0]
    on_map = own & (head.textured[corner])
    uv = ops.interpolate(np.ascontiguousarray(head.uv), head.triangles, raster.triangle_id, raster.barycentrics)
    classes = uv_classes(skin, UV_SIDE, haired=haired)
    place = np.clip((uv[on_map] * UV_SIDE).astype(np.int32), 0, UV_SIDE - 1)
    out[on_map] = classes[place[:, 1], place[:, 0]]
    eyes = own & (kind == EYE)
    count = int((head.kind == EYE).sum())
    first = int(np.flatnonzero(head.kind == EYE)[0]) if count else 0
    out[eyes] = np.where(corner[eyes] < first + count // 2, _NUMBER["right_eye"], _NUMBER["left_eye"])
    return out


def without_hair(head: Placed, height: int, width: int) -> tuple[ops.Raster, Drawing]:
    """The head as if neither hair nor the strands of beard and brows were there (no colour): for contours."""
    first = head.triangles[:, 0]
    kind = head.kind[first]
    rows = np.flatnonzero((kind != HAIR) & ((kind != FACE) | head.textured[first]))
    raster = ops.rasterize(head.vertices, np.ascontiguousarray(head.triangles[rows]), height, width)
    ids = np.where(raster.triangle_id >= 0, rows[raster.triangle_id], -1).astype(np.int32)
    raster = raster._replace(triangle_id=ids)
    return raster, kinds_of(head, raster)


def contours(parsing: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Outlines of the face and of its features as lines, (size, size) uint8, 255 = line.

    parsing (H, W) of the face without anything before it (:func:`without_hair`); larger than ``size`` it gives
    antialiased lines; see :func:`rtface.contours.outlines`.
    """
    out = outlines(parsing).astype(np.uint8)
    lines: NDArray[np.integer[Any]] = out * np.uint8(255)
    if parsing.shape[0] != size:
        lines = np.asarray(cv2.resize(out * np.uint8(255), (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(np.minimum(lines.astype(np.uint16) * 2, 255), np.uint8)


def depth_mm(drawing: Drawing, px_per_mm: float, size: int) -> FloatArray:
    """(size, size) float32 mm behind the head's origin; NaN where nothing is."""
    depth = np.where(np.isfinite(drawing.depth), drawing.depth / px_per_mm, np.nan).astype(np.float32)
    return np.asarray(cv2.resize(depth, (size, size), interpolation=cv2.INTER_NEAREST), np.float32)


def normals(head: Placed, raster: ops.Raster, size: int) -> NDArray[np.int8]:
    """(size, size, 3) int8 unit normals · 127 of the head alone, camera axes; 0 where it is not."""
    values = ops.interpolate(head.normals(), head.triangles, raster.triangle_id, raster.barycentrics)
    shrunk = cv2.resize(values, (size, size), interpolation=cv2.INTER_NEAREST)
    return np.asarray(np.rint(shrunk / np.maximum(np.linalg.norm(shrunk, axis=-1, keepdims=True), 1e-6) * 127), np.int8)


def seen_vertices(placed: FloatArray, drawing: Drawing) -> NDArray[np.bool_]:
    """(V,) True for vertices (V, 3) px of the face that lie in the picture with nothing before them."""
    height, width = drawing.depth.shape
    column, row = np.floor(placed[:, 0]).astype(np.int64), np.floor(placed[:, 1]).astype(np.int64)
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    out = np.zeros(len(placed), bool)
    nearest = drawing.depth[row[inside], column[inside]]
    out[inside] = placed[inside, 2] <= nearest + SKIN_TOLERANCE_PX
    return out
