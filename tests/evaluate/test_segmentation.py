"""Measures on class maps, against cases counted by hand."""

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import segmentation as seg

TRUTH = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 1, 1]])
GUESS = np.array([[0, 1, 1, 1], [0, 0, 1, 2], [2, 0, 1, 1]])
ALL = np.ones_like(TRUTH, bool)


def test_counts_by_hand():
    counts = seg.confusion(GUESS, TRUTH, ALL, 3)
    assert counts.tolist() == [[3, 1, 0], [0, 5, 1], [1, 0, 1]]
    assert seg.iou(counts, 1) == pytest.approx(5 / 7) and seg.iou(counts, 2) == pytest.approx(1 / 3)
    assert seg.recall(counts, 1) == pytest.approx(5 / 6)
    assert seg.mean_recall(counts) == pytest.approx((3 / 4 + 5 / 6 + 1 / 2) / 3)
    assert seg.accuracy(counts) == pytest.approx(9 / 12)
    assert seg.f1(counts, 0) == pytest.approx(2 * 3 / (4 + 4))


def test_only_valid_pixels_count_and_pictures_add_up():
    valid = ALL.copy()
    valid[:, 3] = False
    counts = seg.confusion(GUESS, TRUTH, valid, 3)
    assert counts.sum() == 9 and counts[1].tolist() == [0, 3, 0]
    both = np.stack([counts, seg.confusion(TRUTH, TRUTH, ALL, 3)])
    assert seg.accuracy(both) == pytest.approx((7 + 12) / 21)


def test_what_never_occurs_is_no_number():
    counts = seg.confusion(np.zeros((2, 2), int), np.zeros((2, 2), int), np.ones((2, 2), bool), 3)
    assert np.isnan(seg.iou(counts, 1)) and np.isnan(seg.recall(counts, 2)) and np.isnan(seg.f1(counts, 1))
    assert seg.mean_recall(counts) == 1.0
    assert np.isnan(seg.accuracy(np.zeros((3, 3), np.int64))) and np.isnan(seg.mean_recall(np.zeros((3, 3), np.int64)))


def test_sparsity_counts_islands():
    truth = np.zeros((9, 9), int)
    truth[2:7, 2:7] = 1
    scattered = truth.copy()
    scattered[4, 4] = 0  # a hole in the face ...
    scattered[0, 0] = scattered[8, 8] = 1  # ... and two islands
    valid = np.ones_like(truth, bool)
    assert seg.components(truth, valid, 2) == 2
    assert seg.sparsity(scattered, truth, valid, 2) == 3
    valid[0, 0] = False
    assert seg.sparsity(scattered, truth, valid, 2) == 2


def test_wrong_input_is_named():
    with pytest.raises(InputError, match="expected the same"):
        seg.confusion(GUESS[:2], TRUTH, ALL, 3)
    with pytest.raises(InputError, match="got predictions from 0 to 3, expected 0 to 2"):
        seg.confusion(GUESS + (GUESS == 2), TRUTH, ALL, 3)


def test_the_mean_of_f1_is_over_classes_that_occur():
    counts = seg.confusion(GUESS, TRUTH, ALL, 4)
    assert seg.mean_f1(counts, (1, 2, 3)) == pytest.approx((2 * 5 / 12 + 2 * 1 / 4) / 2)
    assert np.isnan(seg.mean_f1(counts, (3,)))


def test_super_pixels_by_their_most_frequent_class():
    superpixels = np.array([[0, 0, 7, 7], [0, 0, 7, 7], [2, 2, 2, 2]])
    # label: 0 is background, 7 is class 1, 2 is a tie of 2 and 1, so 1; prediction: 7 is 1 (3 of 4), 2 is 1 (2 of 4)
    assert seg.superpixels_right(GUESS, TRUTH, superpixels, ALL, 3) == (3, 3)
    other = TRUTH.copy()
    other[2] = 0
    assert seg.superpixels_right(other, TRUTH, superpixels, ALL, 3) == (2, 3)
    valid = superpixels != 7
    assert seg.superpixels_right(other, TRUTH, superpixels, valid, 3) == (1, 2)
    assert seg.superpixels_right(other, TRUTH, superpixels, ~ALL, 3) == (0, 0)
    with pytest.raises(InputError, match="super-pixels: got a map"):
        seg.superpixels_right(GUESS, TRUTH, superpixels[:2], ALL, 3)
