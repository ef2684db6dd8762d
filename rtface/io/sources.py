"""Where frames come from: videos, pictures, folders of pictures, arrays.

:func:`open_source` chooses the reader. Every source delivers :class:`rtface.types.Frame` records in order, upright
(rotation metadata applied) and RGB, with the index in the source and the source's own time; it can be iterated more
than once, each time from its start. What could not be decoded is listed in ``problems`` instead of being raised, as
long as there is at least one good frame.
"""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import Final

from rtface.errors import InputError, MediaError
from rtface.io.image_folder import ImageSource
from rtface.io.source import Source
from rtface.io.timeline import Selection
from rtface.io.video_source import VideoSource

PICTURE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})


def open_source(path_or_pattern: str | os.PathLike[str], *, start_s: float | None = None, end_s: float | None = None,
                every: int = 1, fps: float | None = None, after_index: int = -1, threads: int = 1) -> Source:
    """Open a video (mp4, mov, mkv, webm, gif, …), a picture, a folder of pictures or a pattern of picture names.

    path_or_pattern: a pattern may hold ``*``, ``?``, ``[...]`` or ``%04d``; a file of that literal name wins.
    start_s, end_s: deliver frames with start_s ≤ pts_s < end_s (s on the source's clock); indices stay true.
    every: deliver the first of those frames and every ``every``-th after it.
    fps: frames per second of pictures (default 25); a video has its own times.
    after_index: frames up to this source index are passed over, for a run that is resumed.
    threads: decoder threads of a video.

    Raises :class:`MediaError` when there is nothing to read (missing, empty, not a video, audio only, no decoder, no
    frame) and :class:`InputError` for option values out of range.
    """
    if not isinstance(threads, int) or threads < 1:
        raise InputError(f"threads: got {threads!r}, expected a whole number of at least 1")
    if fps is not None and not 0 < fps <= 10_000:
        raise InputError(f"fps: got {fps!r}, expected frames per second above 0")
    selection = Selection(start_s, end_s, every, after_index)
    text = os.fspath(path_or_pattern)
    path = Path(text)
    if not text or "\0" in text:
        raise MediaError(f"got {text!r}, expected the name of a video, a picture or a folder of pictures")
    try:
        if path.is_dir():
            pictures = [p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES
                        and not p.name.startswith(".") and p.is_file()]
            if not pictures:
                raise MediaError(f"{path}: got a folder without pictures, expected {_suffix_list()} files in it")
            return ImageSource(natural_order(pictures), folder=path, fps=fps or 25.0, selection=selection)
        if path.exists():
            if path.suffix.lower() in PICTURE_SUFFIXES:
                return ImageSource([path], folder=None, fps=fps or 25.0, selection=selection)
            return VideoSource(path, selection=selection, threads=threads)
        matches = _pattern_matches(text)
    except OSError as exc:
        raise MediaError(f"{path}: cannot be read ({exc.strerror or exc}); check the path and its permissions"
                         ) from exc
    if matches is None:
        raise MediaError(f"{path}: no such file; expected a video, a picture or a folder of pictures, "
                         "check the spelling")
    if not matches:
        raise MediaError(f"{text}: got a pattern that matches no file, expected names of pictures ({_suffix_list()})")
    foreign = [p.name for p in matches if p.suffix.lower() not in PICTURE_SUFFIXES]
    if foreign:
        raise MediaError(f"{text}: got a pattern that matches {foreign[0]}, expected pictures only ({_suffix_list()}); "
                         "convert videos one by one")
    return ImageSource(natural_order(matches), folder=path.parent, fps=fps or 25.0, selection=selection)


def natural_order(paths: list[Path]) -> list[Path]:
    """Sorted so that numbers in names count as numbers: frame_2 before frame_10."""
    def key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
        parts = re.split(r"(\d+)", path.name.lower())
        return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p], path.name
    return sorted(paths, key=key)


def _suffix_list() -> str:
    return ", ".join(sorted(s[1:] for s in PICTURE_SUFFIXES))


def _pattern_matches(text: str) -> list[Path] | None:
    """Files that a pattern names; None when the text is not a pattern."""
    path = Path(text)
    if re.search(r"%0?\d*d", path.name):
        before, after = re.split(r"%0?\d*d", path.name, maxsplit=1)
        wanted = re.compile(re.escape(before) + r"\d+" + re.escape(after))
        folder = path.parent
        return [p for p in folder.iterdir() if wanted.fullmatch(p.name)] if folder.is_dir() else []
    if any(c in text for c in "*?["):
        return [Path(p) for p in glob.glob(text) if Path(p).is_file()]
    return None
