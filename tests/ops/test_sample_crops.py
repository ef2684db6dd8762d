from __future__ import annotations

import numpy as np
import pytest

from rtface import ops
from rtface.ops import reference

IDENTITY = np.float32([[[1, 0, 0], [0, 1, 0]]])


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def random_transforms(count, scale, frame_side):
    rng = np.random.default_rng(1)
    angle, scales = rng.uniform(-3, 3, count), scale * rng.uniform(0.8, 1.2, count)
    cos, sin = scales * np.cos(angle), scales * np.sin(angle)
    shift = rng.uniform(-0.2, 1.2, (2, count)) * frame_side
    return np.float32([[cos, -sin, shift[0]], [sin, cos, shift[1]]]).transpose(2, 0, 1).copy()


@pytest.mark.parametrize("scale", [0.1, 0.9, 1.6, 2.6, 20])
@pytest.mark.parametrize("border", ["replicate", "constant"])
@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_twin_bit_by_bit(scale, border, threads):
    frame = noise(41, 53)
    transforms = random_transforms(5, scale, 45)
    options = {"scale": (4.4, 4.5, 4.6), "offset": (-2.1, -2.0, -1.9), "border": border, "border_value": 114}
    got = ops.sample_crops(frame, transforms, 19, **options, threads=threads)
    assert got.shape == (5, 3, 19, 19) and got.dtype == np.float32 and got.flags.c_contiguous
    np.testing.assert_array_equal(got, reference.sample_crops(frame, transforms, 19, **options))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 2)])
@pytest.mark.parametrize("border", ["replicate", "constant"])
def test_tiny_frames_equal_the_twin(shape, border):
    frame = noise(*shape)
    transforms = random_transforms(4, 0.7, 3)
    np.testing.assert_array_equal(ops.sample_crops(frame, transforms, 12, border=border, border_value=9),
                                  reference.sample_crops(frame, transforms, 12, border=border, border_value=9))


@pytest.mark.parametrize("border", ["replicate", "constant"])
def test_huge_but_finite_transforms_equal_the_twin(border):
    transforms = np.float32([[[3e38, -3e38, 0], [3e38, 3e38, 3e38]], [[1, 0, -1e9], [0, 1, 1e9]],
                             [[0, 0, 2], [0, 0, 3]], [[1e-40, 0, 0], [0, 1e-40, 0]]])
    np.testing.assert_array_equal(ops.sample_crops(noise(6, 7), transforms, 5, border=border),
                                  reference.sample_crops(noise(6, 7), transforms, 5, border=border))


def test_identity_returns_the_frame_planar_rgb_in_0_to_1():
    frame = noise(8, 8)
    got = ops.sample_crops(frame, IDENTITY, 8)
    np.testing.assert_allclose(got[0], frame.transpose(2, 0, 1) / 255, atol=1e-6)


def test_scale_and_offset_apply_to_values_in_0_to_1_per_channel():
    frame = np.broadcast_to(np.uint8([0, 102, 255]), (4, 4, 3)).copy()
    got = ops.sample_crops(frame, IDENTITY, 2, scale=(2, 4, 8), offset=(-1, 0.5, 0.25))
    np.testing.assert_allclose(got[0, :, 0, 0], [-1, 4 * 0.4 + 0.5, 8.25], rtol=1e-6)
    np.testing.assert_allclose(ops.sample_crops(frame, IDENTITY, 2, scale=2, offset=-1)[0, :, 0, 0], [-1, -0.2, 1],
                               atol=1e-6)


def test_pixel_centres_lie_at_one_half():
    # Doubling a ramp: crop pixel i has its centre at (i + 0.5) / 2 in the frame, whose pixel j has it at j + 0.5.
    frame = np.repeat(np.arange(10, dtype=np.uint8)[None, :, None] * 20, 10, 0).repeat(3, 2)
    half = np.float32([[[0.5, 0, 0], [0, 0.5, 0]]])
    row = ops.sample_crops(frame, half, 20, scale=255)[0, 0, 5]
    np.testing.assert_allclose(row, np.clip((np.arange(20) + 0.5) / 2 - 0.5, 0, 9) * 20, atol=1e-4)


def test_shrinking_averages_the_covered_pixels():
    frame = noise(64, 64)
    twofold = np.float32([[[2, 0, 0], [0, 2, 0]]])
    expected = frame.reshape(32, 2, 32, 2, 3).mean((1, 3)).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(ops.sample_crops(frame, twofold, 32)[0], expected, atol=1e-6)
    for scale in (4, 6, 9):  # noise that is averaged evenly loses contrast like 1 / scale
        crop = ops.sample_crops(noise(8 * scale, 8 * scale), twofold * np.float32(scale / 2), 8)
        assert crop.std() < 1.35 * noise(64, 64).std() / 255 / scale


def test_borders_replicate_the_edge_or_hold_a_constant():
    frame = np.full((4, 4, 3), 200, np.uint8)
    away = np.float32([[[1, 0, -100], [0, 1, -100]]])
    assert np.allclose(ops.sample_crops(frame, away, 4, scale=255), 200)
    assert np.allclose(ops.sample_crops(frame, away, 4, scale=255, border="constant", border_value=7), 7)
    half_out = np.float32([[[1, 0, -2.5], [0, 1, 0]]])  # pixel 2 lies half on the border, half on the frame
    row = ops.sample_crops(frame, half_out, 4, scale=255, border="constant")[0, 0, 1]
    np.testing.assert_allclose(row, [0, 0, 100, 200], atol=1e-4)


def test_no_crops_give_an_empty_batch():
    assert ops.sample_crops(noise(4, 4), np.zeros((0, 2, 3), np.float32), 7).shape == (0, 3, 7, 7)


def test_an_affine_ramp_survives_any_transform():
    y, x = np.mgrid[:60, :60]
    frame = np.stack([2 * x + y, x + 2 * y, 3 * x], -1).astype(np.uint8)
    for m in random_transforms(8, 0.3, 30) * np.float32([1, 1, 0]) + np.float32([[0, 0, 30], [0, 0, 30]]):
        got = ops.sample_crops(frame, m[None].copy(), 16, scale=255)[0]
        cy, cx = np.mgrid[:16, :16] + 0.5
        fx, fy = (m[:, 0, None, None] * cx + m[:, 1, None, None] * cy + m[:, 2, None, None]) - 0.5
        np.testing.assert_allclose(got, [2 * fx + fy, fx + 2 * fy, 3 * fx], atol=1e-2)
