"""The 64 expression shapes: Apple's 52 in Apple's order and 12 more, symmetrised, in decimetres."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.synth.basis_sources import Sources

Array = NDArray[Any]

ARKIT: Final = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft",
    "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut")
"""ARKit's blend shapes in the order of ARFaceAnchor.BlendShapeLocation and of Live Link Face."""

EXTRA: Final = ("browInnerUpLeft", "browInnerUpRight", "cheekPuffLeft", "cheekPuffRight", "mouthEversion",
                "mouthProtrusion", "mouthPartLater", "mouthElevation", "mouthDepressionRetraction",
                "mouthRetraction", "neckPlatysma", "noseDepression")
NAMES: Final = ARKIT + EXTRA

_UNITS: Final = {"mouthEversion": "mouth-eversion", "mouthProtrusion": "mouth-protusion",
                 "mouthPartLater": "mouth-part-later", "mouthElevation": "mouth-elevation",
                 "mouthDepressionRetraction": "mouth-depression-retraction", "mouthRetraction": "mouth-retraction",
                 "neckPlatysma": "neck-platysma", "noseDepression": "nose-depression"}
_RACES: Final = ("african", "asian", "caucasian")
_SPLITS: Final = {"browInnerUp": 0.12, "cheekPuff": 0.12}
"""Half width (dm) of the soft border between the left and the right half of a shape."""

GAINS: Final = {"browInnerUp": 1.5, "browDownLeft": 1.25, "browDownRight": 1.25, "browOuterUpLeft": 1.1,
                "browOuterUpRight": 1.1}
"""The sources' brow actions are timid; real brows travel 8-10 mm."""
MINIMUM: Final = {"mouthClose": 0.0}
MAXIMUM: Final = {"tongueOut": 1.0}


def expression_shapes(sources: Sources, vertices: Array, mirror: Array, positions: Array) -> Array:
    """(64, V, 3) dm offsets at the chosen base vertices.

    mirror: permutation of the chosen vertices; positions (V, 3) dm of the neutral base mesh.
    """
    raw = {name: sources.action(name)[vertices] for name in ARKIT}
    for name, unit in _UNITS.items():
        raw[name] = np.mean([sources.target(f"expression/units/{race}", unit)[vertices] for race in _RACES], axis=0)
    for name, gain in GAINS.items():
        raw[name] = raw[name] * gain
    flip = np.array([-1.0, 1.0, 1.0])

    def reflected(shape: Array) -> Array:
        return shape[mirror] * flip

    for name in (*ARKIT, *_UNITS):
        if name.endswith("Left"):
            other = name[:-4] + "Right"
            raw[name] = (raw[name] + reflected(raw[other])) / 2
            raw[other] = reflected(raw[name])
        elif not name.endswith("Right"):
            raw[name] = (raw[name] + reflected(raw[name])) / 2
    for name, width in _SPLITS.items():
        t = np.clip(positions[:, 0] / (2 * width) + 0.5, 0, 1)
        share = (t * t * (3 - 2 * t))[:, None]
        raw[name + "Left"], raw[name + "Right"] = raw[name] * share, raw[name] * (1 - share)
    return np.stack([raw[name] for name in NAMES])


def bounds() -> tuple[Array, Array]:
    """Lower and upper bounds (64,) of the coefficients."""
    low = np.array([MINIMUM.get(n, 0.0) for n in NAMES], np.float32)
    high = np.array([MAXIMUM.get(n, 1.0) for n in NAMES], np.float32)
    return low, high
