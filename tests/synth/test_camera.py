"""What the drawn cameras do to a picture."""

import cv2
import numpy as np
import pytest

from rtface.synth import camera


def ramp():
    row = np.linspace(0, 1, 96, dtype=np.float32)
    return np.stack([np.tile(row, (64, 1)), np.full((64, 96), 0.5, np.float32), np.tile(row[::-1], (64, 1))], axis=-1)


def test_infrared_is_gray_and_brightest_in_the_middle():
    flat = np.full((64, 96, 3), 0.5, np.float32)
    for seed in range(5):
        out = camera.infrared(flat, (0.3 + 0.3 * seed, 0.6, 1.0))
        assert out.shape == flat.shape and (out[..., :1] == out).all()
        assert out[32, 48, 0] > 0.98 * out.max() > out[0, 0, 0]
    below_black = camera.infrared(flat - 0.6, (1.0, 0.6, 1.0))
    assert np.isfinite(below_black).all() and below_black.max() == 0.0


def test_bands_run_along_rows_or_tones_become_few():
    kinds = set()
    for seed in range(8):
        out = camera.banded(ramp(), *camera.draw_bands(np.random.default_rng(seed)))
        assert out.shape == (64, 96, 3) and out.dtype == np.float32
        factor = out[:, 48] / ramp()[:, 48]
        few = len(np.unique(out[0, :, 0])) <= 41
        kinds.add("tones" if few else "bands")
        if not few:
            assert np.ptp(factor[:, 0]) > 0.03 and np.allclose(out[:, 10, 1] / 0.5, factor[:, 1], atol=1e-5)
    assert kinds == {"tones", "bands"}


def test_a_shot_is_the_same_for_the_same_seed_and_differs_between_seeds():
    pictures = [camera.shoot(np.random.default_rng(s), ramp()) for s in (1, 1, 2)]
    assert pictures[0].dtype == np.uint8 and np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


@pytest.mark.parametrize("sigma", [1.0, 5.0, 9.0, 20.0])
def test_wide_blurs_on_small_pictures_are_the_same_to_the_eye(sigma):
    blocks = np.random.default_rng(0).random((16, 20, 3)).repeat(12, axis=0).repeat(12, axis=1).astype(np.float32)
    exact = cv2.GaussianBlur(blocks, (0, 0), sigma)
    got = camera.blur(blocks, sigma)
    assert got.shape == blocks.shape and got.dtype == np.float32
    assert np.abs(got - exact).mean() < 0.005 and np.abs(got - exact).max() < 0.08  # most at the border
    assert exact.std() == pytest.approx(got.std(), rel=0.03)


def test_quantizing_rounds_and_cuts():
    picture = np.array([[[-0.5, 0.0, 0.499 / 255], [0.6 / 255, 1.0, 1.7]]], np.float32)
    assert camera.quantize(picture).tolist() == [[[0, 0, 0], [1, 255, 255]]]
