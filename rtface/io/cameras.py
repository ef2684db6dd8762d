"""Which cameras there are, and which one is meant by an index, a name or an address."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rtface.errors import InputError, MediaError
from rtface.io import v4l2
from rtface.io.v4l2 import CameraFormat

WITHOUT: Final = "try without one: rtface live --source demo"
STREAM_SCHEMES: Final = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "srt")
TEST_PICTURE: Final = "lavfi:"
"""Before a filter graph of FFmpeg, such as ``lavfi:testsrc=size=640x480:rate=30,realtime``."""
_PLATFORM_FORMATS: Final = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}


@dataclass(frozen=True, slots=True)
class CameraDevice:
    """A camera that this machine has."""

    index: int
    """N of /dev/videoN; elsewhere its place in the system's list."""
    address: str
    """What FFmpeg opens: a device file or the system's name."""
    name: str
    formats: tuple[CameraFormat, ...]
    """Empty where the system only tells when the camera is opened (macOS, Windows)."""


@dataclass(frozen=True, slots=True)
class CameraAddress:
    """What to open, and how FFmpeg's reader for it is called."""

    url: str
    format: str | None
    """Name of the demuxer; None: FFmpeg finds out."""
    name: str
    """For people."""
    formats: tuple[CameraFormat, ...] = ()

    @property
    def is_device(self) -> bool:
        """A camera on this machine: its size and rate can be asked for."""
        return self.format in _PLATFORM_FORMATS.values()


def list_cameras(folder: Path = Path("/dev"), ioctl: v4l2.Ioctl | None = None) -> list[CameraDevice]:
    """Cameras in the order of their indices; those that may not be opened are left out."""
    if sys.platform != "linux":
        return _listed_by_system()
    found = []
    for path in folder.glob("video*"):
        number = path.name.removeprefix("video")
        if not number.isdecimal():
            continue
        try:
            answer = v4l2.query(str(path), ioctl)
        except OSError:
            continue
        if answer is not None:
            found.append(CameraDevice(int(number), str(path), *answer))
    return sorted(found, key=lambda camera: camera.index)


def _listed_by_system() -> list[CameraDevice]:
    import av

    devices = [d for d in av.enumerate_input_devices(_PLATFORM_FORMATS[sys.platform]) if "video" in d.media_types]
    return [CameraDevice(k, d.name if sys.platform == "darwin" else f"video={d.name}", d.description, ())
            for k, d in enumerate(devices)]


def find_camera(text: str, cameras: Sequence[CameraDevice] | None = None) -> CameraAddress:
    """The camera that a text means: its index, its name or a part of it, its device file, or a stream's URL.

    cameras: those to choose from; None asks the system. MediaError when there is none of that kind, InputError when
    the text fits several or is a URL of a kind that rtface does not read.
    """
    scheme = re.match(r"([a-z][a-z0-9+.-]*)://", text, re.IGNORECASE)
    if scheme is not None:
        if scheme[1].lower() not in STREAM_SCHEMES:
            raise InputError(f"--source: got an address of kind {scheme[1]}, expected {', '.join(STREAM_SCHEMES)}")
        return CameraAddress(text, None, _without_password(text))
    if text.startswith(TEST_PICTURE):
        return CameraAddress(text.removeprefix(TEST_PICTURE), "lavfi", "test picture")
    cameras = list_cameras() if cameras is None else cameras
    device = re.fullmatch(r"/dev/video(\d+)", text)
    number = int(device[1]) if device else int(text) if text.isdecimal() else None
    if number is not None:
        matches = [camera for camera in cameras if camera.index == number]
    else:
        wanted = text.casefold()
        matches = [c for c in cameras if c.name.casefold() == wanted] \
            or [c for c in cameras if wanted and wanted in c.name.casefold()]
    if len(matches) == 1:
        camera = matches[0]
        return CameraAddress(camera.address, _PLATFORM_FORMATS.get(sys.platform), camera.name, camera.formats)
    listed = ", ".join(f"{c.index} ({c.name})" for c in matches or cameras)
    if matches:
        raise InputError(f"--source: got {text!r}, which fits several cameras: {listed}; take the number of one")
    if cameras:
        raise MediaError(f"--source: got {text!r}, which is no camera, file or address, expected one of: {listed}; "
                         f"or {WITHOUT}")
    raise MediaError(f"--source: got {text!r}, but this machine has no camera (or it may not be opened: on Linux you "
                     f"must be in the group video); plug one in, or {WITHOUT}")


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)


def choose_format(formats: Sequence[CameraFormat], size: tuple[int, int], fps: float) -> CameraFormat | None:
    """The best of a camera's formats for (width, height) px and a rate; None when it names none.

    The nearest size wins, then the nearest rate that is not below the wanted one (else the highest), then pictures
    that are not compressed: they need no decoding and have no blocks.
    """
    def badness(f: CameraFormat) -> tuple[float, float, bool]:
        away = abs(f.width - size[0]) + abs(f.height - size[1])
        rate = f.fps - fps if f.fps >= fps - 0.5 else 1000 - f.fps
        return away, max(rate, 0.0), f.encoding in ("mjpeg", "h264")

    return min(formats, key=badness, default=None)
