"""How a take is filmed: where the camera and the lamps stand, what the lens and the camera do."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtface.synth import camera, flat
from rtface.synth.background import random_color
from rtface.synth.camera import Settings
from rtface.synth.compose import Softening, sample_softening
from rtface.synth.config import SynthConfig
from rtface.synth.generator import FaceFactory
from rtface.synth.render import Light, sample_light
from rtface.synth.shapes import FloatArray
from rtface.synth.takes import Take


class Setup(NamedTuple):
    """One picture's; R is the rendering's side in px."""

    pose: FloatArray
    """(6,) pitch, yaw, roll rad, px/mm, x, y px, at the rendering's size."""
    distance_mm: float
    light: Light
    soft: Softening
    camera: Settings
    """Without its grain: that is drawn where the picture is."""
    letters: NDArray[np.bool_] | None
    """(R, R) where lettering covers the picture."""
    ink: FloatArray
    """(3,) linear RGB of that."""
    glare: FloatArray | None
    """(R, R, 3) light that is added."""
    dimming: FloatArray | None
    """(R, R) factor on the light."""


def sample_setup(rng: np.random.Generator, factory: FaceFactory, take: Take, config: SynthConfig) -> Setup:
    """A random one, with the same odds as :meth:`rtface.synth.generator.FaceFactory.generate` has."""
    side = round(config.size * config.supersample)
    pose = factory.sample_pose(rng, take.person, take.expression, config, side)
    distance_mm = float(np.exp(rng.uniform(*np.log(config.distance_mm))))
    light, soft = sample_light(rng), sample_softening(rng, config.defocus_rate)
    letters, ink = None, np.zeros(3, np.float32)
    if "text" in take.kinds:
        letters = flat.lettering(rng, side, side, factory.box(factory.place(take.face, pose, distance_mm))) > 0
        ink = random_color(rng) ** np.float32(2.2)
    glare, dimming = flat.sample_stray(rng, config.glare_rate, side)
    return Setup(pose, distance_mm, light, soft, camera.draw(rng, (0,)), letters, ink, glare, dimming)
