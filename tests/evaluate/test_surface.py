"""Distances to meshes: cases by hand, and the tree against every triangle."""

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate.surface import Surface, closest_on_triangles

CORNERS = np.array([[[0, 0, 0], [4, 0, 0], [0, 3, 0]]], float)


@pytest.mark.parametrize(("point", "nearest"), [
    ((1, 1, 5), (1, 1, 0)),  # above the inside
    ((2, -3, 0), (2, 0, 0)),  # beside an edge
    ((-1, -1, 2), (0, 0, 0)),  # beyond a corner
    ((9, -1, 0), (4, 0, 0)),
    ((4, 3, 0), (2.56, 1.08, 0)),  # foot on the long side: (4, 0) + 0.36 (−4, 3)
])
def test_the_nearest_point_of_a_triangle_by_hand(point: tuple[float, ...], nearest: tuple[float, ...]) -> None:
    found = closest_on_triangles(np.array([point], float), CORNERS)
    np.testing.assert_allclose(found, [nearest], atol=1e-12)


def test_triangles_without_area_are_edges_and_points() -> None:
    flat = np.array([[[0, 0, 0], [2, 0, 0], [4, 0, 0]], [[1, 1, 1]] * 3], float)
    found = closest_on_triangles(np.array([[3, 2, 0], [1, 1, 4]], float), flat)
    np.testing.assert_allclose(found, [[3, 0, 0], [1, 1, 1]])


def _every_triangle(points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    corners = vertices[triangles]
    return np.array([np.linalg.norm(closest_on_triangles(np.repeat(p[None], len(corners), 0), corners) - p, axis=1)
                     .min() for p in points])


@pytest.mark.parametrize("count", [1, 3, 5, 64, 1000])
def test_the_tree_finds_what_trying_every_triangle_finds(count: int) -> None:
    rng = np.random.default_rng(count)
    vertices = rng.normal(size=(count + 2, 3)) * [30, 20, 5]
    triangles = np.stack([rng.permutation(count + 2)[:3] for _ in range(count)])
    points = rng.normal(size=(200, 3)) * 40
    found = Surface(vertices, triangles).nearest(points)
    np.testing.assert_allclose(found.distance, _every_triangle(points, vertices, triangles), rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(found.point - points, axis=1), found.distance)
    on_it = closest_on_triangles(found.point, vertices[triangles[found.triangle]])
    np.testing.assert_allclose(on_it, found.point, atol=1e-9)


def test_points_on_the_mesh_have_no_distance() -> None:
    grid = np.stack([*np.meshgrid(np.arange(20.0), np.arange(20.0)), np.zeros((20, 20))], axis=-1).reshape(-1, 3)
    at = np.arange(380).reshape(19, 20)[:, :19].ravel()
    triangles = np.concatenate([np.stack([at, at + 1, at + 20], 1), np.stack([at + 1, at + 21, at + 20], 1)])
    surface = Surface(grid, triangles)
    assert surface.nearest(grid).distance.max() == 0
    np.testing.assert_allclose(surface.nearest(grid + [0, 0, 2.5]).distance, 2.5)
    assert len(surface.nearest(np.zeros((0, 3))).distance) == 0


def test_unusable_meshes_are_one_clear_error() -> None:
    with pytest.raises(InputError, match="at least one, with vertices that exist"):
        Surface(np.zeros((2, 3)), [[0, 1, 2]])
    with pytest.raises(InputError, match="expected numbers"):
        Surface(np.full((3, 3), np.nan), [[0, 1, 2]])
    with pytest.raises(InputError, match=r"expected \(P, 3\)"):
        Surface(np.eye(3), [[0, 1, 2]]).nearest(np.zeros((2, 2)))
