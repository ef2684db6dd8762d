from __future__ import annotations

import numpy as np
import pytest

from rtface import ops
from rtface.ops import reference


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 7, 1), (16, 9, 3), (8, 8, 4), (3, 4, 6), (3, 3, 0)])
@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_twin_bit_by_bit(dtype, shape, threads):
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, shape).astype(dtype)
    uv = rng.uniform(-0.3, 1.3, (90, 101, 2)).astype(np.float32)
    uv[0, :5, 0] = [np.nan, np.inf, -np.inf, 3e38, -3e38]
    mask = rng.random((90, 101)) < 0.7
    for chosen in (None, mask, mask.astype(np.uint8) * 255):
        got = ops.sample_texture(texture, uv, mask=chosen, threads=threads)
        assert got.shape == (90, 101, shape[2]) and got.dtype == np.float32
        np.testing.assert_array_equal(got, reference.sample_texture(texture, uv, mask=chosen))


@pytest.mark.parametrize("count", [0, 2])
def test_batches_equal_the_twin(count):
    rng = np.random.default_rng(1)
    texture = rng.random((6, 5, 3), np.float32)
    uv = rng.random((count, 4, 3, 2), np.float32)
    got = ops.sample_texture(texture, uv, mask=np.ones((count, 4, 3), bool))
    assert got.shape == (count, 4, 3, 3)
    np.testing.assert_array_equal(got, reference.sample_texture(texture, uv))


def test_texel_centres_return_the_texels_and_v_points_down():
    texture = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    v, u = np.mgrid[:3, :4]
    uv = np.stack([(u + 0.5) / 4, (v + 0.5) / 3], -1).astype(np.float32)
    np.testing.assert_allclose(ops.sample_texture(texture, uv), texture, atol=1e-5)


def test_halfway_between_texels_is_their_mean():
    texture = np.float32([[[0], [10]], [[20], [30]]])
    uv = np.float32([[[0.5, 0.5], [0.5, 0.0], [0.0, 0.5]]])
    np.testing.assert_allclose(ops.sample_texture(texture, uv)[0, :, 0], [15, 5, 10])


def test_uint8_textures_come_out_as_0_to_1():
    texture = np.full((2, 2, 3), 255, np.uint8)
    assert (ops.sample_texture(texture, np.full((1, 1, 2), 0.3, np.float32)) == 1).all()


def test_masked_and_nan_pixels_are_zero():
    texture = np.ones((2, 2, 1), np.float32)
    uv = np.float32([[[0.5, 0.5], [np.nan, 0.5], [0.5, 0.5]]])
    got = ops.sample_texture(texture, uv, mask=np.array([[True, True, False]]))
    np.testing.assert_array_equal(got[0, :, 0], [1, 0, 0])
