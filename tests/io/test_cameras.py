"""Finding cameras: the kernel's lists read from a fake kernel, and what a text means."""

from __future__ import annotations

import errno
import struct
from pathlib import Path
from typing import Any

import pytest

from rtface.errors import InputError, MediaError
from rtface.io import list_cameras
from rtface.io.cameras import CameraDevice, choose_format, find_camera
from rtface.io.v4l2 import CameraFormat, query

WEBCAM = {b"YUYV": {(640, 480): (30, 15), (1280, 720): (10,)}, b"MJPG": {(1280, 720): (30,), (1920, 1080): (30, 60)},
          b"XYZW": {(64, 64): (1,)}}


class Kernel:
    """Answers as linux/videodev2.h says, with byte offsets counted by hand from that header."""

    def __init__(self, formats: dict[bytes, Any] = WEBCAM, *, name: bytes = b"HD Webcam",
                 capabilities: int = 1) -> None:
        self.formats, self.name, self.capabilities = formats, name, capabilities

    def __call__(self, handle: int, request: int, buffer: bytearray, mutate: bool = True) -> int:
        assert mutate and len(buffer) == request >> 16 & 0x3FFF and request >> 8 & 0xFF == ord("V")
        number, codes = request & 0xFF, list(self.formats)
        if number == 0:  # VIDIOC_QUERYCAP
            assert len(buffer) == 104
            buffer[16:16 + len(self.name)] = self.name
            struct.pack_into("=II", buffer, 84, 0x84200001 | 0x80000000, self.capabilities)
        elif number == 2:  # VIDIOC_ENUM_FMT
            index, kind = struct.unpack_from("=II", buffer)
            assert len(buffer) == 64 and kind == 1
            if index >= len(codes):
                raise OSError(errno.EINVAL, "")
            buffer[44:48] = codes[index]
        elif number == 74:  # VIDIOC_ENUM_FRAMESIZES
            index, sizes = struct.unpack_from("=I", buffer)[0], self.formats[bytes(buffer[4:8])]
            assert len(buffer) == 44
            if isinstance(sizes, tuple) and index == 0:
                struct.pack_into("=I6I", buffer, 8, 3, *sizes)
            elif isinstance(sizes, dict) and index < len(sizes):
                struct.pack_into("=III", buffer, 8, 1, *list(sizes)[index])
            else:
                raise OSError(errno.EINVAL, "")
        else:  # VIDIOC_ENUM_FRAMEINTERVALS
            index, sizes = struct.unpack_from("=I", buffer)[0], self.formats[bytes(buffer[4:8])]
            assert number == 75 and len(buffer) == 52
            rates = sizes[struct.unpack_from("=II", buffer, 8)] if isinstance(sizes, dict) else (25,)
            if index >= len(rates):
                raise OSError(errno.EINVAL, "")
            struct.pack_into("=III", buffer, 16, 1, 1001, rates[index] * 1001)
        return 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("video10", "video2", "videotape", "null"):
        (tmp_path / name).touch()
    return tmp_path


def test_formats_are_read_as_the_kernel_lays_them_out(folder: Path) -> None:
    name, formats = query(str(folder / "video2"), Kernel()) or ("", ())
    assert name == "HD Webcam"
    assert [str(f) for f in formats] == ["1280x720 30 fps mjpeg", "1920x1080 60 fps mjpeg", "640x480 30 fps yuyv422",
                                         "1280x720 10 fps yuyv422"]


def test_any_size_within_limits_is_listed_by_common_ones(folder: Path) -> None:
    found = query(str(folder / "video2"), Kernel({b"YUYV": (320, 1280, 1, 240, 720, 1)}))
    assert found is not None and [str(f) for f in found[1]] == ["640x480 25 fps yuyv422", "1280x720 25 fps yuyv422"]
    found = query(str(folder / "video2"), Kernel({b"GREY": (16, 200, 1, 16, 100, 1)}))
    assert found is not None and [(f.width, f.height) for f in found[1]] == [(200, 100)]


def test_devices_that_are_no_cameras_are_left_out(folder: Path) -> None:
    def ioctl(handle: int, request: int, buffer: bytearray, mutate: bool = True) -> int:
        raise OSError(errno.ENOTTY, "")

    assert list_cameras(folder, ioctl) == []
    assert list_cameras(folder, Kernel(capabilities=0x2)) == []  # output only
    assert list_cameras(folder / "nowhere", Kernel()) == []
    assert [(c.index, c.address, c.name) for c in list_cameras(folder, Kernel())] == [
        (2, str(folder / "video2"), "HD Webcam"), (10, str(folder / "video10"), "HD Webcam")]
    (folder / "video2").unlink()
    (folder / "video2").symlink_to("gone")
    assert [c.index for c in list_cameras(folder, Kernel())] == [10]


CAMERAS = [CameraDevice(0, "/dev/video0", "Integrated Camera", ()), CameraDevice(4, "/dev/video4", "USB Camera", ())]


@pytest.mark.parametrize(("text", "url", "kind"), [
    ("0", "/dev/video0", "v4l2"), ("4", "/dev/video4", "v4l2"), ("/dev/video4", "/dev/video4", "v4l2"),
    ("usb", "/dev/video4", "v4l2"), ("Integrated Camera", "/dev/video0", "v4l2"),
    ("rtsp://user:secret@host/live", "rtsp://user:secret@host/live", None),
    ("lavfi:testsrc=rate=30,realtime", "testsrc=rate=30,realtime", "lavfi")])
def test_a_text_means_a_camera(text: str, url: str, kind: str | None) -> None:
    found = find_camera(text, CAMERAS)
    assert (found.url, found.format) == (url, kind)
    assert "secret" not in found.name


@pytest.mark.parametrize(("text", "error", "message"), [
    ("1", MediaError, "expected one of: 0 .Integrated Camera., 4 .USB Camera."), ("camera", InputError, "fits several"),
    ("", MediaError, "no camera, file or address"), ("gopher://x", InputError, "kind gopher"),
    ("file:///etc/passwd", InputError, "kind file")])
def test_what_means_no_camera_is_told(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        find_camera(text, CAMERAS)


def test_without_any_camera_the_demo_is_named() -> None:
    with pytest.raises(MediaError, match="this machine has no camera.*rtface live --source demo"):
        find_camera("0", [])


def test_the_best_format_is_near_in_size_fast_enough_and_not_compressed() -> None:
    raw, slow = CameraFormat(640, 480, 30, "yuyv422"), CameraFormat(1280, 720, 10, "yuyv422")
    small, large = CameraFormat(640, 480, 30, "mjpeg"), CameraFormat(1280, 720, 60, "mjpeg")
    formats = (slow, small, large, raw)
    assert choose_format(formats, (640, 480), 30) is raw
    assert choose_format(formats, (1280, 720), 30) is large
    assert choose_format(formats, (1280, 720), 10) is slow
    assert choose_format(formats, (4000, 3000), 24) is large
    assert choose_format((), (640, 480), 30) is None
