"""Crops are the pixels they say they are, and coefficients come back in frame pixels."""

from __future__ import annotations

import numpy as np
import pytest

from rtface.errors import BackendError, ModelFileError
from rtface.geometry import apply_affine
from rtface.inference import EngineSpec, FakeEngine, TensorSpec
from rtface.stages.assess import assess
from rtface.stages.crop import crop_faces
from rtface.stages.regress import Regressor
from rtface.types import REGIONS, VECTOR_SIZE, FaceCrops, FaceTracks, Frame, Occlusion
from tests import blobs


def tracks_at(*faces: tuple[float, float, float]) -> FaceTracks:
    """Tracks whose landmarks fill boxes (centre x, centre y, width)."""
    count = len(faces)
    landmarks = np.array([[x - w / 2, y - 0.6 * w] + blobs.POINTS * [w, 1.2 * w] for x, y, w in faces],
                         np.float32).reshape(count, 68, 2)
    return FaceTracks(np.arange(count, dtype=np.int32), np.zeros((count, 4), np.float32), np.ones(count, np.float32),
                      landmarks, np.zeros(count, np.int32))


def test_crops_hold_the_face_in_the_middle() -> None:
    pixels = blobs.paint([(50, 60, 40, 0), (120, 50, 30, 1)])
    pixels.flags.writeable = False
    crops = crop_faces(Frame(pixels, 0, 0.0), tracks_at((50, 60, 40), (120, 50, 30)), 64)
    assert crops.pixels.shape == (2, 3, 64, 64) and crops.track_ids.tolist() == [0, 1]
    assert crops.pixels[0, :, 32, 32] == pytest.approx([1, 0, 0], abs=0.01)
    assert crops.pixels[1, :, 32, 32] == pytest.approx([0, 1, 0], abs=0.01)
    assert crops.pixels[0, :, 1, 1] == pytest.approx([60 / 255] * 3, abs=0.01)
    center = apply_affine(crops.crop_from_frame, np.array([[[50, 60]], [[120, 50]]], np.float32))[:, 0]
    assert np.abs(center - 32).max() < 4


def test_no_face_gives_empty_crops_and_coefficients() -> None:
    crops = crop_faces(Frame(blobs.paint([]), 0, 0.0), FaceTracks.empty(), 224)
    assert crops.pixels.shape == (0, 3, 224, 224)
    regressor = Regressor(blobs.engines()["regressor"], blobs.BASIS)
    assert regressor.regress(crops).to_vector().shape == (0, VECTOR_SIZE)


def test_coefficients_are_in_frame_pixels() -> None:
    engine = blobs.engines()["regressor"]
    regressor = Regressor(engine, blobs.BASIS)
    frame = Frame(blobs.paint([(50, 60, 40, 0), (120, 50, 30, 1)]), 0, 0.0)
    crops = crop_faces(frame, tracks_at((50, 60, 40), (120, 50, 30)), regressor.size)
    crops.pixels.flags.writeable = False
    coefficients = regressor.regress(crops)
    np.testing.assert_allclose(coefficients.translation, [[50, 60], [120, 50]], atol=0.7)
    np.testing.assert_allclose(coefficients.scale * 140, [40, 30], atol=1.2)
    assert coefficients.basis == blobs.BASIS and engine.calls == 1  # one batch for all faces


def test_a_regressor_that_wants_it_is_told_what_is_hidden() -> None:
    told: list[np.ndarray] = []

    def regress(crops: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
        told.append(mask)
        return blobs.regress(crops)

    spec = blobs._spec("regressor", [TensorSpec("crops", ("N", 3, 8, 8)), TensorSpec("mask", ("N", 1, 8, 8))],
                       list(blobs.SPECS["regressor"].outputs))
    regressor = Regressor(FakeEngine(spec, regress), blobs.BASIS)
    eye = np.eye(2, 3, dtype=np.float32)[None]
    crops = FaceCrops(np.zeros((1, 3, 8, 8), np.float32), eye, np.zeros(1, np.int32))
    regressor.regress(crops)
    assert told[0].shape == (1, 1, 8, 8) and not told[0].any()  # nobody looked
    for side in (8, 4, 16):  # networks of other sizes see the same crop at another resolution
        mask = np.zeros((1, 1, side, side), np.float32)
        mask[..., side // 2:, :] = 1
        regressor.regress(crops, Occlusion(np.zeros((1, 3, side, side), np.float32), mask, np.ones(1, np.float32), eye))
        np.testing.assert_array_equal(told[-1][0, 0], np.repeat([[0.0], [1.0]], 4, axis=0) * np.ones(8))


def test_weights_for_another_basis_are_refused() -> None:
    with pytest.raises(ModelFileError, match="got weights for the basis 'rtface-1', expected 'other'"):
        Regressor(blobs.engines()["regressor"], "other")


def test_coefficients_that_are_not_finite_are_an_error() -> None:
    spec: EngineSpec = blobs.SPECS["regressor"]
    engine = FakeEngine(spec, lambda crops: {"coefficients": np.full((len(crops), VECTOR_SIZE), np.nan, np.float32)})
    crops = FaceCrops(np.zeros((1, 3, 224, 224), np.float32), np.array([[[1, 0, 0], [0, 1, 0]]], np.float32),
                      np.zeros(1, np.int32))
    with pytest.raises(BackendError, match="not finite"):
        Regressor(engine, blobs.BASIS).regress(crops)


def test_regions_and_confidence_follow_visibility() -> None:
    visibility = np.ones((3, 68), np.float32)
    visibility[1, 48:] = 0  # a hand on the mouth
    visibility[2] = 0
    regions, confidence = assess(visibility, np.array([1, 0.8, 1], np.float32))
    assert regions.dtype == confidence.dtype == np.float32
    np.testing.assert_allclose(regions[0], 1, rtol=1e-6)
    assert regions[1, REGIONS.index("mouth")] == 0 and regions[1, REGIONS.index("eyes")] > 0.999
    assert 0 < regions[1, REGIONS.index("cheeks")] < 1
    assert confidence[0] == 1 and confidence[2] == 0.5 and confidence[1] < 0.8
    assert assess(np.zeros((0, 68), np.float32), np.zeros(0, np.float32))[0].shape == (0, 6)
