from __future__ import annotations

import numpy as np
import pytest

from rtface import ops
from rtface.ops import reference


@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4, 7])
@pytest.mark.parametrize("with_background", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_twin_bit_by_bit(random_mesh, channels, with_background, threads):
    rng = np.random.default_rng(0)
    attributes = rng.normal(size=(len(random_mesh.vertices), channels)).astype(np.float32)
    background = rng.normal(size=channels).astype(np.float32) if with_background else None
    raster = ops.rasterize(*random_mesh, 48, 64)
    inputs = (attributes, random_mesh.triangles, raster.triangle_id, raster.barycentrics)
    got = ops.interpolate(*inputs, background=background, threads=threads)
    assert got.shape == (48, 64, channels) and got.dtype == np.float32
    np.testing.assert_array_equal(got, reference.interpolate(*inputs, background=background))


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_batches_equal_the_twin(random_mesh, count, shared, threads):
    rng = np.random.default_rng(1)
    vertices = len(random_mesh.vertices)
    positions = random_mesh.vertices + rng.normal(size=(count, vertices, 3)).astype(np.float32)
    attributes = rng.normal(size=(vertices, 3) if shared else (count, vertices, 3)).astype(np.float32)
    raster = ops.rasterize(positions, random_mesh.triangles, 100, 120)  # more than one chunk of pixels
    inputs = (attributes, random_mesh.triangles, raster.triangle_id, raster.barycentrics)
    got = ops.interpolate(*inputs, threads=threads)
    assert got.shape == (count, 100, 120, 3)
    np.testing.assert_array_equal(got, reference.interpolate(*inputs))


def test_interpolated_positions_are_the_pixel_centres(sphere):
    vertices, triangles = sphere(12, 20)
    positions = (vertices * 14 + np.float32([16, 16, 0])).astype(np.float32)
    raster = ops.rasterize(positions, triangles, 32, 32)
    seen = ops.interpolate(positions, triangles, raster.triangle_id, raster.barycentrics)
    y, x = np.nonzero(raster.triangle_id >= 0)
    np.testing.assert_allclose(seen[y, x, :2], np.stack([x, y], -1) + 0.5, atol=1 / 256)
    np.testing.assert_allclose(seen[y, x, 2], raster.depth[y, x], atol=1e-4)


def test_without_triangles_there_is_only_background():
    empty = ops.rasterize(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), 4, 4)
    got = ops.interpolate(np.zeros((0, 2), np.float32), np.zeros((0, 3), np.int32), empty.triangle_id,
                          empty.barycentrics, background=np.float32([1, 2]))
    np.testing.assert_array_equal(got, np.broadcast_to(np.float32([1, 2]), (4, 4, 2)))


def test_every_negative_id_is_background():
    ids = np.int32([[-1, -2, -(2**31), 0]])
    got = ops.interpolate(np.ones((3, 1), np.float32), np.int32([[0, 1, 2]]), ids,
                          np.full((1, 4, 3), 1 / 3, np.float32))
    np.testing.assert_allclose(got[0, :, 0], [0, 0, 0, 1], atol=1e-6)
