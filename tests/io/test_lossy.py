"""Pictures through a video codec."""

import numpy as np
import pytest

from rtface.io.lossy import through_h264


def picture(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(0)
    smooth = np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], axis=-1)
    return np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (63, 97), (33, 32)])
def test_size_stays_and_quality_falls_with_the_quantiser(size: tuple[int, int]) -> None:
    given = picture(*size)
    errors = []
    for qp in (10, 30, 45):
        got = through_h264(given, qp)
        assert got.shape == given.shape and got.dtype == np.uint8
        errors.append(float(np.abs(got.astype(int) - given).mean()))
    assert errors[0] < errors[1] < errors[2] and errors[0] < 8 and errors[2] < 40


def test_the_same_picture_twice_gives_the_same_bits() -> None:
    given = picture(64, 64)
    before = given.copy()
    assert np.array_equal(through_h264(given, 32), through_h264(given, 32)) and np.array_equal(given, before)
