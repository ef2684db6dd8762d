"""Which video codecs this FFmpeg reads and writes."""

from __future__ import annotations

from typing import Final

import av

from rtface.io.video_sink import default_encoders

DECODERS: Final = {"h264": ("h264",), "hevc": ("hevc",), "vp9": ("vp9", "libvpx-vp9"),
                   "av1": ("libdav1d", "libaom-av1", "libgav1")}
"""Software decoders by codec; FFmpeg's own av1 decoder only works with a GPU's help."""


def readable_codecs() -> dict[str, bool]:
    """The codecs of most videos, and whether this FFmpeg decodes them."""
    return {codec: any(_has(name, "r") for name in names) for codec, names in DECODERS.items()}


def encoders() -> dict[str, str | None]:
    """The encoder that :class:`rtface.io.VideoSink` takes by file name ending; None: there is none."""
    return {ending: next((name for name in names if _has(name, "w")), None)
            for ending, names in default_encoders().items()}


def ffmpeg() -> str:
    """Versions, such as ``PyAV 18.1.0, libavcodec 62.11.100``."""
    return f"PyAV {av.__version__}, libavcodec {'.'.join(str(n) for n in av.library_versions['libavcodec'])}"


def _has(name: str, mode: str) -> bool:
    try:
        return av.Codec(name, mode).type == "video"  # type: ignore[arg-type]
    except (av.error.FFmpegError, ValueError):
        return False
