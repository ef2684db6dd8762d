"""What a video codec does to a picture."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from rtface.errors import MediaError


def through_h264(pixels: NDArray[np.uint8], qp: int) -> NDArray[np.uint8]:
    """A picture (H, W, 3) uint8 RGB after H.264 at a fixed quantiser, 0 (no loss but the colours') to 51; a new array.

    One intra frame with half the colour resolution, as webcams and files have. Sides of odd length are padded by their
    last row and column. MediaError where FFmpeg has no libx264.
    """
    height, width = pixels.shape[:2]
    even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    try:
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = even.shape[1], even.shape[0], "yuv420p"
        encoder.time_base = Fraction(1, 25)
        encoder.options = {"qp": str(qp), "preset": "veryfast", "tune": "zerolatency", "threads": "1"}
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        packets = [*encoder.encode(frame.reformat(format="yuv420p")), *encoder.encode(None)]
        decoder = av.CodecContext.create("h264", "r")
        frames = [*(f for packet in packets for f in decoder.decode(packet)), *decoder.decode(None)]
    except (av.FFmpegError, ValueError) as exc:
        raise MediaError(f"through_h264: got {exc}, expected an FFmpeg with libx264; pip install av has it") from exc
    out = np.asarray(frames[0].to_ndarray(format="rgb24"), np.uint8)
    return np.ascontiguousarray(out[:height, :width])
