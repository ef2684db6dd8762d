"""Virtual camera: pictures as a camera that video calls and OBS can choose, by pyvirtualcam."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError, OutputError
from rtface.io.stream_sink import StreamSink, counted
from rtface.types import FrameResult

Draw = Callable[[FrameResult], NDArray[np.uint8]]
"""Result → (H, W, 3) uint8 RGB."""
_DEVICE_HINTS: Final = {
    "linux": "make one with v4l2loopback: sudo apt install v4l2loopback-dkms && sudo modprobe v4l2loopback "
             "devices=1 exclusive_caps=1 card_label=rtface",
    "darwin": "install OBS and start its virtual camera once",
    "win32": "install OBS (it brings a virtual camera) or Unity Capture"}


class VirtualCameraSink(StreamSink):
    """Shows every frame on a virtual camera.

    draw: what to show of a result, such as the mesh over the picture; None: the picture as it came in. The camera gets
    the size of the first picture and keeps it; later ones must have it too.
    """

    def __init__(self, device: str | None = None, *, draw: Draw | None = None, fps: float = 30.0,
                 size: tuple[int, int] | None = None) -> None:
        """device: such as /dev/video10, or None for the first one. size: width and height, to open the camera at once
        instead of with the first frame. OutputError without pyvirtualcam, or without a virtual camera."""
        super().__init__(f"virtualcam {device or ''}".rstrip())
        try:
            import pyvirtualcam
        except ImportError as exc:
            raise OutputError("virtualcam: got no package pyvirtualcam, expected it for this stream; "
                              "pip install 'rtface[virtualcam]'") from exc
        self._module, self._device, self._draw, self._fps = pyvirtualcam, device, draw, fps
        self._camera: Any = None
        self._closed = False
        self.frames = 0
        self.dropped: Counter[str] = Counter()
        if size is not None:
            self._open(*size)

    def _open(self, width: int, height: int) -> None:
        try:
            self._camera = self._module.Camera(width, height, self._fps, device=self._device)
        except (RuntimeError, OSError, ValueError) as exc:
            hint = next((text for name, text in _DEVICE_HINTS.items() if sys.platform.startswith(name)),
                        "see the page of pyvirtualcam")
            raise OutputError(f"virtualcam: got no usable virtual camera{f' {self._device}' if self._device else ''} "
                              f"for {width} × {height} px ({' '.join(str(exc).split())}); {hint}") from exc
        self.name = f"virtualcam {self._camera.device}"

    def write(self, result: FrameResult) -> None:
        """Show one frame."""
        if self._closed:
            raise InputError(f"{self.name}: got a frame after the stream was closed, expected none")
        pixels = np.ascontiguousarray(self._draw(result) if self._draw is not None else result.frame.pixels)
        if self._camera is None:
            self._open(pixels.shape[1], pixels.shape[0])
        if pixels.shape != (self._camera.height, self._camera.width, 3) or pixels.dtype != np.uint8:
            raise InputError(f"{self.name}: got a picture {pixels.dtype}{pixels.shape}, expected uint8 "
                             f"({self._camera.height}, {self._camera.width}, 3); one camera has one size")
        try:
            self._camera.send(pixels)
            self.frames += 1
        except (RuntimeError, OSError) as exc:  # the device went away
            self.dropped[" ".join(str(exc).split()) or type(exc).__name__] += 1

    def close(self) -> None:
        """Take the camera away."""
        self._closed = True
        camera, self._camera = self._camera, None
        if camera is not None:
            with contextlib.suppress(RuntimeError, OSError):
                camera.close()

    def report(self) -> str:
        return f"{self.name}: {self.frames} frames shown{counted(self.dropped)}"
