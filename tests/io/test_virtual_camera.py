"""Virtual camera, with a module in pyvirtualcam's place."""

from __future__ import annotations

import builtins
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from rtface.errors import InputError, OutputError
from rtface.io.virtual_camera import VirtualCameraSink


class Camera:
    """The part of pyvirtualcam.Camera that is used."""

    made: list[Camera] = []

    def __init__(self, width, height, fps, *, device=None):
        self.width, self.height, self.fps, self.device = width, height, fps, device or "/dev/video10"
        self.pictures, self.closed = [], False
        Camera.made.append(self)

    def send(self, frame):
        assert frame.flags.c_contiguous
        self.pictures.append(frame.copy())

    def close(self):
        self.closed = True


@pytest.fixture
def cameras(monkeypatch):
    Camera.made = []
    monkeypatch.setitem(sys.modules, "pyvirtualcam", SimpleNamespace(Camera=Camera))
    return Camera.made


def test_shows_the_pictures(cameras, person):
    with VirtualCameraSink(fps=25) as sink:
        assert not cameras  # it gets the size of the first picture
        sink.write(person())
        sink.write(person(1))
        (camera,) = cameras
        assert (camera.width, camera.height, camera.fps) == (640, 480, 25) and len(camera.pictures) == 2
        assert sink.report() == "virtualcam /dev/video10: 2 frames shown"
    assert camera.closed
    with pytest.raises(InputError, match="closed"):
        sink.write(person())


def test_shows_what_is_drawn(cameras, person):
    def draw(result):
        return np.full((48, 64, 3), result.frame.index, np.uint8)[:, ::-1]

    with VirtualCameraSink("/dev/video7", draw=draw, size=(64, 48)) as sink:
        assert cameras[0].device == "/dev/video7"  # open at once
        sink.write(person(9))
    assert (cameras[0].pictures[0] == 9).all()


def test_pictures_of_another_size_are_an_error(cameras, person):
    with VirtualCameraSink(size=(320, 240)) as sink, pytest.raises(InputError, match="one camera has one size"):
        sink.write(person())


@pytest.mark.parametrize(("platform", "hint"), [("linux", "modprobe v4l2loopback"), ("darwin", "OBS"),
                                                ("win32", "OBS"), ("plan9", "pyvirtualcam")])
def test_without_a_device_the_way_to_one_is_told(monkeypatch, platform, hint):
    def no_camera(*arguments, **options):
        raise RuntimeError("No camera registered. Did you install\nthe driver?")

    monkeypatch.setitem(sys.modules, "pyvirtualcam", SimpleNamespace(Camera=no_camera))
    monkeypatch.setattr("rtface.io.virtual_camera.sys", SimpleNamespace(platform=platform))
    with pytest.raises(OutputError, match=rf"no usable virtual camera for 640 × 480 px \(No camera .*\); .*{hint}"):
        VirtualCameraSink(size=(640, 480))


def test_without_pyvirtualcam_the_package_is_named(monkeypatch):
    real = builtins.__import__

    def missing(name, *arguments, **options):
        if name == "pyvirtualcam":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(OutputError, match=r"pyvirtualcam.*pip install 'rtface\[virtualcam\]'"):
        VirtualCameraSink()


def test_a_camera_that_goes_away_is_counted_and_the_run_goes_on(cameras, person):
    with VirtualCameraSink() as sink:
        sink.write(person())

        def gone(frame):
            raise RuntimeError("error writing frame: No such device")

        cameras[0].send = gone
        sink.write(person(1))
        sink.write(person(2))
        assert sink.report() == ("virtualcam /dev/video10: 1 frames shown, 2 dropped (error writing frame: No such "
                                 "device 2)")
