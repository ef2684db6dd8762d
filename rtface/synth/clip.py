"""Short clips of a moving, talking, now and then hidden face, with the truth for every frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.jaw import project_landmarks
from rtface.synth.config import OCCLUDER_KINDS
from rtface.synth.generator import FaceFactory
from rtface.synth.head import OCCLUDER, occluder_surface
from rtface.synth.occluders import MAKERS
from rtface.synth.people import MOODS, SPEECH, Person, sample_person
from rtface.synth.piece import Piece
from rtface.synth.render import NOTHING, Surface, draw, encode_srgb, sample_light
from rtface.synth.shapes import FloatArray

FPS = 30.0
KEY_SECONDS = 0.32
"""Time from one mouth shape to the next."""


@dataclass(frozen=True, slots=True, eq=False)
class ClipFrame:
    """One frame and what is true in it."""

    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    coefficients: FloatArray
    """(239,) in this frame's px."""
    landmarks: FloatArray
    """(68, 2) px."""
    occluded: bool
    """The moving occluder is in the picture."""


def _wander(rng: np.random.Generator, seconds: FloatArray, amplitude: float) -> FloatArray:
    """Smooth random motion (T,) with the given amplitude: three slow sines."""
    total = np.zeros_like(seconds)
    for frequency in (0.17, 0.31, 0.57):
        total += np.sin(2 * np.pi * (frequency * seconds * rng.uniform(0.8, 1.2) + rng.random())) / (1 + 2 * frequency)
    return amplitude * total / 1.6


def expression_track(rng: np.random.Generator, names: tuple[str, ...], limits: FloatArray,
                     seconds: FloatArray) -> FloatArray:
    """(T, 64) speech over slow moods, with blinks every few seconds."""
    index = {name: k for k, name in enumerate(names)}
    keys = int(seconds[-1] / KEY_SECONDS) + 3
    speech = np.zeros((keys, len(names)))
    for key in speech:
        for name, value in SPEECH[rng.integers(len(SPEECH))].items():
            key[index[name]] = value * rng.uniform(0.4, 1.1)
    at = seconds / KEY_SECONDS
    low = np.floor(at).astype(int)
    t = at - low
    t = (t * t * (3 - 2 * t))[:, None]
    track = speech[low] * (1 - t) + speech[low + 1] * t
    for mood in rng.choice(len(MOODS), 2, replace=False):
        strength = np.clip(_wander(rng, seconds, 1.0), 0, None)
        for name, value in MOODS[mood].items():
            track[:, index[name]] += value * strength
    when = rng.uniform(0.6, 1.4)
    while when < seconds[-1]:
        closing = np.clip(1 - np.abs(seconds - when) / 0.11, 0, 1)
        for side in ("Left", "Right"):
            track[:, index[f"eyeBlink{side}"]] = np.maximum(track[:, index[f"eyeBlink{side}"]],
                                                            closing * limits[index[f"eyeBlink{side}"]])
        when += rng.uniform(1.2, 3.5)
    gaze = _wander(rng, seconds, 0.5)
    for side, inwards in (("Right", 1.0), ("Left", -1.0)):
        track[:, index[f"eyeLookIn{side}"]] = np.clip(gaze * inwards, 0, 1)
        track[:, index[f"eyeLookOut{side}"]] = np.clip(-gaze * inwards, 0, 1)
    return np.clip(track, 0, limits).astype(np.float32)


