"""Glass to glass: a clock on the screen, and what the camera's picture of it says when it is on the screen again.

Play a clock (:func:`write_clock`) beside the window of ``rtface live`` whose camera looks at the clock, and record the
screen. Every picture of the recording then shows two clocks: the one that plays, and the older one that went through
the camera, the pipeline and the screen. Their difference is the whole latency; :func:`measure_recording` reads it. The
clocks are QR codes, so no picture that shows two frames at once is misread: it is not read at all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.bench.statistics import QUANTILES, Distribution
from rtface.errors import InputError
from rtface.figures.table import Table
from rtface.io import VideoSink
from rtface.types import Frame

Pixels = NDArray[np.uint8]
SCHEMA: Final = "rtface-bench-glass-1"
_CODE: Final = re.compile(r"RTFACE(\d{10})")
_QUIET: Final = 4
"""Modules of white around a code, as its standard asks for."""
MOST_CODES: Final = 4


def clock_picture(ms: int, height: int = 720, width: int = 720) -> Pixels:
    """(H, W, 3) uint8: a time as a QR code, in digits below. InputError for a negative time or a tiny picture."""
    if not 0 <= ms < 10**10 or min(height, width) < 120:
        raise InputError(f"clock: got {ms} ms in {width}×{height} px, expected 0 to 10^10 ms and at least 120 px")
    code = cv2.QRCodeEncoder.create().encode(f"RTFACE{ms:010d}")
    code = cv2.copyMakeBorder(code, _QUIET, _QUIET, _QUIET, _QUIET, cv2.BORDER_CONSTANT, value=(255.0,))
    room = height - height // 8
    module = max(min(room, width) // len(code), 1)
    code = np.repeat(np.repeat(code, module, axis=0), module, axis=1)
    picture = np.full((height, width, 3), 255, np.uint8)
    top, left = (room - len(code)) // 2, (width - len(code)) // 2
    picture[top:top + len(code), left:left + len(code)] = code[..., None]
    text, scale = f"{ms / 1000:.3f} s", height / 400
    wide = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, max(height // 200, 1))[0][0]
    cv2.putText(picture, text, ((width - wide) // 2, height - height // 24), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0),
                max(height // 200, 1), cv2.LINE_AA)
    return picture


def write_clock(path: Path, seconds: float, fps: float = 60.0) -> None:
    """A video in which every frame shows its own time. Play it at its own speed, without changing its rate."""
    if not 0 < seconds <= 3600 or not 1 <= fps <= 240:
        raise InputError(f"clock: got {seconds} s at {fps} fps, expected up to 3600 s at 1 to 240 fps")
    sink = VideoSink(path, fps=fps)
    try:
        for index in range(round(seconds * fps)):
            sink.write(clock_picture(round(1000 * index / fps)), index / fps)
    except BaseException:
        sink.abort()
        raise
    sink.finish()


def read_clocks(pixels: Pixels) -> list[int]:
    """Times in ms of all clocks that can be read in a picture (H, W, 3) uint8, sorted; each time once."""
    gray = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    found: set[int] = set()
    for scale in (1, 2):  # small codes are found when they are larger
        for _ in range(MOST_CODES):
            picture = gray if scale == 1 else cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            codes = _decode(picture)
            for text, corners in codes:
                if match := _CODE.fullmatch(text):
                    found.add(int(match[1]))
                cv2.fillConvexPoly(gray, np.round(corners / scale).astype(np.int32), 127)  # the next one is another
            if not codes:
                break
        if len(found) > 1:
            break
    return sorted(found)


def _decode(picture: NDArray[Any]) -> list[tuple[str, NDArray[np.float32]]]:
    """Texts and corners (4, 2) px of codes in a grey picture: of several at once, else of the plainest alone."""
    detector = cv2.QRCodeDetector()
    _, texts, corners, _ = detector.detectAndDecodeMulti(picture)
    codes = [(text, np.asarray(quad)) for text, quad in zip(texts, corners if texts else (), strict=True) if text]
    if not codes:
        text, quad, _ = detector.detectAndDecode(picture)
        codes = [(text, np.asarray(quad[0]))] if text else []
    return codes


@dataclass(frozen=True, slots=True)
class GlassReport:
    """What a recording says."""

    latencies_ms: Distribution
    pictures: int
    clocks: dict[int, int]
    """How many pictures showed 0, 1, 2, … clocks that could be read; those with two count."""

    def table(self) -> Table:
        """For people."""
        times, names = self.latencies_ms.document(samples=False), (*QUANTILES, "jitter")
        return Table("Glass to glass, ms", ("pictures", "read", *names),
                     [[self.pictures, times["count"], *(times[name] for name in names)]])

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {"schema": SCHEMA, "pictures": self.pictures, "clocks": {str(k): n for k, n in self.clocks.items()},
                "latency_ms": self.latencies_ms.document(samples=True)}


def measure_recording(frames: Iterable[Frame]) -> GlassReport:
    """Read two clocks in every frame. InputError when no frame shows two."""
    latencies: list[float] = []
    counts: Counter[int] = Counter()
    for frame in frames:
        clocks = read_clocks(frame.pixels)
        counts[len(clocks)] += 1
        if len(clocks) == 2:
            latencies.append(float(clocks[1] - clocks[0]))
    if not latencies:
        seen = ", ".join(f"{n} with {k}" for k, n in sorted(counts.items())) or "none"
        raise InputError(f"glass: got no picture in which two clocks can be read (pictures: {seen}), expected the "
                         f"clock that plays and the camera's picture of it; make both larger and sharper")
    return GlassReport(Distribution.of([latencies]), sum(counts.values()), dict(sorted(counts.items())))
