"""Bridge the frames in which a face could not be measured: hold it for a short while, or interpolate."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from rtface.config import GapConfig
from rtface.geometry import box_iou
from rtface.types import REGIONS, Array, Coefficients, FaceStatus, FaceTracks, FrameResult, Occlusion

GHOST_IOU: Final = 0.3
"""A lost face is not held where a measured face overlaps it more than this: it is the same face."""
_ROTATION: Final = slice(-6, -3)
"""Pitch, yaw, roll in the 239 numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """One face as it was last measured, or filled in."""

    identifier: int
    index: int
    pts_s: float
    first_s: float
    """When the face was first measured, or found again after it had been forgotten."""
    box: Array
    score: float
    landmarks: Array
    age: int
    vector: Array
    confidence: float


@dataclass(slots=True)
class _Pending:
    """A frame that may still be waiting for a lost face to come back."""

    result: FrameResult
    missing: dict[int, _Row]
    """Faces that are not in it, as last measured."""
    filled: dict[int, _Row] = field(default_factory=dict)
    """Faces found again later, interpolated to this frame."""


class GapFiller:
    """Adds held and interpolated faces to results that hold measured faces only.

    With ``lookahead`` (files) a frame waits while a face that is missing in it may still come back within
    ``max_gap_s``; otherwise results pass at once, and lost faces can only be held (live). No face is held for longer
    than it was followed before, so that a short mistake stays short. Held and interpolated faces have no visible
    region, and less confidence. Results must have no mesh yet.
    """

    def __init__(self, config: GapConfig | None = None, *, lookahead: bool, faces: int = 2**31) -> None:
        """faces: no more than so many in a frame, measured ones first."""
        self._config = config or GapConfig()
        self._lookahead = lookahead
        self._faces = faces
        self.reset()

    def reset(self) -> None:
        """Forget all faces and waiting frames."""
        self._last: dict[int, _Row] = {}
        self._waiting: deque[_Pending] = deque()

    @property
    def waiting(self) -> int:
        """Frames held back now."""
        return len(self._waiting)

    def push(self, result: FrameResult) -> list[FrameResult]:
        """Take the next frame; returns the frames that are ready, in order (often just this one, maybe none)."""
        now, ready = result.frame.pts_s, list[FrameResult]()
        if result.cut:  # nobody comes back after a cut, and nobody is held into another shot
            ready = self.flush()
            self._last.clear()
        present = {row.identifier: row for row in self._rows(result)}
        for pending in self._waiting:
            for identifier in present.keys() & pending.missing.keys():
                before = pending.missing[identifier]
                if identifier not in pending.filled and now - before.pts_s <= self._config.max_gap_s:
                    pending.filled[identifier] = _between(before, present[identifier], pending.result)
        reach = max(self._config.hold_s, self._config.max_gap_s if self._lookahead else 0.0)
        self._last = {i: row for i, row in self._last.items() if i not in present and 0 <= now - row.pts_s <= reach}
        self._waiting.append(_Pending(result, dict(self._last)))
        self._last |= present
        while self._waiting and not self._blocked(self._waiting[0], now):
            ready.append(self._finish(self._waiting.popleft()))
        return ready

    def flush(self) -> list[FrameResult]:
        """All frames that still wait: the source has ended."""
        ready = [self._finish(pending) for pending in self._waiting]
        self._waiting.clear()
        return ready

    def recall(self, results: Iterable[FrameResult]) -> None:
        """Take over from results already given out (a resumed run): only what was measured in them counts."""
        self.reset()
        for result in results:
            self._last |= {row.identifier: row for row in self._rows(result)}

    def _rows(self, result: FrameResult) -> list[_Row]:
        """The measured faces of a result."""
        tracks, now = result.tracks, result.frame.pts_s
        if not len(tracks):
            return []
        vectors = result.coefficients.to_vector()
        first_s = {i: row.first_s for i, row in self._last.items()}
        return [_Row(i, result.frame.index, now, first_s.get(i, now), tracks.boxes_xyxy[k], float(tracks.scores[k]),
                     tracks.landmarks[k], int(tracks.ages[k]), vectors[k], float(result.confidence[k]))
                for k, i in enumerate(tracks.ids.tolist()) if result.status[k] is FaceStatus.TRACKED]

    def _blocked(self, pending: _Pending, now: float) -> bool:
        if not self._lookahead or len(self._waiting) > self._config.max_buffered:
            return False
        return any(i not in pending.filled and now - row.pts_s <= self._config.max_gap_s
                   for i, row in pending.missing.items())

    def _finish(self, pending: _Pending) -> FrameResult:
        result = pending.result
        added: list[tuple[_Row, FaceStatus]] = []
        for identifier, row in pending.missing.items():
            if identifier in pending.filled:
                added.append((pending.filled[identifier], FaceStatus.INTERPOLATED))
            elif (elapsed := result.frame.pts_s - row.pts_s) <= min(self._config.hold_s, row.pts_s - row.first_s):
                fade = 1 - elapsed / self._config.hold_s if self._config.hold_s else 0.0
                held = replace(row, confidence=row.confidence * fade, age=row.age + result.frame.index - row.index)
                added.append((held, FaceStatus.HELD))
        if added and len(result.tracks):
            measured = result.tracks.boxes_xyxy
            added = [(row, status) for row, status in added
                     if status is FaceStatus.INTERPOLATED or box_iou(row.box[None], measured).max() <= GHOST_IOU]
        added = added[:max(0, self._faces - len(result.tracks))]
        return _with_faces(result, added) if added else result


