"""Cameras and network streams as a source (PyAV): every frame with its capture clock, none older than needed.

Why PyAV and not OpenCV's VideoCapture: the wheels of PyAV hold FFmpeg's readers for Video4Linux2, AVFoundation and
DirectShow, so cameras, network streams and files share one decoder, one colour conversion and one set of errors; the
kernel's time stamp of a picture comes through (VideoCapture's frames have none that can be compared with a clock);
and size, rate and encoding are asked for together and told as they are.

Reading happens in a thread of its own, which keeps only the newest picture: a camera that hangs inside the kernel
can hang nobody else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import av
import av.error
from av.container import InputContainer
from av.video.frame import VideoFrame

from rtface.errors import InputError, MediaError
from rtface.io.cameras import STREAM_SCHEMES, WITHOUT, CameraAddress, choose_format
from rtface.io.source import SourceInfo
from rtface.io.video_decode import to_rgb
from rtface.stream import BoundedChannel, ChannelClosed, Worker
from rtface.types import Array, Frame

DEFAULT_SIZE: Final = (640, 480)
DEFAULT_FPS: Final = 30.0
_RETRY_S: Final = 0.5
_FRESH_NS: Final = 1_000_000_000
"""A kernel's time stamp older than this is not believed."""


class Grabbed(NamedTuple):
    """A picture as it came."""

    pixels: Array
    """(H, W, 3) uint8 RGB."""
    captured_ns: int
    """``time.monotonic_ns()`` at its capture, or at its arrival where nobody says."""
    fps: float
    """What the device or stream states; 0: nothing."""
    encoding: str


Grab = Callable[[CameraAddress, tuple[int, int], float], Iterator[Grabbed]]
"""Opens a device and yields its pictures until it ends or fails with MediaError."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a camera may fail before it is an error."""

    open_s: float = 15.0
    """Until the first picture."""
    stall_s: float = 3.0
    """Without a picture; then the camera counts as lost and is opened again."""
    reconnect_s: float = 10.0
    """A lost camera is opened again and again for this long; 0: losing it is an error at once."""


