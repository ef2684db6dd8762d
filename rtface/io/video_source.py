"""Videos as a source (PyAV): upright RGB frames with true indices and times, keeping whatever can be decoded."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from rtface.errors import MediaError
from rtface.io.image_folder import no_frames_in_range
from rtface.io.source import SourceInfo, fingerprint
from rtface.io.timeline import Picker, Selection, Timeline
from rtface.io.video_decode import (
    Damage,
    StartPlan,
    clockwise_turn,
    decode_packets,
    plan_start,
    to_rgb,
    upright_transform,
)
from rtface.types import Frame

_NOT_VIDEO_FORMATS = {"tty": "text", "concat": "a list of files", "hls": "a playlist", "dash": "a playlist"}
_NOT_VIDEO_CODECS = frozenset({"ansi", "bintext", "xbin", "idf"})  # FFmpeg draws text files as pictures
_TRUNCATED_SHARE = 0.02
_MOV_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".3gp"})


class VideoSource:
    """Frames of a video file, each with its index over all decoded frames and its own time (variable rates too).

    selection: which frames to deliver. threads: decoder threads. The file is opened and its first frame decoded at
    construction, and opened again for every iteration. Raises :class:`MediaError` when there is no frame to be had.

    Damage does not stop the reading: packets that cannot be decoded are counted in ``problems``, frames the decoder
    mended and a file that ends early are noted there. Pixels that are not square are made so (the width is scaled),
    transparency is shown on white.
    """

    def __init__(self, path: str | os.PathLike[str], *, selection: Selection | None = None, threads: int = 1) -> None:
        self._path, self._threads = Path(path), threads
        self._selection = selection or Selection()
        self._damage, self._timeline = Damage(), Timeline(0)
        damage = Damage()
        with _open(self._path, threads) as (container, stream):
            first = next(decode_packets(container, stream, damage), None)
            if first is None:
                lost = f" ({'; '.join(damage.problems(0))})" if damage.lost_packets else ""
                raise MediaError(f"{self._path}: got a video without a frame that can be decoded{lost}, expected at "
                                 "least one; the file may be empty or damaged, record or convert it again")
            pixels = upright_transform(to_rgb(first, _pixel_aspect(stream)), first)
            fps = float(stream.average_rate) if stream.average_rate else None
            duration_s, self._duration_is_exact = _duration_s(container, stream)
            count = stream.frames or (round(duration_s * fps) if duration_s and fps else None)
            self._declared_frames = stream.frames
            try:
                mark = fingerprint([self._path])
            except OSError as exc:
                raise MediaError(f"{self._path}: cannot be read ({exc.strerror or exc})") from exc
            self._info = SourceInfo(self._path.name, "video", pixels.shape[1], pixels.shape[0], fps, count or None,
                                    duration_s, clockwise_turn(first), stream.codec_context.name, mark)

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def problems(self) -> list[str]:
        """Damage and repaired times of the current (or last) iteration."""
        return self._damage.problems(self._declared_frames) + self._timeline.problems()

    @property
    def lost_packets(self) -> int:
        """Packets of the current (or last) iteration that could not be decoded."""
        return self._damage.lost_packets

    @property
    def expected_frames(self) -> int | None:
        return self._selection.expected(self._info.frame_count, self._info.fps)

    def __iter__(self) -> Iterator[Frame]:
        frame_s = 1 / self._info.fps if self._info.fps else 0.0
        self._damage = damage = Damage()
        self._timeline = timeline = Timeline(frame_s)
        plan = self._start_plan()
        picker = Picker(self._selection)
        index, pts_s, shown_s = -1, 0.0, frame_s
        with _open(self._path, self._threads) as (container, stream):
            if stream.start_time is not None and stream.time_base is not None:
                timeline.start(float(stream.start_time * stream.time_base))
            if plan is not None and plan.first_time_s is not None:
                timeline.start(plan.first_time_s)
            aspect = _pixel_aspect(stream)
            stopped = False
            for decoded in decode_packets(container, stream, damage, skip_packets=plan.skip_packets if plan else 0):
                if plan is not None and index < 0:
                    if decoded.pts is None or decoded.pts < plan.key_pts:
                        continue  # leading pictures that belong before the key frame
                    index = plan.rank(decoded.pts) - 1
                index += 1
                pts_s = timeline.next(decoded.time)
                shown_s = max(frame_s, float(decoded.duration * (decoded.time_base or 0)))
                damage.note_time(pts_s, corrupt=decoded.is_corrupt)
                choice = picker.pick(index, pts_s)
                if choice == "stop":
                    stopped = True
                    break
                if choice == "take":
                    pixels = upright_transform(to_rgb(decoded, aspect, self._threads), decoded)
                    yield Frame(pixels, index, pts_s, time.monotonic_ns())
        damage.note_gaps()
        if not stopped:
            self._note_early_end(damage, index + 1, pts_s + shown_s)
        if not picker.in_range:
            raise no_frames_in_range(self._info, self._selection, pts_s + frame_s)

    def _start_plan(self) -> StartPlan | None:
        """How to begin near ``start_s`` without decoding what lies before; None = decode from the start."""
        start_s = self._selection.start_s
        if not start_s:
            return None
        with _open(self._path, 1) as (container, stream):
            return plan_start(container, stream, start_s)

    def _note_early_end(self, damage: Damage, frames: int, end_s: float) -> None:
        """Compare what was read with what the file's header says, for files that were cut off."""
        duration_s, fps = self._info.duration_s, self._info.fps
        if self._declared_frames:
            missing = self._declared_frames - frames - damage.lost_packets - damage.discarded
            if missing > max(1, _TRUNCATED_SHARE * self._declared_frames):
                damage.note(f"the file ends early: {frames} of {self._declared_frames} frames are in it")
        elif duration_s and fps:
            tolerance_s = max(2.5 / fps if self._duration_is_exact else 0.5, _TRUNCATED_SHARE * duration_s)
            if end_s < duration_s - tolerance_s:
                damage.note(f"the file ends early: at {end_s:.2f} s of {duration_s:.2f} s")

    def close(self) -> None:
        """Nothing to release: each iteration closes its file when it ends or is dropped."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


@contextlib.contextmanager
def _open(path: Path, threads: int) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and choose its video stream; every failure becomes a :class:`MediaError` with one clear line."""
    try:
        if path.stat().st_size == 0:
            raise MediaError(f"{path}: got an empty file (0 bytes), expected a video")
        # An absolute name cannot be read as a protocol; the list keeps playlists from opening other addresses.
        container = av.open(os.path.abspath(path), options={"protocol_whitelist": "file"})
    except MediaError:
        raise
    except FileNotFoundError as exc:
        raise MediaError(f"{path}: no such file; check the spelling") from exc
    except PermissionError as exc:
        raise MediaError(f"{path}: reading is not permitted; change the file's permissions") from exc
    except (av.error.FFmpegError, OSError, ValueError) as exc:
        hint = ("; a recording that was cut off may lack the index at its end"
                if path.suffix.lower() in _MOV_SUFFIXES else "")
        raise MediaError(f"{path}: got a file that is not a readable video ({_reason(exc)}), expected mp4, mov, mkv, "
                         f"webm, gif or a picture{hint}") from exc
    with container:
        for form in container.format.name.split(","):
            if form in _NOT_VIDEO_FORMATS:
                raise MediaError(f"{path}: got {_NOT_VIDEO_FORMATS[form]}, expected a video file")
        streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not streams:
            kinds = sorted({s.type or "unknown" for s in container.streams})
            only = "only audio" if kinds == ["audio"] or container.streams.video else ", ".join(kinds) or "nothing"
            raise MediaError(f"{path}: got a file without a video stream ({only}), expected a video")
        stream = streams[0]
        if stream.codec_context is None:
            raise MediaError(f"{path}: got a video whose codec this FFmpeg cannot decode; convert it, for example "
                             f"with: ffmpeg -i {path.name} -c:v libx264 converted.mp4")
        if stream.codec_context.name in _NOT_VIDEO_CODECS:
            raise MediaError(f"{path}: got text, expected a video file")
        stream.codec_context.thread_count = threads
        stream.thread_type = "AUTO" if threads > 1 else "NONE"
        yield container, stream


def _reason(exc: BaseException) -> str:
    return str(getattr(exc, "strerror", None) or exc).rstrip(".").lower()


def _pixel_aspect(stream: VideoStream) -> float:
    """Width over height of a stored pixel; 1.0 when unknown or nearly square."""
    ratio = stream.sample_aspect_ratio
    value = float(ratio) if ratio else 1.0
    return value if 0.1 < value < 10 and abs(value - 1) > 0.01 else 1.0


def _duration_s(container: InputContainer, stream: VideoStream) -> tuple[float | None, bool]:
    """Duration in s that the file states, and whether it is that of the video stream itself."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base), True
    text = stream.metadata.get("DURATION", "")  # Matroska: 00:00:04.000000000
    with contextlib.suppress(ValueError):
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds), True
    return (container.duration / av.time_base if container.duration else None), False
