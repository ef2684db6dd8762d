"""What is filmed: a person's head with an expression, and what is before it, as surfaces in head space."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from rtface.synth.head import HeadBuilder
from rtface.synth.people import Person, sample_expression, sample_person
from rtface.synth.render import Surface
from rtface.synth.shapes import FloatArray

OTHER_DISTANCE_MM: Final = 900.0
"""From the camera to another person's head."""
OTHER_AHEAD_MM: Final = 260.0
"""How much nearer that one counts than the face."""


class Other(NamedTuple):
    """Another person's head that stands partly before the face."""

    surfaces: list[Surface]
    texture: FloatArray
    """(T, T, 3) linear RGB."""
    rotation: FloatArray
    """(3,) rad pitch, yaw, roll."""
    nearer: float
    """Its scale over that of the face."""
    aside_mm: FloatArray
    """(2,) from the face, in its scale."""

    def pose(self, pose: FloatArray) -> FloatArray:
        """(6,) pose of this head beside a face under a pose (6,)."""
        return np.concatenate([self.rotation, [pose[3] * self.nearer], pose[4:6] + self.aside_mm * pose[3]]).astype(
            np.float32)


class Take(NamedTuple):
    """Everything that does not depend on the camera and the light."""

    person: Person
    expression: FloatArray
    """(64,)."""
    kinds: tuple[str, ...]
    """Of :data:`rtface.synth.config.OCCLUDER_KINDS`."""
    surfaces: list[Surface]
    """The head; the face comes first."""
    face: FloatArray
    """(V, 3) mm."""
    things: list[Surface]
    """What is before it and has a body."""
    other: Other | None


def meet_somebody(rng: np.random.Generator, builder: HeadBuilder) -> Other:
    """A random person beside and before the face."""
    other = sample_person(rng, builder.model, texture_size=128)
    surfaces, _ = builder.surfaces(other, sample_expression(rng, builder.model, other.identity))
    turned = np.array([rng.normal(0, 0.3), rng.uniform(-np.pi, np.pi), rng.normal(0, 0.2)], np.float32)
    nearer = float(rng.uniform(1.0, 1.25))
    aside = float(rng.choice([-1, 1])) * rng.uniform(95, 165)
    return Other(surfaces, other.texture, turned, nearer, np.array([aside, rng.normal(10, 45)]))
