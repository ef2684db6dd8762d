"""From a face to a crop and back."""

from pathlib import Path

import numpy as np
import pytest

from rtface.errors import BackendError
from rtface.evaluate.classmaps import Shown, Worst, painted
from rtface.evaluate.dataset import Sample
from rtface.evaluate.networks import LandmarkNetwork, detector_stage
from rtface.evaluate.placing import ClassNetwork, Placed, assumed_face, paste_back, place
from rtface.inference import FakeEngine
from tests import blobs
from tests.evaluate.class_packs import FACE, hidden_face
from tests.evaluate.packs import points_of


def landmark_network() -> LandmarkNetwork:
    return LandmarkNetwork(blobs.engines()["landmarks"])


def test_a_face_is_placed_from_its_box_or_from_the_largest_that_is_found() -> None:
    pixels = blobs.paint([FACE, (25, 40, 24, 1)])
    box = np.array([50, 24, 110, 96], np.float32)
    given = place(pixels, box, landmark_network())
    found = place(pixels, None, landmark_network(), detector_stage(blobs.engines()["detector"], 0.5))
    assert given is not None and given.points is not None and np.abs(given.points - points_of(FACE)).max() < 1.5
    assert found is not None and found.points is not None and np.abs(found.points - points_of(FACE)).max() < 1.5
    assert place(pixels, None, landmark_network()) is None
    nothing = np.full((120, 160, 3), 60, np.uint8)
    assert place(nothing, None, landmark_network(), detector_stage(blobs.engines()["detector"], 0.5)) is None
    unsure = place(nothing, box, landmark_network())
    assert unsure is not None and unsure.points is None and unsure.crop(128).shape == (2, 3)


def test_the_assumed_face_is_the_outline_or_the_ellipse_in_the_box() -> None:
    _, face, _ = hidden_face()
    box = np.array([50, 24, 110, 96], np.float32)
    ellipse = assumed_face(Placed(box, None), face.shape)
    assert (ellipse != face).mean() < 0.005
    outline = assumed_face(Placed(box, points_of(FACE).astype(np.float32)), (*face.shape, 3))
    assert outline.shape == face.shape and (outline & face).sum() / (outline | face).sum() > 0.8


def test_pasting_back_keeps_pixels_in_place() -> None:
    transform = np.array([[2.0, 0, -40], [0, 2.0, -20]], np.float32)  # picture x 20..84, y 10..74 → 0..128
    scores = np.zeros((5, 128, 128), np.float32)
    scores[1] = 1
    scores[4, 32:64, 64:96] = 2  # picture x 52..68, y 26..42
    pasted = paste_back(scores, transform, (100, 120, 3))
    inside = np.zeros((100, 120), bool)
    inside[10:74, 20:84] = True
    assert (pasted.inside == inside).all() and (pasted.classes[~inside] == 0).all()
    wanted = np.where(inside, 1, 0)
    wanted[26:42, 52:68] = 4
    assert (pasted.classes == wanted).all()


def test_networks_are_timed_and_checked() -> None:
    network = ClassNetwork(blobs.engines()["segment"])
    assert np.isnan(network.per_second())
    pixels, face, hidden = hidden_face()
    placed = place(pixels, np.array([50, 24, 110, 96], np.float32), landmark_network())
    assert placed is not None
    classes, inside = network.classes(pixels, placed)
    wanted = np.where(hidden, 2, np.where(face, 1, 0))
    assert (classes != wanted)[inside].mean() < 0.02
    assert network.per_second() > 0 and np.isnan(network.per_second())
    broken = FakeEngine(blobs.SPECS["segment"],
                        lambda crops: {"probability": np.full((len(crops), 3, 128, 128), np.nan, np.float32)})
    with pytest.raises(BackendError, match="scores that are not finite"):
        ClassNetwork(broken).classes(pixels, placed)


def shown(name: str) -> Shown:
    nothing = np.zeros((2, 2), np.uint8)
    return Shown(Sample(name, Path(name), "free"), np.zeros((2, 2, 3), np.uint8), nothing, nothing > 0, nothing,
                 Placed(np.zeros(4, np.float32), None), name)


def test_the_worst_come_first_and_the_rest_is_forgotten() -> None:
    worst = Worst(3)
    for error, name in ((0.1, "a"), (0.9, "b"), (float("nan"), "c"), (0.5, "d"), (0.9, "e"), (0.2, "f")):
        worst.add(error, shown(name))
    assert [item.caption for item in worst.items()] == ["b", "e", "d"]


def test_colours_lie_over_classes_and_grey_over_what_is_not_scored() -> None:
    picture = np.full((1, 3, 3), 100, np.uint8)
    colors = np.array([[0, 0, 0], [200, 0, 0]], np.uint8)
    out = painted(picture, np.array([[0, 1, 0]], np.uint8), colors, np.array([[True, True, False]]))
    assert out[0, 0].tolist() == [100, 100, 100] and out[0, 1].tolist() == [155, 45, 45]
    assert out[0, 2].tolist() == [94, 94, 94]  # 0.45 · 100 + 0.55 · 90 = 94.5, to even
