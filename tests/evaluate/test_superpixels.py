"""Super-pixels that are made: along edges, only where something is scored, and a clear word without the package."""

import sys

import numpy as np
import pytest

from rtface.errors import BackendError, InputError
from rtface.evaluate import superpixels


def half_and_half(height: int, width: int) -> np.ndarray:
    """(height, width, 3): dark on the left, light on the right of a slanted edge."""
    y, x = np.mgrid[:height, :width]
    return np.where((x > width / 2 + (y - height / 2) / 3)[..., None], (220, 200, 180), (30, 40, 60)).astype(np.uint8)


def test_they_follow_edges_and_are_about_as_many_as_wanted() -> None:
    pixels, everywhere = half_and_half(120, 150), np.ones((120, 150), bool)
    numbers = superpixels.slic(pixels, everywhere)
    present = np.unique(numbers)
    assert (present == np.arange(len(present))).all()
    assert 0.6 * superpixels.SEGMENTS < len(present) < 1.2 * superpixels.SEGMENTS
    light = np.bincount(numbers.ravel(), pixels[..., 0].ravel() > 100) / np.bincount(numbers.ravel())
    assert np.isin(light, (0, 1)).mean() > 0.95  # of one side only
    assert (numbers == superpixels.slic(pixels, everywhere)).all()


def test_only_the_box_of_what_is_scored_is_cut() -> None:
    pixels, valid = half_and_half(120, 150), np.zeros((120, 150), bool)
    valid[30, 40], valid[89, 99] = True, True
    numbers = superpixels.slic(pixels, valid, segments=50)
    outside = numbers == superpixels.NOWHERE
    assert not outside[30:90, 40:100].any() and outside.sum() == 120 * 150 - 60 * 60
    alone = superpixels.slic(pixels[30:90, 40:100], np.ones((60, 60), bool), segments=50)
    assert (numbers[30:90, 40:100] == alone).all()
    assert (superpixels.slic(pixels, np.zeros((120, 150), bool)) == superpixels.NOWHERE).all()


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(InputError, match=r"got a picture \(4, 5, 3\) and an area \(5, 4\)"):
        superpixels.slic(np.zeros((4, 5, 3), np.uint8), np.ones((5, 4), bool))


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(BackendError, match=r"got no scikit-image.*pip install rtface\[evaluate\]"):
        superpixels.slic(np.zeros((4, 5, 3), np.uint8), np.ones((4, 5), bool))


def test_reports_say_which_version_made_them() -> None:
    told = superpixels.describe()
    assert told["method"] == "SLIC" and told["scikit-image"] and told["compactness"] == superpixels.COMPACTNESS
