"""Clips, with or without a truth, and what the pipeline says of them: the curves that ``temporal`` measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rtface.evaluate.dataset import SampleSet
from rtface.evaluate.metrics import match_boxes
from rtface.evaluate.motion import Span
from rtface.evaluate.traces import Curves
from rtface.geometry import FloatArray, boxes_from_landmarks, crops_from_landmarks
from rtface.pipeline import Pipeline
from rtface.types import LANDMARKS, FaceStatus, Frame, FrameResult


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is known of one face in the T frames of a clip."""

    points: FloatArray
    """(T, 68, 2) px; NaN in frames without a label."""
    vectors: FloatArray | None = None
    """(T, 239) in frame px; None where only landmarks are known."""
    hidden: NDArray[np.bool_] | None = None
    """(T,) frames in which nobody could see the face; None: none."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """(T,) frames with a label."""
        known = np.isfinite(self.points.reshape(len(self.points), -1)).all(axis=1)
        return np.asarray(known)

    def seen(self, count: int) -> NDArray[np.bool_]:
        """(count,) frames of a clip in which the face is known to be there for all to see."""
        seen = np.zeros(count, bool)
        seen[:len(self.points)] = (self.known if self.hidden is None else self.known & ~self.hidden)[:count]
        return seen


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Frames to measure on."""

    name: str
    group: str
    """Clips of one group are summed up in one line."""
    fps: float
    frames: Callable[[], AbstractContextManager[Iterable[Frame]]]
    """Opens the clip, anew at each call; MediaError when it cannot be read."""
    origin: Literal["drawn", "real", "labelled"] = "real"
    """Drawn clips have a whole truth, labelled ones landmarks, real ones none."""
    rights: str = "free"
    truths: tuple[Truth, ...] = ()
    """One per face; empty: nothing is known."""
    found: SampleSet | None = None
    """Where problems with the clip's file go."""

    def without_frames(self) -> Clip:
        """All but the pictures, so that those of drawn clips need not stay in memory."""
        return replace(self, frames=_no_frames)


def _no_frames() -> AbstractContextManager[Iterable[Frame]]:
    return nullcontext(())


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Consecutive frames in which one face was measured under one id; n frames."""

    identifier: int
    face: int
    """Row of its truth, −1 without one."""
    frames: NDArray[np.intp]
    """(n,) numbers, each one more than the last."""
    network: FloatArray
    """(n, 68, 2) px of the landmark network."""
    mesh: FloatArray
    """(n, 68, 2) px of the mesh."""
    vectors: FloatArray
    """(n, 239); (n, 0) of systems that have points alone."""
    masks: NDArray[np.uint8] | None
    """(n, S, S) classes of the crop's pixels; None where the chain has no occlusion stage."""
    crops: FloatArray | None
    """(n, 2, 3) crop_from_frame of the masks."""

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One clip as one system sees it."""

    clip: Clip
    count: int
    """Frames."""
    stretches: tuple[Stretch, ...]
    ids: NDArray[np.intp]
    """(faces of the truth, T) id measured there, −1 for none."""
    shown: NDArray[np.bool_]
    """(faces of the truth, T) a face was given out there, be it held or interpolated."""
    spans: tuple[Span, ...]
    """One per id."""
    boxes: dict[int, tuple[list[int], FloatArray]]
    """Per id the frames in which it was measured and its boxes (n, 4) px."""

    def longest(self, face: int = -1) -> Stretch | None:
        """The longest stretch of a face of the truth, or of any (−1)."""
        return max((s for s in self.stretches if face in (-1, s.face)), key=len, default=None)


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """One measured face in one frame."""

    frame: int
    identifier: int
    face: int
    box: FloatArray
    network: FloatArray
    vector: FloatArray
    mask: NDArray[np.uint8] | None


def record(clip: Clip, pipeline: Pipeline, curves: Curves) -> Recording:
    """Run a clip as ``rtface convert`` does, and keep what was measured. MediaError when it cannot be read.

    With a truth, measured boxes that overlap a face's box by at least half are that face; others belong to nobody.
    """
    rows: list[_Row] = []
    ids: list[NDArray[np.intp]] = []
    shown: list[NDArray[np.bool_]] = []
    with clip.frames() as frames, pipeline.run(frames) as results:
        for number, result in enumerate(results):
            measured = np.array([status is FaceStatus.TRACKED for status in result.status], bool)
            owners, given = _owners(clip.truths, number, result.tracks.boxes_xyxy, result.tracks.scores, measured)
            ids.append(np.full(len(clip.truths), -1, np.intp))
            for row, face in owners.items():
                ids[-1][face] = result.tracks.ids[row]
            shown.append(given)
            rows += _rows(number, result, measured, owners)
    return _recording(clip, rows, ids, shown, curves)


def given_points(clip: Clip, count: int, tracks: Sequence[FloatArray], curves: Curves) -> Recording:
    """What another system says of a clip of ``count`` frames: per face (count, 68, 2) px, NaN where it was not found.

    Tracks take the place of ids; faces belong to those of the truth as in :func:`record`.
    """
    rows: list[_Row] = []
    ids: list[NDArray[np.intp]] = []
    shown: list[NDArray[np.bool_]] = []
    points = np.stack(tracks) if tracks else np.zeros((0, count, LANDMARKS, 2), np.float32)
    found = np.asarray(np.isfinite(points).all(axis=(2, 3)))
    for number in range(count):
        here = np.flatnonzero(found[:, number])
        boxes = boxes_from_landmarks(points[here, number].astype(np.float32))
        owners, given = _owners(clip.truths, number, boxes, np.ones(len(here), np.float32), np.ones(len(here), bool))
        ids.append(np.full(len(clip.truths), -1, np.intp))
        for row, face in owners.items():
            ids[-1][face] = here[row]
        shown.append(given)
        rows += [_Row(number, int(track), owners.get(row, -1), boxes[row], points[track, number],
                      np.zeros(0, np.float32), None) for row, track in enumerate(here)]
    return _recording(clip, rows, ids, shown, curves)


def _recording(clip: Clip, rows: Sequence[_Row], ids: Sequence[NDArray[np.intp]], shown: Sequence[NDArray[np.bool_]],
               curves: Curves) -> Recording:
    """Rows in the order of frames; ids and shown: per frame, of the truth's faces."""
    by_id: dict[int, list[_Row]] = {}
    for one in rows:
        by_id.setdefault(one.identifier, []).append(one)
    spans = tuple(Span(i, r[0].frame, r[-1].frame, r[0].box, r[-1].box, len(r)) for i, r in by_id.items())
    stretches = tuple(_stretch(part, curves) for track in by_id.values() for part in _consecutive(track))
    faces = len(clip.truths)
    return Recording(clip.without_frames(), len(ids), stretches,
                     np.stack(ids, axis=1) if ids else np.zeros((faces, 0), np.intp),
                     np.stack(shown, axis=1) if shown else np.zeros((faces, 0), bool), spans,
                     {i: ([one.frame for one in r], np.stack([one.box for one in r])) for i, r in by_id.items()})


