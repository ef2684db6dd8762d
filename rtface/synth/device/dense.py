"""Labels of every pixel and vertex on the device: the twin of :mod:`rtface.synth.labels` for a batch of pictures."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rtface.contours import PARSING, contour_levels
from rtface.synth.device import filters
from rtface.synth.device.paint import Drawings
from rtface.synth.device.solids import Mesh, Pack, Rasters, interpolated, rasterize
from rtface.synth.head import EYE, FACE, HAIR
from rtface.synth.labels import SKIN_TOLERANCE_PX, kind_classes
from rtface.synth.render import NOTHING

RIGHT_EYE: Final = PARSING.index("right_eye")
LEFT_EYE: Final = PARSING.index("left_eye")


class DensePictures(NamedTuple):
    """Labels of N pictures of S px on the device; fields as in :class:`rtface.synth.generator.Dense`."""

    parsing: Tensor
    """(N, S, S) uint8."""
    clean_parsing: Tensor
    """(N, S, S) uint8."""
    contour: Tensor
    """(N, S, S) uint8."""
    depth_mm: Tensor
    """(N, S, S) float32, NaN where nothing is."""
    normals: Tensor
    """(N, S, S, 3) int8."""
    bump_mm: Tensor
    """(N, T, T) float32."""
    seen: Tensor
    """(N, V) bool."""


class Heads(NamedTuple):
    """What was rendered of N heads, as parsing needs it."""

    batch: Pack
    mesh: Mesh
    raster: Rasters
    classes: Tensor
    """(N, T, T) uint8 parsing classes over the UV map; see :func:`rtface.synth.labels.uv_classes`."""
    haired: Tensor
    """(N,) bool: the scalp is hair."""

    def at(self, places: Tensor) -> Heads:
        """At the rows and columns ``places`` (S,) only."""
        return self._replace(raster=Rasters(*(v[:, places][:, :, places] for v in self.raster)))

    def parse(self, kind: Tensor) -> Tensor:
        """Kinds (N, H, W) uint8 of a drawing → (N, H, W) uint8 classes; see :func:`rtface.synth.labels.parse`."""
        batch, shown = self.batch, self.raster.triangle_id >= 0
        tables = torch.from_numpy(np.stack([kind_classes(haired=h) for h in (False, True)])).to(kind.device)
        number = torch.arange(len(kind), device=kind.device)[:, None, None]
        out = tables[self.haired.long()[:, None, None], kind.long()]
        own = (kind < HAIR) & shown
        corners = self.mesh.triangles[self.raster.triangle_id.clamp(min=0)].long()
        first = corners[..., 0]
        uv = interpolated(batch.looks.uv, corners, self.raster.barycentrics)
        texels = self.classes.shape[-1]
        column, row = (uv * texels).long().clamp(0, texels - 1).unbind(dim=-1)
        out = torch.where(own & batch.looks.textured[first], self.classes[number, row, column], out)
        eye = torch.where(self._right_eyes()[first], RIGHT_EYE, LEFT_EYE).to(torch.uint8)
        return torch.where(own & (kind == EYE), eye, out)

    def _right_eyes(self) -> Tensor:
        """(V,) bool: the first half of every picture's eyeballs."""
        batch, count = self.batch, len(self.haired)
        eye = (batch.looks.kind == EYE) & ~batch.is_thing
        rank = eye.long().cumsum(dim=0)
        sizes = torch.bincount(batch.picture[eye], minlength=count)
        before = sizes.cumsum(dim=0) - sizes
        return eye & (rank - before[batch.picture] <= (sizes // 2)[batch.picture])

    def without_hair(self) -> Heads:
        """The heads as if neither hair nor strands of beard and brows were there."""
        looks, mesh = self.batch.looks, self.mesh
        first = mesh.triangles[:, 0].long()
        kind = looks.kind[first]
        keep = (kind != HAIR) & ((kind != FACE) | looks.textured[first])
        counted = F.pad(keep.long().cumsum(dim=0), (1, 0))
        bare = Mesh(mesh.triangles[keep].contiguous(), counted[mesh.starts], torch.zeros_like(mesh.culled))
        height, width = self.raster.depth.shape[1:]
        return self._replace(mesh=bare, raster=rasterize(self.batch.vertices, self.batch.starts, bare, height, width))

    def kinds(self) -> Tensor:
        """(N, H, W) uint8 kind of what the raster shows."""
        first = self.mesh.triangles[self.raster.triangle_id.clamp(min=0), 0].long()
        return torch.where(self.raster.triangle_id >= 0, self.batch.looks.kind[first], NOTHING).to(torch.uint8)


def label(heads: Heads, shown: Drawings, clean_kind: Tensor, placed: Tensor, bump_mm: Tensor,
          size: int) -> DensePictures:
    """All labels of N pictures of ``size`` px.

    heads: the heads alone. shown: the pictures, at the rendering resolution like ``clean_kind`` (N, R, R), the kinds of
    the heads alone. placed: (N, V, 3) faces in rendering px.
    """
    side = clean_kind.shape[1]
    at = torch.floor(torch.arange(size, device=clean_kind.device) * (side / size)).long()
    few = heads.at(at)

    def small(picture: Tensor) -> Tensor:
        return picture[:, at][:, :, at]

    bare = heads.without_hair()
    depth = small(shown.depth) / heads.batch.px_per_mm[:, None, None]
    return DensePictures(few.parse(small(shown.kind)), few.parse(small(clean_kind)),
                         contours(bare.parse(bare.kinds()), size),
                         torch.where(depth.isfinite(), depth, torch.nan), normals(few), bump_mm,
                         seen_vertices(placed, shown.depth))


def outlines(parsing: Tensor) -> Tensor:
    """Parsing classes (N, H, W) uint8 → (N, H, W) bool; see :func:`rtface.contours.outlines`."""
    table = torch.from_numpy(contour_levels(np.arange(len(PARSING), dtype=np.uint8))).to(parsing.device)  # (L, 19)
    levels = table[:, parsing.long()].transpose(0, 1)  # (N, L, H, W)
    grown = F.max_pool2d(levels.float(), 3, 1, 1) > 0
    return (grown & ~levels).any(dim=1)


def contours(parsing: Tensor, size: int) -> Tensor:
    """(N, R, R) uint8 → (N, size, size) uint8, 255 = line; see :func:`rtface.synth.labels.contours`."""
    lines = outlines(parsing)[:, None].float() * 255
    if parsing.shape[1] != size:
        sides = torch.tensor([size], device=parsing.device)
        lines = torch.round(filters.resize(lines, filters.area_matrix(sides, parsing.shape[1])[0]))
    return (lines[:, 0] * 2).clamp(max=255).to(torch.uint8)


def normals(heads: Heads) -> Tensor:
    """(N, H, W, 3) int8 unit normals · 127 of heads alone, camera axes; 0 where they are not."""
    corners = heads.mesh.triangles[heads.raster.triangle_id.clamp(min=0)].long()
    values = interpolated(heads.batch.normals, corners, heads.raster.barycentrics)
    values = values * (heads.raster.triangle_id >= 0)[..., None]
    return torch.round(values / values.norm(dim=-1, keepdim=True).clamp(min=1e-6) * 127).to(torch.int8)


def seen_vertices(placed: Tensor, depth: Tensor) -> Tensor:
    """Faces (N, V, 3) px before depths (N, H, W) → (N, V) bool; see :func:`rtface.synth.labels.seen_vertices`."""
    height, width = depth.shape[1:]
    column, row = torch.floor(placed[..., :2]).long().unbind(dim=-1)
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    number = torch.arange(len(placed), device=placed.device)[:, None]
    nearest = depth[number, row.clamp(0, height - 1), column.clamp(0, width - 1)]
    return inside & (placed[..., 2] <= nearest + SKIN_TOLERANCE_PX)
