"""Letterboxing, suppression and the way back to frame pixels."""

from __future__ import annotations

import numpy as np
import pytest

from rtface import ops
from rtface.config import DetectorConfig
from rtface.errors import BackendError
from rtface.geometry import box_iou
from rtface.inference import FakeEngine
from rtface.stages.detect import FaceDetector, letterbox, non_maximum_suppression
from rtface.types import Frame
from tests import blobs


def test_letterbox_keeps_the_aspect_and_pads_to_multiples_of_64() -> None:
    pixels = np.full((480, 640, 3), 200, np.uint8)
    image, scale = letterbox(pixels, 640)
    assert image.shape == (1, 3, 512, 640) and image.dtype == np.float32 and image.flags.c_contiguous
    assert scale == 1.0
    np.testing.assert_allclose(image[:, :, :480], 200 / 255, atol=1e-6)
    np.testing.assert_allclose(image[:, :, 481:], 115 / 255, atol=1e-6)


@pytest.mark.parametrize(("height", "width", "shape"), [(1080, 1920, (384, 640)), (1920, 1080, (640, 384)),
                                                        (20, 700, (64, 640)), (1, 1, (640, 640)), (33, 47, (512, 640))])
def test_letterbox_shapes(height: int, width: int, shape: tuple[int, int]) -> None:
    image, scale = letterbox(np.zeros((height, width, 3), np.uint8), 640)
    assert image.shape == (1, 3, *shape)
    assert scale == pytest.approx(640 / max(height, width))


def test_letterbox_has_no_seams() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (150, 277, 3), np.uint8)
    image, scale = letterbox(pixels, 640)
    whole = ops.sample_crops(pixels, np.array([[[1 / scale, 0, 0], [0, 1 / scale, 0]]], np.float32), 640,
                             border="constant", border_value=115)
    np.testing.assert_allclose(image, whole[:, :, :image.shape[2]], atol=1e-4)


def test_suppression_keeps_the_best_of_overlapping_boxes() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [6, 0, 16, 10]], np.float32)
    kept = non_maximum_suppression(boxes, np.array([0.8, 0.9, 0.7, 0.6], np.float32), 0.4)
    assert kept.tolist() == [1, 2, 3]  # 0 overlaps 1 by 9/11; 3 overlaps 1 by 5/15
    assert non_maximum_suppression(boxes[:0], np.zeros(0, np.float32), 0.4).tolist() == []


@pytest.mark.parametrize("size", [(120, 160), (600, 800), (1500, 900)])
def test_boxes_come_back_in_frame_pixels(size: tuple[int, int]) -> None:
    unit = size[1] / 160
    pixels = blobs.paint([(50 * unit, 60 * unit, 40 * unit, 0), (120 * unit, 40 * unit, 30 * unit, 2)], *size)
    pixels.flags.writeable = False
    found = FaceDetector(blobs.engines()["detector"]).detect(Frame(pixels, 0, 0.0))
    assert len(found) == 2
    expected = np.array([[30, 36, 70, 84], [105, 22, 135, 58]]) * unit
    got = found.boxes_xyxy[np.argsort(found.boxes_xyxy[:, 0])]
    np.testing.assert_allclose(got, expected, atol=2 * max(1, unit))
    assert found.boxes_xyxy.dtype == found.scores.dtype == np.float32


def test_small_faces_and_weak_ones_are_left_out() -> None:
    frame = Frame(blobs.paint([(50, 60, 40, 0), (120, 40, 12, 1)]), 0, 0.0)
    engine = blobs.engines()["detector"]
    assert len(FaceDetector(engine, DetectorConfig(min_face_px=16)).detect(frame)) == 1
    assert len(FaceDetector(engine, DetectorConfig(min_face_px=5)).detect(frame)) == 2
    assert len(FaceDetector(engine, DetectorConfig(min_score=0.95)).detect(frame)) == 0


@pytest.mark.parametrize(("size", "glances"), [((120, 160), 1), ((480, 640), 9), ((720, 1280), 9), ((1280, 720), 9),
                                               ((300, 2000), 5)])
def test_glances_find_all_that_a_detection_finds_and_are_small(size: tuple[int, int], glances: int) -> None:
    """Small faces wherever they are, the large one by the first look; nothing that a tile's border cuts."""
    sides: list[int] = []
    engine = blobs.engines()["detector"]

    def measured(image: np.ndarray) -> dict[str, np.ndarray]:
        sides.append(max(image.shape[2:]))
        return engine.run(image=image)

    detector = FaceDetector(FakeEngine(blobs.SPECS["detector"], measured))
    rng, small = np.random.default_rng(0), max(size) / 16
    for _ in range(8):
        places = rng.uniform(small, np.array(size[::-1]) - small, (2, 2))
        faces = [(*places[0], small, 0), (*places[1], small * 1.5, 1)]
        frame = Frame(blobs.paint(faces, *size), 0, 0.0)
        wanted = detector.detect(frame).boxes_xyxy
        sides.clear()
        got = np.concatenate([detector.glance(frame, step).boxes_xyxy for step in range(glances)])
        assert max(sides) <= 384 and len(sides) == glances
        assert len(wanted) and box_iou(wanted, got).max(axis=1).min() > 0.8  # all are found
        assert box_iou(got, wanted).max(axis=1).min() > 0.8  # and nothing else


def test_no_face_is_zero_boxes() -> None:
    found = FaceDetector(blobs.engines()["detector"]).detect(Frame(blobs.paint([]), 0, 0.0))
    assert found.boxes_xyxy.shape == (0, 4) and found.scores.shape == (0,)


def test_numbers_that_are_not_finite_are_an_error() -> None:
    engine = FakeEngine(blobs.SPECS["detector"], lambda image: {"scores": np.full((1, 2), np.nan, np.float32),
                                                                "boxes": np.zeros((1, 2, 4), np.float32)})
    with pytest.raises(BackendError, match="not finite"):
        FaceDetector(engine).detect(Frame(blobs.paint([]), 0, 0.0))
