"""Light and colour on the device: the twin of :func:`rtface.synth.render.paint` for a batch of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rtface.synth.device.solids import Mesh, Pack, Rasters, interpolated, rasterize
from rtface.synth.render import NOTHING, SHADOW_BLEED, Light, spread
from rtface.synth.shadow import OFFSET_MM, RESOLUTION, TAPS, TURN

LAMPS: Final = 3
"""Most that a light has; see :func:`rtface.synth.render.sample_light`."""


class Lights(NamedTuple):
    """The light of N pictures; lamps that are not there have strength −1."""

    harmonics: Tensor
    """(N, 9)."""
    tint: Tensor
    """(N, 3)."""
    towards: Tensor
    """(N, LAMPS, 3) unit."""
    direct: Tensor
    """(N, LAMPS)."""
    softness_mm: Tensor
    """(N,)."""

    @classmethod
    def of(cls, lights: Sequence[Light], device: torch.device) -> Lights:
        towards, direct = np.zeros((len(lights), LAMPS, 3), np.float32), np.full((len(lights), LAMPS), -1, np.float32)
        towards[..., 2] = -1
        for n, light in enumerate(lights):
            for k, lamp in enumerate(light.lamps):
                towards[n, k], direct[n, k] = lamp.direction, lamp.direct
        arrays = (np.stack([light.harmonics for light in lights]), np.stack([light.tint for light in lights]), towards,
                  direct, np.array([light.softness_mm for light in lights], np.float32))
        return cls(*(torch.from_numpy(a).to(device) for a in arrays))


class Drawings(NamedTuple):
    """What was rendered of N pictures; see :class:`rtface.synth.render.Drawing`."""

    color: Tensor
    """(N, H, W, 3) float32 linear RGB."""
    kind: Tensor
    """(N, H, W) uint8."""
    depth: Tensor
    """(N, H, W) float32 px, +inf where nothing is."""

    def over(self, back: Drawings) -> Drawings:
        """Both, merged by depth."""
        nearer = self.depth < back.depth
        return Drawings(torch.where(nearer[..., None], self.color, back.color),
                        torch.where(nearer, self.kind, back.kind), torch.minimum(self.depth, back.depth))


def paint(batch: Pack, mesh: Mesh, of_mesh: Tensor, raster: Rasters, lights: Lights, textures: Tensor | None,
          casters: Mesh) -> Drawings:
    """Colour what was rasterised of ``mesh``, with the shadows that ``casters`` throw on it.

    of_mesh: (V,) bool, vertices of the mesh. textures: (N, T, T, 3) linear RGB for what has texture coordinates.
    """
    seen = torch.zeros(len(batch.vertices), dtype=torch.bool, device=batch.vertices.device)
    shown = raster.triangle_id[raster.triangle_id >= 0]
    seen[mesh.triangles[shown].long().flatten()] = True
    receivers = seen & batch.looks.receiving & of_mesh
    picture, normals = batch.picture, batch.normals
    irradiance = irradiated(batch, lights)
    shine = torch.zeros_like(batch.looks.gloss)
    for k in range(LAMPS):
        direct, towards = lights.direct[:, k], lights.towards[:, k][picture]
        main = lights.direct[:, 0]
        strength = torch.where(direct >= main, torch.ones_like(direct), direct / main) * (direct >= 0)
        bright = highlight(normals, towards) * strength[picture]
        lit = torch.ones_like(bright)
        shading = direct >= 0.05
        if bool(shading.any()):
            share = lit_share(batch, casters, receivers & shading[picture], lights, k)
            lit = torch.where(receivers & shading[picture], share, lit)
        facing = (normals * towards).sum(dim=1)
        lobe = (0.25 + 0.5 * facing + 0.15625 * (3 * facing * facing - 1)).clamp(min=0)  # as in the harmonics
        shadow = (1 - lit) * lobe * direct[picture]
        bleed = torch.from_numpy(SHADOW_BLEED).to(shadow)
        irradiance = irradiance - shadow[:, None] * (1 - bleed * (batch.looks.scatter * lit)[:, None])
        shine = shine + bright * lit
    color = batch.looks.albedo * irradiance.clamp(min=0.02) * lights.tint[picture]
    shaded = torch.cat([color, (shine * batch.looks.gloss)[:, None]], dim=1)
    tone = 0.35 * lights.harmonics[:, :1].clamp(min=0.1) * lights.tint
    return colorize(batch, mesh, raster, shaded, textures, tone)


def irradiated(batch: Pack, lights: Lights) -> Tensor:
    """(V, 3) light that arrives at the vertices; see :func:`rtface.synth.render.irradiated`."""
    flat, y, z, x, xy, yz, zz, xz, xxyy = lights.harmonics.unbind(dim=1)
    quadratic = torch.stack([xxyy, xy / 2, xz / 2, xy / 2, -xxyy, yz / 2, xz / 2, yz / 2, 3 * zz], dim=1)
    normals, at = batch.normals, batch.picture
    first = (normals * torch.stack([x, y, z], dim=1)[at]).sum(dim=1)
    bent = torch.einsum("vi,vij->vj", normals, quadratic.reshape(-1, 3, 3)[at])
    second = (bent * normals).sum(dim=1) - zz[at]
    damped = torch.tensor([[float(spread(c, band)) for c in range(3)] for band in (1, 2)]).to(normals) - 1
    scatter = batch.looks.scatter[:, None]
    return flat[at][:, None] + first[:, None] * (1 + scatter * damped[0]) + second[:, None] * (1 + scatter * damped[1])


def highlight(normals: Tensor, towards: Tensor) -> Tensor:
    """(V,) see :func:`rtface.synth.render.highlight`; both (V, 3) unit."""
    half = towards + torch.tensor([0.0, 0.0, -1.0]).to(towards)
    half = half / half.norm(dim=1, keepdim=True).clamp(min=1e-3)
    return (normals * half).sum(dim=1).clamp(min=0) ** 24


def lit_share(batch: Pack, casters: Mesh, receivers: Tensor, lights: Lights, lamp: int) -> Tensor:
    """(V,) share of a lamp that reaches the ``receivers`` (V,) bool; see :func:`rtface.synth.shadow.lit_share`."""
    towards = lights.towards[:, lamp].double()
    towards = towards / towards.norm(dim=1, keepdim=True)
    upright = torch.tensor([0.0, 1.0, 0.0]).to(towards)
    aside = torch.linalg.cross(towards, torch.where(towards[:, 1:2].abs() < 0.9, upright, upright.roll(-1)))
    aside = aside / aside.norm(dim=1, keepdim=True)
    axes = torch.stack([aside, torch.linalg.cross(towards, aside), -towards], dim=1).float()  # (N, 3, 3)
    at, count = batch.picture, len(axes)
    lifted = batch.vertices + batch.normals * (OFFSET_MM * batch.px_per_mm)[at][:, None]
    places = torch.einsum("vij,vj->vi", axes[at], lifted)

    def reach(values: Tensor, largest: bool) -> Tensor:
        """Extreme of the receivers of every picture; 0 where there are none."""
        sign = -1.0 if largest else 1.0
        out = torch.full((count,), torch.inf, device=values.device)
        found = out.scatter_reduce(0, at, torch.where(receivers, sign * values, torch.inf), "amin")
        return sign * torch.where(found.isfinite(), found, 0)

    left, top = reach(places[:, 0], False), reach(places[:, 1], False)
    extent = torch.maximum(reach(places[:, 0], True) - left, reach(places[:, 1], True) - top).clamp(min=1e-3)
    scale = (RESOLUTION - 2) / extent
    shift = torch.stack([1 - left * scale, 1 - top * scale, torch.zeros_like(left)], dim=1)
    seen = torch.einsum("vij,vj->vi", axes[at], batch.vertices) * scale[at][:, None] + shift[at]
    seen = torch.where((lights.direct[:, lamp] >= 0.05)[at][:, None], seen, torch.nan)  # nothing is drawn there
    depth = rasterize(seen, batch.starts, casters, RESOLUTION, RESOLUTION).depth
    x, y, z = (places * scale[at][:, None] + shift[at]).unbind(dim=1)
    radius = (lights.softness_mm * batch.px_per_mm * scale).clamp(min=0.6)[at]
    z = z - (1.0 + 0.7 * radius)  # a tilted surface rises within the disc
    reached = torch.zeros_like(z)
    for tap in range(TAPS):
        away = radius * float(np.sqrt((tap + 0.5) / TAPS))
        column = (x + away * float(np.cos(tap * TURN))).long().clamp(0, RESOLUTION - 1)
        row = (y + away * float(np.sin(tap * TURN))).long().clamp(0, RESOLUTION - 1)
        reached += depth[at, row, column] > z
    return reached / TAPS


def colorize(batch: Pack, mesh: Mesh, raster: Rasters, shaded: Tensor, textures: Tensor | None,
             tone: Tensor) -> Drawings:
    """See :func:`rtface.ops.shading.colorize`; tone (N, 3) is the colour of highlights. The mesh is not empty."""
    covered = raster.triangle_id >= 0
    corners = mesh.triangles[raster.triangle_id.clamp(min=0)].long()  # (N, H, W, 3)

    values = interpolated(shaded, corners, raster.barycentrics)
    color = values[..., :3]
    if textures is not None:
        uv = interpolated(batch.looks.uv, corners, raster.barycentrics)
        texels = F.grid_sample(textures.permute(0, 3, 1, 2), uv * 2 - 1, padding_mode="border",
                               align_corners=False).permute(0, 2, 3, 1)
        color = torch.where(batch.looks.textured[corners[..., 0]][..., None], color * texels, color)
    color = (color + values[..., 3:] * tone[:, None, None]) * covered[..., None]
    kind = torch.where(covered, batch.looks.kind[corners[..., 0]], NOTHING)
    return Drawings(color, kind.to(torch.uint8), raster.depth)
