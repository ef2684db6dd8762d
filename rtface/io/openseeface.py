"""OpenSeeFace-compatible UDP: one datagram per frame, 1785 bytes per face.

Source: OpenSeeFace (https://github.com/emilianavt/OpenSeeFace), the packet of ``facetracker.py`` and the order in which
``Unity/OpenSee.cs`` reads it. Little-endian, per face::

    f64 time (s, Unix)     i32 face id          2 × f32 width, height (px)      2 × f32 right, left eye open (0..1)
    u8 3D points are good  f32 fitting error    4 × f32 quaternion x y z w      3 × f32 Euler angles (degrees)
    3 × f32 translation    68 × f32 confidence  68 × 2 f32 points x, y (px)     70 × 3 f32 points in 3D
    14 × f32 features (:data:`FEATURES`)

Points: iBUG's 68 without the inner corners of the mouth, the two pupils, then (3D only) the centres of the eyeballs;
the right one first. Heads have x to the subject's right, y up, z out of the face, the tip of the nose at 0, pupils
0.516 apart; 3D points are sent as x, −y, −z. That tracker gives rows and columns of the picture to solvePnP as x and y
and starts it at the camera, so it finds the face behind the camera: all three numbers of the translation and two rows
of the rotation have the opposite sign. Receivers count on it: Euler angles are (180 + pitch, −yaw, 90 − roll) of
rtface's angles one by one, and the translation is −(row, column, distance). The quaternion is the inverse rotation's.
"""

from __future__ import annotations

import struct
import time
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.geometry import angles_from_matrices
from rtface.io.avatar import AvatarFace, AvatarFaces, StreamModel, gaze_direction, quaternion
from rtface.io.stream_sink import Address, StreamSink, UdpSender
from rtface.types import REGIONS, FaceStatus, FrameResult

PORT: Final = 11573
FACE_BYTES: Final = 1785
FEATURES: Final = (
    "eye_l", "eye_r", "eyebrow_steepness_l", "eyebrow_updown_l", "eyebrow_quirk_l", "eyebrow_steepness_r",
    "eyebrow_updown_r", "eyebrow_quirk_r", "mouth_corner_updown_l", "mouth_corner_inout_l", "mouth_corner_updown_r",
    "mouth_corner_inout_r", "mouth_open", "mouth_wide")
UNIT_MM: Final = 63.0 / 0.51598
"""A unit of that tracker's face in rtface's mm: the distance of the pupils is 63 mm here and 0.516 units there."""
PUPIL_RADIUS_MM: Final = 12.5
_FACE: Final = struct.Struct("<di4fBf4f3f3f")
_POINTS: Final = np.array([*range(48), *range(49, 54), *range(55, 60), 48, *range(61, 64), 54, *range(65, 68)])
"""iBUG landmark of each of the first 66 points: the mouth's outer corners stand among the inner lips."""
_NOSE: Final = 30
_FITTED: Final = np.array([*range(17), _NOSE])
_REGION_OF_POINT: Final = np.array([REGIONS.index(name) for name, count in (
    ("jaw", 17), ("brows", 10), ("nose", 9), ("eyes", 12), ("mouth", 18), ("eyes", 2)) for _ in range(count)])
_STRAIGHT: Final = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
"""The rotation that tracker finds for a face that looks at the camera."""


