"""Draw one labelled face: ``sample = FaceFactory().generate(rng, config)``; the same seed gives the same picture."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface import ops
from rtface.geometry import pose_vertices, rotation_matrices
from rtface.jaw import JawLine, project_landmarks
from rtface.morphable import MorphableModel
from rtface.synth import background, camera, flat, labels
from rtface.synth.compose import defocus, finish, grain_field, sample_softening
from rtface.synth.config import OCCLUDER_KINDS, SynthConfig
from rtface.synth.head import (
    EYE,
    FACE,
    HAIR,
    MOUTH,
    OCCLUDER,
    HeadBuilder,
    occluder_surface,
)
from rtface.synth.occluders import MAKERS
from rtface.synth.people import Person, sample_expression, sample_person, sample_rotation
from rtface.synth.relief import emboss, height_map
from rtface.synth.render import (
    NOTHING,
    Drawing,
    Light,
    Placed,
    Surface,
    over,
    paint,
    perspective,
    place,
    sample_light,
)
from rtface.synth.shapes import FloatArray
from rtface.synth.takes import OTHER_AHEAD_MM, OTHER_DISTANCE_MM, Other, Take, meet_somebody
from rtface.types import VECTOR_SIZE

OF_FACE = np.isin(np.arange(256), (FACE, EYE, MOUTH))
IN_OUTLINE = OF_FACE | (np.arange(256) == HAIR)
SMALL = 256
"""Faces in pictures up to this size are no more than 150 px wide: textures of 192 texels do."""
BACKGROUND, FACE_CLASS, OCCLUSION = 0, 1, 2
"""Classes of :attr:`Sample.mask`."""


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """What is known of every pixel and vertex; px are the picture's."""

    parsing: NDArray[np.uint8]
    """(S, S) CelebAMask-HQ classes of the picture, :data:`rtface.contours.PARSING`."""
    clean_parsing: NDArray[np.uint8]
    """(S, S) the same without occluders."""
    contour: NDArray[np.uint8]
    """(S, S) outlines of the face and its features without occluders and hair, 255 = line; times 1 − mask it is
    what an occluded picture shows of them."""
    depth_mm: FloatArray
    """(S, S) float32 behind the head's origin, NaN where nothing is; of the picture, occluders included."""
    normals: NDArray[np.int8]
    """(S, S, 3) unit · 127 in camera axes, of the head without occluders; 0 where it is not."""
    bump_mm: FloatArray
    """(T, T) float32 relief Φ over the UV map."""
    seen: NDArray[np.bool_]
    """(V,) vertices of the face that nothing hides."""


class Camera(NamedTuple):
    """Where a picture was taken from; the coefficients' pose is the scaled orthographic one nearest to it."""

    distance_mm: float
    """From the head's origin."""
    residual_mm: float
    """Root mean square, over the face's front, of what scaled orthography cannot say of this perspective."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A picture with its labels; px are this picture's."""

    pixels: NDArray[np.uint8]
    """(S, S, 3) RGB."""
    clean: NDArray[np.uint8] | None
    """(S, S, 3) RGB of the same face without occluders, before the camera's blur and noise."""
    mask: NDArray[np.uint8]
    """(S, S) 0 background, 1 visible face, 2 something before the face (hair included)."""
    occluder: NDArray[np.uint8]
    """(S, S) 0 = none, else 1 + index into OCCLUDER_KINDS, anywhere in the picture."""
    coefficients: FloatArray
    """(239,) in the papers' order."""
    landmarks: FloatArray
    """(68, 2) px, jaw on the visible outline."""
    visibility: FloatArray
    """(68,) 1 = not covered by anything."""
    box_xyxy: FloatArray
    """(4,) px: hair line to chin, ear to ear."""
    kinds: tuple[str, ...]
    """Occluders drawn."""
    visible_fraction: float
    """Visible share of the face's pixels."""
    camera: Camera
    dense: Dense | None
    """None unless the configuration asks for dense labels."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A head as rendered, before the background: what samples, scenes and clips have in common."""

    drawing: Drawing
    clean: Drawing
    behind: Drawing
    """The head with the shadows of what is before it, but without that; ``drawing`` where nothing is."""
    head: Placed
    raster: ops.Raster
    face: FloatArray
    """(V, 3) face vertices in head space, mm."""
    placed: FloatArray
    """(V, 3) the same in rendering px."""
    landmarks: FloatArray
    """(68, 3) rendering px."""
    box_xyxy: FloatArray
    """(4,) rendering px."""

    def lit(self, add: FloatArray | None, times: FloatArray | None) -> Shot:
        """The shot with light (R, R, 3) added or dimmed by (R, R), occluders and twin alike."""
        if add is None and times is None:
            return self

        def change(drawing: Drawing) -> Drawing:
            color = drawing.color if times is None else drawing.color * times[..., None]
            return drawing._replace(color=color if add is None else color + add)
        same = self.drawing is self.clean
        clean = change(self.clean)
        return replace(self, clean=clean, drawing=clean if same else change(self.drawing),
                       behind=clean if same else change(self.behind))


