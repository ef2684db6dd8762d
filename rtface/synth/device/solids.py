"""Meshes on the device: what a picture shows, joined with those of the other pictures of a batch, under their poses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils import dlpack

from rtface.ops import cuda
from rtface.ops.packed import rasterize_packed
from rtface.synth.render import Placed, Surface, place

STILL = np.array([0, 0, 0, 1, 0, 0], np.float32)
"""The pose that leaves head space as it is: millimetres."""


class Looks(NamedTuple):
    """What vertices look like; see :class:`rtface.synth.render.Placed`."""

    albedo: Tensor
    """(V, 3) float32 linear RGB."""
    kind: Tensor
    """(V,) uint8."""
    gloss: Tensor
    """(V,) float32."""
    uv: Tensor
    """(V, 2) float32."""
    textured: Tensor
    """(V,) bool."""
    scatter: Tensor
    """(V,) float32."""
    receiving: Tensor
    """(V,) bool."""


class Solid(NamedTuple):
    """One mesh in head space; see :class:`rtface.synth.render.Placed`."""

    vertices: Tensor
    """(V, 3) float32 mm."""
    normals: Tensor
    """(V, 3) float32 unit."""
    triangles: Tensor
    """(F, 3) int32; the first ``closed`` belong to closed surfaces."""
    closed: int
    casters: Tensor
    """(C, 3) int32 triangles that throw shadows; the first ``closed_casters`` belong to closed surfaces."""
    closed_casters: int
    looks: Looks

    @classmethod
    def of(cls, surfaces: Sequence[Surface], device: torch.device) -> Solid:
        """Join surfaces; none at all give a solid without vertices."""
        return cls.on(joined(surfaces), device)

    @classmethod
    def on(cls, mesh: Placed, device: torch.device) -> Solid:
        """What :func:`joined` gave, on the device."""
        def there(array: Any) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)

        return cls(there(mesh.vertices), there(mesh.own_normals), there(mesh.triangles), mesh.closed,
                   there(mesh.casters), mesh.closed_casters, Looks(*(there(getattr(mesh, n)) for n in Looks._fields)))


def joined(surfaces: Sequence[Surface]) -> Placed:
    """Surfaces as one mesh in head space, mm; none at all give an empty one."""
    return place(list(surfaces), STILL) if surfaces else _NOTHING


def _nothing() -> Placed:
    def empty(*shape: int, dtype: Any = np.float32) -> Any:
        return np.zeros(shape, dtype)

    ids = empty(0, 3, dtype=np.int32)
    return Placed(empty(0, 3), empty(0, 3), np.eye(3, dtype=np.float32), ids, 0, empty(0, 3), empty(0, dtype=np.uint8),
                  empty(0), empty(0, 2), empty(0, dtype=np.bool_), empty(0), 1.0, ids, 0, empty(0, dtype=np.bool_))


_NOTHING = _nothing()


class Poses(NamedTuple):
    """Where N heads are in their pictures; see :func:`rtface.synth.render.place`."""

    rotation: Tensor
    """(N, 3, 3) camera from head."""
    scale: Tensor
    """(N,) px/mm."""
    translation: Tensor
    """(N, 2) px."""
    distance_mm: Tensor
    """(N,) may be infinite."""

    def place(self, points: Tensor, picture: Tensor) -> Tensor:
        """(P, 3) mm of the heads ``picture`` (P,) → px, px and depth px."""
        turned = torch.einsum("pij,pj->pi", (self.rotation * self.scale[:, None, None])[picture], points)
        nearer = turned[:, 2] / (self.scale * self.distance_mm)[picture]
        flat = turned[:, :2] / (1 + nearer.clamp(min=-0.8))[:, None] + self.translation[picture]
        return torch.cat([flat, turned[:, 2:]], dim=1)


class Mesh(NamedTuple):
    """Triangles of N pictures in one array, as :func:`rtface.ops.packed.rasterize_packed` takes them."""

    triangles: Tensor
    """(F, 3) int32 into the pack's vertices."""
    starts: Tensor
    """(N + 1,) int64."""
    culled: Tensor
    """(N,) int32."""


