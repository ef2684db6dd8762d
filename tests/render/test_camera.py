"""Where vertices land: rtface.geometry and OpenGL must agree to a fraction of a pixel."""

from __future__ import annotations

import numpy as np
import pytest

from rtface.geometry import pose_vertices
from rtface.render import MeshRenderer, Style
from rtface.render.camera import bounding_rectangle, clip_from_head, view_face

from .conftest import ball, box, face, posed

WHITE = Style(mode="albedo", background=(0.0, 0.0, 0.0))


def _centroid(picture: np.ndarray) -> np.ndarray:
    """(2,) x px, y px of the light in a picture."""
    weight = picture[..., 0].astype(float)
    y, x = np.mgrid[:weight.shape[0], :weight.shape[1]] + 0.5
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize(("x", "y"), [(0, 0), (159, 119), (37, 88)])
def test_quad_on_a_pixel_fills_exactly_that_pixel(renderer: MeshRenderer, x: int, y: int) -> None:
    head = face([box((-1, -1), (1, 1))], scale=0.5, translation=(x + 0.5, y + 0.5))
    expected = np.zeros((120, 160, 3), np.uint8)
    expected[y, x] = 255
    np.testing.assert_array_equal(renderer.render([head], style=WHITE), expected)


def test_first_row_is_the_top(renderer: MeshRenderer) -> None:
    """y points down: a quad at negative y mm lies above the origin, in the first rows."""
    head = face([box((-10, -40), (10, -20))], scale=1.0, translation=(80, 60))
    rows = renderer.render([head], style=WHITE).any(axis=(1, 2))
    assert rows[20:40].all() and rows.sum() == 20


@pytest.mark.parametrize("rotation", [(0, 0, 0), (0.4, 0, 0), (0, 0.5, 0), (0, 0, 0.7), (0.3, -0.6, 0.9)])
def test_vertices_land_where_pose_vertices_puts_them(renderer: MeshRenderer, rotation: tuple[float, ...]) -> None:
    rng = np.random.default_rng(3)
    for _ in range(4):
        at = rng.uniform(-20, 20, 3)
        spot = box((at[0] - 1.5, at[1] - 1.5), (at[0] + 1.5, at[1] + 1.5), float(at[2]))
        head = face([spot], rotation, 1.7, rng.uniform((60, 45), (100, 75)))
        expected = posed(spot, head).mean(axis=0)[:2]
        # 24 or so samples' worth of area: the centroid is good to a fraction of the samples' distance
        np.testing.assert_allclose(_centroid(renderer.render([head], style=WHITE)), expected, atol=0.12)


def test_half_covered_pixels_are_half_bright(renderer: MeshRenderer) -> None:
    head = face([box((0, 0), (10.5, 10))], scale=1.0, translation=(20, 20))
    picture = renderer.render([head], style=WHITE)
    assert (picture[20:30, 20:30] == 255).all()
    assert (np.abs(picture[20:30, 30].astype(int) - 128) <= 64).all()
    assert not picture[:, 31:].any()


def test_matrix_is_pose_vertices_in_clip_space() -> None:
    rng = np.random.default_rng(0)
    part = ball()
    head = face([part], (0.3, -0.5, 0.2), 1.9, (310.25, 200.75))
    view = view_face(head, part.vertices.min(axis=0).astype(np.float64), part.vertices.max(axis=0).astype(np.float64))
    matrix = clip_from_head(head, view, 480, 640, (0.0, 0.5))
    points = (rng.normal(size=(50, 3)) * 30).astype(np.float32)
    clip = np.concatenate([points, np.ones((50, 1))], axis=1) @ matrix.astype(np.float64).T
    picture = pose_vertices(points[None], head.rotation[None], np.array([1.9], np.float32), head.translation[None])[0]
    np.testing.assert_allclose((clip[:, :2] + 1) / 2 * (640, 480), picture[:, :2], atol=2e-4)
    assert (np.argsort(clip[:, 2]) == np.argsort(picture[:, 2])).all()
    depth = np.concatenate([part.vertices, np.ones((len(part.vertices), 1), np.float32)], axis=1) @ matrix.T
    assert depth[:, 2].min() > 0.0 and depth[:, 2].max() < 0.5


def test_rectangle_holds_every_vertex_and_is_cut_to_the_picture() -> None:
    part = ball(radius=30)
    low, high = part.vertices.min(axis=0).astype(np.float64), part.vertices.max(axis=0).astype(np.float64)
    head = face([part], (0.5, 0.4, 0.3), 1.0, (50, 60))
    rectangle = bounding_rectangle([view_face(head, low, high)], 100, 200, 1.0)
    x, y = posed(part, head)[:, :2].T
    assert rectangle.x <= max(x.min(), 0) and rectangle.x + rectangle.width >= x.max()
    assert rectangle.y <= max(y.min(), 0) and rectangle.y + rectangle.height == 100
    outside = face([part], translation=(-500, 1e7))
    assert bounding_rectangle([view_face(outside, low, high)], 100, 200, 1.0).empty
    assert bounding_rectangle([], 100, 200, 1.0).empty
