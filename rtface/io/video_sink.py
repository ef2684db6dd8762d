"""Pictures with times → a video file with exactly those times."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import av.error
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from rtface.errors import InputError, OutputError
from rtface.io.atomic import check_output_folder, output_error, sync_file, temporary_path

Pixels = NDArray[np.uint8]

_CONTAINERS: Final = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
_CODECS: Final = {"webm": ("libvpx-vp9", "libvpx")}
_DEFAULT_CODECS: Final = ("libx264", "libopenh264", "h264_videotoolbox", "mpeg4")
_PIECES: Final = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000",
                  "cluster_time_limit": "500", "flush_packets": "1"}
"""Options of mp4, mov (fragments, µs) and of Matroska, webm (clusters, ms); each takes those it knows."""
_TICKS_PER_S: Final = 120_000
"""Multiple of 24, 25, 30, 50, 60 and of their 1000/1001 variants, so that common times are exact."""
_MPEG4_TICKS_PER_S: Final = 60_000  # MPEG-4 allows at most 65535


class VideoSink:
    """Encodes pictures at the times given with them; a variable frame rate stays variable.

    path: .mp4, .mov, .mkv or .webm. codec: encoder name; None = H.264 where FFmpeg has it, else MPEG-4 (VP9 for
    .webm). fps: nominal rate, only for the header and the length of the last frame. quality: 0 (worst) to 100.
    threads: encoder threads. origin_s: subtracted from all times (0 keeps the source's own times). streaming: for
    recordings that a kill must not cost: the file has its name from the first picture on, no picture waits in the
    encoder, and pieces of half a second are written out, each of which can be read without what follows.

    The first picture fixes the size, padded at the right and bottom to even numbers by repeating the edge; pictures of
    another size are scaled to fit and centred on black. The file has a temporary name until :meth:`finish`.
    Raises :class:`OutputError` when the disk or the encoder refuses, :class:`InputError` for wrong values.
    """

    def __init__(self, path: str | os.PathLike[str], *, fps: float | None = None, codec: str | None = None,
                 quality: int = 75, threads: int = 1, origin_s: float = 0.0, streaming: bool = False) -> None:
        self._path = Path(path)
        container = _CONTAINERS.get(self._path.suffix.lower())
        if container is None:
            raise InputError(f"{self._path}: got a video name ending in {self._path.suffix or 'nothing'!r}, expected "
                             f"{', '.join(_CONTAINERS)}")
        if not 0 <= quality <= 100:
            raise InputError(f"quality: got {quality}, expected 0 to 100")
        if fps is not None and not 0 < fps <= 10_000:
            raise InputError(f"fps: got {fps!r}, expected frames per second above 0")
        check_output_folder(self._path.parent)
        self._format, self._fps, self._threads = container, fps or 25.0, threads
        self._quality, self._origin_s = quality, origin_s
        self._codec = _choose_codec(container, codec)
        self._streaming = streaming
        self._temporary = self._path if streaming else temporary_path(self._path)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._size = (0, 0)
        self._last_ticks: int | None = None
        self._finished = False
        self._files: list[Path] = []

    @property
    def codec(self) -> str:
        """Name of the encoder in use."""
        return self._codec

    def write(self, pixels: Pixels, pts_s: float) -> None:
        """Append one picture (H, W, 3) uint8 RGB shown from ``pts_s`` s on; times must increase."""
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise InputError(f"{self._path}: got a picture {pixels.dtype}{pixels.shape}, expected uint8 (H, W, 3)")
        if self._finished:
            raise InputError(f"{self._path}: got a picture after the video was finished")
        with self._errors():
            if self._stream is None:
                self._start(pixels.shape[1], pixels.shape[0])
            assert self._stream is not None and self._stream.codec_context.time_base is not None
            base = self._stream.codec_context.time_base
            ticks = round((pts_s - self._origin_s) / base)
            if ticks < 0 or (self._last_ticks is not None and ticks <= self._last_ticks):
                before = f"{float(self._last_ticks * base):.6f} s" if self._last_ticks is not None else "0 s"
                raise InputError(f"{self._path}: got a picture at {pts_s - self._origin_s:.6f} s after {before}, "
                                 "expected increasing times from 0 s on")
            self._last_ticks = ticks
            frame = VideoFrame.from_ndarray(_fit(pixels, *self._size), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709,
                                   dst_color_range=ColorRange.MPEG, threads=self._threads)
            frame.pts, frame.time_base = ticks, base
            frame.duration = round(1 / (self._fps * base))
            self._mux(frame)

    def _start(self, width: int, height: int) -> None:
        self._size = (width + width % 2, height + height % 2)
        self._container = av.open(os.fspath(self._temporary.absolute()), "w", format=self._format,
                                  container_options=_PIECES if self._streaming else {})
        rate = Fraction(self._fps).limit_denominator(1001)
        stream = self._container.add_stream(self._codec, rate=rate)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        ticks = _MPEG4_TICKS_PER_S if self._codec == "mpeg4" else _TICKS_PER_S
        stream.codec_context.time_base = stream.time_base = Fraction(1, ticks)
        stream.codec_context.thread_count = self._threads
        for name in ("colorspace", "color_primaries", "color_trc"):
            setattr(stream.codec_context, name, 1)  # BT.709
        stream.codec_context.color_range = 1  # limited
        if self._codec in ("libx264", "libvpx-vp9", "libvpx"):
            worst = 51 if self._codec == "libx264" else 63
            options: dict[str, object] = {"crf": str(round(worst - 0.6 * worst * self._quality / 75))}
            options |= {"preset": "veryfast"} if self._codec == "libx264" else \
                {"deadline": "realtime", "cpu-used": "6", "b": "0"}
            if self._streaming:
                options |= {"tune": "zerolatency"} if self._codec == "libx264" else {"lag-in-frames": "0"}
            stream.options = options
        else:
            stream.codec_context.bit_rate = round(self._size[0] * self._size[1] * self._fps * self._quality / 250)
        self._stream = stream

    def _mux(self, frame: VideoFrame | None) -> None:
        assert self._container is not None and self._stream is not None
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """FFmpeg's and the system's errors → OutputError; the temporary file is removed."""
        try:
            yield
        except InputError:
            raise
        except (av.error.FFmpegError, OSError) as exc:
            self.abort()
            if isinstance(exc, OutputError):
                raise
            if getattr(exc, "errno", None) in errno.errorcode:
                raise output_error(self._path, exc) from exc
            raise OutputError(f"cannot write {self._path}: the encoder {self._codec} refused "
                              f"({getattr(exc, 'strerror', None) or exc}); choose another codec or size") from exc

    def finish(self) -> list[Path]:
        """Encode what is waiting and give the file its final name; without any picture there is no file."""
        if self._finished or self._container is None:
            self._finished = True
            return list(self._files)
        with self._errors():
            self._mux(None)
            container, self._container = self._container, None
            container.close()
            sync_file(self._temporary)
            if not self._streaming:
                os.replace(self._temporary, self._path)
        self._finished = True
        self._files = [self._path]
        return list(self._files)

    def abort(self) -> None:
        """Remove the temporary file; a streaming one stays as far as it was written."""
        self._finished = True
        container, self._container, self._stream = self._container, None, None
        if container is not None:
            with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
                container.close()
        if not self._streaming:
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)


def default_encoders() -> dict[str, tuple[str, ...]]:
    """Encoders by file name ending, the preferred one first."""
    return {ending: _CODECS.get(container, _DEFAULT_CODECS) for ending, container in _CONTAINERS.items()}


def _choose_codec(container: str, wanted: str | None) -> str:
    """The wanted encoder, or the first one that this FFmpeg has for the container."""
    candidates = (wanted,) if wanted is not None else _CODECS.get(container, _DEFAULT_CODECS)
    for name in candidates:
        try:
            codec = av.Codec(name, "w")
        except (av.error.FFmpegError, ValueError):
            continue
        if codec.type == "video":
            return codec.name
    raise OutputError(f"got no encoder {' or '.join(candidates)} in this FFmpeg, expected one for {container}; choose "
                      "another codec or another file name ending")


def _fit(pixels: Pixels, width: int, height: int) -> Pixels:
    """Pad a picture (H, W, 3) to (height, width, 3); another size is scaled to fit and centred on black."""
    h, w = pixels.shape[:2]
    if (h, w) == (height, width):
        return np.ascontiguousarray(pixels)
    if height - 1 <= h <= height and width - 1 <= w <= width:
        return np.pad(pixels, ((0, height - h), (0, width - w), (0, 0)), mode="edge")
    scale = min(width / w, height / h)
    size = (max(1, min(width, round(w * scale))), max(1, min(height, round(h * scale))))
    small = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA if scale < 1
                       else cv2.INTER_LINEAR)
    out = np.zeros((height, width, 3), np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    out[top:top + size[1], left:left + size[0]] = small
    return out
