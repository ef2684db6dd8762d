"""Eyeballs as sums of displacements, for glTF."""

import numpy as np

from rtface.morphable import MorphableModel


def test_linear_eyes_agree_with_turned_ones():
    model = MorphableModel.load(level=0)
    part = model.linear_eyes()
    identity = model.identity_samples[3]
    assert part.mean.shape[0] == len(model.eyes.labels) and len(part.triangles) == len(model.eyes.triangles)
    for actions, strength, most_mm in ((("eyeLookOutLeft",), 1.0, 1e-4), (("eyeLookUpRight",), 1.0, 1e-4),
                                       (("jawOpen",), 1.0, 1e-4), (("eyeLookInLeft", "eyeLookDownLeft"), 0.5, 0.9),
                                       (("eyeLookInLeft", "eyeLookDownLeft"), 1.0, 2.85)):
        expression = np.zeros(64, np.float32)
        expression[[model.expression_names.index(action) for action in actions]] = strength
        linear = part.mean + part.identity_basis @ identity + part.expression_basis @ expression
        turned = model.eye_vertices(identity[None], expression[None])[0]
        assert np.linalg.norm(linear - turned, axis=1).max() < most_mm
