"""Parts of the video reader: decoding past damage, upright RGB pictures, beginning in the middle of a file."""

from __future__ import annotations

import array
import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from rtface.io.image_folder import over_background

Pixels = NDArray[np.uint8]
_READ_ERRORS_LIMIT: Final = 64
"""Give a file up after so many read errors in a row without a packet between them."""
_GAP_LEAST_FRAMES: Final = 8
_GAP_REGULAR_SHARE: Final = 0.9
"""Gaps are only reported when at least this share of the time steps is the usual one."""
_ONE_FRAME_PER_PACKET: Final = frozenset({"h264", "hevc", "vp9", "av1", "libdav1d"})
"""Codecs with exactly one shown frame in every packet, so that frames can be counted without decoding."""


class Damage:
    """What went wrong while a file was read."""

    def __init__(self) -> None:
        self.lost_packets = 0
        """Packets that could not be decoded."""
        self.discarded = 0
        """Packets that the file itself marks as not to be shown (edit lists)."""
        self._corrupt_frames = 0
        self._corrupt_packets = 0
        self._read_errors = 0
        self._first: dict[str, str] = {}
        self._notes: list[str] = []
        self._times_s = array.array("d")

    def damaged_packet(self) -> None:
        """Count a packet that the container marks as incomplete or damaged."""
        self._corrupt_packets += 1

    def lose_packet(self, packet: Packet[VideoStream], exc: BaseException) -> None:
        """Count a packet that the decoder refused."""
        self.lost_packets += 1
        where = f"near {float(packet.pts * packet.time_base):.2f} s" if packet.pts is not None and packet.time_base \
            else "at an unknown time"
        self._first.setdefault("packet", f"{where}: {getattr(exc, 'strerror', None) or exc}")

    def read_error(self, exc: BaseException) -> None:
        """Count a failure to read the next packet."""
        self._read_errors += 1
        self._first.setdefault("read", str(getattr(exc, "strerror", None) or exc))

    def note_time(self, pts_s: float, *, corrupt: bool) -> None:
        """Tell the time in s of each decoded frame and whether the decoder marked it as damaged."""
        if corrupt:
            self._corrupt_frames += 1
            self._first.setdefault("frame", f"at {pts_s:.2f} s")
        self._times_s.append(pts_s)

    def note_gaps(self) -> None:
        """Look for holes in otherwise regular times: some containers lose packets without telling."""
        steps = np.diff(np.frombuffer(self._times_s, np.float64)) if self._times_s else np.zeros(0)
        if len(steps) < _GAP_LEAST_FRAMES:
            return
        usual = float(np.median(steps))
        if np.mean(np.abs(steps - usual) < max(0.1 * usual, 0.0021)) < _GAP_REGULAR_SHARE:
            return
        holes = np.flatnonzero(steps > 1.75 * usual)
        if len(holes):
            missing = int(np.sum(np.rint(steps[holes] / usual) - 1))
            self.note(f"about {missing} frame(s) are missing in {len(holes)} gap(s) of the times (first after "
                      f"{self._times_s[int(holes[0])]:.2f} s)")

    def note(self, line: str) -> None:
        """Add a line as it is."""
        self._notes.append(line)

    def problems(self, declared_frames: int) -> list[str]:
        """One line per kind of damage. declared_frames: what the header says, 0 if nothing."""
        lines = []
        of = f" of {declared_frames}" if declared_frames else ""
        if self.lost_packets:
            lines.append(f"{self.lost_packets}{of} packet(s) could not be decoded (first {self._first['packet']})")
        if self._corrupt_frames:
            lines.append(f"{self._corrupt_frames} frame(s) decoded from damaged data (first {self._first['frame']})")
        if self._corrupt_packets:
            lines.append(f"{self._corrupt_packets} packet(s) are incomplete or damaged")
        if self._read_errors:
            lines.append(f"{self._read_errors} read error(s) ({self._first['read']})")
        return lines + self._notes


def decode_packets(container: InputContainer, stream: VideoStream, damage: Damage, *,
                   skip_packets: int = 0) -> Iterator[VideoFrame]:
    """Every frame that can be decoded, in presentation order; errors are counted in ``damage`` and passed over.

    skip_packets: number of packets at the start that are not decoded.
    """
    errors_in_a_row = 0
    number = 0
    while True:
        try:
            for packet in container.demux(stream):
                errors_in_a_row = 0
                number += 1
                if number <= skip_packets and packet.size:
                    continue
                damage.discarded += packet.is_discard
                if packet.is_corrupt:
                    damage.damaged_packet()
                try:
                    frames = packet.decode()
                except av.error.FFmpegError as exc:
                    if packet.size:
                        damage.lose_packet(packet, exc)
                    continue
                for frame in frames:
                    if isinstance(frame, VideoFrame):
                        yield frame
            return
        except (av.error.FFmpegError, OSError) as exc:  # the demuxer failed; the next call reads on behind it
            damage.read_error(exc)
            errors_in_a_row += 1
            if errors_in_a_row >= _READ_ERRORS_LIMIT:
                return


