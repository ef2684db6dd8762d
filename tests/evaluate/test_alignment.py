"""Alignments that must find motions that are known."""

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate.alignment import Similarity, bend, fit_similarity, fit_surface
from rtface.evaluate.surface import Surface
from rtface.geometry import rotation_about


def bowl(steps: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """A lopsided bowl, about 100 wide, that no motion but none brings onto itself."""
    x, y = np.meshgrid(np.linspace(-50, 50, steps), np.linspace(-60, 60, steps))
    z = 0.01 * x ** 2 + 0.006 * y ** 2 + 6 * np.sin(x / 14) + 5 * np.cos(y / 11 + x / 30)
    at = np.arange(steps * (steps - 1)).reshape(steps - 1, steps)[:, :-1].ravel()
    triangles = np.concatenate([np.stack([at, at + 1, at + steps], 1),
                                np.stack([at + 1, at + steps + 1, at + steps], 1)])
    return np.stack([x, y, z], axis=-1).reshape(-1, 3), triangles


def moved() -> Similarity:
    return Similarity(1.04, rotation_about(np.array([0.03, -0.05, 0.04])), np.array([2.0, -3.0, 1.5]))


def test_a_quarter_turn_by_hand() -> None:
    turned = rotation_about(np.array([0, 0, np.pi / 2]))
    np.testing.assert_allclose(turned @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    source = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], float)
    found = fit_similarity(source, 2 * source @ turned.T + [5, 6, 7])
    assert found.scale == pytest.approx(2)
    np.testing.assert_allclose(found.rotation, turned, atol=1e-12)
    np.testing.assert_allclose(found.translation, [5, 6, 7], atol=1e-12)
    np.testing.assert_allclose(found.undo(found.apply(source)), source, atol=1e-12)
    assert fit_similarity(source, 2 * source, scaled=False).scale == 1


def test_a_mirrored_shape_is_not_mirrored_back() -> None:
    source = np.random.default_rng(0).normal(size=(9, 3))
    assert np.linalg.det(fit_similarity(source, source * [-1, 1, 1]).rotation) == pytest.approx(1)


def test_points_that_settle_nothing_are_refused() -> None:
    line = np.outer(np.arange(5.0), [1, 2, 3])
    with pytest.raises(InputError, match="on one line"):
        fit_similarity(line, line)
    with pytest.raises(InputError, match="at least 3"):
        fit_similarity(line[:2], line[:2])


@pytest.mark.parametrize("scaled", [True, False])
def test_icp_finds_a_known_motion(scaled: bool) -> None:
    vertices, triangles = bowl()
    truth = moved() if scaled else moved()._replace(scale=1.0)
    inner = (np.abs(vertices) < [35, 45, np.inf]).all(axis=1)
    points = truth.apply(vertices[inner])
    surface = Surface(vertices, triangles)
    found = fit_surface(points, surface, Similarity.identity(), scaled=scaled)
    assert found.scale == pytest.approx(truth.scale, abs=2e-3)
    np.testing.assert_allclose(found.apply(vertices), truth.apply(vertices), atol=0.3)
    assert (surface.nearest(found.undo(points)).distance * found.scale).mean() < 0.05


def test_icp_never_ends_worse_than_it_began() -> None:
    vertices, triangles = bowl()
    surface = Surface(vertices, triangles)
    points = vertices + np.random.default_rng(3).normal(0, 8, vertices.shape)
    for scaled in (True, False):
        found = fit_surface(points, surface, Similarity.identity(), scaled=scaled)
        after = np.sqrt(np.mean((surface.nearest(found.undo(points)).distance * found.scale) ** 2))
        assert after <= np.sqrt(np.mean(surface.nearest(points).distance ** 2)) + 1e-9


def test_a_spline_meets_its_targets_and_keeps_flat_moves_flat() -> None:
    rng = np.random.default_rng(1)
    source, points = rng.normal(size=(20, 3)) * 40, rng.normal(size=(30, 3)) * 40
    target = source + rng.normal(size=source.shape) * 5
    np.testing.assert_allclose(bend(source, source, target, stiffness=0), target, atol=1e-6)
    shear = np.array([[1, 0.2, 0], [0, 0.9, 0], [0.1, 0, 1.1]])
    np.testing.assert_allclose(bend(points, source, source @ shear + [1, 2, 3]), points @ shear + [1, 2, 3], atol=1e-6)
    stiff = np.abs(bend(source, source, target, stiffness=1e3) - target).mean()
    assert stiff > np.abs(bend(source, source, target, stiffness=10) - target).mean() > 1e-3
