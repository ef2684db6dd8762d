"""Other schemes of landmarks and flags of hidden points."""

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate.schemes import IBUG_FROM_WFLW, point_flags, to_68


def test_the_98_points_are_reduced_to_the_same_places() -> None:
    points = np.arange(98 * 2, dtype=float).reshape(98, 2)
    got = to_68(points)
    assert got.shape == (68, 2) and len(set(IBUG_FROM_WFLW.tolist())) == 68
    rows = (got[:, 0] / 2).astype(int).tolist()
    assert rows[8] == 16 and rows[16] == 32  # chin and the jaw's end
    assert (rows[30], rows[33]) == (54, 57)  # tip of the nose and below it
    assert (rows[36], rows[39], rows[42], rows[45]) == (60, 64, 68, 72)  # corners of the eyes
    assert (rows[48], rows[54], rows[60], rows[64]) == (76, 82, 88, 92)  # corners of the mouth, outer and inner
    assert not {96, 97} & set(rows)


def test_68_points_stay_and_other_counts_are_refused() -> None:
    points = np.zeros((68, 2))
    assert to_68(points) is points
    with pytest.raises(InputError, match=r"shape \(29, 2\), expected \(68, 2\), or \(98, 2\)"):
        to_68(np.zeros((29, 2)))


def test_flags_are_68_of_0_or_1() -> None:
    assert point_flags([[1], *[[0]] * 67]).tolist() == [1] + [0] * 67
    for wrong, message in (([1] * 67, "got 67 flags"), ([2] * 68, "values \\[2.0\\]"), ("no", "no numbers")):
        with pytest.raises(InputError, match=message):
            point_flags(wrong)