class CameraSource:
    """Frames of a camera or network stream; frame times count from the first frame of an iteration.

    The rule when pictures stop: after ``stall_s`` without one, or when the device reports an error or its end, it is
    opened again every half second; frames go on with their own times (the gap shows in them). After ``reconnect_s``
    it is a MediaError. Reopening is noted in ``problems``. Iterating again goes on with the newest picture.
    """

    def __init__(self, address: CameraAddress, *, size: tuple[int, int] | None = None, fps: float | None = None,
                 patience: Patience | None = None, grab: Grab | None = None) -> None:
        """Open it and wait for its first picture. size: wanted (width, height) px; the nearest one is taken.

        MediaError when it cannot be opened or sends nothing, InputError for values out of range.
        """
        width, height = size or DEFAULT_SIZE
        if not (16 <= width <= 16384 and 16 <= height <= 16384):
            raise InputError(f"--size: got {width}x{height}, expected sides of 16 to 16384 px")
        if fps is not None and not 0 < fps <= 1000:
            raise InputError(f"--fps: got {fps!r}, expected frames per second above 0")
        self._address, self._size, self._fps = address, (width, height), fps or DEFAULT_FPS
        self._patience, self._grab = patience or Patience(), grab or grab_with_pyav
        self._closed = threading.Event()
        self._notes: list[str] = []
        self._earlier_drops = 0
        self._worker = self._start()
        try:
            first = self._receive(self._patience.open_s)
        except _Lost as lost:
            self.close()
            raise MediaError(f"camera {address.name}: {lost}; check that no other program uses it, or {WITHOUT}"
                             ) from lost
        rate = first.fps if 0 < first.fps <= 1000 else None
        height, width = first.pixels.shape[:2]
        self._info = SourceInfo(address.name, "camera", width, height, rate, None, None, 0, first.encoding,
                                f"camera-{address.name}-{width}x{height}")

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def problems(self) -> list[str]:
        """Each time that it was lost and came back."""
        return list(self._notes)

    @property
    def expected_frames(self) -> int | None:
        return None

    @property
    def dropped(self) -> int:
        """Pictures of the current (or last) iteration that were not fetched before the next one came."""
        return self._earlier_drops + self._worker.channel.dropped

    def description(self) -> str:
        """What was negotiated, and what was asked for if that is something else."""
        info = self._info
        rate = f"{info.fps:g} fps" if info.fps else "rate unknown"
        got = f"camera {info.name}: {info.width} × {info.height} px, {rate}, {info.codec}"
        other = (info.width, info.height) != self._size or (info.fps and abs(info.fps - self._fps) > 0.5)
        wanted = f" (asked for {self._size[0]} × {self._size[1]} px, {self._fps:g} fps)"
        return got + wanted * bool(other and self._address.is_device)

    def __iter__(self) -> Iterator[Frame]:
        start_ns, index, last_s = None, 0, -1.0
        self._earlier_drops = -self._worker.channel.dropped  # what came while nobody asked is no loss
        while not self._closed.is_set():
            try:
                grabbed = self._receive(self._patience.stall_s)
            except _Lost as lost:
                if self._closed.is_set():
                    return
                self._reopen(lost)
                continue
            start_ns = grabbed.captured_ns if start_ns is None else start_ns
            last_s = max((grabbed.captured_ns - start_ns) / 1e9, last_s + 1e-4)
            yield Frame(grabbed.pixels, index, last_s, grabbed.captured_ns)
            index += 1

    def _start(self) -> Worker[Grabbed]:
        return Worker("camera", self._grab(self._address, self._size, self._fps),
                      BoundedChannel(1, "drop_oldest")).start()

    def _receive(self, timeout_s: float) -> Grabbed:
        """The newest picture; _Lost when the device fails, ends or keeps silent, and after :meth:`close`."""
        try:
            return self._worker.channel.receive(timeout_s)
        except ChannelClosed as exc:
            raise _Lost("it ended") from exc
        except TimeoutError as exc:
            raise _Lost(f"no picture for {timeout_s:g} s") from exc
        except MediaError as exc:
            raise _Lost(str(exc)) from exc

    def _reopen(self, lost: _Lost) -> None:
        """Try again until pictures come; the first one stays in the channel. MediaError when patience is over."""
        began = time.monotonic()
        name, rule = self._address.name, self._patience
        while True:
            if time.monotonic() - began >= rule.reconnect_s:
                tried = f", and opening it again for {rule.reconnect_s:g} s did not help" if rule.reconnect_s else ""
                raise MediaError(f"camera {name}: got lost ({lost}){tried}; check its cable or network") from lost
            self._worker.channel.cancel()  # a reader that hangs is left behind; it ends with its next picture
            self._earlier_drops += self._worker.channel.dropped
            self._worker = self._start()
            until = time.monotonic() + min(rule.stall_s + _RETRY_S, max(0.05, began + rule.reconnect_s
                                                                        - time.monotonic()))
            while not self._closed.is_set() and time.monotonic() < until:
                if self._worker.channel.level:
                    self._notes.append(f"camera lost ({lost}), back after {time.monotonic() - began:.1f} s")
                    return
                if self._worker.ended:
                    break
                self._closed.wait(0.02)
            if self._closed.wait(_RETRY_S if self._worker.ended else 0):
                return

    def close(self) -> None:
        """Release the camera. Never hangs: a reader stuck in the kernel is left behind after a second."""
        self._closed.set()
        self._worker.stop(1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


class _Lost(Exception):
    """Why there is no next picture."""


def grab_with_pyav(address: CameraAddress, size: tuple[int, int], fps: float) -> Iterator[Grabbed]:
    """Pictures of a device, stream or test picture, decoded one by one without waiting for later ones."""
    with _opened(address, size, fps) as container:
        stream = next(iter(container.streams.video), None)
        if stream is None or stream.codec_context is None:
            raise MediaError("it sends no video that this FFmpeg can decode")
        stream.thread_type = "NONE"  # threads would hold frames back
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        codec = stream.codec_context.name
        encoding = (stream.codec_context.pix_fmt or codec) if codec == "rawvideo" else codec
        kernel_clock = address.format == "v4l2"
        try:
            for frame in container.decode(stream):
                arrived_ns = time.monotonic_ns()
                yield Grabbed(to_rgb(frame), _captured(frame, arrived_ns) if kernel_clock else arrived_ns, rate,
                              encoding)
        except (av.error.FFmpegError, OSError, ValueError) as exc:
            raise MediaError(_reason(exc)) from exc


def _captured(frame: VideoFrame, arrived_ns: int) -> int:
    """The kernel's time of capture (CLOCK_MONOTONIC) where the driver gives one, else the arrival."""
    if frame.pts is not None and frame.time_base is not None:
        stamp_ns = round(frame.pts * frame.time_base * 1_000_000_000)
        if 0 <= arrived_ns - stamp_ns < _FRESH_NS:
            return stamp_ns
    return arrived_ns


@contextmanager
def _opened(address: CameraAddress, size: tuple[int, int], fps: float) -> Iterator[InputContainer]:
    """The device with the wanted size and rate; as it comes where it refuses them."""
    failure: Exception | None = None
    for options in _options(address, size, fps):
        try:
            container: Any = av.open(address.url, format=address.format, options=options, timeout=(10.0, 5.0))
            break
        except (av.error.FFmpegError, OSError, ValueError) as exc:
            failure = failure or exc
    else:
        assert failure is not None
        raise MediaError(f"it cannot be opened ({_reason(failure)})") from failure
    with container:
        yield container


def _options(address: CameraAddress, size: tuple[int, int], fps: float) -> list[dict[str, str]]:
    """What FFmpeg is asked for, best first."""
    if address.format is None:  # a network stream: no playlist may lead to files
        allowed = ",".join((*STREAM_SCHEMES, "rtp", "tcp", "tls", "crypto"))
        return [{"protocol_whitelist": allowed, "rtsp_transport": "tcp", "fflags": "nobuffer", "flags": "low_delay"}]
    if not address.is_device:
        return [{}]
    chosen = choose_format(address.formats, size, fps)
    if chosen is not None:
        width, height, fps = chosen.width, chosen.height, min(chosen.fps or fps, fps)
        name = "input_format" if address.format == "v4l2" else "pixel_format"
        wanted = {"video_size": f"{width}x{height}", "framerate": f"{fps:g}"}
        return [{**wanted, name: chosen.encoding}, wanted, {}]
    wanted = {"video_size": f"{size[0]}x{size[1]}", "framerate": f"{fps:g}"}
    return [wanted, {"framerate": f"{fps:g}"}, {}]


def _reason(exc: BaseException) -> str:
    return str(getattr(exc, "strerror", None) or exc).rstrip(".").lower()