def _owners(truths: Sequence[Truth], number: int, boxes: FloatArray, scores: FloatArray,
            measured: NDArray[np.bool_]) -> tuple[dict[int, int], NDArray[np.bool_]]:
    """Measured row → face of the truth, and per face whether anything is given out there."""
    known = [k for k, truth in enumerate(truths) if number < len(truth.points) and truth.known[number]]
    given = np.zeros(len(truths), bool)
    if not known:
        return {}, given
    labels = boxes_from_landmarks(np.stack([truths[k].points[number] for k in known]))
    everything = match_boxes(boxes, scores, labels).reference
    given[[known[k] for k in everything if k >= 0]] = True
    rows = np.flatnonzero(measured)
    hits = match_boxes(boxes[rows], scores[rows], labels).reference
    return {int(row): known[hit] for row, hit in zip(rows, hits, strict=True) if hit >= 0}, given


def _rows(number: int, result: FrameResult, measured: NDArray[np.bool_], owners: dict[int, int]) -> list[_Row]:
    """The measured faces; the occlusion's rows belong to them, in order."""
    occlusion, tracks = result.occlusion, result.tracks
    vectors = result.coefficients.to_vector()
    return [_Row(number, int(tracks.ids[row]), owners.get(int(row), -1), tracks.boxes_xyxy[row], tracks.landmarks[row],
                 vectors[row], None if occlusion is None else occlusion.probability[k].argmax(axis=0).astype(np.uint8))
            for k, row in enumerate(np.flatnonzero(measured))]


def _consecutive(track: Sequence[_Row]) -> list[list[_Row]]:
    """Parts without a missing frame, under one owner, with masks or without."""
    parts: list[list[_Row]] = []
    for one in track:
        if parts and _goes_on(parts[-1][-1], one):
            parts[-1].append(one)
        else:
            parts.append([one])
    return parts


def _goes_on(before: _Row, one: _Row) -> bool:
    return (one.frame == before.frame + 1 and one.face == before.face and (one.mask is None) == (before.mask is None)
            and (one.mask is None or before.mask is None or one.mask.shape == before.mask.shape))


def _stretch(part: Sequence[_Row], curves: Curves) -> Stretch:
    network, vectors = np.stack([one.network for one in part]), np.stack([one.vector for one in part])
    masks = np.stack([one.mask for one in part if one.mask is not None]) if part[0].mask is not None else None
    crops = None if masks is None else crops_from_landmarks(network, masks.shape[-1])
    return Stretch(part[0].identifier, part[0].face, np.array([one.frame for one in part], np.intp), network,
                   curves.mesh_points(vectors) if vectors.shape[1] else network, vectors, masks, crops)
