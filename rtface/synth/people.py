"""Random people and what their faces do: identity, skin, hair; expressions, gaze and head pose."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rtface.morphable import MorphableModel
from rtface.synth.config import SynthConfig
from rtface.synth.hair import HairStyle, sample_style
from rtface.synth.relief import ReliefParams, sample_relief
from rtface.synth.shapes import FloatArray
from rtface.synth.skin import SkinParams, albedo_coefficients, paint_texture, sample_skin


class Person(NamedTuple):
    """What does not change while somebody is filmed."""

    identity: FloatArray
    """(80,) standard deviations."""
    skin: SkinParams
    texture: FloatArray
    """(T, T, 3) float32 linear RGB."""
    albedo: FloatArray
    """(80,) coefficients of the texture."""
    hair: HairStyle | None
    hair_seed: int
    iris: FloatArray
    """(3,) linear RGB."""
    clothes: FloatArray
    """(3,) linear RGB."""
    gloss: float
    relief: ReliefParams


IRISES = np.array([[0.06, 0.03, 0.015], [0.12, 0.06, 0.025], [0.16, 0.14, 0.06], [0.10, 0.16, 0.10],
                   [0.14, 0.22, 0.32], [0.25, 0.27, 0.28]], np.float32)

# what muscles do together: name → (action, strength) pairs; mixed sparsely with single actions
SPEECH = (
    {"jawOpen": 0.35}, {"jawOpen": 0.15, "mouthFunnel": 0.7}, {"mouthPucker": 0.8, "jawOpen": 0.08},
    {"mouthClose": 0.1, "mouthPressLeft": 0.5, "mouthPressRight": 0.5}, {"mouthRollLower": 0.7, "jawOpen": 0.05},
    {"mouthStretchLeft": 0.5, "mouthStretchRight": 0.5, "jawOpen": 0.2},
    {"jawOpen": 0.12, "mouthLowerDownLeft": 0.5, "mouthLowerDownRight": 0.5, "mouthUpperUpLeft": 0.25,
     "mouthUpperUpRight": 0.25},
)
MOODS = (
    {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5},
    {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "jawOpen": 0.25, "cheekSquintLeft": 0.8, "cheekSquintRight": 0.8,
     "mouthUpperUpLeft": 0.3, "mouthUpperUpRight": 0.3, "eyeSquintLeft": 0.5, "eyeSquintRight": 0.5},
    {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "mouthStretchLeft": 0.5, "mouthStretchRight": 0.5, "jawOpen": 0.12,
     "mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5, "mouthLowerDownLeft": 0.3, "mouthLowerDownRight": 0.3,
     "cheekSquintLeft": 0.6, "cheekSquintRight": 0.6, "eyeSquintLeft": 0.3, "eyeSquintRight": 0.3},
    {"mouthFrownLeft": 0.8, "mouthFrownRight": 0.8, "browInnerUp": 0.7, "mouthShrugLower": 0.4},
    {"browDownLeft": 0.9, "browDownRight": 0.9, "eyeSquintLeft": 0.4, "eyeSquintRight": 0.4, "noseSneerLeft": 0.5,
     "noseSneerRight": 0.5, "mouthPressLeft": 0.4, "mouthPressRight": 0.4},
    {"browInnerUp": 0.9, "browOuterUpLeft": 0.9, "browOuterUpRight": 0.9, "eyeWideLeft": 0.9, "eyeWideRight": 0.9,
     "jawOpen": 0.5},
    {"noseSneerLeft": 0.9, "noseSneerRight": 0.9, "mouthUpperUpLeft": 0.7, "mouthUpperUpRight": 0.7,
     "browDownLeft": 0.5, "browDownRight": 0.5},
    {"jawOpen": 0.9, "browOuterUpLeft": 0.4, "browOuterUpRight": 0.4}, {"cheekPuff": 0.9, "mouthPucker": 0.3},
)


def sample_iris(rng: np.random.Generator, melanin: float) -> FloatArray:
    """(3,) linear RGB: brown nearly everywhere, other colours where skin is light."""
    light = float(np.clip((0.9 - melanin) / 0.6, 0, 1))
    odds = np.array([0.5, 0.3, 0.2, 0.15 * light, 0.55 * light, 0.3 * light])
    color = IRISES[rng.choice(len(IRISES), p=odds / odds.sum())] * np.exp(rng.normal(-0.2, 0.25))
    return np.asarray(color, np.float32)


def sample_person(rng: np.random.Generator, model: MorphableModel, *, texture_size: int = 256) -> Person:
    """A random person: identity from the basis' own samples, mixed and scaled a little so that none is repeated."""
    stored = model.identity_samples
    first, second = stored[rng.integers(len(stored), size=2)].astype(np.float32)
    share = float(rng.uniform(0.0, 0.35))
    identity = (1 - share) * first + share * second
    identity = identity + rng.normal(0, 0.22, identity.shape)
    hair = sample_style(rng)
    skin = sample_skin(rng, hair_color=tuple(hair.color.tolist()) if hair is not None and rng.random() < 0.85 else None)
    texture = paint_texture(skin, size=texture_size)
    iris = sample_iris(rng, skin.melanin)
    return Person(identity.astype(np.float32), skin, texture, albedo_coefficients(texture, model),
                  hair, int(rng.integers(2**31)), iris,
                  (rng.uniform(0.01, 0.7) * np.exp(rng.normal(0, 0.3, 3))).clip(0, 0.9).astype(np.float32),
                  float(rng.uniform(0.02, 0.3)), sample_relief(rng))


