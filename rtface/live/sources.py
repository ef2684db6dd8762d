"""What ``--source`` means: a camera, an address, a file, or the clip that rtface draws itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from rtface.errors import InputError
from rtface.io import CameraSource, PacedSource, Source, SyntheticSource, find_camera, open_source
from rtface.io.cameras import TEST_PICTURE

DEMO: Final = "demo"
DEMO_FRAMES: Final = 90
DEMO_SEED: Final = 11


class LiveSource(NamedTuple):
    """A source and how it is to be run."""

    source: Source
    """The caller's to close."""
    live: bool
    """Frames come at their own pace and old ones are dropped; else every frame is waited for and processed."""
    description: str
    """One line for people: what it is, size and rate."""


def open_live_source(text: str, *, size: tuple[int, int] | None = None, fps: float | None = None,
                     realtime: bool = False, say: Callable[[str], None] = lambda line: None) -> LiveSource:
    """text: ``demo``, a file or folder of pictures, or what :func:`rtface.io.find_camera` takes.

    size (width, height) px and fps: wanted of a camera, and of the demo clip. realtime: a file is played at its own
    pace, else as fast as it can be processed. say: told what takes time. MediaError, InputError.
    """
    if text == DEMO:
        say(f"drawing a clip of {DEMO_FRAMES} frames")
        demo = demo_source(size or (640, 480), fps or 30.0)
        return LiveSource(demo, True, f"demo clip, back and forth: {_facts(demo)}")
    if _is_file(text):
        if size is not None or fps is not None:
            raise InputError(f"--size, --fps: got them with the file {text}, expected a camera; a file has its own")
        video = open_source(text)
        if not realtime:
            return LiveSource(video, False, f"{_facts(video)}; every frame, as fast as it goes")
        return LiveSource(PacedSource(video), True, f"{_facts(video)}; at its own pace")
    if realtime:
        raise InputError(f"--realtime: got it with {text!r}, which is no file; a camera has its own pace, leave it out")
    camera = CameraSource(find_camera(text), size=size, fps=fps)
    return LiveSource(camera, True, camera.description())


def _is_file(text: str) -> bool:
    """Names a file, a folder or a pattern of pictures, and neither a camera nor an address."""
    if "://" in text or text.startswith(TEST_PICTURE) or re.fullmatch(r"\d+|/dev/video\d+", text):
        return False
    return any(c in text for c in "*?%") or Path(text).exists()


def demo_source(size: tuple[int, int], fps: float) -> SyntheticSource:
    """The clip of ``rtface demo`` without end, played forth and back so that it has no cuts, at ``fps``."""
    from rtface.synth.clip import demo_clip

    width, height = size
    pictures = list(demo_clip(DEMO_SEED, frames=DEMO_FRAMES, height=height, width=width))
    period = 2 * len(pictures) - 2
    return SyntheticSource(lambda k: pictures[min(k % period, period - k % period)], None, fps, realtime=True)


def parse_size(text: str | None) -> tuple[int, int] | None:
    """``640x480`` → (640, 480) px; InputError for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text)
    if match is None:
        raise InputError(f"--size: got {text!r}, expected WIDTHxHEIGHT such as 640x480")
    return int(match[1]), int(match[2])


def _facts(source: Source) -> str:
    info = source.info
    return f"{info.name}, {info.width} × {info.height} px" + (f", {info.fps:g} fps" if info.fps else "")
