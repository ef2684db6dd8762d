"""Every metric on cases that were worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import metrics


def face(width: float = 100.0, height: float = 64.0) -> np.ndarray:
    """68 points in a box ``width`` × ``height``; the outer eye corners are half the width apart."""
    points = np.zeros((1, 68, 2))
    points[0, 1] = width, height
    points[0, 36], points[0, 45] = (width / 4, 20), (width * 3 / 4, 20)
    return points


def test_inter_ocular_error_is_the_mean_distance_over_the_distance_of_the_outer_eye_corners() -> None:
    truth = face()
    moved = truth + [3.0, 4.0]  # every point by 5 px; corners are 50 px apart
    np.testing.assert_allclose(metrics.nme_interocular(moved, truth), [0.1])
    one = truth.copy()
    one[0, 30] += [0, 68]  # one of 68 points by 68 px: 1 px on average
    np.testing.assert_allclose(metrics.nme_interocular(one, truth), [1 / 50])


def test_box_error_is_normalised_by_the_root_of_the_label_box_area() -> None:
    truth = face(100, 64)  # √(100 · 64) = 80
    np.testing.assert_allclose(metrics.nme_box(truth + [0.0, 8.0], truth), [0.1])


def test_the_jaw_can_be_left_out() -> None:
    truth = face()
    jaw = truth.copy()
    jaw[0, :17] += [10, 0]
    assert metrics.nme_interocular(jaw, truth, metrics.INNER_POINTS)[0] == 0
    np.testing.assert_allclose(metrics.nme_interocular(jaw, truth), [10 * 17 / 68 / 50])


def test_a_face_that_was_not_found_has_an_infinite_error() -> None:
    truth = np.concatenate([face(), face()])
    predicted = truth.copy()
    predicted[1] = np.inf
    nme = metrics.nme_interocular(predicted, truth)
    assert nme.tolist() == [0, np.inf] and metrics.nme_box(predicted, truth).tolist() == [0, np.inf]
    assert metrics.failure_rate(nme, 0.08) == 0.5
    assert metrics.area_under_curve(nme, 0.08) == 0.5
    assert metrics.mean_of_found(nme) == 0


@pytest.mark.parametrize(("predicted", "truth", "message"), [
    (np.zeros((1, 5, 2)), face(), r"got predictions \(1, 5, 2\)"),
    (np.full((1, 68, 2), np.nan), face(), "got NaN"),
    (face(), np.full((1, 68, 2), np.inf), "not finite"),
    (face(), np.zeros((1, 68, 2)), r"without extent in rows \[0\]"),
])
def test_bad_landmarks_are_named(predicted: np.ndarray, truth: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        metrics.nme_interocular(predicted, truth)


def test_failure_rate_counts_errors_above_the_threshold() -> None:
    nme = np.array([0.02, 0.08, 0.0801, 0.2, np.inf])
    assert metrics.failure_rate(nme, 0.08) == pytest.approx(3 / 5)
    assert metrics.failure_rate(nme, 0.10) == pytest.approx(2 / 5)
    assert np.isnan(metrics.failure_rate(np.zeros(0), 0.08))


def test_area_under_the_curve_equals_the_integral_of_the_staircase() -> None:
    nme = np.array([0.02, 0.06, 0.5])  # 0 up to 0.02, 1/3 up to 0.06, 2/3 up to 0.08
    by_hand = (0.04 * 1 / 3 + 0.02 * 2 / 3) / 0.08
    assert metrics.area_under_curve(nme, 0.08) == pytest.approx(by_hand)
    assert metrics.area_under_curve(np.zeros(3), 0.08) == 1
    with pytest.raises(InputError, match="threshold: got 0"):
        metrics.area_under_curve(nme, 0)


def test_detections_are_matched_by_falling_score_to_the_free_reference_they_overlap_most() -> None:
    references = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    boxes = np.array([[0, 0, 10, 8], [0, 0, 10, 10], [20, 0, 30, 4], [50, 0, 60, 10]], np.float32)
    matches = metrics.match_boxes(boxes, np.array([0.9, 0.5, 0.8, 0.7]), references)
    assert matches.reference.tolist() == [0, -1, -1, -1]  # the second is taken already, the third overlaps by 0.4
    np.testing.assert_allclose(matches.iou, [0.8, 0, 0, 0], rtol=1e-6)
    loose = metrics.match_boxes(boxes, np.array([0.4, 0.5, 0.8, 0.7]), references, min_iou=0.3)
    assert loose.reference.tolist() == [-1, 0, 1, -1]


@pytest.mark.parametrize(("boxes", "references"), [(0, 2), (2, 0), (0, 0)])
def test_matching_works_without_boxes(boxes: int, references: int) -> None:
    matches = metrics.match_boxes(np.ones((boxes, 4)), np.ones(boxes), np.ones((references, 4)))
    assert matches.reference.tolist() == [-1] * boxes and matches.iou.tolist() == [0] * boxes


def test_recall_precision_and_f1() -> None:
    counts = metrics.DetectionCounts(hits=3, detections=4, references=6)
    assert (counts.recall, counts.precision) == (0.5, 0.75)
    assert counts.f1 == pytest.approx(2 * 0.5 * 0.75 / 1.25)
    empty = metrics.DetectionCounts(0, 0, 0)
    assert np.isnan([empty.recall, empty.precision, empty.f1]).all()


def test_bootstrap_is_seeded_and_covers_the_mean() -> None:
    values = np.arange(100, dtype=float)
    low, high = metrics.bootstrap_interval(values, np.mean)
    assert low < 49.5 < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 10, rel=0.15)  # the normal approximation
    assert metrics.bootstrap_interval(values, np.mean) == (low, high)
    assert metrics.bootstrap_interval(values, np.mean, seed=1) != (low, high)
    assert metrics.bootstrap_interval(np.full(5, 2.0), np.mean) == (2, 2)
    assert np.isnan(metrics.bootstrap_interval(np.zeros(0), np.mean)).all()
    assert np.isnan(metrics.bootstrap_interval(np.ones(2), lambda rows: float("nan"))).all()
    with pytest.raises(InputError, match="got level 1.5"):
        metrics.bootstrap_interval(values, np.mean, level=1.5)


def test_intervals_of_means_are_those_of_the_general_way() -> None:
    values = np.random.default_rng(3).normal(size=37)
    holes = np.where(np.arange(37) % 3 == 0, np.nan, values)
    for rows in (values, holes, values[:1], np.array([np.nan, 1.0, 2.0])):
        assert metrics.mean_interval(rows) == pytest.approx(metrics.bootstrap_interval(rows, mean_known), abs=1e-12)
    assert metrics.mean_interval(values, seed=1, resamples=50, level=0.5) == pytest.approx(
        metrics.bootstrap_interval(values, np.mean, seed=1, resamples=50, level=0.5))
    assert np.isnan(metrics.mean_interval(np.zeros(0))).all() and np.isnan(metrics.mean_interval([np.nan])).all()
    with pytest.raises(InputError, match="got level 1.5"):
        metrics.mean_interval(values, level=1.5)


def mean_known(rows: np.ndarray) -> float:
    return float(rows[~np.isnan(rows)].mean()) if not np.isnan(rows).all() else float("nan")


def test_jitter_is_the_noise_of_a_coordinate_and_ignores_straight_motion() -> None:
    rng = np.random.default_rng(0)
    straight = np.arange(200)[:, None, None] * np.array([1.5, -0.5]) + rng.random((1, 68, 2))
    np.testing.assert_allclose(metrics.jitter(straight), 0, atol=1e-9)
    noisy = straight + rng.normal(0, 0.3, straight.shape)
    assert np.mean(metrics.jitter(noisy)) == pytest.approx(0.3, rel=0.03)
    assert len(metrics.jitter(noisy)) == 198 and len(metrics.jitter(noisy[:2])) == 0
    bend = np.zeros((3, 1, 2))
    bend[1] = np.sqrt(6)  # second difference −2√6 in both coordinates
    np.testing.assert_allclose(metrics.jitter(bend), [2])
    with pytest.raises(InputError, match=r"got points \(3, 2\)"):
        metrics.jitter(np.zeros((3, 2)))
