"""Random strokes: as much as is wanted, where it is wanted, the same again from the same seed."""

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import strokes


@pytest.mark.parametrize("size", [64, 128, 256])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.35, 0.6, 0.97, 1.0])
def test_the_share_is_met_and_never_exceeded(size: int, share: float) -> None:
    for seed in range(4):
        cover = strokes.draw(np.random.default_rng(seed), size, share)
        assert cover.shape == (size, size) and cover.dtype == bool
        assert share - strokes.TOLERANCE <= cover.mean() <= share


def test_the_seed_decides() -> None:
    one, again, other = (strokes.draw(np.random.default_rng(seed), 96, 0.3) for seed in (5, 5, 6))
    assert (one == again).all() and (one != other).mean() > 0.1


def test_only_the_area_is_hidden() -> None:
    left = np.zeros((64, 64), bool)
    left[:, :30] = True
    cover = strokes.draw(np.random.default_rng(1), 64, 0.4, left)
    assert not cover[:, 30:].any() and 0.39 <= cover.mean() <= 0.4
    assert (strokes.draw(np.random.default_rng(1), 64, left.mean(), left) == left).mean() > 0.98
    assert not left[:, 30:].any() and left[:, :30].all()  # the argument stays as it was


def test_strokes_are_thick_and_not_all_the_same() -> None:
    """No salt and pepper: most hidden px have hidden neighbours on all sides; holes of many seeds lie everywhere."""
    covers = np.stack([strokes.draw(np.random.default_rng(seed), 128, 0.2) for seed in range(40)])
    across = covers[:, 1:-1, 2:] & covers[:, 1:-1, :-2]
    inner = covers[:, 1:-1, 1:-1] & across & covers[:, 2:, 1:-1] & covers[:, :-2, 1:-1]
    assert inner.sum() > 0.7 * covers.sum()
    often = covers.mean(axis=0).reshape(4, 32, 4, 32).mean(axis=(1, 3))
    assert 0.08 < often.min() and often.max() < 0.35


def test_impossible_wishes_are_named() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"got an area \(3, 4\), expected \(64, 64\)"):
        strokes.draw(rng, 64, 0.2, np.ones((3, 4), bool))
    with pytest.raises(InputError, match=r"got 0.600 of the picture to hide, expected 0 to 0.500"):
        strokes.draw(rng, 64, 0.6, np.arange(64 * 64).reshape(64, 64) % 2 == 0)
