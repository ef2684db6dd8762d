"""A batch of pictures of takes, each from its own place, under its own light, by its own camera; on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rtface.geometry import rotation_matrices
from rtface.synth.config import OCCLUDER_KINDS, SynthConfig
from rtface.synth.device import dense, film, filters, labels
from rtface.synth.device.dense import DensePictures
from rtface.synth.device.paint import Drawings, Lights, paint
from rtface.synth.device.solids import Pack, Poses, Rasters, Solid, joined, pack, rasterize
from rtface.synth.generator import FaceFactory
from rtface.synth.head import OCCLUDER
from rtface.synth.labels import UV_SIDE, uv_classes
from rtface.synth.relief import fold_fields, height_map
from rtface.synth.render import NOTHING, Placed
from rtface.synth.setups import Setup
from rtface.synth.shapes import FloatArray
from rtface.synth.takes import OTHER_AHEAD_MM, OTHER_DISTANCE_MM, Other, Take


class Reel(NamedTuple):
    """A take as arrays: what a process that makes takes hands over."""

    head: Placed
    things: Placed
    other: Placed
    other_place: tuple[FloatArray, FloatArray, float, FloatArray] | None
    """Texture, rotation, scale and place of another person's head; see :class:`rtface.synth.takes.Other`."""
    texture: FloatArray
    """(T, T, 3) linear RGB."""
    relief_mm: FloatArray
    """(T, T) float32."""
    vector: FloatArray
    """(224,) identity, expression, albedo."""
    kinds: tuple[str, ...]
    haired: bool
    classes: NDArray[np.uint8]
    """(256, 256) parsing classes over the UV map; (0, 0) unless dense labels are wanted."""

    @classmethod
    def of(cls, take: Take, names: tuple[str, ...], *, dense: bool = False) -> Reel:
        """names: of the model's expressions. dense: with what dense labels need."""
        person, other = take.person, take.other
        haired = person.hair is not None
        return cls(joined(take.surfaces), joined(take.things), joined(other.surfaces if other else ()),
                   (other.texture, other.rotation, other.nearer, other.aside_mm) if other else None, person.texture,
                   height_map(person.relief, names, take.expression, person.texture.shape[0]),
                   np.concatenate([person.identity, take.expression, person.albedo]).astype(np.float32), take.kinds,
                   haired, uv_classes(person.skin, UV_SIDE, haired=haired) if dense else np.zeros((0, 0), np.uint8))


class Loaded(NamedTuple):
    """A take on the device; fields as in :class:`Reel`."""

    head: Solid
    things: Solid
    other: Solid
    other_place: Other | None
    other_texture: Tensor | None
    texture: Tensor
    relief_mm: Tensor
    vector: Tensor
    kinds: tuple[str, ...]
    haired: bool
    classes: Tensor

    @classmethod
    def on(cls, reel: Reel, device: torch.device) -> Loaded:
        def there(array: FloatArray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device, non_blocking=True)

        place = reel.other_place
        return cls(Solid.on(reel.head, device), Solid.on(reel.things, device), Solid.on(reel.other, device),
                   Other([], *place) if place else None, there(place[0]) if place else None, there(reel.texture),
                   there(reel.relief_mm), there(reel.vector), reel.kinds, reel.haired,
                   torch.from_numpy(reel.classes).to(device, non_blocking=True))


class Pictures(NamedTuple):
    """N labelled pictures on the device; px are theirs. Fields as in :class:`rtface.synth.generator.Sample`."""

    pixels: Tensor
    """(N, 3, S, S) uint8 RGB."""
    clean: Tensor | None
    """(N, 3, S, S) uint8."""
    mask: Tensor
    """(N, S, S) uint8."""
    occluder: Tensor
    """(N, S, S) uint8."""
    coefficients: Tensor
    """(N, 239) float32."""
    landmarks: Tensor
    """(N, 68, 2) float32."""
    visibility: Tensor
    """(N, 68) float32."""
    box_xyxy: Tensor
    """(N, 4) float32."""
    visible_fraction: Tensor
    """(N,) float32."""
    residual_mm: Tensor
    """(N,) float32, see :class:`rtface.synth.generator.Camera`."""
    kinds: tuple[tuple[str, ...], ...]
    dense: DensePictures | None
    """None unless the configuration asks for dense labels."""


class Rendered(NamedTuple):
    """N heads and what is before them, at the rendering resolution."""

    shown: Drawings
    """The pictures."""
    head: Drawings
    """The heads below what is before them."""
    clean: Drawings
    """The heads alone."""
    face: Tensor
    """(N, V, 3) mm."""
    placed: Tensor
    """(N, V, 3) px."""
    batch: Pack
    raster: Rasters
    """Of the heads."""


