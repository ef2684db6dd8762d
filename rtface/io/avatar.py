"""Faces as programs that move avatars want them: curves, head rotation and gaze, numbered by stable places.

Head rotation and gaze keep rtface's axes here (x to the subject's left, y down, z backwards, out of the face's back);
each protocol converts them. Reading a rotation as angles: positive pitch looks down, positive yaw turns to the
subject's right, positive roll tilts the head to the subject's left shoulder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.geometry import rotation_matrices
from rtface.io.tables import CURVES
from rtface.types import FaceStatus, FrameResult

Floats = NDArray[np.float32]

PLACES: Final = 32
"""How many faces of a frame are sent at most."""


class StreamModel(Protocol):
    """What streams need of :class:`rtface.morphable.MorphableModel`."""

    @property
    def expression_names(self) -> tuple[str, ...]:
        """(64,) ARKit's 52 first."""

    def gaze(self, expression: NDArray[Any]) -> NDArray[Any]:
        """(N, 64) → (N, 2, 2) rad pitch and yaw of the right and the left eye."""

    def eye_centers(self, identity: NDArray[Any]) -> NDArray[Any]:
        """(N, 80) → (N, 2, 3) mm, right eye first."""

    def landmark_rows(self) -> tuple[Floats, Floats, Floats]:
        """Mean (68, 3), identity (68, 3, 80) and expression basis (68, 3, 64) of the landmarks."""


@dataclass(frozen=True, slots=True, eq=False)
class AvatarFace:
    """One face of one frame."""

    place: int
    """0 for the first person; kept while the face is there, then free for the next one."""
    row: int
    """Its row in the result."""
    status: FaceStatus
    confidence: float
    curves: Floats
    """(52,) 0..1, ARKit's blend shapes in the model's order."""
    rotation: Floats
    """(3, 3) camera_from_head."""
    gaze: Floats
    """(2, 2) rad pitch and yaw of the right and the left eye in the head's frame."""


class AvatarFaces:
    """Results → faces with places; several sinks may share one. Remembers who has which place.

    A face that comes gets the lowest free place and keeps it while it is tracked, held or interpolated; when it is
    gone its place is free. So the first person stays place 0, although identifiers grow as people come and go.
    mirror: as in a mirror: the subject's left becomes right in curves, rotation and gaze.
    """

    def __init__(self, model: StreamModel, *, mirror: bool = False) -> None:
        self.mirror = mirror
        self.names = curve_names(model.expression_names)
        self._model = model
        self._partners = partners(self.names)
        self._places: dict[int, int] = {}
        self._last: tuple[FrameResult, list[AvatarFace]] | None = None

    def __call__(self, result: FrameResult) -> list[AvatarFace]:
        """The faces of a result, by place; those that are absent or not finite are left out."""
        if self._last is not None and self._last[0] is result:
            return self._last[1]
        vector = result.coefficients.to_vector()
        rows = [n for n, status in enumerate(result.status)
                if status is not FaceStatus.ABSENT and np.isfinite(vector[n]).all()]
        self._assign([int(result.tracks.ids[n]) for n in rows])
        faces: list[AvatarFace] = []
        if rows:
            coefficients = result.coefficients
            curves = np.clip(coefficients.expression[rows][:, :CURVES], 0, 1)
            angles, gaze = coefficients.rotation[rows], self._model.gaze(coefficients.expression[rows])
            if self.mirror:
                curves = curves[:, self._partners]
                angles = angles * np.array([1, -1, -1], np.float32)
                gaze = gaze[:, ::-1] * np.array([1, -1], np.float32)
            for k, (n, matrix) in enumerate(zip(rows, rotation_matrices(angles), strict=True)):
                place = self._places.get(int(result.tracks.ids[n]))
                if place is not None:
                    faces.append(AvatarFace(place, n, result.status[n], float(result.confidence[n]), curves[k], matrix,
                                            gaze[k]))
            faces.sort(key=lambda face: face.place)
        self._last = result, faces
        return faces

    def _assign(self, present: Sequence[int]) -> None:
        """Free the places of those who left, and give free ones to those who came, smallest identifier first."""
        self._places = {face: place for face, place in self._places.items() if face in present}
        new = sorted(set(present) - self._places.keys())
        if new:
            taken = set(self._places.values())
            self._places |= zip(new, [place for place in range(PLACES) if place not in taken], strict=False)


def curve_names(expression_names: Sequence[str]) -> tuple[str, ...]:
    """The 52 names of ARKit's blend shapes, which come first among the model's."""
    names = tuple(expression_names[:CURVES])
    if len(names) != CURVES or names[0] != "eyeBlinkLeft" or names[-1] != "tongueOut":
        raise InputError(f"stream: got a model with {len(names)} curves, expected ARKit's 52 from eyeBlinkLeft to "
                         f"tongueOut first; use the shipped basis")
    return names


def partners(names: Sequence[str]) -> NDArray[np.int64]:
    """(52,) index of every curve's mirror image: Left and Right change places."""
    def twin(name: str) -> str:
        if name.endswith("Left"):
            return name.removesuffix("Left") + "Right"
        return name.removesuffix("Right") + "Left" if name.endswith("Right") else name

    return np.array([names.index(twin(name)) for name in names])


def quaternion(matrix: NDArray[Any]) -> tuple[float, float, float, float]:
    """Rotation (3, 3) → x, y, z, w of unit length with w ≥ 0; divides by the largest of the four (Shepperd 1978)."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    squares = (1 + a - e - i, 1 - a + e - i, 1 - a - e + i, 1 + a + e + i)  # 4x², 4y², 4z², 4w²
    largest = max(range(4), key=squares.__getitem__)
    x, y, z, w = ((squares[0], b + d, c + g, h - f), (b + d, squares[1], f + h, c - g),
                  (c + g, f + h, squares[2], d - b), (h - f, c - g, d - b, squares[3]))[largest]
    size = math.copysign(math.sqrt(x * x + y * y + z * z + w * w), w)
    return x / size, y / size, z / size, w / size


def gaze_quaternion(pitch: float, yaw: float) -> tuple[float, float, float, float]:
    """x, y, z, w of head_from_eye = Ry(yaw) · Rx(pitch), as the model turns its eyes."""
    cx, sx, cy, sy = math.cos(pitch / 2), math.sin(pitch / 2), math.cos(yaw / 2), math.sin(yaw / 2)
    return sx * cy, cx * sy, -sx * sy, cx * cy


def gaze_direction(pitch: float, yaw: float) -> tuple[float, float, float]:
    """Where an eye looks, a unit vector in the head's axes; (0, 0, −1) is straight ahead."""
    return -math.sin(yaw) * math.cos(pitch), math.sin(pitch), -math.cos(yaw) * math.cos(pitch)