class FaceFactory:
    """Holds the morphable model and what can be computed once. Not thread safe; one per process."""

    def __init__(self, model: MorphableModel | None = None, backgrounds: Path | None = None) -> None:
        """backgrounds: folder of pictures to mix with the procedural ones."""
        self.model = model or MorphableModel.load()
        self.builder = HeadBuilder(self.model)
        self.jaw = JawLine(self.model)
        self.backgrounds = backgrounds
        self.outline = np.flatnonzero(self.builder.face_kind == FACE)

    def background(self, rng: np.random.Generator, height: int, width: int) -> FloatArray:
        """(H, W, 3) float32 sRGB."""
        if self.backgrounds is not None and rng.random() < 0.7:
            return background.from_folder(rng, self.backgrounds, height, width)
        return background.procedural(rng, height, width)

    def choose_occluders(self, rng: np.random.Generator, config: SynthConfig) -> tuple[str, ...]:
        """Kinds for one face: none, one, now and then two."""
        if not config.occluder_kinds or rng.random() >= config.occluder_rate:
            return ()
        count = 2 if rng.random() < 0.18 and len(config.occluder_kinds) > 1 else 1
        return tuple(str(k) for k in rng.choice(config.occluder_kinds, count, replace=False))

    def stage(self, rng: np.random.Generator, person: Person, expression: FloatArray, kinds: tuple[str, ...]) -> Take:
        """A person's head with what is before it; ``rng`` shapes that."""
        surfaces, face = self.builder.surfaces(person, expression)
        things: list[Surface] = []
        if solid := [kind for kind in kinds if kind in MAKERS]:
            anchors = self.builder.anchors(person, face)
            things = [occluder_surface(piece, OCCLUDER_KINDS.index(kind))
                      for kind in solid for piece in MAKERS[kind](rng, anchors)]
        other = meet_somebody(rng, self.builder) if "head" in kinds else None
        return Take(person, expression, kinds, surfaces, face, things, other)

    def shoot(self, rng: np.random.Generator, take: Take, pose: FloatArray, light: Light, height: int, width: int, *,
              distance_mm: float = np.inf, twin: bool = False) -> Shot:
        """Render a take; pose (6,) in rendering px, seen from ``distance_mm``. ``rng`` only shapes lettering.

        twin: draw :attr:`Shot.clean` without the shadows of what hides the face, too.
        """
        head = place(take.surfaces, pose, distance_mm=distance_mm)
        raster = head.rasterize(height, width)
        texture = self.skin(take.person, take.expression, pose, light)
        if twin or not take.things:
            drawing = behind = clean = paint(head, raster, light, texture, casters=[head])
        if take.things:
            things = place(take.things, pose, distance_mm=distance_mm)
            behind = paint(head, raster, light, texture, casters=[head, things])
            before = paint(things, things.rasterize(height, width), light, None, casters=[things, head])
            drawing = over(before, behind)
            if not twin:
                clean = behind
        if take.other is not None:
            drawing = over(self._somebody(take.other, pose, light, height, width), drawing)
        placed = self.place(take.face, pose, distance_mm)
        landmarks = project_landmarks(self.model, self.jaw, placed[None], pose[None, 2])[0]
        if "text" in take.kinds:
            drawing = flat.letter(rng, drawing, OCCLUDER + OCCLUDER_KINDS.index("text"), self.box(placed))
        return Shot(drawing, clean, behind, head, raster, take.face, placed, landmarks, self.box(placed))

    @staticmethod
    def _somebody(other: Other, pose: FloatArray, light: Light, height: int, width: int) -> Drawing:
        """Another person's head that stands partly before the face."""
        mesh = place(other.surfaces, other.pose(pose), distance_mm=OTHER_DISTANCE_MM)
        drawn = paint(mesh, mesh.rasterize(height, width), light, other.texture, casters=[mesh])
        kind = np.where(drawn.kind == NOTHING, drawn.kind, np.uint8(OCCLUDER + OCCLUDER_KINDS.index("head")))
        ahead = np.float32(OTHER_AHEAD_MM * pose[3])
        return Drawing(drawn.color, kind, np.full_like(drawn.triangle_id, -1), drawn.depth - ahead)

    def skin(self, person: Person, expression: FloatArray, pose: FloatArray, light: Light) -> FloatArray:
        """(T, T, 3) the person's texture with its relief lit by the main light."""
        height = height_map(person.relief, self.model.expression_names, expression, person.texture.shape[0])
        towards = light.direction @ rotation_matrices(pose[None, :3].astype(np.float32))[0]  # head from camera
        directed = light.direct / max(light.direct + float(light.harmonics[0]), 1e-3)
        return emboss(person.texture, height, towards, min(1.2, 3.0 * directed))

    @staticmethod
    def place(face: FloatArray, pose: FloatArray, distance_mm: float = np.inf) -> FloatArray:
        """(V, 3) mm under a pose (6,), seen from ``distance_mm`` → (V, 3) px and depth."""
        still = np.zeros((1, 2), np.float32)
        points: FloatArray = pose_vertices(face[None], pose[None, :3], pose[None, 3], still)[0]
        points = perspective(points, float(pose[3]), distance_mm)
        points[:, :2] += pose[4:6]
        return points

    def fitted_pose(self, face: FloatArray, placed: FloatArray, pose: FloatArray) -> tuple[FloatArray, float]:
        """The scaled orthographic pose (6,) that comes nearest to ``placed`` (V, 3) px, and the rms residual in mm.

        Least squares over the front of the face (ears, neck and scalp left out); the rotation is kept.
        """
        rotation = rotation_matrices(pose[None, :3].astype(np.float32))[0]
        flat = rotation[:2] @ face[self.outline].T  # (2, P)
        seen = placed[self.outline, :2].T.copy()
        flat_mean, seen_mean = flat.mean(axis=1), seen.mean(axis=1)
        apart, seen = flat - flat_mean[:, None], seen - seen_mean[:, None]
        scale = float(np.vdot(apart, seen) / np.vdot(apart, apart))
        offset = seen_mean - scale * flat_mean
        left = apart - seen * np.float32(1 / scale)
        residual = float(np.sqrt(np.vdot(left, left) / left.shape[1]))
        return np.concatenate([pose[:3], [scale], offset]).astype(np.float32), residual

    def box(self, placed: FloatArray) -> FloatArray:
        """(4,) xyxy around the face without ears and neck."""
        points = placed[self.outline, :2].T.copy()  # the other way round is many times slower
        return np.concatenate([points.min(axis=1), points.max(axis=1)]).astype(np.float32)

    def framed_pose(self, person: Person, expression: FloatArray, rotation: FloatArray, longer: float,
                    center: FloatArray) -> FloatArray:
        """(6,) pose that gives the landmark box its ``longer`` side (px) and centre (2,) px."""
        mean, identity, action = self.model.landmark_rows()
        points = mean + identity @ person.identity + action @ expression
        unit = np.concatenate([rotation, [1.0, 0.0, 0.0]]).astype(np.float32)
        placed = self.place(points.astype(np.float32), unit)[:, :2]
        low, high = placed.min(axis=0), placed.max(axis=0)
        scale = longer / float((high - low).max())
        return np.concatenate([rotation, [scale], center - scale * (low + high) / 2]).astype(np.float32)

    def sample_pose(self, rng: np.random.Generator, person: Person, expression: FloatArray, config: SynthConfig,
                    side: int) -> FloatArray:
        """(6,) pose of a face in a picture of ``side`` px, turned and as large as ``config`` says."""
        longer = float(rng.uniform(*config.face_share)) * side
        center = side / 2 + rng.normal(0, 0.03, 2) * side
        return self.framed_pose(person, expression, sample_rotation(rng, config), longer, center)

    def generate(self, rng: np.random.Generator, config: SynthConfig) -> Sample:
        """Draw one face with its labels."""
        person = sample_person(rng, self.model, texture_size=192 if config.size <= SMALL else 256)
        expression = sample_expression(rng, self.model, person.identity)
        side = round(config.size * config.supersample)
        pose = self.sample_pose(rng, person, expression, config, side)
        distance_mm = float(np.exp(rng.uniform(*np.log(config.distance_mm))))
        light = sample_light(rng)
        kinds = self.choose_occluders(rng, config)
        take = self.stage(rng, person, expression, kinds)
        shot = self.shoot(rng, take, pose, light, side, side, distance_mm=distance_mm, twin=config.clean_twin)
        pose, residual = self.fitted_pose(shot.face, shot.placed, pose)
        soft = sample_softening(rng, config.defocus_rate)
        behind = cv2.resize(defocus(self.background(rng, config.size, config.size), soft), (side, side))
        grain = grain_field(rng, side, side)
        shot = shot.lit(*flat.sample_stray(rng, config.glare_rate, side))
        picture = finish(shot.drawing, shot.behind, behind, grain, config.size, soft)
        clean, same = None, deepcopy(rng)
        pixels = camera.shoot(rng, picture) if config.camera else camera.quantize(picture)
        if config.clean_twin:
            twin = picture if not kinds else finish(shot.clean, shot.clean, behind, grain, config.size)
            clean = camera.shoot(same, twin) if config.camera else camera.quantize(twin)
        return self._label(shot, person, expression, pose, light, kinds, pixels, clean, config,
                           Camera(distance_mm, residual))

    def _label(self, shot: Shot, person: Person, expression: FloatArray, pose: FloatArray, light: Light,
               kinds: tuple[str, ...], pixels: NDArray[np.uint8], clean: NDArray[np.uint8] | None,
               config: SynthConfig, seen_from: Camera) -> Sample:
        shrink = config.size / shot.drawing.kind.shape[0]
        mask, occluder = segment(shot, config.size)
        pose = pose * np.array([1, 1, 1, shrink, shrink, shrink], np.float32)
        vector = np.concatenate([person.identity, expression, person.albedo, light.harmonics, pose])
        assert vector.shape == (VECTOR_SIZE,)
        face = int(np.isin(mask, (FACE_CLASS, OCCLUSION)).sum())
        return Sample(pixels, clean, mask, occluder, vector.astype(np.float32),
                      (shot.landmarks[:, :2] * shrink).astype(np.float32), landmark_visibility(shot),
                      shot.box_xyxy * np.float32(shrink), kinds, int((mask == FACE_CLASS).sum()) / max(face, 1),
                      seen_from, self._dense(shot, person, expression, config.size) if config.dense else None)

    def _dense(self, shot: Shot, person: Person, expression: FloatArray, size: int) -> Dense:
        haired = person.hair is not None
        skin, side = person.skin, shot.clean.kind.shape[0]
        bare = labels.parse(shot.head, *labels.without_hair(shot.head, side, side), skin, haired=haired)

        def small(drawing: Drawing) -> NDArray[np.uint8]:
            parsed = labels.parse(shot.head, shot.raster, drawing, skin, haired=haired)
            return np.asarray(cv2.resize(parsed, (size, size), interpolation=cv2.INTER_NEAREST), np.uint8)

        texels = person.texture.shape[0]
        return Dense(small(shot.drawing), small(shot.clean), labels.contours(bare, size),
                     labels.depth_mm(shot.drawing, shot.head.px_per_mm, size),
                     labels.normals(shot.head, shot.raster, size),
                     height_map(person.relief, self.model.expression_names, expression, texels),
                     labels.seen_vertices(shot.placed, shot.drawing))


