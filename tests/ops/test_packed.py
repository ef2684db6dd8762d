"""Packs of pictures: one call gives what single calls give, on the CPU and by the CUDA source."""

import numpy as np
import pytest

from rtface import ops
from rtface.errors import InputError
from rtface.ops.packed import rasterize_packed
from tests.ops import cuda_on_host


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return cuda_on_host.compile_kernels(tmp_path_factory.mktemp("kernels"))


def soup(rng, faces, *, size=40.0, spread=60.0):
    """Triangles of every size around the picture; some are shared, degenerate, not finite, far out or equally near."""
    corners = rng.uniform(-0.3 * spread, 1.3 * spread, (faces, 1, 2)) + rng.normal(0, size, (faces, 3, 2))
    vertices = np.concatenate([corners.reshape(-1, 2), rng.normal(0, 20, (faces * 3, 1))], axis=1).astype(np.float32)
    if faces > 8:
        vertices[0] = np.nan
        vertices[3, 2] = np.inf
        vertices[6, 0] = 1e9
        vertices[9] = vertices[10]
        vertices[12:18, 2] = 1.5
        vertices[18:21, :2] = np.round(vertices[18:21, :2]) + 0.5  # edges through pixel centres
        vertices[21:24, 2] = -0.0
    triangles = np.arange(faces * 3, dtype=np.int32).reshape(-1, 3)
    strip = np.stack([triangles[:, 0], triangles[:, 1], np.roll(triangles[:, 2], 1)], axis=1)
    return vertices, np.concatenate([triangles, strip, triangles[:4]]).astype(np.int32)


def pack(meshes, culled):
    starts = np.cumsum([0] + [len(v) for v, _ in meshes])
    return (np.concatenate([v for v, _ in meshes]),
            np.concatenate([t + np.int32(s) for (_, t), s in zip(meshes, starts, strict=False)]).astype(np.int32),
            starts.astype(np.int64), np.cumsum([0] + [len(t) for _, t in meshes]).astype(np.int64),
            np.array(culled, np.int32))


@pytest.fixture(scope="module")
def packed():
    rng = np.random.default_rng(0)
    return pack([soup(rng, 40), soup(rng, 3), soup(rng, 400, size=3.0), soup(rng, 0), soup(rng, 25, size=200.0)],
                [40, 0, 300, 0, 10])


def same(one, other):
    assert np.array_equal(one.triangle_id, other.triangle_id)
    assert np.array_equal(one.depth, other.depth)
    assert np.array_equal(one.barycentrics, other.barycentrics)


def test_a_pack_is_its_pictures(packed):
    positions, triangles, vertices, starts, culled = packed
    drawn = rasterize_packed(*packed, 50, 60)
    assert drawn.depth.shape == (5, 50, 60) and (drawn.triangle_id[3] == -1).all()
    for n in (0, 1, 2, 4):
        own = triangles[starts[n]:starts[n + 1]] - np.int32(vertices[n])
        single = ops.rasterize(positions[vertices[n]:vertices[n + 1]], own, 50, 60, cull="back",
                               cull_first=int(culled[n]))
        assert (single.triangle_id >= 0).mean() > 0.1
        ids = drawn.triangle_id[n]
        ids = np.where(ids >= 0, ids - np.int32(starts[n]), -1)
        same(single, ops.Raster(drawn.depth[n], ids, drawn.barycentrics[n]))


@pytest.mark.parametrize(("height", "width"), [(50, 60), (1, 1), (33, 7)])
def test_the_cuda_source_gives_the_same_bits(packed, library, height, width):
    positions, triangles, _, starts, culled = packed
    got = cuda_on_host.rasterize_packed(library, positions, triangles, starts, culled, height, width)
    same(rasterize_packed(*packed, height, width), got)


def test_what_is_wrong_is_named(packed):
    positions, triangles, vertices, starts, culled = packed
    with pytest.raises(InputError, match="positions: got float64"):
        rasterize_packed(positions.astype(float), triangles, vertices, starts, culled, 8, 8)
    with pytest.raises(InputError, match="triangle_starts: got int64 of shape"):
        rasterize_packed(positions, triangles, vertices, starts[:-1], culled, 8, 8)
    with pytest.raises(InputError, match="height, width: got 0×8"):
        rasterize_packed(positions, triangles, vertices, starts, culled, 0, 8)


@pytest.mark.needs_cuda
def test_a_gpu_gives_the_same_bits(packed):
    import cupy
    got = rasterize_packed(*(cupy.asarray(a) for a in packed), 50, 60)
    same(rasterize_packed(*packed, 50, 60), ops.Raster(*(cupy.asnumpy(a) for a in got)))
