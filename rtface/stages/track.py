"""Follow faces through a video: detect once, then crop from the last landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from rtface.config import TrackerConfig
from rtface.errors import BackendError
from rtface.geometry import (
    FloatArray,
    apply_affine,
    box_iou,
    boxes_from_landmarks,
    crops_from_boxes,
    crops_from_landmarks,
    invert_affine,
)
from rtface.inference import Engine
from rtface.irises import EYES
from rtface.stages.crop import crop_side, sample
from rtface.stages.cut import CutFinder
from rtface.stages.detect import Detections, Searches
from rtface.types import LANDMARKS, Array, FaceTracks, Frame

KEEP_BONUS: Final = 1.5
"""A face that is already followed counts as this many times larger when places are short."""
MIN_INSIDE: Final = 0.25
"""A face with less than this share of its box inside the frame is lost."""

GROWTH: Final = 1.5
"""A face that grows or shrinks more than this from one frame to the next is lost: the points slipped off it."""
SAME_PLACE: Final = 0.5
"""Boxes that share more (intersection over union) are looked at as one."""
SIZE_CHANGE: Final = 3.0
"""A face that is found again has at most this many times its old size, or one part of so many."""


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFaces:
    """Faces of one frame, by ascending id."""

    tracks: FaceTracks
    """``scores`` is the landmark network's presence."""
    visibility: Array
    """(N, 68) float32, 1 where a landmark is not covered."""
    irises: Array
    """(N, 2, 3) float32 of the right and the left eye: x and y in frame px, and 1 where the iris can be seen. A
    landmark network that does not look for irises sees none."""
    detected: bool
    """Whether the detector ran in this frame."""
    cut: bool = False
    """Whether a new shot begins with this frame."""


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    identifier: int
    first_index: int
    """Frame in which the face was first seen."""
    seen_s: float
    """Time of its last measurement."""
    landmarks: FloatArray
    """(68, 2) px at that time."""
    visibility: FloatArray
    presence: float
    irises: FloatArray
    """(2, 3) px and visibility; not kept by snapshots, since no later frame asks for it."""


class _Seen(NamedTuple):
    """One pass of the landmark network; see :class:`_Face`."""

    landmarks: FloatArray
    presence: FloatArray
    visibility: FloatArray
    irises: FloatArray


