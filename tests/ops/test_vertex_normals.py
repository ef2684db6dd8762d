from __future__ import annotations

import numpy as np
import pytest

from rtface import ops
from rtface.ops import reference


@pytest.mark.parametrize("count", [0, 1, 4])
@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_twin_bit_by_bit(sphere, count, threads):
    vertices, triangles = sphere(15, 22)
    noise = np.random.default_rng(0).normal(size=(count, *vertices.shape)).astype(np.float32)
    batch = vertices + 0.05 * noise
    got = ops.vertex_normals(batch, triangles, threads=threads)
    assert got.shape == batch.shape and got.dtype == np.float32
    np.testing.assert_array_equal(got, reference.vertex_normals(batch, triangles))


def test_sphere_normals_point_out_and_have_length_one(sphere):
    vertices, triangles = sphere(40, 60)
    normals = ops.vertex_normals(vertices[None], triangles)[0]
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    assert (normals * vertices).sum(1).min() > 0.995


def test_a_large_triangle_weighs_more_than_a_small_one():
    vertices = np.float32([[[0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 1], [0, 1, 0]]])
    normal = ops.vertex_normals(vertices, np.int32([[0, 1, 2], [0, 4, 3]]))[0, 0]
    np.testing.assert_allclose(normal, np.array([1, 0, 100]) / np.hypot(1, 100), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-18, 1e-6, 1, 1e6, 1e18])
def test_normals_do_not_depend_on_the_unit_of_length(sphere, scale):
    vertices, triangles = sphere(8, 9)
    normals = ops.vertex_normals(vertices[None], triangles)
    scaled = ops.vertex_normals(vertices[None] * np.float32(scale), triangles)
    np.testing.assert_allclose(scaled, normals, atol=1e-6)


def test_vertices_without_area_get_zeros():
    vertices = np.float32([[[0, 0, 0], [1, 0, 0], [2, 0, 0], [5, 5, 5]]])
    assert (ops.vertex_normals(vertices, np.int32([[0, 1, 2], [0, 0, 1]])) == 0).all()
    cancelling = ops.vertex_normals(np.float32([[[0, 0, 0], [1, 0, 0], [0, 1, 0]]]), np.int32([[0, 1, 2], [0, 2, 1]]))
    assert (cancelling == 0).all()
    assert ops.vertex_normals(np.zeros((2, 0, 3), np.float32), np.zeros((0, 3), np.int32)).shape == (2, 0, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_vertices_spoil_only_their_neighbours(sphere, bad):
    vertices, triangles = sphere(8, 9)
    clean = ops.vertex_normals(vertices[None], triangles)[0]
    vertices[20, 1] = bad
    normals = ops.vertex_normals(vertices[None], triangles)[0]
    np.testing.assert_array_equal(normals, reference.vertex_normals(vertices[None], triangles)[0])
    neighbours = np.unique(triangles[(triangles == 20).any(1)])
    assert np.isfinite(normals).all() and (normals[20] == 0).all()
    others = np.setdiff1d(np.arange(len(vertices)), neighbours)
    np.testing.assert_array_equal(normals[others], clean[others])
