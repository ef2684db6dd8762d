"""A head as surfaces to draw: face, eyes, mouth interior, scalp, neck, hair."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rtface import ops
from rtface.morphable import NOT_FACE_REGIONS, MorphableModel, Part
from rtface.synth.attire import buns, collar
from rtface.synth.hair import clear_of, ellipsoid_around, grow
from rtface.synth.people import Person
from rtface.synth.piece import Anchors, Piece
from rtface.synth.render import Surface
from rtface.synth.shapes import FloatArray, Shape
from rtface.synth.skin import mean_color
from rtface.synth.strands import FaceHair

FACE: Final = 0
"""Kinds of vertices; occluders follow from :data:`OCCLUDER`."""
EARS_NECK: Final = 1
EYE: Final = 2
MOUTH: Final = 3
SCALP: Final = 4
CLOTHES: Final = 5
HAIR: Final = 6
OCCLUDER: Final = 10


class HeadBuilder:
    """Turns a person and an expression into surfaces; keeps what does not change between heads."""

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        self.face_kind = np.where(model.region_mask(*NOT_FACE_REGIONS), EARS_NECK, FACE).astype(np.uint8)
        """(V,) FACE or EARS_NECK."""
        self.white = np.ones((len(model.mean), 3), np.float32)
        self.face_scalp = model.region_mask("scalp")
        """(V,) the part of the face's mesh where hair grows."""
        labels = np.array(model.context.label_names)[model.context.labels]
        self.scalp = labels == "scalp"
        self.clothes = np.isin(labels, ("clothes",))
        self.context_kind = np.select([self.scalp, self.clothes], [SCALP, CLOTHES], EARS_NECK).astype(np.uint8)
        self.face_hair = FaceHair(model)
        self.iris_rays = _iris_rays(model)
        """Brightness of the iris' vertices around 1: rays, and a dark rim."""
        self.neckline = _neckline(model)
        """Vertices of the context where the clothes end at the neck."""
        self.context_color_faces, self.nearest = model.context.face_vertices, _nearest_uv(model)

    def surfaces(self, person: Person, expression: FloatArray) -> tuple[list[Surface], FloatArray]:
        """All surfaces of the head in head space, and the face's vertices (V, 3) mm."""
        model = self.model
        alpha, beta = person.identity[None], expression[None]
        face = model.vertices(alpha, beta)
        face_normals = ops.vertex_normals(face, model.triangles)[0]
        tint = self.white
        if person.hair is not None:
            tint = tint.copy()
            tint[self.face_scalp] = person.hair.color / np.maximum(mean_color(person.texture), 0.02)
        surfaces = [Surface(face[0], model.triangles, tint, self.face_kind,
                            np.full(len(self.white), person.gloss, np.float32), model.uv, face_normals, scatter=1.0,
                            closed=True)]
        surfaces.append(self._context(person, alpha, beta, face_normals))
        surfaces.append(self._eyes(person, alpha, beta))
        interior = model.interior
        glossy = np.isin(np.array(interior.label_names)[interior.labels], ("teeth_upper", "teeth_lower", "tongue"))
        surfaces.append(Surface(model.interior_vertices(alpha, beta)[0], interior.triangles, interior.colors,
                                np.full(len(interior.colors), MOUTH, np.uint8),
                                np.where(glossy, 0.25, 0.0).astype(np.float32), closed=True, casts=False,
                                receives=False))
        surfaces += self.face_hair.grow(person.hair_seed, person.skin, face[0], face_normals, FACE)
        if person.hair is not None:
            surfaces += self._hair(person, surfaces[0], surfaces[1])
        ring = surfaces[1].vertices[self.neckline]
        if (cloth := collar(np.random.default_rng([person.hair_seed, 2]), ring)) is not None:
            surfaces.append(_plain(cloth, person.clothes, CLOTHES))
        return surfaces, face[0]

    def _context(self, person: Person, alpha: FloatArray, beta: FloatArray, face_normals: FloatArray) -> Surface:
        part: Part = self.model.context
        vertices = self.model.context_vertices(alpha, beta)
        normals = ops.vertex_normals(vertices, part.triangles)[0]
        shared = part.face_vertices >= 0
        # the border of the face's texture goes on over the skin around it
        skin = _lookup(person.texture, self.model.uv[self.nearest])
        scalp = skin if person.hair is None else person.hair.color * 0.8 + 0.03 * skin
        share = {name: part.weights[:, k, None] for k, name in enumerate(part.label_names)}
        color = share["scalp"] * scalp + share["clothes"] * person.clothes + share["skin"] * skin
        both = normals[shared] + face_normals[part.face_vertices[shared]]
        normals[shared] = both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-6)
        gloss = np.where(self.clothes, 0.0, person.gloss * 0.6).astype(np.float32)
        return Surface(vertices[0], part.triangles, color.astype(np.float32), self.context_kind, gloss,
                       normals=normals, scatter=1.0)

    def _eyes(self, person: Person, alpha: FloatArray, beta: FloatArray) -> Surface:
        eyes = self.model.eyes
        vertices = self.model.eye_vertices(alpha, beta)[0]
        names = np.array(eyes.label_names)[eyes.labels]
        color = eyes.colors.copy()
        color[names == "iris"] = person.iris * self.iris_rays[:, None]
        # lids throw shade on the upper and outer parts of the ball
        centers = self.model.eye_centers(alpha)[0]
        local = vertices.reshape(2, -1, 3) - centers[:, None]
        height = (local[..., 1] / eyes.radius_mm).reshape(-1)
        aside = (local[..., 0] / eyes.radius_mm).reshape(-1)
        shade = 1 - 0.55 * np.clip((-height - 0.12) / 0.35, 0, 1) - 0.25 * np.clip((np.abs(aside) - 0.4) / 0.4, 0, 1)
        return Surface(vertices, eyes.triangles, (color * np.maximum(shade, 0.2)[:, None]).astype(np.float32),
                       np.full(len(vertices), EYE, np.uint8), np.full(len(vertices), 0.8, np.float32), closed=True,
                       casts=False)

    def _hair(self, person: Person, face: Surface, context: Surface) -> list[Surface]:
        assert person.hair is not None and context.normals is not None and face.normals is not None
        rng = np.random.default_rng(person.hair_seed)
        scalp = np.concatenate([context.vertices[self.scalp], face.vertices[self.face_scalp]])
        normals = np.concatenate([context.normals[self.scalp], face.normals[self.face_scalp]])
        center, axes = ellipsoid_around(scalp)
        skin = np.concatenate([face.vertices, context.vertices[~self.scalp]])
        locks = clear_of(grow(rng, person.hair, scalp, normals, center, axes), skin, keep=person.hair.fringe > 0)
        hair = [Surface(locks.vertices, locks.triangles, locks.albedo, np.full(len(locks.vertices), HAIR, np.uint8),
                        np.full(len(locks.vertices), 0.15, np.float32), normals=locks.normals, receives=False)]
        if (tied := buns(np.random.default_rng([person.hair_seed, 1]), person.hair, center, axes)) is not None:
            hair.append(_plain(*tied, HAIR, gloss=0.15))
        return hair

    def anchors(self, person: Person, face: FloatArray) -> Anchors:
        """Where occluders attach."""
        return Anchors(face[self.model.landmarks68], face[::3], mean_color(person.texture))


