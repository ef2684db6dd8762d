from __future__ import annotations

import itertools

import numpy as np
import pytest

from rtface import ops
from rtface.ops import reference


def assert_same(got, expected):
    for name, a, b in zip(expected._fields, got, expected, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape, name
        np.testing.assert_array_equal(a, b, err_msg=name)


def square(size, splits=1):
    """A grid of splits*splits squares over a size*size picture, two triangles each."""
    line = np.linspace(0, size, splits + 1)
    x, y = np.meshgrid(line, line)
    vertices = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3).astype(np.float32)
    row, column = np.divmod(np.arange(splits * splits), splits)
    a = row * (splits + 1) + column
    b, c, d = a + 1, a + splits + 1, a + splits + 2
    triangles = np.concatenate([np.stack([a, c, b], -1), np.stack([b, c, d], -1)])
    return vertices, triangles.astype(np.int32)


@pytest.mark.parametrize("cull_first", [None, 25])
@pytest.mark.parametrize("cull", ["none", "back", "front"])
@pytest.mark.parametrize("threads", [1, 2])
def test_random_triangles_equal_the_twin_bit_by_bit(random_mesh, cull, cull_first, threads):
    got = ops.rasterize(*random_mesh, 48, 64, cull=cull, cull_first=cull_first, threads=threads)
    assert_same(got, reference.rasterize(*random_mesh, 48, 64, cull=cull, cull_first=cull_first))


@pytest.mark.parametrize("threads", [1, 2])
def test_perspective_equals_the_twin_bit_by_bit(random_mesh, threads):
    inverse_w = np.random.default_rng(1).uniform(0.1, 3, len(random_mesh.vertices)).astype(np.float32)
    got = ops.rasterize(*random_mesh, 48, 64, inverse_w=inverse_w, threads=threads)
    assert_same(got, reference.rasterize(*random_mesh, 48, 64, inverse_w=inverse_w))


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("threads", [1, 2, 8])
def test_batch_equals_the_twin_and_its_pictures_one_by_one(random_mesh, count, threads):
    shifts = np.random.default_rng(2).normal(size=(count, 1, 3)).astype(np.float32)
    positions = random_mesh.vertices + shifts * 5
    inverse_w = np.exp(shifts[..., 0] + np.zeros((count, len(random_mesh.vertices)), np.float32))
    got = ops.rasterize(positions, random_mesh.triangles, 30, 40, inverse_w=inverse_w, threads=threads)
    assert got.depth.shape == (count, 30, 40) and got.barycentrics.shape == (count, 30, 40, 3)
    assert_same(got, reference.rasterize(positions, random_mesh.triangles, 30, 40, inverse_w=inverse_w))
    for n in range(count):
        one = ops.rasterize(positions[n], random_mesh.triangles, 30, 40, inverse_w=inverse_w[n])
        assert_same(ops.Raster(*(a[n] for a in got)), one)


def test_shared_edges_are_covered_exactly_once():
    rng = np.random.default_rng(3)
    for splits, jitter in [(1, 0.0), (3, 0.0), (8, 0.0), (8, 1.2), (16, 0.6)]:
        vertices, triangles = square(32, splits)
        inner = ((vertices[:, :2] > 0) & (vertices[:, :2] < 32)).all(1)
        vertices[inner, :2] += rng.uniform(-jitter, jitter, (inner.sum(), 2)).astype(np.float32)
        count = sum(ops.rasterize(vertices, t[None], 32, 32).triangle_id >= 0 for t in triangles)
        np.testing.assert_array_equal(count, 1)


def test_pixel_centres_on_an_edge_follow_the_top_left_rule():
    # Edges run through pixel centres: a centre on the top or left edge is in, on the bottom or right edge out.
    vertices = np.float32([[1.5, 1.5, 0], [1.5, 4.5, 0], [4.5, 1.5, 0], [4.5, 4.5, 0]])
    covered = ops.rasterize(vertices, np.int32([[0, 1, 2], [2, 1, 3]]), 6, 6).triangle_id >= 0
    expected = np.zeros((6, 6), bool)
    expected[1:4, 1:4] = True
    np.testing.assert_array_equal(covered, expected)


def test_sphere_is_watertight_and_front_and_back_cover_the_same_pixels(sphere):
    vertices, triangles = sphere(20, 31)
    positions = (vertices * 30.3 + np.float32([32.7, 31.9, 0])).astype(np.float32)
    whole = ops.rasterize(positions, triangles, 64, 64)
    front = ops.rasterize(positions, triangles, 64, 64, cull="back")
    back = ops.rasterize(positions, triangles, 64, 64, cull="front")
    np.testing.assert_array_equal(whole.depth, front.depth)  # the near side is the one that faces the camera
    np.testing.assert_array_equal(front.triangle_id >= 0, back.triangle_id >= 0)
    y, x = np.mgrid[:64, :64] + 0.5
    deep_inside = np.hypot(x - 32.7, y - 31.9) < 29
    assert (whole.triangle_id[deep_inside] >= 0).all()
    front_area = sum(ops.rasterize(positions, t[None], 64, 64, cull="back").triangle_id >= 0 for t in triangles)
    assert front_area.max() == 1