def sample_expression(rng: np.random.Generator, model: MorphableModel, identity: FloatArray) -> FloatArray:
    """(64,) expression: neutral, speech, moods, single actions, blinks and gaze, within this person's limits."""
    index = {name: k for k, name in enumerate(model.expression_names)}
    expression = np.zeros(len(index))

    def add(actions: dict[str, float], strength: float) -> None:
        for name, value in actions.items():
            expression[index[name]] += value * strength * float(np.exp(rng.normal(0, 0.2)))

    kind = rng.random()
    if kind < 0.85:
        if rng.random() < 0.5:
            add(SPEECH[rng.integers(len(SPEECH))], float(rng.uniform(0.2, 1.2)))
        if rng.random() < 0.8:
            # people who are photographed smile, and broadly
            smiles = rng.random() < 0.65
            add(MOODS[rng.integers(3) if smiles else rng.integers(3, len(MOODS))],
                float(rng.beta(2.0, 1.1) * 1.2 if smiles else rng.beta(1.5, 2.0) * 1.1))
        for name in rng.choice(list(index), int(rng.integers(0, 7)), replace=False):
            if not str(name).startswith(("eyeLook", "eyeBlink")):
                expression[index[str(name)]] += float(rng.beta(1.2, 2.5))
    expression += np.where(rng.random(len(expression)) < 0.3, np.abs(rng.normal(0, 0.06, len(expression))), 0)
    gaze = rng.normal(0, [0.35, 0.25]) if rng.random() < 0.8 else rng.uniform(-1, 1, 2)
    for side, inwards in (("Right", 1.0), ("Left", -1.0)):
        expression[index[f"eyeLookIn{side}"]] = max(0.0, gaze[0] * inwards)
        expression[index[f"eyeLookOut{side}"]] = max(0.0, -gaze[0] * inwards)
        expression[index[f"eyeLookUp{side}"]] = max(0.0, -gaze[1])
        expression[index[f"eyeLookDown{side}"]] = max(0.0, gaze[1])
    limits = model.expression_limits(identity[None])[0]
    blink = rng.random()
    if blink < 0.16:
        for side in ("Left", "Right"):
            k = index[f"eyeBlink{side}"]
            expression[k] = limits[k] * (float(rng.uniform(0.9, 1.0)) if blink < 0.08 else float(rng.uniform(0.1, 0.9)))
    elif blink < 0.2:
        k = index[f"eyeBlink{rng.choice(['Left', 'Right'])}"]
        expression[k] = limits[k]
    return np.clip(expression, model.expression_min, limits).astype(np.float32)


def sample_rotation(rng: np.random.Generator, config: SynthConfig) -> FloatArray:
    """(3,) rad pitch, yaw, roll."""
    if rng.random() < config.profile_share:
        yaw = np.deg2rad(rng.uniform(-95, 95))
    else:
        yaw = np.deg2rad(config.yaw_deg) * np.clip(rng.standard_normal(), -2.6, 2.6)
    pitch = np.deg2rad(config.pitch_deg) * np.clip(rng.standard_normal(), -2.8, 2.8)
    roll = np.deg2rad(config.roll_deg) * rng.standard_normal()
    return np.array([pitch, yaw, roll], np.float32)