class OpenSeeFaceSink(StreamSink):
    """Sends all faces of a frame in one datagram; the face id is the place (0 for the first person).

    Frames without faces are not sent, as there. Faces that are not measured in a frame (held) say that their 3D points
    are not good. Confidence of a point: the face's times the visible share of the point's region. Fitting error: root
    of the mean square distance in px between the jaw's and nose's landmarks and those of the model. Brow steepness
    and quirk are 0 (not derived).
    """

    def __init__(self, address: Address, faces: AvatarFaces, model: StreamModel) -> None:
        """InputError for an unknown host."""
        super().__init__(f"openseeface {address}")
        self._faces, self._model = faces, model
        mean, identity, expression = model.landmark_rows()
        self._mean = mean[_POINTS].astype(np.float64)
        self._bases = np.concatenate([identity, expression], axis=2)[_POINTS].astype(np.float64)
        flipped = self._mean * np.array([-1, 1, 1])
        self._partners = np.linalg.norm(flipped[:, None] - self._mean[None], axis=-1).argmin(axis=1)
        self._curve = {name: k for k, name in enumerate(faces.names)}
        self._udp = UdpSender(address, stream="openseeface")

    def write(self, result: FrameResult) -> None:
        """Send the faces of one frame."""
        faces = self._faces(result)
        if faces:
            now = time.time()
            self._udp.send(b"".join(self._packed(face, result, now) for face in faces))

    def _packed(self, face: AvatarFace, result: FrameResult, now: float) -> bytes:
        row, c, mirror = face.row, result.coefficients, self._faces.mirror
        width, height = result.frame.width, result.frame.height
        shape = np.concatenate([c.identity[row], c.expression[row]])
        head = self._mean + self._bases @ shape  # (66, 3) mm
        centers = np.asarray(self._model.eye_centers(c.identity[row:row + 1])[0], np.float64)
        pixels = result.tracks.landmarks[row][_POINTS].astype(np.float64)
        origin = c.translation[row].astype(np.float64)
        if mirror:
            head, centers = head[self._partners] * np.array([-1, 1, 1]), centers[::-1] * np.array([-1, 1, 1])
            pixels = np.stack([width - pixels[self._partners, 0], pixels[self._partners, 1]], axis=1)
            origin[0] = width - origin[0]
        pupils = centers + PUPIL_RADIUS_MM * np.array([gaze_direction(*eye) for eye in face.gaze])
        points = np.concatenate([head, pupils, centers])  # (70, 3)
        scale = float(c.scale[row])
        placed = scale * points @ face.rotation.T.astype(np.float64)
        placed[:, :2] += origin
        pixels = np.concatenate([pixels, placed[66:68, :2]])
        error = np.sqrt(((placed[_FITTED, :2] - pixels[_FITTED]) ** 2).sum() / (2 * len(_FITTED)))
        matrix = _STRAIGHT @ face.rotation
        per_unit = max(scale * UNIT_MM, 1e-6)  # px
        nose = pixels[_NOSE]
        translation = (height / 2 - nose[1]) / per_unit, (width / 2 - nose[0]) / per_unit, -width / per_unit
        units = (points - points[_NOSE]) / UNIT_MM * np.array([-1, 1, 1])  # their x, −y, −z
        confidence = face.confidence * result.regions[row][_REGION_OF_POINT]
        curves = face.curves
        return _FACE.pack(
            now, face.place, width, height, 1 - curves[self._curve["eyeBlinkRight"]],
            1 - curves[self._curve["eyeBlinkLeft"]], face.status is FaceStatus.TRACKED, error,
            *quaternion(matrix.T), *np.rad2deg(angles_from_matrices(matrix[None])[0]), *translation
        ) + b"".join(np.asarray(part, "<f4").tobytes()
                     for part in (confidence, pixels, units, feature_values(curves, self._curve)))

    def close(self) -> None:
        """Let go of the socket."""
        self._udp.close()

    def report(self) -> str:
        return f"{self.name}: {self._udp.report()}"


def feature_values(curves: NDArray[Any], index: dict[str, int]) -> list[float]:
    """Values of :data:`FEATURES`, −1..1, 0 for a neutral face, from ARKit's curves.

    Signs as that tracker measures them: an eye is −1 closed and 1 wide, brows and lips up, out or open are positive,
    and a corner of the mouth that goes down is positive.
    """
    def value(*names: str) -> float:
        return float(sum(curves[index[name]] for name in names)) / len(names)

    rounded = max(value("mouthPucker"), value("mouthFunnel"))
    eye, brow, down, out = {}, {}, {}, {}
    for side, name in (("l", "Left"), ("r", "Right")):
        eye[side] = value(f"eyeWide{name}") - value(f"eyeBlink{name}")
        brow[side] = value("browInnerUp", f"browOuterUp{name}") - value(f"browDown{name}")
        down[side] = value(f"mouthFrown{name}") - value(f"mouthSmile{name}")
        out[side] = max(value(f"mouthStretch{name}"), value(f"mouthSmile{name}")) - rounded
    opened = value("jawOpen") - value("mouthClose")
    return [float(np.clip(number, -1, 1)) for number in (
        eye["l"], eye["r"], 0, brow["l"], 0, 0, brow["r"], 0, down["l"], out["l"], down["r"], out["r"], opened,
        (out["l"] + out["r"]) / 2)]