def test_barycentrics_and_depth_reproduce_the_position(random_mesh):
    raster = ops.rasterize(*random_mesh, 48, 64)
    covered = raster.triangle_id >= 0
    weights = raster.barycentrics[covered]
    points = random_mesh.vertices[random_mesh.triangles[raster.triangle_id[covered]]]
    y, x = np.nonzero(covered)
    seen = np.einsum("pk,pkc->pc", weights, points)
    snapped = 1 / 256  # positions are rounded to 1/256 px
    np.testing.assert_allclose(seen[:, :2], np.stack([x, y], -1) + 0.5, atol=snapped)
    np.testing.assert_allclose(seen[:, 2], raster.depth[covered], atol=1e-5)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert (weights >= 0).all() and (weights <= 1).all()
    assert (raster.depth[~covered] == np.inf).all() and (raster.barycentrics[~covered] == 0).all()


def test_inverse_w_gives_perspective_correct_weights():
    # A segment from depth 1 to depth 3: its middle on the screen lies a quarter along it in space.
    vertices = np.float32([[0, 0, 0], [0, 9, 0], [9, 0, 0]])
    inverse_w = np.float32([1, 1, 1 / 3])
    weights = ops.rasterize(vertices, np.int32([[0, 1, 2]]), 9, 9, inverse_w=inverse_w).barycentrics[0, 4]
    assert weights[2] == pytest.approx(0.25, abs=1e-6)
    same = ops.rasterize(vertices, np.int32([[0, 1, 2]]), 9, 9, inverse_w=np.full(3, 0.7, np.float32))
    plain = ops.rasterize(vertices, np.int32([[0, 1, 2]]), 9, 9)
    np.testing.assert_allclose(same.barycentrics, plain.barycentrics, atol=1e-6)


def test_equal_depth_goes_to_the_lower_id_and_nearer_wins():
    vertices, triangles = square(4)
    twice = np.concatenate([triangles, triangles])
    assert set(np.unique(ops.rasterize(vertices, twice, 4, 4).triangle_id)) == {0, 1}
    near = np.concatenate([vertices, vertices - np.float32([0, 0, 0.5])])
    raster = ops.rasterize(near, np.concatenate([triangles, triangles + 4]), 4, 4)
    assert set(np.unique(raster.triangle_id)) == {2, 3} and (raster.depth == 0.5).all()


def test_nothing_to_draw_gives_an_empty_picture():
    for vertices, triangles in [(0, 0), (5, 0)]:
        raster = ops.rasterize(np.zeros((vertices, 3), np.float32), np.zeros((triangles, 3), np.int32), 3, 5)
        assert (raster.depth == np.inf).all() and (raster.triangle_id == -1).all()
        assert raster.depth.shape == (3, 5) and (raster.barycentrics == 0).all()


@pytest.mark.parametrize("bad, axis", [*itertools.product([np.nan, np.inf, -np.inf], [0, 1, 2]),
                                       *itertools.product([3e38, -3e38, 65537, -65537], [0, 1])])
def test_unusable_vertices_drop_their_triangles_only(bad, axis):
    vertices, triangles = square(8, 2)
    vertices[0, axis] = bad  # the first corner: one of the 8 triangles uses it
    raster = ops.rasterize(vertices, triangles, 8, 8)
    assert_same(raster, reference.rasterize(vertices, triangles, 8, 8))
    assert set(np.unique(raster.triangle_id)) == {-1, 1, 2, 3, 4, 5, 6, 7}


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0, -1])
def test_unusable_inverse_w_drops_its_triangles_only(bad):
    vertices, triangles = square(8, 2)
    inverse_w = np.ones(9, np.float32)
    inverse_w[0] = bad
    raster = ops.rasterize(vertices, triangles, 8, 8, inverse_w=inverse_w)
    assert_same(raster, reference.rasterize(vertices, triangles, 8, 8, inverse_w=inverse_w))
    assert 0 not in raster.triangle_id and 1 in raster.triangle_id


def test_extremes_inside_the_guard_band_stay_exact():
    # Far larger than the picture, and with depths at the end of float32.
    vertices = np.float32([[-65536, -65536, 3e38], [-65536, 65536, -3e38], [65536, -65536, 3e38], [65536, 65536, 1]])
    triangles = np.int32([[0, 1, 2], [2, 1, 3]])
    for y0 in (0, 17):
        shifted = vertices + np.float32([0, y0 / 32, 0]) * (vertices[:, 1:2] < 0)
        raster = ops.rasterize(shifted, triangles, 40, 40)
        assert_same(raster, reference.rasterize(shifted, triangles, 40, 40))
        assert (raster.triangle_id >= 0).all()


def test_degenerate_triangles_draw_nothing():
    vertices = np.float32([[1, 1, 0], [7, 7, 0], [4, 4, 0], [1.001, 1, 0]])
    triangles = np.int32([[0, 1, 2], [0, 0, 0], [0, 1, 1], [0, 3, 0]])
    assert (ops.rasterize(vertices, triangles, 8, 8).triangle_id == -1).all()


def test_triangles_out_of_the_picture_draw_nothing():
    vertices = np.float32([[0, 0, 0], [0, 5, 0], [5, 0, 0]])
    for shift in [(-9, 0, 0), (0, -9, 0), (20, 0, 0), (0, 20, 0), (-5, -5, 0)]:
        raster = ops.rasterize(vertices + np.float32(shift), np.int32([[0, 1, 2]]), 8, 8)
        assert (raster.triangle_id == -1).all()


@pytest.mark.parametrize("height, width", [(1, 1), (1, 70), (70, 1), (37, 41)])
def test_odd_picture_sizes_equal_the_twin(random_mesh, height, width):
    assert_same(ops.rasterize(*random_mesh, height, width, threads=3),
                reference.rasterize(*random_mesh, height, width))
