"""Every metric of movement on cases that were worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import motion


def box(x: float, y: float, side: float = 40.0) -> np.ndarray:
    return np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])


def test_a_parabola_leaves_no_jitter_and_its_slope_is_found() -> None:
    t = np.arange(20.0)
    fit = motion.local_fit(np.stack([0.5 * t ** 2 - t, 3 * t + 1], axis=1), 3)
    np.testing.assert_allclose(fit.noise, 0, atol=1e-9)
    np.testing.assert_allclose(fit.slope, np.stack([t[3:-3] - 1, np.full(14, 3.0)], axis=1), atol=1e-9)
    np.testing.assert_allclose(fit.level[:, 1], 3 * t[3:-3] + 1)


def test_one_spike_in_five_frames_by_hand() -> None:
    spike = np.zeros((5, 1))
    spike[2] = 35.0  # weights of the five-frame parabola: (−3, 12, 17, 12, −3) / 35
    fit = motion.local_fit(spike, 2)
    np.testing.assert_allclose(fit.level, [[17.0]])
    np.testing.assert_allclose(fit.noise, [[18.0 / np.sqrt(18 / 35)]])


def test_white_noise_keeps_its_standard_deviation_whatever_the_window() -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, (400, 136)) + np.arange(400)[:, None]
    for half in (2, 6):
        assert len(motion.jitter(noise, half)) == 400 - 2 * half
        assert motion.jitter(noise, half).mean() == pytest.approx(0.3, rel=0.02)


def test_slow_filtered_noise_is_seen_where_second_differences_do_not_see_it() -> None:
    t = np.arange(300)[:, None] / 30
    wobble = np.sin(2 * np.pi * 5 * t)  # 5 Hz
    assert motion.jitter(wobble, motion.half_window(30)).mean() > 0.5


def test_curves_that_are_too_short_have_no_jitter_and_wrong_ones_are_named() -> None:
    assert motion.jitter(np.zeros((4, 2)), 2).shape == (0,)
    assert motion.half_window(30) == 6 and motion.half_window(5) == 2
    with pytest.raises(InputError, match="at least 2"):
        motion.local_fit(np.zeros((9, 2)), 1)


def test_a_face_is_still_below_the_threshold() -> None:
    start = np.random.default_rng(0).random((1, 68, 2)) * 100
    norms = np.full(30, 60.0)
    for speed, expected in ((0.8, True), (1.2, False)):  # of 0.15 · 60 px = 9 px a second
        path = start + np.arange(30)[:, None, None] * np.array([0.6, 0.8]) * speed * 9 / 30
        assert (motion.still_frames(path, norms, 30, 6) == expected).all()
    shaking = start + np.random.default_rng(1).normal(0, 0.5, (30, 68, 2))
    assert motion.still_frames(shaking, norms, 30, 6).shape == (18,)


@pytest.mark.parametrize("late", [0.0, 1.0, 2.4, -1.3])
def test_lag_is_found_to_a_part_of_a_frame(late: float) -> None:
    t = np.arange(90)
    truth = np.stack([np.sin(0.25 * t), 3 * np.cos(0.17 * t)], axis=1)
    moved = np.stack([np.sin(0.25 * (t - late)), 3 * np.cos(0.17 * (t - late))], axis=1)
    found = motion.lag(0.5 * moved + 7, truth, 9)
    assert found.frames == pytest.approx(late, abs=0.03) and found.correlation > 0.99


def test_curves_without_a_common_movement_have_no_lag() -> None:
    t = np.arange(60)[:, None]
    assert np.isnan(motion.lag(np.zeros((60, 1)), np.sin(0.3 * t), 9).frames)
    noise = motion.lag(np.random.default_rng(0).normal(size=(60, 1)), np.sin(0.3 * t), 9)
    assert np.isnan(noise.frames) and noise.correlation < 0.7
    far = motion.lag(np.sin(0.5 * (t - 4)), np.sin(0.5 * t), 3)
    assert np.isnan(far.frames) and far.correlation > 0.8  # the peak lies beyond the reach
    slow = motion.lag(np.sin(0.04 * (t - 30)), np.sin(0.04 * (t - 30)), 9)
    assert np.isnan(slow.frames) and slow.correlation > 0.99  # nothing in it tells a lag
    assert np.isnan(motion.lag(t[:5], t[:5], 9).frames)
    with pytest.raises(InputError, match="lag: got curves"):
        motion.lag(t, t[1:], 3)


def test_identity_drift_is_the_way_from_the_first_to_the_last_fifth() -> None:
    shapes = np.zeros((10, 4, 3))
    shapes[8:, :, 0], shapes[8:, :, 1] = 3.0, 4.0
    assert motion.identity_drift(shapes) == pytest.approx(5)
    shapes[4:6] += 100  # what is between does not count
    assert motion.identity_drift(shapes) == pytest.approx(5)
    assert np.isnan(motion.identity_drift(shapes[:1]))


def test_flicker_is_the_share_of_pixels_that_change_their_class() -> None:
    masks = np.zeros((3, 4, 4), int)
    masks[1, 0, 0] = 1
    masks[2, :, :2] = 2
    same = np.tile(np.eye(2, 3, dtype=np.float32), (3, 1, 1))
    np.testing.assert_allclose(motion.mask_flicker(masks, same), [1 / 16, 8 / 16])
    assert motion.mask_flicker(masks[:1], same[:1]).shape == (0,)


def test_a_crop_that_moves_over_a_mask_that_stays_does_not_flicker() -> None:
    world = np.random.default_rng(0).integers(0, 3, (12, 12))
    masks = np.stack([world[2:10, 2:10], world[3:11, 4:12]])
    crops = np.array([[[1, 0, -2], [0, 1, -2]], [[1, 0, -4], [0, 1, -3]]], np.float32)
    np.testing.assert_allclose(motion.mask_flicker(masks, crops), [0])
    assert motion.mask_flicker(masks, np.tile(np.eye(2, 3), (2, 1, 1)))[0] > 0.3
    apart = crops.copy()
    apart[1, 0, 2] = -100
    assert np.isnan(motion.mask_flicker(masks, apart)).all()
    with pytest.raises(InputError, match="masks: got"):
        motion.mask_flicker(masks, crops[:1])


def test_switches_are_changes_of_a_known_id() -> None:
    assert motion.id_switches(np.array([0, 0, -1, -1, 0])) == 0
    assert motion.id_switches(np.array([-1, 0, -1, 2, 2, 0])) == 2
    assert motion.id_switches(np.array([-1, -1])) == 0


def test_a_new_id_where_an_old_one_stopped_is_the_same_face() -> None:
    old = motion.Span(0, 0, 10, box(50, 50), box(60, 50), 9)
    back = motion.Span(1, 15, 30, box(70, 50), box(70, 50), 16)
    elsewhere = motion.Span(2, 15, 30, box(150, 50), box(150, 50), 16)
    larger = motion.Span(3, 12, 30, box(60, 50, 90), box(60, 50, 90), 19)
    late = motion.Span(4, 45, 50, box(60, 50), box(60, 50), 6)
    assert motion.handovers([old, back, elsewhere, larger], 30) == {1: 0}
    assert motion.handovers([old, late], 30) == {}
    nearer = motion.Span(5, 16, 30, box(62, 50), box(62, 50), 15)
    assert motion.handovers([old, back, nearer], 30) == {5: 0}  # an id is handed over once
    lost, frames = motion.lost_frames([old, back], {1: 0})
    assert (lost, frames) == (2 + 4, 31)  # two frames within the first id, four between both
    assert motion.lost_frames([old, back], {}) == (2, 27)


def test_a_face_that_leaps_has_become_another_one() -> None:
    boxes = np.stack([box(50, 50), box(65, 50), box(95, 50), box(150, 50)])
    assert motion.jumps(boxes, [0, 1, 2, 3]) == 2  # 15 px of 40, 30 and 55
    assert motion.jumps(boxes, [0, 1, 2, 9]) == 1  # who knows what happened in seven frames
    assert motion.jumps(boxes[:1], [0]) == 0