class ClipMaker:
    """One person before one background; frames are drawn one by one."""

    def __init__(self, seed: int = 0, *, frames: int = 90, height: int = 480, width: int = 640,
                 occluders: tuple[str, ...] = ("hand", "microphone"), factory: FaceFactory | None = None) -> None:
        """occluders: kinds that pass before the face one after the other, each for an equal part of the clip."""
        if frames < 1 or height < 32 or width < 32:
            raise InputError(f"clip: got {frames} frames of {width}×{height} px, expected at least 1 of 32×32")
        if unknown := set(occluders) - set(MAKERS):
            raise InputError(f"occluders: got {sorted(unknown)}, expected some of {tuple(MAKERS)}")
        rng = np.random.default_rng([seed, 1])
        self.factory = factory or FaceFactory()
        model = self.factory.model
        self.height, self.width, self.frames = height, width, frames
        self.person: Person = sample_person(rng, model)
        self.light = sample_light(rng)
        seconds = np.arange(frames) / FPS
        limits = model.expression_limits(self.person.identity[None])[0]
        self.expressions = expression_track(rng, model.expression_names, limits, seconds)
        size = 0.42 * min(height, width)
        middle = np.array([width / 2, height * 0.54], np.float32)
        self.poses = np.stack([self._pose(rotation, size * grow, middle + move) for rotation, grow, move in zip(
            np.stack([_wander(rng, seconds, 0.16), _wander(rng, seconds, 0.5), _wander(rng, seconds, 0.14)], 1),
            1 + _wander(rng, seconds, 0.08),
            np.stack([_wander(rng, seconds, 0.08 * width), _wander(rng, seconds, 0.05 * height)], 1), strict=True)])
        self.behind = self.factory.background(rng, height, width)
        neutral = model.vertices(self.person.identity[None], np.zeros((1, 64), np.float32))[0]
        anchors = self.factory.builder.anchors(self.person, neutral)
        self.passing: list[tuple[str, list[Piece]]] = [(k, MAKERS[k](rng, anchors)) for k in occluders]
        self.noise = np.random.default_rng([seed, 2])

    def _pose(self, rotation: FloatArray, longer: float, center: FloatArray) -> FloatArray:
        return self.factory.framed_pose(self.person, np.zeros(64, np.float32), rotation.astype(np.float32), longer,
                                        center)

    def _passing(self, index: int) -> list[Surface]:
        """The occluder of this moment, sliding in from below and out again; none in the first part of the clip."""
        parts = len(self.passing) + 1
        part, along = divmod(index * parts / self.frames, 1.0)
        if part < 1:
            return []
        kind, pieces = self.passing[int(part) - 1]
        away = np.clip(abs(along - 0.5) * 4 - 1.1, 0, 1) ** 2
        shift = np.array([0, 320 * away, -20 * away], np.float32)
        if away >= 1:
            return []
        moved = [p._replace(shape=p.shape._replace(vertices=p.shape.vertices + shift)) for p in pieces]
        return [occluder_surface(p, OCCLUDER_KINDS.index(kind)) for p in moved]

    def draw(self, index: int) -> ClipFrame:
        """Draw frame ``index`` (its noise depends on the order of calls; nothing else does)."""
        expression, pose = self.expressions[index], self.poses[index]
        surfaces, face = self.factory.builder.surfaces(self.person, expression)
        passing = self._passing(index)
        zoom = 1.5
        bigger = pose * np.array([1, 1, 1, zoom, zoom, zoom], np.float32)
        drawing = draw(surfaces + passing, bigger, self.light, self.person.texture, round(self.height * zoom),
                       round(self.width * zoom))
        covered = (drawing.kind != NOTHING).astype(np.float32)[..., None]
        layer = np.concatenate([encode_srgb(drawing.color) * covered, covered], axis=-1)
        layer = cv2.resize(layer, (self.width, self.height), interpolation=cv2.INTER_AREA)
        picture = self.behind * (1 - layer[..., 3:]) + layer[..., :3]
        picture = picture + self.noise.normal(0, 0.01, picture.shape)
        placed = self.factory.place(face, pose)
        landmarks = project_landmarks(self.factory.model, self.factory.jaw, placed[None], pose[None, 2])[0, :, :2]
        vector = np.concatenate([self.person.identity, expression, self.person.albedo, self.light.harmonics, pose])
        occluded = bool(((drawing.kind >= OCCLUDER) & (drawing.kind != NOTHING)).any())
        return ClipFrame((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8), vector.astype(np.float32),
                         landmarks.astype(np.float32), occluded)

    def __iter__(self) -> Iterator[ClipFrame]:
        return (self.draw(i) for i in range(self.frames))


def demo_clip(seed: int = 0, *, frames: int = 90, height: int = 480, width: int = 640) -> Iterator[NDArray[np.uint8]]:
    """Frames (H, W, 3) uint8 RGB of the clip that `rtface demo` converts; 30 per second."""
    return (frame.pixels for frame in ClipMaker(seed, frames=frames, height=height, width=width))


__all__ = ["FPS", "ClipFrame", "ClipMaker", "demo_clip", "expression_track"]
