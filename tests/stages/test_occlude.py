"""What hides a face: masks, shares, points and vertices, over the fake network of the painted world."""

from __future__ import annotations

import numpy as np
import pytest

from rtface.config import OcclusionConfig
from rtface.errors import BackendError, InputError
from rtface.inference import FakeEngine
from rtface.stages.occlude import FACE, OCCLUDER, Occluder, face_area, hidden_points
from rtface.types import FaceCrops
from tests import blobs

BOX = np.array([34.0, 34.0, 94.0, 94.0], np.float32)
LANDMARKS = (BOX[:2] + blobs.POINTS * (BOX[2:] - BOX[:2]))[None]


def crops(white: tuple[slice, slice] | None = None, shift: float = 0.0) -> FaceCrops:
    """One crop: a red square of a face, part of it white; ``shift`` px to the right of the frame's grid."""
    pixels = np.full((1, 3, 128, 128), 0.2, np.float32)
    pixels[0, :, 30:98, 30:98] = np.array([1, 0, 0], np.float32)[:, None, None]
    if white is not None:
        pixels[0, :, white[0], white[1]] = 1.0
    transform = np.array([[[1, 0, shift], [0, 1, 0]]], np.float32)
    return FaceCrops(pixels, transform, np.zeros(1, np.int32))


def occluder(**options: float) -> Occluder:
    return Occluder(blobs.engines()["segment"], OcclusionConfig(**options))  # type: ignore[arg-type]


def test_a_clean_face_has_an_empty_mask() -> None:
    found = occluder().find(crops(), LANDMARKS)
    assert not found.mask.any() and found.visible_fraction.tolist() == [1.0]
    assert (found.probability[0].argmax(axis=0)[40:90, 40:90] == FACE).all()


def test_the_lower_half_is_hidden() -> None:
    found = occluder().find(crops((slice(70, 110), slice(20, 110))), LANDMARKS)
    assert found.mask[0, 0, 71:109, 21:109].all() and found.mask.sum() == 40 * 90
    area = face_area(LANDMARKS, 128)[0]
    assert found.visible_fraction[0] == pytest.approx(area[:70].sum() / area.sum(), abs=1e-6)
    hidden = hidden_points(found, LANDMARKS)[0]
    assert (hidden[LANDMARKS[0, :, 1] > 71] > 0.9).all() and (hidden[LANDMARKS[0, :, 1] < 69] < 0.1).all()


def test_points_are_looked_up_through_the_crops_transform() -> None:
    found = occluder().find(crops((slice(70, 110), slice(20, 110)), shift=300.0), LANDMARKS - np.float32([300, 0]))
    hidden = hidden_points(found, np.array([[[-236.0, 80.0], [-236.0, 50.0], [64.0, 80.0]]], np.float32))[0]
    assert hidden[0] > 0.9 and hidden[1] < 0.1 and hidden[2] == 0  # the last one is beyond the crop


def test_a_speck_is_no_occlusion() -> None:
    speck = (slice(60, 63), slice(60, 63))
    assert not occluder(least_share=0.02).find(crops(speck), LANDMARKS).mask.any()
    assert occluder(least_share=0.0).find(crops(speck), LANDMARKS).mask.sum() == 9


def test_no_face_gives_empty_arrays() -> None:
    none = FaceCrops(np.zeros((0, 3, 128, 128), np.float32), np.zeros((0, 2, 3), np.float32), np.zeros(0, np.int32))
    found = occluder().find(none, np.zeros((0, 68, 2), np.float32))
    assert found.probability.shape == (0, 3, 128, 128) and found.mask.shape == (0, 1, 128, 128) and len(found) == 0


def test_a_network_that_gives_nan_is_named() -> None:
    engine = FakeEngine(blobs.SPECS["segment"], lambda crops: {"probability": np.full_like(crops, np.nan)})
    with pytest.raises(BackendError, match="segment: got probabilities that are not finite"):
        Occluder(engine).find(crops(), LANDMARKS)


def test_the_face_area_is_the_landmarks_outline() -> None:
    area = face_area(LANDMARKS, 128)[0]
    jaw = np.floor(LANDMARKS[0, 1:16] + np.sign(LANDMARKS[0, 30] - LANDMARKS[0, 1:16]) * 2).astype(int)
    assert area[jaw[:, 1], jaw[:, 0]].all() and not area[:, :30].any() and not area[100:].any()
    brow = int(LANDMARKS[0, 19, 1])
    assert area[brow - 8, 64] and not area[5, 64]
    assert OCCLUDER == 2


def test_config_is_checked() -> None:
    with pytest.raises(InputError, match="OcclusionConfig.recipe: got 'all', expected one of"):
        OcclusionConfig(recipe="all")  # type: ignore[arg-type]
