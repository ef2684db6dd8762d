"""Third-party networks to compare with; their files are not part of rtface and are named by ``--peers DIR``.

- ``yunet_n_dynamic.onnx``: the face detector YuNet (Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector",
  2023), run by OpenCV's FaceDetectorYN. Its boxes follow WIDER FACE's convention (forehead to chin, without ears).
- ``pfld_68.onnx``: 68 landmarks by PFLD (Guo et al. 2019), trained on 300-W pictures (cunjian's
  pytorch_face_landmark): crop 112 × 112, RGB 0..1, a square 1.1 times as wide as the box's longer side around the
  box's centre, black beyond the picture; 136 numbers, points as shares of the crop.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Self

import cv2
import numpy as np

from rtface import ops
from rtface.errors import ModelFileError
from rtface.geometry import FloatArray, apply_affine, crop_transforms, invert_affine
from rtface.stages.detect import Detections
from rtface.types import LANDMARKS, Frame

DETECTOR_FILE: Final = "yunet_n_dynamic.onnx"
LANDMARK_FILE: Final = "pfld_68.onnx"
PEER_MIN_SCORE: Final = 0.6
PEER_NMS_IOU: Final = 0.3
CROP_SIDE: Final = 112
CROP_PER_BOX: Final = 1.1


class PeerDetector:
    """YuNet; has the shape of :class:`rtface.stages.detect.Detects`."""

    def __init__(self, folder: Path, *, min_score: float = PEER_MIN_SCORE) -> None:
        """folder: where the file is; ModelFileError when it is missing or cannot be loaded."""
        path = _existing(folder, DETECTOR_FILE)
        log_level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # OpenCV 5 warns about its own default
        try:
            self._network: Any = cv2.FaceDetectorYN.create(str(path), "", (320, 320), min_score, PEER_NMS_IOU, 5000)
        except cv2.error as exc:
            raise _unusable(path, exc) from exc
        finally:
            cv2.utils.logging.setLogLevel(log_level)

    def detect(self, frame: Frame) -> Detections:
        """All faces of a frame at its own size, best first; boxes in frame px, clipped to the frame."""
        self._network.setInputSize((frame.width, frame.height))
        _, rows = self._network.detect(np.ascontiguousarray(frame.pixels[:, :, ::-1]))  # OpenCV takes BGR
        rows = np.zeros((0, 15), np.float32) if rows is None else np.asarray(rows, np.float32)
        rows = rows[np.argsort(-rows[:, 14], kind="stable")]
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        return Detections(np.clip(boxes, 0, np.array([frame.width, frame.height] * 2, np.float32)), rows[:, 14].copy())


class PeerLandmarks:
    """PFLD with 68 points."""

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        """folder: where the file is; ModelFileError when it is missing or cannot be loaded."""
        import onnxruntime as ort

        path = _existing(folder, LANDMARK_FILE)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or 1
        options.log_severity_level = 3
        try:
            self._session: Any = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # noqa: BLE001  onnxruntime raises its own types, which share no base but Exception
            raise _unusable(path, exc) from exc
        self._input = self._session.get_inputs()[0].name

    def locate(self, frame: Frame, box_xyxy: FloatArray) -> FloatArray:
        """The 68 points (68, 2) float32 px of the face in a YuNet box (4,)."""
        low, high = box_xyxy[None, :2], box_xyxy[None, 2:]
        sides = np.float32(CROP_PER_BOX) * (high - low).max(axis=1).astype(np.float32)
        crop_from_frame = crop_transforms((low + high) * np.float32(0.5), sides, np.zeros(1, np.float32), CROP_SIDE)
        frame_from_crop = invert_affine(crop_from_frame)
        crops = ops.sample_crops(np.ascontiguousarray(frame.pixels), frame_from_crop, CROP_SIDE, border="constant",
                                 border_value=0)
        (shares,) = self._session.run(None, {self._input: crops})
        points: FloatArray = apply_affine(frame_from_crop, shares.reshape(1, LANDMARKS, 2) * np.float32(CROP_SIDE))[0]
        return points.astype(np.float32)


class Peers:
    """Both of them."""

    def __init__(self, detector: PeerDetector, landmarks: PeerLandmarks) -> None:
        self.detector, self.landmarks = detector, landmarks

    @classmethod
    def load(cls, folder: Path) -> Self:
        """ModelFileError when a file is missing or cannot be loaded."""
        return cls(PeerDetector(folder), PeerLandmarks(folder))


def _existing(folder: Path, name: str) -> Path:
    path = Path(folder) / name
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file, expected the peer network {name}; give its folder with --peers, "
                             f"or leave --peers out")
    return path


def _unusable(path: Path, cause: Exception) -> ModelFileError:
    text = str(cause).strip().splitlines()
    return ModelFileError(f"{path}: cannot be loaded ({text[-1] if text else type(cause).__name__}), expected an onnx "
                          f"network; copy it again, or leave --peers out")