def occluder_surface(piece: Piece, kind: int) -> Surface:
    """An occluder's piece as a surface of kind OCCLUDER + ``kind``."""
    count = len(piece.shape.vertices)
    return Surface(piece.shape.vertices, piece.shape.triangles,
                   np.broadcast_to(piece.color, (count, 3)).astype(np.float32),
                   np.full(count, OCCLUDER + kind, np.uint8), np.full(count, piece.gloss, np.float32),
                   scatter=piece.scatter)


def _plain(shape: Shape, color: FloatArray, kind: int, *, gloss: float = 0.0) -> Surface:
    """A mesh with one colour (3,) or one per vertex (V, 3)."""
    count = len(shape.vertices)
    return Surface(shape.vertices, shape.triangles, np.broadcast_to(color, (count, 3)).astype(np.float32),
                   np.full(count, kind, np.uint8), np.full(count, gloss, np.float32))


def _neckline(model: MorphableModel) -> NDArray[np.int64]:
    """Vertices of the context's clothes that share a triangle with its skin."""
    part = model.context
    names = np.array(part.label_names)[part.labels]
    corner = names[part.triangles]
    mixed = (corner == "clothes").any(axis=1) & (corner == "skin").any(axis=1)
    found = np.unique(part.triangles[mixed])
    return np.asarray(found[names[found] == "clothes"], np.int64)


def _iris_rays(model: MorphableModel) -> FloatArray:
    eyes = model.eyes
    iris = np.array(eyes.label_names)[eyes.labels] == "iris"
    points = np.tile(eyes.template, (2, 1))[iris]
    radius = np.linalg.norm(points[:, :2], axis=1)
    across = (radius - radius.min()) / np.ptp(radius)
    turn = np.arctan2(points[:, 1], points[:, 0])
    rays = 1 + 0.12 * np.sin(9 * turn) + 0.1 * np.sin(23 * turn + 1) + 0.25 * (1 - across)
    return (rays * (1 - 0.65 * np.clip((across - 0.7) / 0.3, 0, 1))).astype(np.float32)


def _nearest_uv(model: MorphableModel) -> NDArray[np.int64]:
    """(Vc,) face vertex nearest to each context vertex on the mean head, among the patch's border."""
    border = np.unique(model.context.face_vertices[model.context.face_vertices >= 0])
    points, context = model.mean[border], model.context.mean
    nearest = np.empty(len(context), np.int64)
    for start in range(0, len(context), 2048):
        part = context[start:start + 2048]
        distance = ((part[:, None] - points[None]) ** 2).sum(axis=-1)
        nearest[start:start + 2048] = border[np.argmin(distance, axis=1)]
    return nearest


def _lookup(texture: FloatArray, uv: FloatArray) -> FloatArray:
    """Nearest texel (P, 3) at uv (P, 2)."""
    rows = np.clip((uv[:, 1] * texture.shape[0]).astype(int), 0, texture.shape[0] - 1)
    columns = np.clip((uv[:, 0] * texture.shape[1]).astype(int), 0, texture.shape[1] - 1)
    return texture[rows, columns]
