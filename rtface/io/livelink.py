"""Live Link Face: the UDP packets that Unreal Engine's ARKit face source takes from Epic's telephone app.

Packet, big-endian, version 6 (layout as in Unreal's plug-in AppleARKitFaceSupport and the open receivers LLV and
LiveLinkVRCFaceTracking)::

    u8          6
    i32, bytes  device identifier, UTF-8
    i32, bytes  subject name, UTF-8
    i32, f32    frame number since midnight and fraction of a frame
    i32, i32    frames per second: numerator, denominator
    u8          61
    61 × f32    ARKit's 52 blend shapes; head yaw, pitch, roll; left eye's and right eye's yaw, pitch, roll

Angles are in radians, as Unreal's rotators of ARKit's transforms: positive yaw to the subject's right, positive pitch
down, positive roll towards the subject's left shoulder, with yaw applied last and roll first. The eyes' units and signs
agree with public recordings of the app, in which eyeLookOutLeft comes with negative and eyeLookDown with positive
angles; the head's follow from the same conversion.
"""

from __future__ import annotations

import socket
import struct
import time
import uuid
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.io.avatar import AvatarFace, AvatarFaces
from rtface.io.stream_sink import Address, StreamSink, UdpSender
from rtface.types import Frame, FrameResult

PORT: Final = 11111
VERSION: Final = 6
VALUES: Final = 61
_TAIL: Final = struct.Struct(f">ifiiB{VALUES}f")


class LiveLinkSink(StreamSink):
    """Sends one packet per face and frame; every place has a subject of its own: rtface, rtface2, rtface3, …

    Nothing is sent for a face that is not there, as the app does: Unreal shows its last pose and marks the subject
    as stale. The time code is the time of day at which the frame was captured.
    """

    def __init__(self, address: Address, faces: AvatarFaces, *, subject: str = "rtface", fps: int = 60) -> None:
        """fps: rate of the time code. InputError for an unknown host or a rate below 1."""
        super().__init__(f"livelink {address}")
        if fps < 1 or not subject:
            raise InputError(f"livelink: got {fps} frames per second and the subject {subject!r}, expected at least 1 "
                             f"and a name")
        self._faces, self._subject, self._fps = faces, subject, fps
        self._heads: dict[int, bytes] = {}
        self._udp = UdpSender(address, stream="livelink")

    def write(self, result: FrameResult) -> None:
        """Send one packet per face."""
        number, fraction = divmod(seconds_of_day(result.frame) * self._fps, 1.0)
        for face in self._faces(result):
            self._udp.send(self._head(face.place) + _TAIL.pack(int(number), fraction, self._fps, 1, VALUES,
                                                               *face.curves.tolist(), *_angles(face)))

    def _head(self, place: int) -> bytes:
        """Version, device and subject. The identifier is the same in every run on this machine."""
        if place not in self._heads:
            subject = self._subject if place == 0 else f"{self._subject}{place + 1}"
            device = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{subject}.{socket.gethostname()}")).upper().encode()
            name = subject.encode()
            self._heads[place] = (struct.pack(">Bi", VERSION, len(device)) + device + struct.pack(">i", len(name))
                                  + name)
        return self._heads[place]

    def close(self) -> None:
        """Let go of the socket."""
        self._udp.close()

    def report(self) -> str:
        return f"{self.name}: {self._udp.report()}"


def seconds_of_day(frame: Frame) -> float:
    """Local time of day at which the frame was captured; now for frames that do not know."""
    now = time.time()
    if frame.captured_ns:
        now -= (time.monotonic_ns() - frame.captured_ns) / 1e9
    local = time.localtime(now)
    return local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec + now % 1.0


def head_angles(rotation: NDArray[Any]) -> tuple[float, float, float]:
    """(3, 3) camera_from_head = Ry(yaw) · Rx(pitch) · Rz(roll) → yaw, pitch, roll in rad."""
    r = np.asarray(rotation, np.float64)
    return (float(np.arctan2(r[0, 2], r[2, 2])), float(np.arcsin(np.clip(-r[1, 2], -1, 1))),
            float(np.arctan2(r[1, 0], r[1, 1])))


def _angles(face: AvatarFace) -> list[float]:
    """Head, left eye, right eye: yaw, pitch, roll each; eyes do not roll."""
    (right_pitch, right_yaw), (left_pitch, left_yaw) = face.gaze.tolist()
    return [*head_angles(face.rotation), left_yaw, left_pitch, 0.0, right_yaw, right_pitch, 0.0]