class Studio:
    """Draws batches; everything but the meshes of takes is computed on ``device``."""

    def __init__(self, factory: FaceFactory, config: SynthConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self.side = round(config.size * config.supersample)
        self.points = labels.Points.of(factory.model, factory.outline, device)
        self.face_rows = torch.arange(len(factory.model.mean), device=device)
        sides = torch.tensor([config.size], device=device)
        self.shrink = filters.area_matrix(sides, self.side)[0]
        self.enlarge = filters.enlarging_matrix(sides, self.side, torch.zeros(1, dtype=torch.bool, device=device))[0]

    def shoot(self, takes: Sequence[Loaded], setups: Sequence[Setup], backgrounds: Tensor, grain: Tensor,
              generator: torch.Generator | None = None, noise: Tensor | None = None) -> Pictures:
        """Take N pictures.

        backgrounds: (N, 3, S, S) float32 sRGB; grain: (N, R, R) factor of cloth and surfaces. generator: of the
        cameras' noise, or the ``noise`` itself, (N, 3, S, S) standard normal.
        """
        poses = self._poses(np.stack([s.pose for s in setups]), np.array([s.distance_mm for s in setups]))
        lights = Lights.of([s.light for s in setups], self.device)
        rendered = self._render(takes, setups, poses, lights)
        shown, head, clean, placed = rendered.shown, rendered.head, rendered.clean, rendered.placed
        angles = torch.from_numpy(np.stack([s.pose[:3] for s in setups]).astype(np.float32)).to(self.device)
        landmarks = self.points.landmarks_of(placed, angles[:, 2])
        lettered = [n for n, s in enumerate(setups) if s.letters is not None]
        for n in lettered:
            shown = self._lettered(shown, n, setups[n])
        mask, occluder = labels.masks(shown, head.kind, landmarks, self.config.size)
        pixels, twin = self._film(shown, head, clean, setups, [bool(t.kinds) for t in takes], backgrounds, grain,
                                  generator, noise)
        scale, offset, residual = self.points.fitted(rendered.face, placed, poses)
        shrink = self.config.size / self.side
        pose = torch.cat([angles, scale[:, None] * shrink, offset * shrink], dim=1)
        whole = (mask > 0).sum(dim=(1, 2)).clamp(min=1)
        vectors = torch.cat([torch.stack([t.vector for t in takes]), lights.harmonics, pose], dim=1)
        return Pictures(pixels, twin, mask, occluder, vectors, landmarks[..., :2] * shrink,
                        labels.visibility(shown, landmarks), self.points.boxes(placed) * shrink,
                        (mask == 1).sum(dim=(1, 2)) / whole, residual, tuple(t.kinds for t in takes),
                        self._dense(takes, rendered._replace(shown=shown)) if self.config.dense else None)

    def _dense(self, takes: Sequence[Loaded], rendered: Rendered) -> dense.DensePictures:
        heads = dense.Heads(rendered.batch, rendered.batch.heads, rendered.raster,
                            torch.stack([t.classes for t in takes]),
                            torch.tensor([t.haired for t in takes], device=self.device))
        return dense.label(heads, rendered.shown, rendered.clean.kind, rendered.placed,
                           torch.stack([t.relief_mm for t in takes]), self.config.size)

    def _poses(self, poses: FloatArray, distance_mm: FloatArray) -> Poses:
        arrays = (rotation_matrices(poses[:, :3].astype(np.float32)), poses[:, 3], poses[:, 4:6], distance_mm)
        return Poses(*(torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(self.device) for a in arrays))

    def _render(self, takes: Sequence[Loaded], setups: Sequence[Setup], poses: Poses,
                lights: Lights) -> Rendered:
        batch = pack([t.head for t in takes], [t.things for t in takes], poses)
        raster = rasterize(batch.vertices, batch.starts, batch.heads, self.side, self.side)
        textures = embossed(torch.stack([t.texture for t in takes]), torch.stack([t.relief_mm for t in takes]), poses,
                            lights)
        of_head = ~batch.is_thing
        head = shown = clean = paint(batch, batch.heads, of_head, raster, lights, textures, batch.casters)
        if len(batch.things.triangles):
            if self.config.clean_twin:
                clean = paint(batch, batch.heads, of_head, raster, lights, textures, batch.head_casters)
            drawn = rasterize(batch.vertices, batch.starts, batch.things, self.side, self.side)
            shown = paint(batch, batch.things, batch.is_thing, drawn, lights, None, batch.casters).over(head)
        others = [n for n, t in enumerate(takes) if t.other_place is not None]
        if others:
            shown = self._beside(takes, setups, others, lights, shown)
        rows = batch.head_starts[:, None] + self.face_rows
        face = torch.stack([t.head.vertices[:len(self.face_rows)] for t in takes])
        return Rendered(shown, head, clean, face, batch.vertices[rows], batch, raster)

    def _beside(self, takes: Sequence[Loaded], setups: Sequence[Setup], chosen: list[int], lights: Lights,
                shown: Drawings) -> Drawings:
        """Other people's heads before the pictures ``chosen``."""
        there = np.stack([place.pose(setups[n].pose) for n in chosen if (place := takes[n].other_place)])
        poses = self._poses(there, np.full(len(chosen), OTHER_DISTANCE_MM))
        nothing = Solid.of((), self.device)
        batch = pack([takes[n].other for n in chosen], [nothing] * len(chosen), poses)
        raster = rasterize(batch.vertices, batch.starts, batch.heads, self.side, self.side)
        textures = torch.stack([t for n in chosen if (t := takes[n].other_texture) is not None])
        rows = torch.tensor(chosen, device=self.device)
        drawn = paint(batch, batch.heads, ~batch.is_thing, raster, Lights(*(v[rows] for v in lights)), textures,
                      batch.casters)
        ahead = torch.tensor([OTHER_AHEAD_MM * setups[n].pose[3] for n in chosen], device=self.device)
        kind = torch.where(drawn.kind == NOTHING, NOTHING, OCCLUDER + OCCLUDER_KINDS.index("head")).to(torch.uint8)
        front = Drawings(drawn.color, kind, drawn.depth - ahead[:, None, None].float())
        merged = front.over(Drawings(*(v[rows] for v in shown)))
        return Drawings(*(v.index_copy(0, rows, new) for v, new in zip(shown, merged, strict=True)))

    def _lettered(self, shown: Drawings, n: int, setup: Setup) -> Drawings:
        """Lettering before everything of picture ``n``; see :func:`rtface.synth.flat.letter`."""
        assert setup.letters is not None
        covered = torch.from_numpy(setup.letters).to(self.device)
        ink = torch.from_numpy(setup.ink).to(self.device)
        depth = shown.depth[n]
        nearest = torch.where(depth.isfinite(), depth, 0).amin().clamp(max=0) - 1
        color, kind, far = (v.clone() for v in shown)
        color[n] = torch.where(covered[..., None], ink, color[n])
        kind[n] = torch.where(covered, OCCLUDER + OCCLUDER_KINDS.index("text"), kind[n]).to(torch.uint8)
        far[n] = torch.where(covered, nearest, depth)
        return Drawings(color, kind, far)

    def _film(self, shown: Drawings, head: Drawings, clean: Drawings, setups: Sequence[Setup], hidden: Sequence[bool],
              backgrounds: Tensor, grain: Tensor, generator: torch.Generator | None,
              noise: Tensor | None) -> tuple[Tensor, Tensor | None]:
        soft = [s.soft for s in setups]
        behind = filters.resize(film.defocus(backgrounds, soft), self.enlarge)
        stray = [n for n, s in enumerate(setups) if s.glare is not None or s.dimming is not None]
        if stray:
            shown, head, clean = (self._strayed(drawings, setups, stray) for drawings in (shown, head, clean))
        front = film.over_background(shown, behind, grain)
        if any(s.near or s.motion for s in soft):
            front = film.veil(front, film.over_background(head, behind, grain), shown.kind, soft)
        picture = filters.resize(front, self.shrink)
        bare = picture
        if self.config.clean_twin:
            alone = filters.resize(film.over_background(clean, behind, grain), self.shrink)
            bare = torch.where(torch.tensor(hidden, device=self.device)[:, None, None, None], alone, picture)
        if not self.config.camera:
            pixels, twin = (torch.round(p.clamp(0, 1) * 255).to(torch.uint8) for p in (picture, bare))
            return pixels, twin if self.config.clean_twin else None
        cameras = film.Cameras(tuple(s.camera for s in setups))
        if noise is None:
            noise = torch.randn(picture.shape, generator=generator, device=self.device)
        pixels = film.develop(picture, cameras, noise)
        return pixels, film.develop(bare, cameras, noise) if self.config.clean_twin else None

    def _strayed(self, drawings: Drawings, setups: Sequence[Setup], chosen: list[int]) -> Drawings:
        color = drawings.color.clone()
        for n in chosen:
            glare, dimming = setups[n].glare, setups[n].dimming
            if glare is not None:
                color[n] += torch.from_numpy(glare).to(self.device)
            if dimming is not None:
                color[n] *= torch.from_numpy(dimming).to(self.device)[..., None]
        return drawings._replace(color=color)


def embossed(textures: Tensor, relief_mm: Tensor, poses: Poses, lights: Lights) -> Tensor:
    """Textures (N, T, T, 3) with their relief (N, T, T) lit by the main light; see ``FaceFactory.skin``."""
    _, mm_per_texel = fold_fields(textures.shape[1])
    towards = torch.einsum("ni,nij->nj", lights.towards[:, 0], poses.rotation)  # head from camera
    directed = lights.direct[:, 0] / (lights.direct[:, 0] + lights.harmonics[:, 0]).clamp(min=1e-3)
    strength = (3.0 * directed).clamp(max=1.2)[:, None, None]
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=textures.device) / (8 * mm_per_texel)
    slopes = F.conv2d(F.pad(relief_mm[:, None], (1, 1, 1, 1), mode="reflect"), torch.stack([sobel, sobel.T])[:, None])
    slope_x, slope_y = slopes.unbind(dim=1)
    x, y = towards[:, 0, None, None], towards[:, 1, None, None]
    shade = 1 - strength * (slope_x * x + slope_y * y)
    shade = shade - 0.15 * strength * (1 - torch.hypot(x, y)) * torch.hypot(slope_x, slope_y)
    return (textures * shade.clamp(0.35, 1.6)[..., None]).clamp(0.002, 1.0)
