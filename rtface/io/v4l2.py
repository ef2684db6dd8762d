"""What a Linux camera can do: its name and formats, asked of the kernel through Video4Linux2.

Numbers and layouts are those of the kernel's public header ``linux/videodev2.h`` (64-bit and 32-bit alike: none of the
structures used here holds a pointer).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

_CAPABILITY: Final = struct.Struct("=16s32s32sIII12x")  # driver, card, bus, version, capabilities, of this device
_FORMAT: Final = struct.Struct("=III32s4sI12x")  # index, type, flags, description, fourcc, bus code
_SIZE: Final = struct.Struct("=I4sI6I8x")  # index, fourcc, type; width, height or min/max/step of both
_INTERVAL: Final = struct.Struct("=I4sIII6I8x")  # index, fourcc, width, height, type; fraction(s) in s


def _request(direction: int, number: int, layout: struct.Struct) -> int:
    """The kernel's _IOC('V', …): direction 2 reads, 3 reads and writes."""
    return direction << 30 | layout.size << 16 | ord("V") << 8 | number


QUERYCAP: Final = _request(2, 0, _CAPABILITY)
ENUM_FMT: Final = _request(3, 2, _FORMAT)
ENUM_FRAMESIZES: Final = _request(3, 74, _SIZE)
ENUM_FRAMEINTERVALS: Final = _request(3, 75, _INTERVAL)
_CAPTURE: Final = 0x1
_DEVICE_CAPS: Final = 0x80000000
_DISCRETE: Final = 1
_MOST: Final = 256
"""Entries of a list that are asked for; a driver that never ends its list is cut off there."""
ENCODINGS: Final = {"YUYV": "yuyv422", "UYVY": "uyvy422", "NV12": "nv12", "YU12": "yuv420p", "RGB3": "rgb24",
                    "BGR3": "bgr24", "GREY": "gray", "MJPG": "mjpeg", "JPEG": "mjpeg", "H264": "h264"}
"""FFmpeg's names of the formats that it can read from a camera, by the kernel's."""
COMMON_SIZES: Final = ((640, 480), (1280, 720), (1920, 1080))
"""What is listed of a camera that takes any size within limits."""
Ioctl = Callable[[int, int, Any, bool], int]


@dataclass(frozen=True, slots=True, order=True)
class CameraFormat:
    """Pictures that a camera says it can deliver."""

    width: int
    height: int
    fps: float
    """Highest rate at this size."""
    encoding: str
    """FFmpeg's name: a pixel format such as ``yuyv422``, or a codec such as ``mjpeg``."""

    def __str__(self) -> str:
        return f"{self.width}x{self.height} {self.fps:g} fps {self.encoding}"


def query(path: str, ioctl: Ioctl | None = None) -> tuple[str, tuple[CameraFormat, ...]] | None:
    """Name and formats of the device file; None when it is no camera (metadata and output devices exist too).

    ioctl: takes the place of :func:`fcntl.ioctl`. OSError when the file cannot be opened.
    """
    if ioctl is None:
        import fcntl  # not on Windows
        ioctl = fcntl.ioctl
    handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        answer = _ask(ioctl, handle, QUERYCAP, _CAPABILITY, b"", b"", b"", 0, 0, 0)
        if answer is None:
            return None
        _, card, _, _, capabilities, own = answer
        if not (own if capabilities & _DEVICE_CAPS else capabilities) & _CAPTURE:
            return None
        formats = sorted(set(_formats(ioctl, handle)), key=lambda f: (f.encoding, f.width * f.height, f.fps))
        return card.split(b"\0")[0].decode(errors="replace"), tuple(formats)
    finally:
        os.close(handle)


def _ask(ioctl: Ioctl, handle: int, request: int, layout: struct.Struct, *values: Any) -> tuple[Any, ...] | None:
    """The structure as the kernel filled it in; None where it refuses (the end of a list)."""
    buffer = bytearray(layout.pack(*values))
    try:
        ioctl(handle, request, buffer, True)
    except OSError:
        return None
    return layout.unpack(buffer)


def _formats(ioctl: Ioctl, handle: int) -> Iterator[CameraFormat]:
    for index in range(_MOST):
        found = _ask(ioctl, handle, ENUM_FMT, _FORMAT, index, _CAPTURE, 0, b"", b"", 0)
        if found is None:
            return
        code = found[4]
        encoding = ENCODINGS.get(code.decode(errors="replace"))
        if encoding is not None:
            for width, height in _sizes(ioctl, handle, code):
                fps = _fastest(ioctl, handle, code, width, height)
                yield CameraFormat(width, height, fps, encoding)


def _sizes(ioctl: Ioctl, handle: int, code: bytes) -> Iterator[tuple[int, int]]:
    for index in range(_MOST):
        found = _ask(ioctl, handle, ENUM_FRAMESIZES, _SIZE, index, code, 0, *[0] * 6)
        if found is None:
            return
        kind, width, height = found[2:5]
        if kind != _DISCRETE:
            least_w, most_w, _, least_h, most_h = found[3:8]
            yield from [(w, h) for w, h in COMMON_SIZES if least_w <= w <= most_w and least_h <= h <= most_h] \
                or [(most_w, most_h)]
            return
        yield width, height


def _fastest(ioctl: Ioctl, handle: int, code: bytes, width: int, height: int) -> float:
    """Highest frames per second at a size; 0 when the driver does not say."""
    best = 0.0
    for index in range(_MOST):
        found = _ask(ioctl, handle, ENUM_FRAMEINTERVALS, _INTERVAL, index, code, width, height, 0, *[0] * 6)
        if found is None:
            break
        numerator, denominator = found[5:7]  # of the one interval, or of the shortest
        if numerator:
            best = max(best, denominator / numerator)
        if found[4] != _DISCRETE:
            break
    return round(best, 3)
