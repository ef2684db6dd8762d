"""VMC protocol: one OSC bundle per frame for VRM avatars (Virtual Motion Capture, VSeeFace, Warudo, VNyan, EVMC4U, …).

Source: the VMC protocol specification, https://protocol.vmc.info/ (marionette messages, version 2.7 for the tracking
status), and OSC 1.0. Names of curves are those of Perfect Sync (ARKit's with a capital first letter). Bones use Unity's
axes: left-handed, x to the avatar's right, y up, z forwards. They are rtface's head axes turned around (−x, −y, −z),
and turning all three around leaves every rotation matrix as it is, so rtface's rotation goes out unchanged.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.errors import OutputError
from rtface.io.avatar import AvatarFace, AvatarFaces, gaze_quaternion, quaternion
from rtface.io.stream_sink import Address, StreamSink, UdpSender
from rtface.types import FrameResult

PORT: Final = 39539
"""Where marionettes listen; performers listen on 39540."""
BONES: Final = ("Head", "LeftEye", "RightEye")
PRESETS: Final = ("Blink_L", "Blink_R", "A", "O", "U")
"""VRM 0 presets that follow from curves; see :func:`preset_values`."""
_CALIBRATED: Final = 3
_HEADER: Final = 16  # "#bundle\\0" and the time tag


class VmcSink(StreamSink):
    """Sends the first person: state, time, head and eye rotation, and curves or presets, in one bundle per frame.

    A frame without that person carries state (tracking status 0) and time only, and receivers keep the last pose.
    presets: send :data:`PRESETS` instead of the 52 curves, for avatars without Perfect Sync. Bone positions are 0: the
    receiver's avatar has its own. The bundle is made by python-osc once; later frames change its numbers in place.
    """

    def __init__(self, address: Address, faces: AvatarFaces, *, presets: bool = False) -> None:
        """OutputError without python-osc, InputError for an unknown host."""
        super().__init__(f"{'vmc-presets' if presets else 'vmc'} {address}")
        self._faces, self._presets = faces, presets
        names = PRESETS if presets else tuple(name[0].upper() + name[1:] for name in faces.names)
        self._curve = {name: k for k, name in enumerate(faces.names)}
        self._person, self._nobody = _Template(names), _Template(None)
        self._udp = UdpSender(address, stream="vmc")

    def write(self, result: FrameResult) -> None:
        """Send one bundle."""
        first = next((face for face in self._faces(result) if face.place == 0), None)
        if first is None:
            self._udp.send(self._nobody.filled([result.frame.pts_s]))
            return
        values = preset_values(first.curves, self._curve) if self._presets else first.curves
        self._udp.send(self._person.filled([result.frame.pts_s, *_bones(first), *values]))

    def close(self) -> None:
        """Let go of the socket."""
        self._udp.close()

    def report(self) -> str:
        return f"{self.name}: {self._udp.report()}"


def _bones(face: AvatarFace) -> list[float]:
    """Seven numbers (position, quaternion) for each of :data:`BONES`."""
    right, left = face.gaze.tolist()
    return [0, 0, 0, *quaternion(face.rotation), 0, 0, 0, *gaze_quaternion(*left), 0, 0, 0, *gaze_quaternion(*right)]


def preset_values(curves: NDArray[Any], index: dict[str, int]) -> list[float]:
    """Values of :data:`PRESETS`.

    Blinks are the blink curves. A, O and U are the mouth's shape, not what is said: how far it is open (jaw without
    closed lips) times how far it is rounded (funnel or pucker). E, I and the moods are not sent: spread lips cannot be
    told from a smile.
    """
    def value(name: str) -> float:
        return float(curves[index[name]])

    opened = min(max(value("jawOpen") - value("mouthClose"), 0.0), 1.0)
    rounded = max(value("mouthFunnel"), value("mouthPucker"))
    return [value("eyeBlinkLeft"), value("eyeBlinkRight"), opened * (1 - rounded), opened * rounded,
            (1 - opened) * rounded]


class _Template:
    """A bundle whose float arguments can be replaced; all of OSC is aligned to four bytes."""

    def __init__(self, curves: tuple[str, ...] | None) -> None:
        """curves: names of Blend/Val messages; None: nobody is there, state and time only."""
        try:
            from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
            from pythonosc.osc_message_builder import OscMessageBuilder
        except ImportError as exc:
            raise OutputError("vmc: got no package python-osc, expected it for the VMC protocol; "
                              "pip install 'rtface[stream]'") from exc
        messages: list[tuple[str, list[Any]]] = [
            ("/VMC/Ext/OK", [1, _CALIBRATED, 0, int(curves is not None)]), ("/VMC/Ext/T", [0.0])]
        if curves is not None:
            messages += [("/VMC/Ext/Bone/Pos", [bone, *([0.0] * 6), 1.0]) for bone in BONES]
            messages += [("/VMC/Ext/Blend/Val", [name, 0.0]) for name in curves]
            messages.append(("/VMC/Ext/Blend/Apply", []))
        bundle, words, end = OscBundleBuilder(IMMEDIATELY), list[int](), _HEADER
        for address, arguments in messages:
            message = OscMessageBuilder(address)
            for argument in arguments:
                message.add_arg(argument)
            built = message.build()
            bundle.add_content(built)
            end += 4 + built.size  # arguments are a message's last words
            floats = sum(isinstance(argument, float) for argument in arguments)
            words += range(end // 4 - floats, end // 4)
        self._packet = bytearray(bundle.build().dgram)
        self._floats = np.frombuffer(self._packet, ">f4")
        self._words = np.array(words)

    def filled(self, numbers: list[float]) -> bytearray:
        """The bundle with these floats in order; valid until the next call."""
        self._floats[self._words] = numbers
        return self._packet
