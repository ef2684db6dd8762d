"""The resting face: what is collected, what is taken off, for whom."""

from __future__ import annotations

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.stages.neutral import NeutralFace

IDS = np.array([3, 7], np.int32)


def rows(*values: float) -> np.ndarray:
    return np.tile(np.float32(values)[:, None], (1, 64))


def test_the_mean_of_the_next_second_is_taken_off_afterwards() -> None:
    neutral = NeutralFace()
    assert neutral.apply(IDS, rows(5, 5), 0.0) is not None and not neutral.calibrating
    neutral.start(1.0)
    assert neutral.calibrating
    for k in range(11):  # 10.0 to 11.0 s; the frame at the end counts no more
        given = rows(0.1 * (k % 2), 0.4)
        out = neutral.apply(IDS, given, 10 + k / 10)
        if k < 10:
            np.testing.assert_array_equal(out, given)
    assert not neutral.calibrating
    np.testing.assert_allclose(neutral.apply(IDS, rows(0.5, 0.5), 11.1), rows(0.45, 0.1), atol=1e-6)
    np.testing.assert_allclose(neutral.apply(IDS[::-1], rows(0.5, 0.5), 11.2), rows(0.1, 0.45), atol=1e-6)
    np.testing.assert_array_equal(neutral.apply(np.array([9], np.int32), rows(0.5), 11.3), rows(0.5))


def test_a_face_that_was_away_keeps_what_it_had_and_no_face_delays_the_end() -> None:
    neutral, nobody = NeutralFace(), np.zeros(0, np.int32)
    neutral.start(0.5)
    for t in (0.0, 0.25, 0.5):
        neutral.apply(IDS, rows(0.2, 0.3), t)
    neutral.start(0.5)
    for t in (1.0, 1.5):  # nobody to measure: it goes on until there is somebody
        assert neutral.apply(nobody, np.zeros((0, 64), np.float32), t).shape == (0, 64)
    assert neutral.calibrating
    neutral.apply(IDS[:1], rows(0.6), 1.6)
    neutral.apply(IDS[:1], rows(0.6), 1.7)
    assert not neutral.calibrating
    np.testing.assert_allclose(neutral.apply(IDS, rows(1, 1), 1.8), rows(0.4, 0.7), atol=1e-6)


def test_inputs_stay_as_they_are_and_reset_forgets() -> None:
    neutral = NeutralFace()
    neutral.start(0.1)
    given = rows(0.2, 0.3)
    given.flags.writeable = False
    for t in (0.0, 0.1):
        neutral.apply(IDS, given, t)
    assert neutral.apply(IDS, given, 0.2) is not given
    neutral.reset()
    assert neutral.apply(IDS, given, 0.3) is given and not neutral.calibrating
    with pytest.raises(InputError, match="got 0"):
        neutral.start(0)