@dataclass(frozen=True, slots=True)
class StartPlan:
    """Where to begin decoding so that frames from a start time on are exact in index and time."""

    skip_packets: int
    """Packets before the key frame from which decoding begins."""
    key_pts: int
    """Time stamp of that key frame, in units of the stream."""
    first_time_s: float | None
    """Raw time in s of the first frame of the stream."""
    before: int
    """Frames shown before the key frame."""
    following: tuple[int, ...]
    """Sorted time stamps of the frames from the key frame on, as far as the plan looked."""

    def rank(self, pts: int) -> int:
        """Index in the source of the frame with this time stamp."""
        return self.before + bisect.bisect_left(self.following, pts)


def plan_start(container: InputContainer, stream: VideoStream, start_s: float) -> StartPlan | None:
    """Read packets (without decoding) up to ``start_s`` and find the last key frame before it.

    start_s: s after the stream's start. None when the codec does not keep one frame per packet, when time stamps are
    missing or doubled, or when there is nothing to gain; then all frames must be decoded.
    """
    if stream.codec_context.name not in _ONE_FRAME_PER_PACKET or stream.time_base is None:
        return None
    base = stream.time_base
    shown: list[int] = []
    first_pts = 0
    key: tuple[int, int] | None = None  # packets before it, its time stamp
    number = 0
    origin: float | None = None if stream.start_time is None else float(stream.start_time * base)
    try:
        for packet in container.demux(stream):
            if not packet.size:
                break
            if packet.pts is None or packet.is_corrupt:
                return None
            if origin is None:
                origin = float(packet.pts * base)
            if not number:
                first_pts = packet.pts
            if packet.pts < first_pts or not (number or packet.is_keyframe):
                return None  # the stream begins in the middle of a group: the decoder will drop some frames
            if not packet.is_discard:
                shown.append(packet.pts)
                if packet.is_keyframe and float(packet.pts * base) - origin <= start_s and number:
                    key = (number, packet.pts)
            number += 1
            if packet.dts is not None and float(packet.dts * base) - origin > start_s + 1.0:
                break  # presentation times never lie before decoding times: all earlier frames are known
    except (av.error.FFmpegError, OSError):
        return None
    if key is None or len(set(shown)) != len(shown):
        return None
    skip, key_pts = key
    shown.sort()
    before = bisect.bisect_left(shown, key_pts)
    first_s = float(shown[0] * base)
    return StartPlan(skip, key_pts, first_s if origin is None else min(origin, first_s), before, tuple(shown[before:]))


def to_rgb(frame: VideoFrame, pixel_aspect: float = 1.0, threads: int = 1) -> Pixels:
    """(H, W, 3) uint8 RGB of a decoded frame as stored (not turned); any pixel format, depth, range and matrix.

    pixel_aspect: width over height of a stored pixel; the width is scaled by it. Transparency is shown on white.
    """
    width = max(1, round(frame.width * pixel_aspect)) if pixel_aspect != 1.0 else frame.width
    if any(component.is_alpha for component in frame.format.components):
        rgba = np.asarray(frame.to_ndarray(format="rgba", width=width, threads=threads), np.uint8)
        if int(rgba[:, :, 3].min()) == 255:
            return np.ascontiguousarray(rgba[:, :, :3])
        return over_background(rgba[:, :, :3], rgba[:, :, 3])
    return np.ascontiguousarray(frame.to_ndarray(format="rgb24", width=width, threads=threads), np.uint8)


def _display_matrix(frame: VideoFrame) -> NDArray[np.int64] | None:
    """The four numbers (a, b; c, d) of the display matrix as signs −1, 0, 1; None when absent or not a quarter turn.

    A stored point (x, y) is shown at (a·x + c·y, b·x + d·y), y down.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(data, SideData):
        return None
    values = np.frombuffer(bytes(data), np.int32)[[0, 1, 3, 4]].astype(np.float64)
    scale = np.abs(values).max()
    if not scale:
        return None
    signs = np.rint(values / scale).astype(np.int64).reshape(2, 2)
    return signs if abs(int(signs[0, 0] * signs[1, 1] - signs[0, 1] * signs[1, 0])) == 1 \
        and int(np.abs(signs).sum()) == 2 else None


def upright_transform(pixels: Pixels, frame: VideoFrame) -> Pixels:
    """Turn and mirror a stored picture (H, W, 3) as the frame's display matrix says; C-contiguous.

    All eight combinations of quarter turns and mirrors are applied exactly; other angles are rounded to the nearest
    of them, or ignored when they lie in the middle.
    """
    signs = _display_matrix(frame)
    if signs is None:
        return pixels
    (a, b), (c, d) = signs.tolist()
    if a:  # shown x runs along stored x
        out = pixels[::d, ::a]
    else:  # shown x = c · stored y, shown y = b · stored x
        out = pixels.transpose(1, 0, 2)[::b, ::c]
    return np.ascontiguousarray(out)


def clockwise_turn(frame: VideoFrame) -> int:
    """Clockwise quarter turns in degrees (0, 90, 180, 270) of the display matrix; a mirrored picture is mirrored
    horizontally first."""
    signs = _display_matrix(frame)
    if signs is None:
        return 0
    (a, b), (c, d) = signs.tolist()
    if a * d - b * c < 0:
        a, b = -a, -b
    return {(1, 0): 0, (0, 1): 90, (-1, 0): 180, (0, -1): 270}[(a, b)]
