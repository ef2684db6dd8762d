"""Pictures of faces whose surface is known: rendered scans, and people of the face factory that no network has seen.

Both are seen by a pinhole camera from 0.6 to 1.2 m. A scan wears its own texture as it is, which holds the light that
it was photographed in; the factory draws its people with its own light, skin and hair.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface import ops
from rtface.evaluate.scans import Doubles, Mesh
from rtface.geometry import FloatArray, rotation_matrices
from rtface.morphable import MorphableModel
from rtface.synth import background
from rtface.synth.compose import finish, grain_field
from rtface.synth.generator import FaceFactory
from rtface.synth.people import Person, sample_expression, sample_person
from rtface.synth.render import sample_light

SIDE: Final = 512
FINER: Final = 2
"""Rendering resolution over the picture's."""
PX_PER_MM: Final = 1.65
"""At the head's origin: a face is then about half as wide as the picture."""
GRAY: Final = 0.55
PEOPLE_SEED: Final = 20_251_121
"""First number of the seeds of the people measured; no training or gallery uses it."""


class View(NamedTuple):
    """From where a face is seen."""

    group: str
    """Name in reports."""
    pitch_deg: float
    yaw_deg: float
    roll_deg: float
    distance_mm: float
    cluttered: bool
    """Before clutter instead of plain gray."""

    @property
    def rotation(self) -> FloatArray:
        """(3,) rad pitch, yaw, roll."""
        return np.radians([self.pitch_deg, self.yaw_deg, self.roll_deg]).astype(np.float32)


VIEWS: Final = tuple(
    View(group, pitch, yaw, roll, distance, cluttered)
    for group, pitch, yaw, roll in (("front", 0, 0, 0), ("front", 3, 8, -6), ("front", -4, -9, 7),
                                    ("up/down", -18, 5, 0), ("up/down", 18, -5, 0), ("half", 0, 30, 4),
                                    ("half", 0, -30, -4), ("side", 2, 55, 0), ("side", 2, -55, 0))
    for distance, cluttered in ((600.0, False), (1200.0, True)))
"""Of a scan: nine directions from near before plain gray and from further away before clutter."""
PERSON_VIEWS: Final = (("front", 0), ("half", 32), ("side", 55))
"""Of a person of the factory: group and turn in degrees."""


def behind(rng: np.random.Generator, cluttered: bool, side: int = SIDE) -> FloatArray:
    """(side, side, 3) float32 sRGB 0..1."""
    if not cluttered:
        return np.full((side, side, 3), GRAY, np.float32)
    picture: FloatArray = background.procedural(rng, side, side)
    return picture


def look(vertices: Doubles, rotation: NDArray[Any], distance_mm: float, *, side: int = SIDE * FINER,
         px_per_mm: float = PX_PER_MM * FINER) -> tuple[FloatArray, FloatArray]:
    """Head space (V, 3) mm → (V, 3) px and depth in mm, and 1/w (V,), through a pinhole camera (inf: parallel rays)."""
    turned = vertices @ rotation_matrices(np.asarray(rotation, np.float32)[None])[0].T
    w = 1 + turned[:, 2] / distance_mm
    placed = np.concatenate([turned[:, :2] * (px_per_mm / w[:, None]) + side / 2, turned[:, 2:]], axis=1)
    return np.ascontiguousarray(placed, np.float32), (1 / w).astype(np.float32)


def portray(mesh: Mesh, head: Doubles, texture: NDArray[np.uint8], view: View,
            rng: np.random.Generator) -> NDArray[np.uint8]:
    """(SIDE, SIDE, 3) RGB: a textured mesh, its vertices at ``head`` (V, 3) mm in head space, as ``view`` sees it.

    texture: (H, W, 3) uint8 RGB for mesh.uv, which must be there; or (V, 3) uint8 colours of the vertices.
    """
    side = SIDE * FINER
    placed, inverse_w = look(head, view.rotation, view.distance_mm)
    corners = np.ascontiguousarray(placed[mesh.triangles].reshape(-1, 3))
    triangles = np.arange(len(corners), dtype=np.int32).reshape(-1, 3)
    raster = ops.rasterize(corners, triangles, side, side, inverse_w=np.ascontiguousarray(
        inverse_w[mesh.triangles].ravel()))
    if texture.ndim == 3:
        assert mesh.uv is not None and mesh.uv_triangles is not None
        uv = np.ascontiguousarray(mesh.uv[mesh.uv_triangles].reshape(-1, 2), np.float32)
        at = ops.interpolate(uv, triangles, raster.triangle_id, raster.barycentrics)
        color = ops.sample_texture(np.ascontiguousarray(texture), at)
    else:
        shades = np.ascontiguousarray(texture[mesh.triangles].reshape(-1, 3), np.float32) / np.float32(255)
        color = ops.interpolate(shades, triangles, raster.triangle_id, raster.barycentrics)
    wall = cv2.resize(behind(rng, view.cluttered), (side, side), interpolation=cv2.INTER_LINEAR)
    picture = np.where((raster.triangle_id >= 0)[..., None], color, wall)
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(small, 0, 1) * 255 + 0.5, np.uint8)


class Portrait(NamedTuple):
    """A drawn person."""

    pixels: NDArray[np.uint8]
    """(SIDE, SIDE, 3) RGB."""
    person: Person
    expression: FloatArray
    """(64,)."""


class People:
    """Draws people of the factory under reserved seeds: the same number gives the same person."""

    def __init__(self, model: MorphableModel) -> None:
        self._factory = FaceFactory(model)

    def portrait(self, number: int, turn_deg: float, cluttered: bool) -> Portrait:
        """Person ``number``, turned to one side (which one is drawn), with an expression of that picture's own."""
        person = sample_person(np.random.default_rng([PEOPLE_SEED, number]), self._factory.model)
        rng = np.random.default_rng([PEOPLE_SEED, number, round(turn_deg) + 360])
        expression = sample_expression(rng, self._factory.model, person.identity)
        rotation = np.radians([rng.normal(0, 6), turn_deg * rng.choice([-1, 1]) + rng.normal(0, 4), rng.normal(0, 6)])
        side = SIDE * FINER
        pose = np.concatenate([rotation, [PX_PER_MM * FINER, side / 2, side / 2]]).astype(np.float32)
        shot = self._factory.shoot(rng, self._factory.stage(rng, person, expression, ()), pose, sample_light(rng), side,
                                   side, distance_mm=float(rng.uniform(600, 1200)))
        wall = cv2.resize(behind(rng, cluttered), (side, side), interpolation=cv2.INTER_LINEAR)
        picture = finish(shot.drawing, shot.behind, wall, grain_field(rng, side, side), SIDE)
        return Portrait((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8), person, expression)

