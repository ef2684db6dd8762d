"""Contact sheets: pictures side by side, for people to look at before they read figures.

Pictures whose rights are not ``free`` may be written only outside of every git working tree, and people see that they
are private: see :func:`private_folder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.geometry import FloatArray
from rtface.io import check_output_folder, write_atomic

Pixels = NDArray[np.uint8]
SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".webp")
GAP: Final = 4
LINE: Final = 18
INK: Final = (235, 235, 235)
GROUND: Final = 24
JPEG_QUALITY: Final = 85


def private_folder(path: Path) -> Path:
    """The folder, made and writable; InputError where it lies inside a git working tree.

    Non-free pictures must not be committed by accident.
    """
    resolved = Path(path).resolve()
    for parent in (resolved, *resolved.parents):
        if (parent / ".git").exists():
            raise InputError(f"{path}: got a folder inside the git working tree {parent}, expected one outside of any: "
                             f"pictures that are not free must not be committed; try a folder in your home")
    return check_output_folder(resolved)


def sheet_path(path: Path) -> Path:
    """``path`` if a picture can be written under this name; InputError otherwise."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: got a picture name ending in {path.suffix or 'nothing'!r}, expected "
                         f"{', '.join(SUFFIXES)}")
    check_output_folder(path.resolve().parent)
    return path


class View(NamedTuple):
    """A part of a picture in a cell of a sheet."""

    left: int
    top: int
    right: int
    bottom: int
    width: int
    """px of the cell."""
    height: int

    @classmethod
    def around(cls, boxes_xyxy: FloatArray, frame: tuple[int, int], width: int, height: int, reach: float) -> View:
        """What shows boxes (M, 4) px with ``reach`` times their extent, in the cell's shape, cut to the frame.

        frame: its width and height; without boxes all of it is shown.
        """
        if not len(boxes_xyxy) or not np.isfinite(boxes_xyxy).all():
            return cls(0, 0, *frame, width, height)
        low, high = boxes_xyxy[:, :2].min(axis=0), boxes_xyxy[:, 2:].max(axis=0)
        center = np.clip((low + high) / 2, 0, frame)
        half_height = max(float((high - low)[1]), float((high - low)[0]) * height / width, 8.0) * reach / 2
        half = np.minimum([half_height * width / height, half_height], np.array(frame) / 2)
        center = np.clip(center, half, np.array(frame) - half)
        left, top = np.floor(center - half).clip(0).astype(int).tolist()
        right, bottom = np.minimum(np.ceil(center + half).astype(int), frame).tolist()
        return cls(left, top, right, bottom, width, height)

    def cut(self, pixels: Pixels) -> Pixels:
        """The cell of a picture."""
        return fit(pixels[self.top:self.bottom, self.left:self.right], self.width, self.height)

    def place(self, points: FloatArray) -> FloatArray:
        """Points (P, 2) px of the picture in the cell."""
        size = np.array([self.right - self.left, self.bottom - self.top])
        scale = min(self.width / size[0], self.height / size[1])
        shift = (np.array([self.width, self.height]) - size * scale) / 2
        placed: FloatArray = ((points - [self.left, self.top]) * scale + shift).astype(np.float32)
        return placed


def fit(pixels: Pixels, width: int, height: int) -> Pixels:
    """Scale a picture (H, W, 3) into (height, width, 3), on a plain ground."""
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = cv2.resize(np.ascontiguousarray(pixels), size,
                       interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    out = np.full((height, width, 3), GROUND, np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    out[top:top + size[1], left:left + size[0]] = small
    return out


def with_points(pixels: Pixels, points: FloatArray, color: tuple[int, int, int]) -> Pixels:
    """A copy of a picture with dots at points (P, 2) px; those that are not finite are left out."""
    out = np.ascontiguousarray(pixels).copy()
    radius = max(1, round(max(out.shape[:2]) / 320))
    for x, y in points[(np.abs(points) < 1e5).all(axis=1)]:
        cv2.circle(out, (int((x - 0.5) * 16), int((y - 0.5) * 16)), radius * 16, color, -1, cv2.LINE_AA, 4)
    return out


def with_boxes(pixels: Pixels, boxes_xyxy: FloatArray, color: tuple[int, int, int]) -> Pixels:
    """A copy of a picture with outlines of boxes (M, 4) px."""
    out = np.ascontiguousarray(pixels).copy()
    width = max(1, round(max(out.shape[:2]) / 250))
    for x0, y0, x1, y1 in np.clip(boxes_xyxy, -1e4, 1e4).round().astype(int).tolist():
        cv2.rectangle(out, (x0, y0), (x1, y1), color, width)
    return out


def labelled(pixels: Pixels, text: str) -> Pixels:
    """The picture with a line of text above it."""
    line = np.full((LINE, pixels.shape[1], 3), GROUND, np.uint8)
    cv2.putText(line, text.encode("ascii", "replace").decode(), (3, LINE - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1,
                cv2.LINE_AA)
    return np.concatenate([line, pixels])


def grid(cells: Sequence[Pixels], columns: int) -> Pixels:
    """Cells of equal size in rows from the left; InputError without any."""
    if not cells:
        raise InputError("sheet: got no picture to show, expected at least one")
    height, width = cells[0].shape[:2]
    rows = -(-len(cells) // columns)
    out = np.full((rows * (height + GAP) - GAP, min(columns, len(cells)) * (width + GAP) - GAP, 3), GROUND, np.uint8)
    for k, cell in enumerate(cells):
        top, left = k // columns * (height + GAP), k % columns * (width + GAP)
        out[top:top + height, left:left + width] = cell
    return out


def write_picture(path: Path, pixels: Pixels) -> None:
    """Encode by the name's ending and write, whole or not at all. Raises OutputError."""
    options: list[Any] = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix.lower() in (".jpg", ".jpeg") else []
    done, data = cv2.imencode(path.suffix.lower(), np.ascontiguousarray(pixels[:, :, ::-1]), options)
    if not done:
        raise InputError(f"{path}: OpenCV cannot write this kind of picture, expected {', '.join(SUFFIXES)}")
    write_atomic(path, np.asarray(data).tobytes())