class FaceTracker:
    """Keeps every face's id and last landmarks; call :meth:`track` frame by frame, in order."""

    def __init__(self, detector: Searches, engine: Engine, config: TrackerConfig | None = None) -> None:
        """engine: input crops (N, 3, S, S), outputs landmarks (N, 68, 2) crop px, presence (N,), visibility (N, 68).

        It may also give irises (N, 2, 2) crop px and iris_visibility (N, 2).
        """
        self._detector = detector
        self._engine = engine
        self._config = config or TrackerConfig()
        self._size = crop_side(engine)
        self._cuts = CutFinder(self._config.cut_change)
        self.reset()

    def reset(self) -> None:
        """Forget all faces; ids start at 0 again."""
        self._faces: list[_Face] = []
        self._lost: list[_Face] = []
        self._refused: list[tuple[float, FloatArray]] = []  # when and where (box, px) a detection was clearly none
        self._next_id = 0
        self._since_detection = self._config.interval_frames
        self._glances = 0
        self._cuts.reset()

    def track(self, frame: Frame) -> TrackedFaces:
        """The faces of the next frame."""
        config = self._config
        if cut := self._cuts.is_cut(frame):
            self._faces, self._lost, self._refused = [], [], []
        followed = self._follow(frame)
        lost_now = [face for face in self._faces if face.identifier not in {f.identifier for f in followed}]
        followed = self._without_duplicates(followed)
        self._lost = [face for face in [*self._lost, *lost_now]
                      if 0 <= frame.pts_s - face.seen_s <= config.forget_s]
        self._since_detection += 1
        due, glance = config.interval_frames, False
        if lost_now or not followed:
            due = 1
        elif len(followed) < config.faces:
            glance = not self._lost  # nobody is known to be missing, but others may come
            due = config.glance_frames if glance else config.search_frames
        detect = self._since_detection >= due
        if detect:
            self._since_detection = 0
            found = self._detector.glance(frame, self._glances) if glance else self._detector.detect(frame)
            self._glances += glance
            followed = self._add_detected(frame, followed, found, patient=glance)
        self._faces = followed
        return TrackedFaces(self._tracks(frame.index), _stack([f.visibility for f in followed], (LANDMARKS,)),
                            _stack([f.irises for f in followed], (EYES, 3)), detect, cut)

    def snapshot(self) -> dict[str, Array]:
        """All state as small arrays, for :meth:`restore`."""
        both = [*self._faces, *self._lost]
        return {"followed": np.array(len(self._faces)), "next_id": np.array(self._next_id),
                "since_detection": np.array(self._since_detection), "glances": np.array(self._glances),
                **self._cuts.snapshot(),
                "ids": np.array([f.identifier for f in both], np.int64),
                "first_index": np.array([f.first_index for f in both], np.int64),
                "seen_s": np.array([f.seen_s for f in both], np.float64),
                "presence": np.array([f.presence for f in both], np.float32),
                "landmarks": _stack([f.landmarks for f in both], (LANDMARKS, 2)),
                "visibility": _stack([f.visibility for f in both], (LANDMARKS,)),
                "refused_s": np.array([refused_s for refused_s, _ in self._refused], np.float64),
                "refused": _stack([box for _, box in self._refused], (4,))}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on after the frame at which :meth:`snapshot` was taken."""
        rows = zip(state["ids"], state["first_index"], state["seen_s"], state["landmarks"], state["visibility"],
                   state["presence"], strict=True)
        unknown = np.zeros((EYES, 3), np.float32)
        both = [_Face(int(i), int(first), float(seen), np.array(points, np.float32), np.array(visible, np.float32),
                      float(presence), unknown) for i, first, seen, points, visible, presence in rows]
        count = int(state["followed"])
        self._faces, self._lost = both[:count], both[count:]
        self._next_id, self._since_detection = int(state["next_id"]), int(state["since_detection"])
        self._glances = int(state["glances"])
        self._cuts.restore(state)
        self._refused = [(float(refused_s), np.array(box, np.float32)) for refused_s, box in zip(
            state["refused_s"], state["refused"], strict=True)]

    def _follow(self, frame: Frame) -> list[_Face]:
        """Measure the faces of the last frame again; those that are gone are left out."""
        if not self._faces:
            return []
        seen = self._measure(
            frame, crops_from_landmarks(np.stack([f.landmarks for f in self._faces]), self._size, close=True))
        boxes = boxes_from_landmarks(seen.landmarks)
        inside = _share_inside(boxes, frame)
        growth = np.sqrt(_areas(boxes) / np.maximum(_areas(_boxes(self._faces)), 1e-6))
        steady = (growth < GROWTH) & (growth > 1 / GROWTH)
        return [replace(face, seen_s=frame.pts_s, landmarks=seen.landmarks[k], visibility=seen.visibility[k],
                        presence=float(seen.presence[k]), irises=seen.irises[k])
                for k, face in enumerate(self._faces)
                if seen.presence[k] >= self._config.min_presence and inside[k] >= MIN_INSIDE and steady[k]]

    def _measure(self, frame: Frame, crop_from_frame: FloatArray) -> _Seen:
        """One landmark pass, M faces in frame px."""
        ids = np.zeros(len(crop_from_frame), np.int32)
        out = self._engine.run(crops=sample(frame, crop_from_frame, ids, self._size).pixels)
        if not np.isfinite(out["landmarks"]).all():
            raise BackendError(f"landmarks: got points that are not finite from {self._engine.backend}, expected "
                               f"numbers; try another --backend, or --precision f32")
        frame_from_crop = invert_affine(crop_from_frame)
        points = apply_affine(frame_from_crop, out["landmarks"])
        irises = np.zeros((len(points), EYES, 3), np.float32)
        if "irises" in out:
            irises[..., :2] = apply_affine(frame_from_crop, out["irises"])
            irises[..., 2] = out["iris_visibility"]
        return _Seen(points.astype(np.float32), out["presence"], out["visibility"], irises)

    def _add_detected(self, frame: Frame, followed: list[_Face], found: Detections, *,
                      patient: bool) -> list[_Face]:
        """What was detected: new faces get two landmark passes and an old or a new id, drifted ones are set right.

        patient: what was clearly no face a moment ago is left alone.
        """
        config, boxes = self._config, found.boxes_xyxy
        boxes = boxes[np.argsort(-_areas(boxes), kind="stable")]
        owner = np.full(len(boxes), -1)  # row of the followed face that a detection is; -1: a new face
        useful = np.ones(len(boxes), bool)
        if followed and len(boxes):
            overlap, iou = _overlap(boxes, _boxes(followed)), box_iou(boxes, _boxes(followed))
            owner = np.where(overlap.max(axis=1) > config.match_overlap, overlap.argmax(axis=1), -1)
            useful = (owner < 0) | (iou.max(axis=1) < config.refit_iou)
        self._refused = [(refused_s, box) for refused_s, box in self._refused
                         if 0 <= frame.pts_s - refused_s < config.retry_s]
        if patient and self._refused and len(boxes):
            useful &= box_iou(boxes, np.stack([box for _, box in self._refused])).max(axis=1) < SAME_PLACE
        boxes, owner = boxes[useful][:config.faces], owner[useful][:config.faces]
        if not len(boxes):
            return followed
        rough = self._measure(frame, crops_from_boxes(boxes, self._size, close=True))
        likely = rough.presence >= config.min_presence_rough
        self._refused += [(frame.pts_s, box) for box in boxes[~likely]]
        boxes, owner = boxes[likely], owner[likely]
        if not len(boxes):
            return followed
        seen = self._measure(frame, crops_from_landmarks(rough.landmarks[likely], self._size, close=True))
        inside = _share_inside(boxes_from_landmarks(seen.landmarks), frame)
        faces = list(followed)
        for k in np.flatnonzero((seen.presence >= config.min_presence_new) & (inside >= MIN_INSIDE)):
            new = _Face(-1, frame.index, frame.pts_s, seen.landmarks[k], seen.visibility[k], float(seen.presence[k]),
                        seen.irises[k])
            if owner[k] >= 0:
                old = faces[owner[k]]
                if new.presence >= old.presence:
                    faces[owner[k]] = replace(new, identifier=old.identifier, first_index=old.first_index)
            elif not faces or _overlap(_boxes([new]), _boxes(faces)).max() <= config.duplicate_overlap:
                faces.append(new)
        return sorted((self._identified(face) for face in self._largest(faces)), key=lambda face: face.identifier)

    def _largest(self, faces: list[_Face]) -> list[_Face]:
        """At most config.faces of them; followed faces that go are lost."""
        if len(faces) <= self._config.faces:
            return faces
        areas = _areas(_boxes(faces)) * [KEEP_BONUS if face.identifier >= 0 else 1.0 for face in faces]
        kept = set(np.argsort(-areas, kind="stable")[:self._config.faces].tolist())
        self._lost += [face for k, face in enumerate(faces) if k not in kept and face.identifier >= 0]
        return [face for k, face in enumerate(faces) if k in kept]

    def _identified(self, face: _Face) -> _Face:
        """The face with an id: that of the lost face it fits best, or a new one."""
        if face.identifier >= 0:
            return face
        center, size = _center_and_size(face)
        best, nearest = None, np.inf
        for other in self._lost:
            if other.seen_s == face.seen_s and not box_iou(_boxes([face]), _boxes([other])).any():
                continue  # both were seen in this frame, apart: two faces
            old_center, old_size = _center_and_size(other)
            distance = float(np.linalg.norm(center - old_center)) / max(size, old_size)
            reach = self._config.reunite_distance * (1 + face.seen_s - other.seen_s)
            if 1 / SIZE_CHANGE < size / old_size < SIZE_CHANGE and distance <= reach and distance < nearest:
                best, nearest = other, distance
        if best is None:
            self._next_id += 1
            return replace(face, identifier=self._next_id - 1)
        self._lost = [other for other in self._lost if other is not best]
        return replace(face, identifier=best.identifier, first_index=best.first_index)

    def _without_duplicates(self, faces: list[_Face]) -> list[_Face]:
        """Keep the older of two faces that lie on one another; the younger one was the same face and is forgotten."""
        if len(faces) < 2:
            return faces
        overlap = _overlap(_boxes(faces), _boxes(faces))
        kept: list[int] = []
        for k in sorted(range(len(faces)), key=lambda k: (faces[k].first_index, faces[k].identifier)):
            if all(overlap[k, other] <= self._config.duplicate_overlap for other in kept):
                kept.append(k)
        return [faces[k] for k in sorted(kept)]

    def _tracks(self, index: int) -> FaceTracks:
        faces = self._faces
        if not faces:
            return FaceTracks.empty()
        landmarks = np.stack([f.landmarks for f in faces])
        return FaceTracks(np.array([f.identifier for f in faces], np.int32), boxes_from_landmarks(landmarks),
                          np.array([f.presence for f in faces], np.float32), landmarks,
                          np.array([index - f.first_index for f in faces], np.int32))


def _boxes(faces: Sequence[_Face]) -> FloatArray:
    return boxes_from_landmarks(np.stack([face.landmarks for face in faces]))


def _areas(boxes_xyxy: FloatArray) -> FloatArray:
    areas: FloatArray = np.prod(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], axis=1)
    return areas


def _overlap(a_xyxy: FloatArray, b_xyxy: FloatArray) -> FloatArray:
    """Intersection over the smaller box, of every pair: (A, 4) and (B, 4) → (A, B). A box inside another gives 1."""
    iou, areas_a, areas_b = box_iou(a_xyxy, b_xyxy), _areas(a_xyxy)[:, None], _areas(b_xyxy)[None]
    shared = iou / (1 + iou) * (areas_a + areas_b)
    return np.asarray(shared / np.maximum(np.minimum(areas_a, areas_b), 1e-6), np.float32)


def _center_and_size(face: _Face) -> tuple[FloatArray, float]:
    box = _boxes([face])[0]
    return (box[:2] + box[2:]) / 2, max(float((box[2:] - box[:2]).max()), 1e-3)


def _share_inside(boxes_xyxy: FloatArray, frame: Frame) -> FloatArray:
    """(N,) share of each box's area that lies in the frame."""
    limit = np.array([frame.width, frame.height], np.float32)
    low, high = np.clip(boxes_xyxy[:, :2], 0, limit), np.clip(boxes_xyxy[:, 2:], 0, limit)
    area = np.prod(np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 1e-3), axis=1)
    share: FloatArray = np.prod(high - low, axis=1) / area
    return share


def _stack(rows: Sequence[FloatArray], shape: tuple[int, ...]) -> FloatArray:
    return np.stack(rows).astype(np.float32) if rows else np.zeros((0, *shape), np.float32)