def _between(before: _Row, after: _Row, result: FrameResult) -> _Row:
    """The face at a frame between two measurements, by time; angles take the shorter way round."""
    share = np.float32((result.frame.pts_s - before.pts_s) / max(after.pts_s - before.pts_s, 1e-9))
    step = after.vector - before.vector
    step[_ROTATION] = (step[_ROTATION] + np.pi) % (2 * np.pi) - np.pi
    vector = before.vector + share * step
    vector[_ROTATION] = (vector[_ROTATION] + np.pi) % (2 * np.pi) - np.pi
    surest = before.confidence + float(share) * (after.confidence - before.confidence)
    return _Row(before.identifier, result.frame.index, result.frame.pts_s, before.first_s,
                before.box + share * (after.box - before.box),
                before.score + float(share) * (after.score - before.score),
                before.landmarks + share * (after.landmarks - before.landmarks),
                before.age + result.frame.index - before.index, vector, 0.5 * surest)


def with_unmeasured(occlusion: Occlusion, count: int, order: Array) -> Occlusion:
    """``count`` more faces, of which nothing is known: all background, an empty mask, nothing visible.

    order: rows of the result by rows of (known, new).
    """
    size = occlusion.mask.shape[-1]
    probability = np.zeros((count, 3, size, size), np.float32)
    probability[:, 0] = 1.0
    more = (probability, np.zeros((count, 1, size, size), np.float32), np.zeros(count, np.float32),
            np.repeat(np.eye(2, 3, dtype=np.float32)[None], count, axis=0))
    old = (occlusion.probability, occlusion.mask, occlusion.visible_fraction, occlusion.crop_from_frame)
    return Occlusion(*(np.concatenate(pair)[order] for pair in zip(old, more, strict=True)))


def _with_faces(result: FrameResult, added: Sequence[tuple[_Row, FaceStatus]]) -> FrameResult:
    """The result with more faces, all by ascending id."""
    rows = [row for row, _ in added]
    old = result.tracks
    ids = np.concatenate([old.ids, np.array([row.identifier for row in rows], np.int32)])
    order = np.argsort(ids, kind="stable")

    def joined(first: Array, more: list[Array] | list[float] | list[int]) -> Array:
        return np.concatenate([first, np.array(more, first.dtype)])[order]

    tracks = FaceTracks(ids[order], joined(old.boxes_xyxy, [row.box for row in rows]),
                        joined(old.scores, [row.score for row in rows]),
                        joined(old.landmarks, [row.landmarks for row in rows]),
                        joined(old.ages, [row.age for row in rows]))
    vectors = joined(result.coefficients.to_vector(), [row.vector for row in rows])
    occlusion = None if result.occlusion is None else with_unmeasured(result.occlusion, len(rows), order)
    status = [*result.status, *(status for _, status in added)]
    return replace(result, tracks=tracks, occlusion=occlusion,
                   coefficients=Coefficients.from_vector(vectors, result.coefficients.basis),
                   regions=joined(result.regions, [np.zeros(len(REGIONS), np.float32)] * len(rows)),
                   confidence=joined(result.confidence, [row.confidence for row in rows]),
                   status=tuple(status[k] for k in order))