class Pack(NamedTuple):
    """The solids of N pictures: of each a head and the things before it."""

    vertices: Tensor
    """(V, 3) px and depth px."""
    normals: Tensor
    """(V, 3) unit, camera axes, towards the camera where a sheet shows its back."""
    starts: Tensor
    """(N + 1,) int64, the first vertex of every picture."""
    picture: Tensor
    """(V,) int64."""
    is_thing: Tensor
    """(V,) bool: not of the head."""
    heads: Mesh
    things: Mesh
    casters: Mesh
    """Of heads and things."""
    head_casters: Mesh
    looks: Looks
    px_per_mm: Tensor
    """(N,)."""
    head_starts: Tensor
    """(N,) int64, the head's first vertex in the pack."""


def pack(heads: Sequence[Solid], things: Sequence[Solid], poses: Poses) -> Pack:
    """Join N heads and the things before them under their poses."""
    device = poses.scale.device
    solids = [solid for pair in zip(heads, things, strict=True) for solid in pair]
    counts = np.array([len(s.vertices) for s in solids])
    first = np.cumsum(counts) - counts
    lengths = torch.from_numpy(counts).to(device)
    numbers = torch.repeat_interleave(torch.arange(len(solids), device=device), lengths)
    picture = numbers // 2

    def every(name: str) -> Tensor:
        return torch.cat([getattr(s, name) for s in solids])

    def mesh(parts: Sequence[Sequence[Tensor]], closed: Sequence[int], offsets: Sequence[Sequence[int]]) -> Mesh:
        rows = [t + offset for some, at in zip(parts, offsets, strict=True)
                for t, offset in zip(some, at, strict=True)]
        starts = np.cumsum([0] + [sum(len(t) for t in some) for some in parts])
        return Mesh(torch.cat(rows), torch.from_numpy(starts).to(device),
                    torch.tensor(list(closed), dtype=torch.int32).to(device))

    at_head, at_thing = first[0::2].tolist(), first[1::2].tolist()
    both = list(zip(heads, things, at_head, at_thing, strict=True))
    turned = torch.einsum("pij,pj->pi", poses.rotation[picture], every("normals"))
    return Pack(
        poses.place(every("vertices"), picture), torch.where(turned[:, 2:] > 0.15, -turned, turned),
        torch.from_numpy(np.append(first[0::2], counts.sum())).to(device), picture, numbers % 2 == 1,
        mesh([[h.triangles] for h in heads], [h.closed for h in heads], [[a] for a in at_head]),
        mesh([[t.triangles] for t in things], [t.closed for t in things], [[a] for a in at_thing]),
        mesh([[h.casters[:h.closed_casters], t.casters[:t.closed_casters], h.casters[h.closed_casters:],
               t.casters[t.closed_casters:]] for h, t, _, _ in both],
             [h.closed_casters + t.closed_casters for h, t, _, _ in both], [[a, b, a, b] for _, _, a, b in both]),
        mesh([[h.casters] for h in heads], [h.closed_casters for h in heads], [[a] for a in at_head]),
        Looks(*(torch.cat(parts) for parts in zip(*(s.looks for s in solids), strict=True))), poses.scale,
        torch.from_numpy(first[0::2].copy()).to(device))


class Rasters(NamedTuple):
    """What :func:`rtface.ops.packed.rasterize_packed` saw, as tensors."""

    depth: Tensor
    triangle_id: Tensor
    barycentrics: Tensor


def interpolated(values: Tensor, corners: Tensor, barycentrics: Tensor) -> Tensor:
    """Values (V, C) of vertices → (N, H, W, C) between the ``corners`` (N, H, W, 3) of the triangles that are seen."""
    out = values[corners[..., 0]] * barycentrics[..., :1]
    for k in (1, 2):
        out = out + values[corners[..., k]] * barycentrics[..., k:k + 1]
    return out


def rasterize(vertices: Tensor, vertex_starts: Tensor, mesh: Mesh, height: int, width: int) -> Rasters:
    """Nearest triangles of a pack (see :mod:`rtface.ops.packed`) as tensors on its device."""
    def drawn(view: Callable[[Tensor], Any], back: Callable[[Any], Tensor]) -> Rasters:
        raster = rasterize_packed(view(vertices.contiguous()), view(mesh.triangles), view(vertex_starts),
                                  view(mesh.starts), view(mesh.culled), height, width)
        return Rasters(*map(back, raster))

    if vertices.device.type == "cpu":
        return drawn(Tensor.numpy, torch.from_numpy)
    with cuda.on_stream(torch.cuda.current_stream(vertices.device).cuda_stream):
        return drawn(cuda.from_dlpack, dlpack.from_dlpack)
