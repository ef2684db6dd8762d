"""Shading kernels equal their twins bit by bit; what they mean is tried on cases that can be counted by hand."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from rtface import ops
from rtface.errors import InputError
from rtface.ops import shading, shading_reference

F = np.zeros((1, 3), np.int32)
IDS = np.full((2, 2), -1, np.int32)
B = np.zeros((2, 2, 3), np.float32)
SHADED = np.zeros((4, 4), np.float32)
KINDS = np.zeros(4, np.uint8)
UV = np.zeros((4, 2), np.float32)
ON = np.ones(4, bool)
T = np.zeros((2, 2, 3), np.float32)
ONE = np.ones(3, np.float32)
KIND = np.zeros((2, 2), np.uint8)
GRAINED = np.zeros(256, bool)
CURVE = np.linspace(0, 1, 5, dtype=np.float32)


def looks(mesh, seed):
    rng = np.random.default_rng(seed)
    count = len(mesh.vertices)
    return (rng.uniform(0, 1, (count, 4)).astype(np.float32), mesh.triangles,
            rng.integers(0, 12, count).astype(np.uint8), rng.uniform(-0.3, 1.3, (count, 2)).astype(np.float32),
            rng.random(count) < 0.6)


@pytest.mark.parametrize("with_texture", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_colours_equal_the_twin_bit_by_bit(random_mesh, with_texture, threads):
    rng = np.random.default_rng(1)
    raster = ops.rasterize(*random_mesh, 120, 140)  # more than one chunk of pixels
    texture = rng.uniform(0, 1, (7, 9, 3)).astype(np.float32) if with_texture else None
    inputs = (*looks(random_mesh, 2), texture, raster.triangle_id, raster.barycentrics, ONE * np.float32(0.3))
    color, kind = shading.colorize(*inputs, threads=threads)
    assert color.shape == (120, 140, 3) and color.dtype == np.float32 and kind.dtype == np.uint8
    twin_color, twin_kind = shading_reference.colorize(*inputs)
    np.testing.assert_array_equal(color, twin_color)
    np.testing.assert_array_equal(kind, twin_kind)


def test_a_texture_multiplies_and_a_highlight_is_added():
    corners = np.array([[0, 0, 0], [8, 0, 0], [0, 8, 0]], np.float32)
    triangle = np.array([[0, 1, 2]], np.int32)
    raster = ops.rasterize(corners, triangle, 6, 6)
    shaded = np.tile(np.array([0.5, 0.25, 1, 2], np.float32), (3, 1))
    texture = np.full((3, 3, 3), 0.5, np.float32)
    color, kind = shading.colorize(shaded, triangle, np.full(3, 9, np.uint8), np.zeros((3, 2), np.float32),
                                   np.ones(3, bool), texture, raster.triangle_id, raster.barycentrics,
                                   np.array([0.1, 0, 0], np.float32))
    np.testing.assert_allclose(color[0, 0], [0.25 + 0.2, 0.125, 0.5], atol=1e-6)
    assert kind[0, 0] == 9 and kind[5, 5] == 255 and (color[5, 5] == 0).all()


def test_seen_vertices_are_those_of_seen_triangles(random_mesh):
    raster = ops.rasterize(*random_mesh, 48, 64)
    got = shading.seen_vertices(random_mesh.triangles, raster.triangle_id, len(random_mesh.vertices))
    np.testing.assert_array_equal(got, shading_reference.seen_vertices(random_mesh.triangles, raster.triangle_id,
                                                                       len(random_mesh.vertices)))
    triangles = np.array([[0, 1, 2], [2, 3, 4], [5, 6, 7]], np.int32)
    ids = np.array([[-1, 0], [2, 2]], np.int32)
    np.testing.assert_array_equal(shading.seen_vertices(triangles, ids, 9), [1, 1, 1, 0, 0, 1, 1, 1, 0])


@pytest.mark.parametrize("threads", [1, 2])
def test_encoding_equals_the_twin_bit_by_bit(threads):
    rng = np.random.default_rng(3)
    color = rng.normal(0.4, 0.5, (110, 90, 3)).astype(np.float32)
    color[0, :4, 0] = [np.nan, np.inf, -np.inf, 1]
    kind = rng.choice(np.array([0, 3, 12, 255], np.uint8), (110, 90))
    kind[0, :4] = 0
    behind, grain = (rng.uniform(0, 2, s).astype(np.float32) for s in ((110, 90, 3), (110, 90)))
    grained = np.zeros(256, bool)
    grained[[3, 12]] = True
    curve = (np.linspace(0, 1, 257) ** 0.9).astype(np.float32)
    got = shading.encode_over(color, kind, behind, grain, grained, curve, threads=threads)
    np.testing.assert_array_equal(got, shading_reference.encode_over(color, kind, behind, grain, grained, curve))
    assert got[0, :4, 0].tolist() == [0, 1, 0, 1]


def test_encoding_follows_its_curve_and_leaves_the_background():
    color = np.array([[[0.0, 0.25, 1.0], [0.5, 0.5, 0.5]]], np.float32)
    kind = np.array([[7, 255]], np.uint8)
    grained = np.zeros(256, bool)
    grained[7] = True
    curve = np.array([0.1, 0.3, 0.9], np.float32)  # at square roots 0, 0.5, 1
    got = shading.encode_over(color, kind, np.full((1, 2, 3), 2, np.float32), np.full((1, 2), 0.25, np.float32),
                              grained, curve)
    np.testing.assert_allclose(got, [[[0.1, 0.2, 0.3], [2, 2, 2]]], atol=1e-6)


WRONG = [
    ("seen_vertices", (F, IDS, -1), "count"),
    ("seen_vertices", (F + 3, IDS, 3), "triangles"),
    ("seen_vertices", (F, IDS[0], 3), "triangle_id"),
    ("seen_vertices", (F, IDS + 2, 3), "triangle_id"),
    ("colorize", (SHADED[:, :3].copy(), F, KINDS, UV, ON, T, IDS, B, ONE), "shaded"),
    ("colorize", (SHADED, F + 4, KINDS, UV, ON, T, IDS, B, ONE), "triangles"),
    ("colorize", (SHADED, F, KINDS[:3], UV, ON, T, IDS, B, ONE), "kinds"),
    ("colorize", (SHADED, F, KINDS, UV[:3], ON, T, IDS, B, ONE), "uv"),
    ("colorize", (SHADED, F, KINDS, UV, ON.astype(np.uint8), T, IDS, B, ONE), "textured"),
    ("colorize", (SHADED, F, KINDS, UV, ON, T[..., :2].copy(), IDS, B, ONE), "texture"),
    ("colorize", (SHADED, F, KINDS, UV, ON, T[:0], IDS, B, ONE), "texture"),
    ("colorize", (SHADED, F, KINDS, UV, ON, None, IDS.astype(np.int64), B, ONE), "triangle_id"),
    ("colorize", (SHADED, F, KINDS, UV, ON, None, IDS + 2, B, ONE), "triangle_id"),
    ("colorize", (SHADED, F, KINDS, UV, ON, None, IDS, B[:1], ONE), "barycentrics"),
    ("colorize", (SHADED, F, KINDS, UV, ON, None, IDS, B, ONE[:2]), "shine"),
    ("encode_over", (B, IDS, B, B[..., 0].copy(), GRAINED, CURVE), "kind"),
    ("encode_over", (B[:1], KIND, B, B[..., 0].copy(), GRAINED, CURVE), "color"),
    ("encode_over", (B, KIND, B.astype(np.float64), B[..., 0].copy(), GRAINED, CURVE), "behind"),
    ("encode_over", (B, KIND, B, B, GRAINED, CURVE), "grain"),
    ("encode_over", (B, KIND, B, B[..., 0].copy(), GRAINED[:9], CURVE), "grained"),
    ("encode_over", (B, KIND, B, B[..., 0].copy(), GRAINED, CURVE[:1]), "curve"),
]


@pytest.mark.parametrize("kernels", [shading, shading_reference], ids=["native", "twin"])
@pytest.mark.parametrize("name, args, blamed", WRONG, ids=lambda v: v if isinstance(v, str) else "")
def test_wrong_arguments_are_named(kernels, name, args, blamed):
    with pytest.raises(InputError, match=rf"(?s)^{blamed}: got .*expected "):
        getattr(kernels, name)(*args)


@pytest.mark.parametrize("name", shading.__all__)
def test_the_twin_has_the_same_signature_but_for_threads(name):
    fast, twin = (inspect.signature(getattr(m, name)) for m in (shading, shading_reference))
    assert {k: v for k, v in fast.parameters.items() if k != "threads"} == dict(twin.parameters)
    assert fast.return_annotation == twin.return_annotation
