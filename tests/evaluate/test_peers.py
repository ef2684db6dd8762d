"""Peers: their conventions are undone on the way in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from rtface.errors import ModelFileError
from rtface.evaluate.peers import CROP_PER_BOX, DETECTOR_FILE, LANDMARK_FILE, PeerDetector, PeerLandmarks, Peers
from rtface.types import Frame


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="yunet_n_dynamic.onnx: no such file, expected the peer network"):
        Peers.load(tmp_path)
    for name, load in ((DETECTOR_FILE, PeerDetector), (LANDMARK_FILE, PeerLandmarks)):
        (tmp_path / name).write_bytes(b"not a network")
        with pytest.raises(ModelFileError, match=f"{name}: cannot be loaded"):
            load(tmp_path)


def test_detector_rows_become_boxes_best_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class FakeYN:
        rows: np.ndarray | None = np.zeros((2, 15), np.float32)

        def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802  OpenCV's name
            asked.append(size)

        def detect(self, bgr: np.ndarray) -> tuple[int, np.ndarray | None]:
            asked.append(bgr[0, 0].tolist())
            return 1, self.rows

    network = FakeYN()
    assert network.rows is not None
    network.rows[:, :4] = [[1, 2, 10, 20], [-5, 30, 20, 500]]
    network.rows[:, 14] = 0.7, 0.9
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *arguments: network)
    (tmp_path / DETECTOR_FILE).write_bytes(b"-")
    detector = PeerDetector(tmp_path)
    frame = Frame(np.tile(np.array([10, 20, 30], np.uint8), (60, 80, 1)), 0, 0.0)
    found = detector.detect(frame)
    np.testing.assert_array_equal(found.boxes_xyxy, [[0, 30, 15, 60], [1, 2, 11, 22]])
    np.testing.assert_allclose(found.scores, [0.9, 0.7])
    assert asked == [(80, 60), [30, 20, 10]]
    network.rows = None
    assert len(detector.detect(frame)) == 0


def test_landmarks_come_back_from_the_crop(tmp_path: Path) -> None:
    """A network that answers with the mean red of the crop as x and the mean green as y of every point."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    nodes = [helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
             helper.make_node("Slice", ["mean", "zero", "two", "one"], ["colours"]),
             helper.make_node("Flatten", ["colours"], ["flat"]),
             helper.make_node("Tile", ["flat", "times"], ["output"])]
    constants = [helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
                 for name, values in (("zero", [0]), ("two", [2]), ("one", [1]), ("times", [1, 68]))]
    graph = helper.make_graph(nodes, "mean", [helper.make_tensor_value_info("input", TensorProto.FLOAT,
                                                                            ["N", 3, 112, 112])],
                              [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 136])], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / LANDMARK_FILE)

    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[:] = [51, 153, 0]  # 0.2 and 0.6 of the crop
    box = np.array([100, 50, 180, 150], np.float32)
    points = PeerLandmarks(tmp_path).locate(Frame(pixels, 0, 0.0), box)
    side = CROP_PER_BOX * 100
    point = [140 + side * (0.2 - 0.5), 100 + side * (0.6 - 0.5)]
    np.testing.assert_allclose(points, np.tile(point, (68, 1)), atol=0.02)
