"""Drawn clips whose truth is known: one movement each, so that a figure says what it is about.

Scenes: ``still`` (nothing moves but the sensor's noise), ``slow turn`` (±34° in 3 s), ``fast turn`` (±34° once a
second, up to 220° a second), ``talking`` (the head is still; speech and blinks), ``occluder`` (a hand, then a
microphone pass before a face that moves and talks), ``crossing`` (one face passes before another one).

Seeds from :data:`SEED` on are kept for measuring: nothing was trained on them. The clips have no compression and no
motion blur, so jitter on them is less than on real ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.evaluate.recording import Clip, Truth
from rtface.geometry import FloatArray, boxes_from_landmarks
from rtface.morphable import MorphableModel
from rtface.synth.clip import FPS, ClipMaker
from rtface.synth.generator import FaceFactory
from rtface.types import Frame

SEED: Final = 900_000
PEOPLE: Final = 3
"""Clips per scene, each with other people."""
FRAMES: Final = 90
HEIGHT, WIDTH = 360, 480
SCENES: Final = ("still", "slow turn", "fast turn", "talking", "occluder", "crossing")
FACE: Final = 0.42
"""Longer side of a face's box in heights of the picture."""
HIDDEN_SHARE: Final = 0.33
"""A face is hidden where another face's box holds more than this share of its points."""


def clips(model: MorphableModel, *, scenes: Sequence[str] | None = None, people: int | None = None,
          frames: int | None = None, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Iterator[Clip]:
    """Draw one clip after the other (0.1 s a frame); None: :data:`SCENES`, :data:`PEOPLE`, :data:`FRAMES`."""
    factory = FaceFactory(model)
    for scene in SCENES if scenes is None else scenes:
        for number in range(PEOPLE if people is None else people):
            yield draw(factory, scene, SEED + number, frames=FRAMES if frames is None else frames, size=size)


def draw(factory: FaceFactory, scene: str, seed: int, *, frames: int = FRAMES,
         size: tuple[int, int] = (HEIGHT, WIDTH)) -> Clip:
    """One clip of ``frames`` pictures of size (height, width) px; all of it is in memory."""
    actors = _actors(factory, scene, seed, frames, size)
    pictures: list[NDArray[np.uint8]] = []
    vectors: list[list[FloatArray]] = [[] for _ in actors]
    points: list[list[FloatArray]] = [[] for _ in actors]
    for k in range(frames):
        pixels = np.zeros((*size, 3), np.uint8)
        for row, actor in enumerate(actors):
            if row:
                actor.behind = pixels.astype(np.float32) / 255  # the nearer one is drawn before the others
            drawn = actor.draw(k)
            pixels = drawn.pixels
            vectors[row].append(drawn.coefficients)
            points[row].append(drawn.landmarks)
        pictures.append(pixels)
    truths = [Truth(np.stack(p), np.stack(v)) for p, v in zip(points, vectors, strict=True)]
    if len(truths) > 1:
        truths[0] = Truth(truths[0].points, truths[0].vectors, covered(truths[0].points, truths[1].points))
    source = [Frame(pixels, k, k / FPS) for k, pixels in enumerate(pictures)]
    return Clip(f"{scene} {seed}", scene, FPS, lambda: nullcontext(source), "drawn", truths=tuple(truths))


def covered(points: FloatArray, before: FloatArray) -> NDArray[np.bool_]:
    """(T,) where the box of the face ``before`` hides the other face; (T, 68, 2) px both."""
    boxes = boxes_from_landmarks(before)[:, None]
    inside = ((points > boxes[..., :2]) & (points < boxes[..., 2:])).all(axis=2)
    hidden: NDArray[np.bool_] = inside.mean(axis=1) > HIDDEN_SHARE
    return hidden


def _actors(factory: FaceFactory, scene: str, seed: int, frames: int, size: tuple[int, int]) -> list[ClipMaker]:
    """The people of a scene with their movements, the farthest first."""
    height, width = size
    seconds = np.arange(frames) / FPS

    def actor(seed: int, occluders: tuple[str, ...] = ()) -> ClipMaker:
        return ClipMaker(seed, frames=frames, height=height, width=width, occluders=occluders, factory=factory)

    if scene == "occluder":
        return [actor(seed, ("hand", "microphone"))]
    first = actor(seed)
    side = FACE * height
    middle = np.array([width / 2, height * 0.54])
    if scene == "crossing":
        second = actor(seed + 1000)
        way = np.linspace(-0.3, 0.3, frames)[:, None] * [width, 0.0]
        _move(first, 0.8 * side, middle + way, _rotations(frames))
        _move(second, side, middle - way, _rotations(frames))
        return [first, second]
    rotations = _rotations(frames, pitch=0.05, yaw=0.15 if seed % 2 else -0.1)
    if scene == "slow turn":
        rotations = _rotations(frames, yaw=-0.6 * np.cos(np.pi * seconds / 3))
    elif scene == "fast turn":
        rotations = _rotations(frames, yaw=0.6 * np.sin(2 * np.pi * seconds),
                               pitch=0.12 * np.sin(2 * np.pi * 0.7 * seconds))
    if scene != "talking":
        first.expressions = np.zeros_like(first.expressions)
    _move(first, side, np.tile(middle, (frames, 1)), rotations)
    return [first]


def _rotations(frames: int, *, pitch: Any = 0.0, yaw: Any = 0.0) -> FloatArray:
    """(T, 3) rad."""
    out = np.zeros((frames, 3), np.float32)
    out[:, 0], out[:, 1] = pitch, yaw
    return out


def _move(actor: ClipMaker, side: float, places: NDArray[np.float64], rotations: FloatArray) -> None:
    """Give an actor other poses: turned about the head's origin, the frontal face's box ``side`` px long at a place."""
    still, front = np.zeros(64, np.float32), np.zeros(3, np.float32)
    poses = [actor.factory.framed_pose(actor.person, still, front, side, place.astype(np.float32)) for place in places]
    actor.poses = np.concatenate([rotations, np.stack(poses)[:, 3:]], axis=1).astype(np.float32)