def segment(shot: Shot, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Class mask and occluder kinds (size, size) uint8 of a shot."""
    def small(picture: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_NEAREST))

    clean, kind = small(shot.clean.kind), small(shot.drawing.kind)
    inside = (small(_inside(shot)) > 0) | OF_FACE[clean]
    face, seen = IN_OUTLINE[clean] & inside, OF_FACE[kind]
    mask = np.where(face & seen, FACE_CLASS, np.where(face, OCCLUSION, BACKGROUND)).astype(np.uint8)
    return mask, np.where((kind >= OCCLUDER) & (kind != NOTHING), kind - OCCLUDER + 1, 0).astype(np.uint8)


def _inside(shot: Shot) -> NDArray[np.uint8]:
    """(R, R) 1 inside the outline of the face: jaw landmarks and the forehead, as a filled polygon, else 0.

    Pixels of hair count as face region (hidden) only there.
    """
    region = np.zeros(shot.clean.kind.shape, np.uint8)
    hull = cv2.convexHull(shot.landmarks[:, :2].astype(np.float32))[:, 0]
    cv2.fillConvexPoly(region, np.round(hull * 16).astype(np.int32), 1, shift=4)
    return region


def landmark_visibility(shot: Shot) -> FloatArray:
    """(68,) 1 where nothing lies before the landmark in the depth buffer (8 mm of tolerance: outlines graze)."""
    height, width = shot.drawing.depth.shape
    scale = float(np.ptp(shot.landmarks[:, 1])) / 110.0  # px per mm, roughly
    columns, rows = (np.clip(shot.landmarks[:, k].astype(int), 0, limit - 1) for k, limit in ((0, width), (1, height)))
    inside = (shot.landmarks[:, 0] >= 0) & (shot.landmarks[:, 0] < width) & (shot.landmarks[:, 1] >= 0) & (
        shot.landmarks[:, 1] < height)
    before = shot.drawing.depth[rows, columns] < shot.landmarks[:, 2] - 8.0 * scale
    kind = shot.drawing.kind[rows, columns]
    covered = before | ((kind >= HAIR) & (kind != NOTHING))
    return (inside & ~covered).astype(np.float32)
