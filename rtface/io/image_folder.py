"""Pictures as a source: one file, a folder or a pattern of names, at a chosen frame rate."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.errors import MediaError
from rtface.io.source import SourceInfo, fingerprint
from rtface.io.timeline import Picker, Selection
from rtface.types import Frame

Pixels = NDArray[np.uint8]
_ALPHA_BACKGROUND: Final = 255  # transparent parts are shown on white, as picture viewers do


class ImageSource:
    """Pictures in the given order; the i-th is frame ``i`` at ``i / fps`` s. Sizes may differ.

    A picture that cannot be decoded is named in ``problems`` and delivered as a black frame of the size of the one
    before (or of the first good one), so that every file is accounted for. folder: only for the name of the source.
    Raises :class:`MediaError` when none of the pictures can be read.
    """

    def __init__(self, paths: Sequence[Path], *, folder: Path | None, fps: float,
                 selection: Selection | None = None) -> None:
        self._paths, self._fps = list(paths), fps
        self._selection = selection or Selection()
        self._problems: list[str] = []
        first = None
        for path in self._paths:
            try:
                first = read_picture(path)
                break
            except MediaError as exc:
                error = exc
        if first is None:
            if len(self._paths) == 1:
                raise error
            raise MediaError(f"{folder or self._paths[0]}: none of the {len(self._paths)} pictures can be read; the "
                             f"last one: {error}") from error
        suffixes = sorted({p.suffix.lower()[1:] for p in self._paths})
        name = (folder.resolve().name or os.fspath(folder)) if folder is not None else self._paths[0].name
        self._info = SourceInfo(name, "images" if folder is not None else "image", first.shape[1], first.shape[0], fps,
                                len(self._paths), len(self._paths) / fps, 0, "+".join(suffixes),
                                fingerprint(self._paths))

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def problems(self) -> list[str]:
        """One line for each picture of this iteration that could not be read."""
        return list(self._problems)

    @property
    def expected_frames(self) -> int | None:
        return self._selection.expected(len(self._paths), self._fps)

    def __iter__(self) -> Iterator[Frame]:
        self._problems = []
        picker = Picker(self._selection)
        shape = (self._info.height, self._info.width, 3)
        for index, path in enumerate(self._paths):
            pts_s = index / self._fps
            choice = picker.pick(index, pts_s)
            if choice == "stop":
                break
            if choice == "pass":
                continue
            try:
                pixels = read_picture(path)
            except MediaError as exc:
                self._problems.append(f"{exc} (frame {index} is black)")
                pixels = np.zeros(shape, np.uint8)
            shape = (pixels.shape[0], pixels.shape[1], 3)
            yield Frame(pixels, index, pts_s, time.monotonic_ns())
        if not picker.in_range:
            raise no_frames_in_range(self._info, self._selection, len(self._paths) / self._fps)

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def no_frames_in_range(info: SourceInfo, selection: Selection, duration_s: float) -> MediaError:
    """The error for a start and end between which the source has nothing."""
    end = f" and before {selection.end_s:g} s" if selection.end_s is not None else ""
    return MediaError(f"{info.name}: got no frame from {selection.start_s or 0:g} s{end}, expected times within its "
                      f"{duration_s:.3f} s; choose another start or end")


def read_picture(path: Path) -> Pixels:
    """Decode one picture file to (H, W, 3) uint8 RGB, upright.

    16-bit and floating-point values are scaled to 8 bit, gray becomes RGB, transparency is shown on white, the EXIF
    orientation of JPEG files is applied. Raises :class:`MediaError` naming the file.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise MediaError(f"{path}: cannot be read ({exc.strerror or exc}); check the path and its permissions"
                         ) from exc
    if not data:
        raise MediaError(f"{path}: got an empty file, expected a picture")
    flags = cv2.IMREAD_COLOR if data[:3] == b"\xff\xd8\xff" else cv2.IMREAD_UNCHANGED  # JPEG: applies EXIF turns
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as exc:  # for example more pixels than OpenCV's limit
        raise MediaError(f"{path}: cannot be decoded ({str(exc).strip().splitlines()[-1]}); save it again") from exc
    if decoded is None:
        raise MediaError(f"{path}: cannot be decoded, expected a picture that is whole; save it again or remove it")
    return _to_rgb8(np.asarray(decoded))


def _to_rgb8(decoded: NDArray[np.generic]) -> Pixels:
    """(H, W[, 1|2|3|4]) of OpenCV (BGR order, any depth) → (H, W, 3) uint8 RGB, C-contiguous."""
    image = decoded[:, :, None] if decoded.ndim == 2 else decoded
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif image.dtype != np.uint8:
        values: NDArray[Any] = image.astype(np.float32)
        if decoded.dtype.kind in "iu":
            values = values / np.iinfo(decoded.dtype.name).max
        image = np.rint(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)
    pixels = image.astype(np.uint8, copy=False)
    channels = pixels.shape[2]
    color = np.repeat(pixels[:, :, :1], 3, axis=2) if channels < 3 else pixels[:, :, 2::-1]
    if channels in (2, 4):
        color = over_background(color, pixels[:, :, -1])
    return np.ascontiguousarray(color)


def over_background(color: Pixels, alpha: Pixels) -> Pixels:
    """Show (H, W, 3) uint8 with (H, W) uint8 opacity on white: (H, W, 3) uint8."""
    opacity = alpha[:, :, None].astype(np.uint16)
    mixed = color * opacity + _ALPHA_BACKGROUND * (255 - opacity)
    return ((mixed + 127) // 255).astype(np.uint8)
