"""Protocol ``temporal``: how steady, how late and how faithful the result is over time.

Clips run through the whole pipeline as ``rtface convert`` runs it (offline), once with smoothing and once without it
(``as measured``), so that the table shows what smoothing buys and what it costs; ``landmark network`` are the tracker's
own points. Only measured faces count for steadiness, in stretches of consecutive frames: held values do not shake.

On clips with a truth (drawn by :mod:`rtface.evaluate.scenes`, or labelled in the 300-VW layout):

- error: distance of the 68 points, per cent of the distance of the outer eye corners; shape: distance of the vertices
  without pose in mm; turn: angle between both head rotations.
- jitter: standard deviation of the high-frequency part of (prediction − truth), mean over frames: of the points'
  coordinates in px, of the vertices' coordinates (head space, without pose) in mm; on still and on moving frames.
- lag: by cross-correlation with the truth over ±0.3 s, in ms; of the openings of mouth and eyes, of the rotation and
  of the place. Slow curves and such that do not agree have none.
- lost: share of the frames with a face to be seen in which it was not measured; absent: in which nothing was given out.
- switches: changes of a face's id (CLEAR MOT, Bernardin & Stiefelhagen 2008).

On clips without a truth, the face's own motion stands in for it: jitter is what a parabola over 0.4 s cannot follow,
blinks and other quick motion included (compare systems, not clips); lost are frames between two measurements of a
face; switches are ids that start where another one stopped, and leaps of an id to another place; ends are ids that stop
for good before the clip does. Cuts between shots and faces that leave the picture count among these.

On all clips: added is the lag of the smoothed curves behind the measured ones, both without what is jitter; drift is
how far the person's own shape moves from the first to the last fifth of a stretch, in mm; flicker the share of the
mask's pixels that change their class between frames in which the face is still.

Other systems' points come from files (:mod:`rtface.evaluate.predictions`), one array per face of a clip, and have the
figures that points can have.

A frame is still where the truth, or else the low-passed points, move less than 0.15 eye distances a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtface.config import FitConfig, MemoryConfig, PipelineConfig, SmoothConfig, TrackerConfig
from rtface.errors import MediaError
from rtface.evaluate import motion
from rtface.evaluate.dataset import Problem, SampleSet, altered
from rtface.evaluate.exports import Inputs
from rtface.evaluate.metrics import Doubles, interocular_distances, nme_interocular
from rtface.evaluate.predictions import Predictions
from rtface.evaluate.recording import Clip, Recording, Stretch, given_points, record
from rtface.evaluate.report import Report
from rtface.evaluate.temporal_tables import summaries, tables
from rtface.evaluate.traces import LEAST_MOTION, SIGNALS, Curves
from rtface.geometry import FloatArray, rotation_matrices
from rtface.inference import Engine
from rtface.io import open_source
from rtface.morphable import MorphableModel
from rtface.pipeline import CropStage, Pipeline
from rtface.types import LANDMARKS

SETS: Final = ("synthetic", "videos")
SYSTEMS: Final = ("smoothed", "as measured")
NETWORK: Final = "landmark network"
ANSWER: Final = ("KEY, KEY#2, ..: (T, 68, 2) points in px of one face each in all frames, NaN where it was not found; "
                 "inputs: the fingerprint")
USUAL_FPS: Final = 25.0
"""Of clips that do not tell."""
LAG_REACH_S: Final = 0.3
LAG_LEAST_S: Final = 1.0
"""Stretches shorter than this have no lag."""
HANDOVER_S: Final = 1.0
END_S: Final = 0.5
"""An id that stops earlier than this before the clip's end has ended early."""


class Played(NamedTuple):
    """One clip as all systems see it."""

    clip: Clip
    recordings: Mapping[str, Recording]
    """By system."""
    figures: Mapping[str, Mapping[str, Any]]
    """By system."""


def run(clips: Iterable[Clip], engines: Mapping[str, Engine], model: MorphableModel, *, sets: Sequence[SampleSet] = (),
        faces: int = TrackerConfig().faces, reflect: bool = True, fit: bool = True,
        crop_stages: Sequence[CropStage] = (), settings: Mapping[str, Any] | None = None,
        look: Callable[[Sequence[Played], Curves], None] | None = None,
        files: Sequence[Predictions] = (), inputs: Inputs | None = None,
        progress: Callable[[str], None] = lambda line: None) -> Report:
    """Measure every clip; those that cannot be read become problems of their set. ``look`` gets what was played.

    files: points of other systems; inputs: gets the clips that they are for.
    """
    config = PipelineConfig(meshes=False, reflect=reflect, fit=FitConfig(enabled=fit),
                            tracker=TrackerConfig(faces=faces))
    curves, played, inputs = Curves(model), list[Played](), inputs or Inputs("temporal")
    bare = replace(config, smooth=SmoothConfig(enabled=False), memory=MemoryConfig(enabled=False),
                   occlusion=replace(config.occlusion, steadiness=0.0))
    configs = dict(zip(SYSTEMS, (config, bare), strict=True))
    pipelines = {system: Pipeline(c, engines=engines, model=model, crop_stages=crop_stages)
                 for system, c in configs.items()}
    try:
        for clip in clips:
            try:
                recordings = {system: record(clip, pipeline, curves) for system, pipeline in pipelines.items()}
            except MediaError as exc:
                if clip.found is None:
                    raise
                clip.found.problems[clip.name] = Problem(clip.name, f"unreadable clip ({exc})")
                continue
            count = recordings[SYSTEMS[0]].count
            _compare_counts(clip, count)
            _show(clip, count, inputs)
            given = {one.name: given_points(clip, count, predicted_tracks(one, clip.name, count), curves)
                     for one in files}
            played.append(Played(clip.without_frames(), recordings, measure(recordings, curves) | {
                name: figures_of_points(recording, curves) for name, recording in given.items()}))
            progress(f"{clip.name}: {count} frames, {len(recordings[SYSTEMS[0]].spans)} ids")
    finally:
        for pipeline in pipelines.values():
            pipeline.close()
    if look is not None and played:
        look(played, curves)
    lines = [{"kind": "clip", "clip": one.clip.name, "group": one.clip.group, "origin": one.clip.origin,
              "rights": one.clip.rights, "truth": bool(one.clip.truths), "system": system, **figures}
             for one in played for system, figures in one.figures.items()]
    groups = summaries(lines)
    return Report("temporal", tables(groups), [*groups, *lines], sets,
                  {**(settings or {}), "config": config.to_dict(), "window_s": motion.WINDOW_S,
                   "still_speed": motion.STILL_SPEED, "inputs": inputs.fingerprint,
                   "peer_files": {one.name: one.describe() for one in files}},
                  [*inputs.finish(ANSWER, files), *(note for one in files for note in one.notes())])


def _show(clip: Clip, count: int, inputs: Inputs) -> None:
    """Drawn clips are inputs frame by frame; others are files, which every system can open."""
    frames: dict[str, NDArray[np.uint8]] = {}
    if clip.origin == "drawn":
        with clip.frames() as source:
            frames = {f"frame{k:05d}": np.asarray(frame.pixels) for k, frame in enumerate(source)}
    inputs.add(clip.name, frames, frames=count, fps=clip.fps)


def predicted_tracks(one: Predictions, name: str, count: int) -> list[FloatArray]:
    """A file's faces in a clip of ``count`` frames, (count, 68, 2) px each: ``NAME``, ``NAME#2``, …"""
    out, key = list[FloatArray](), name
    while not out or key in one.keys:
        track = one.of(key)
        if track is not None and len(track) != count:
            one.wrong[key] = f"got points of {len(track)} frames, expected {count} as the clip has"
            track = None
        out.append(np.full((count, LANDMARKS, 2), np.nan, np.float32) if track is None else track.astype(np.float32))
        key = f"{name}#{len(out) + 1}"
    return out


def pack_clips(found: SampleSet) -> Iterator[Clip]:
    """The clips of a pack, grouped by their folder; altered and unreadable ones become problems."""
    for sample in found.samples:
        what = altered(sample)
        try:
            with open_source(sample.file) as source:
                fps = source.info.fps or USUAL_FPS
        except MediaError as exc:
            what = what or f"unreadable clip ({exc})"
        if what is not None:
            found.problems[sample.path] = Problem(sample.path, what)
            continue
        yield Clip(sample.path, sample.file.parent.name, fps, partial(open_source, sample.file), "real", sample.rights,
                   found=found)


def _compare_counts(clip: Clip, count: int) -> None:
    """A problem of the clip where it has not as many frames as labels."""
    for truth in clip.truths if clip.found is not None else ():
        if len(truth.points) != count and clip.found is not None:
            clip.found.problems[f"{clip.name} frames"] = Problem(
                clip.name, f"got labels up to frame {len(truth.points)}, expected {count} as the clip has; the frames "
                           f"without a label were not scored")


def measure(recordings: Mapping[str, Recording], curves: Curves) -> dict[str, dict[str, Any]]:
    """All figures of one clip by system, the landmark network's own points last."""
    figures = {system: figures_of(recording, curves) for system, recording in recordings.items()}
    if set(SYSTEMS) <= recordings.keys():
        figures[SYSTEMS[0]] |= _added(recordings[SYSTEMS[0]], recordings[SYSTEMS[1]], curves)
    first = next(iter(recordings.values()), None)
    if first is not None:
        figures[NETWORK] = _steadiness(first, None)
    return figures


def figures_of(recording: Recording, curves: Curves) -> dict[str, Any]:
    """The figures of one clip and one system; None where there is nothing to measure."""
    out = {**_steadiness(recording, curves), **_lags(recording, curves), **_following(recording)}
    drifts = [(motion.identity_drift(curves.people(s.vectors)), len(s)) for s in _counted(recording)
              if len(s) >= LAG_LEAST_S * recording.clip.fps]
    out["drift_mm"] = _weighted(drifts)
    return out


def figures_of_points(recording: Recording, curves: Curves) -> dict[str, Any]:
    """Of one clip and a system that has points alone."""
    return {**_steadiness(recording, None), **_lags(recording, curves), **_following(recording)}


def _counted(recording: Recording) -> list[Stretch]:
    """Stretches that count: of faces of the truth where there is one."""
    return [s for s in recording.stretches if s.face >= 0 or not recording.clip.truths]


def _steadiness(recording: Recording, curves: Curves | None) -> dict[str, Any]:
    """Errors, jitter and flicker; of the landmark network's points alone without curves."""
    clip, half = recording.clip, motion.half_window(recording.clip.fps)
    errors: dict[str, list[Doubles]] = {"error": [], "shape_mm": [], "turn_deg": []}
    noise: dict[str, list[Doubles]] = {f"{state}_{unit}": [] for state in ("still", "moving")
                                       for unit in ("px", "share", "mm")}
    steady, flicker = [], []
    for one in _counted(recording):
        points = one.network if curves is None else one.mesh
        truth = clip.truths[one.face].points[one.frames] if one.face >= 0 else None
        vectors = clip.truths[one.face].vectors if one.face >= 0 else None
        if truth is not None:
            errors["error"].append(nme_interocular(points, truth))
        if curves is not None and vectors is not None:
            true = vectors[one.frames]
            errors["shape_mm"].append(_apart(curves.shapes(one.vectors), curves.shapes(true)))
            errors["turn_deg"].append(_angles(one.vectors[:, -6:-3], true[:, -6:-3]))
        if len(one) <= 2 * half:
            continue
        norms = interocular_distances(one.network if truth is None else truth)
        still = motion.still_frames(one.network if truth is None else truth, norms, clip.fps, half)
        steady.append(still)
        difference = points if truth is None else points - truth
        px = motion.jitter(difference.reshape(len(one), -1), half)
        units = {"px": px, "share": px / np.maximum(norms[half:-half], 1e-3)}
        if curves is not None and (truth is None or vectors is not None):
            shapes = curves.shapes(one.vectors)
            shapes = shapes if vectors is None else shapes - curves.shapes(vectors[one.frames])
            units["mm"] = motion.jitter(shapes.reshape(len(one), -1), half)
        for unit, values in units.items():
            noise[f"still_{unit}"].append(values[still])
            noise[f"moving_{unit}"].append(values[~still])
        if curves is not None and one.masks is not None and one.crops is not None:
            shares = motion.mask_flicker(one.masks, one.crops)[half:len(one) - half]
            flicker.append(shares[still & ~np.isnan(shares)])
    out: dict[str, Any] = {key: _mean(parts) for key, parts in (errors | noise).items()}
    out["still_frames"] = int(sum(s.sum() for s in steady))
    out["moving_frames"] = int(sum((~s).sum() for s in steady))
    out["flicker"] = _mean(flicker)
    return out


def _lags(recording: Recording, curves: Curves) -> dict[str, Any]:
    """Lag in ms of every signal on the longest stretch of each face, mean over faces."""
    clip = recording.clip
    reach = max(1, round(LAG_REACH_S * clip.fps))
    lags: dict[str, list[float]] = {name: [] for name in SIGNALS}
    for one in _longest(recording) if clip.truths else ():
        truth = clip.truths[one.face]
        points = truth.points[one.frames]
        for name in SIGNALS if len(one) >= LAG_LEAST_S * clip.fps else ():
            if (truth.vectors is None or not one.vectors.size) and name != "place":
                continue
            true = curves.signal(name, one.vectors if truth.vectors is None else truth.vectors[one.frames], points)
            if _moves(name, true, points):
                found = motion.lag(curves.signal(name, one.vectors, one.mesh), true, reach)
                lags[name].append(1000 * found.frames / clip.fps)
    return {f"lag_{name}_ms": _mean([np.array([v for v in values if np.isfinite(v)])])
            for name, values in lags.items()}


def _added(smoothed: Recording, measured: Recording, curves: Curves) -> dict[str, Any]:
    """Lag of smoothing in ms of every signal, mean over the longest stretches of the faces."""
    clip, half = smoothed.clip, motion.half_window(smoothed.clip.fps)
    reach = max(1, round(LAG_REACH_S * clip.fps))
    lags: dict[str, list[float]] = {name: [] for name in SIGNALS}
    for one in _longest(smoothed):
        other = next((s for s in measured.stretches if s.identifier == one.identifier
                      and np.array_equal(s.frames, one.frames)), None)
        if other is None or len(one) < LAG_LEAST_S * clip.fps:
            continue
        for name in SIGNALS:
            late, true = (motion.local_fit(curves.signal(name, s.vectors, s.mesh), half).level for s in (one, other))
            if _moves(name, true, other.network):
                lags[name].append(1000 * motion.lag(late, true, reach).frames / clip.fps)
    return {f"added_{name}_ms": _mean([np.array([v for v in values if np.isfinite(v)])])
            for name, values in lags.items()}


def _longest(recording: Recording) -> list[Stretch]:
    """The longest stretch of each face of the truth, or without one the longest of all."""
    faces = range(len(recording.clip.truths)) if recording.clip.truths else (-1,)
    return [one for one in (recording.longest(face) for face in faces) if one is not None]


def _moves(name: str, true: Doubles, points: FloatArray) -> bool:
    """Whether a curve moves enough to tell a lag."""
    unit = float(interocular_distances(points).mean()) if name == "place" else 1.0
    return len(true) > 0 and float(true.std(axis=0).max()) >= LEAST_MOTION[name] * unit


def _following(recording: Recording) -> dict[str, Any]:
    """Lost faces and ids that changed."""
    clip = recording.clip
    out: dict[str, Any] = {"frames": recording.count, "ids": len(recording.spans)}
    if clip.truths:
        seen, lost, absent = 0, 0, 0
        for face, truth in enumerate(clip.truths):
            there = truth.seen(recording.count)
            seen += int(there.sum())
            lost += int((there & (recording.ids[face] < 0)).sum())
            absent += int((there & ~recording.shown[face]).sum())
        return {**out, "lost": lost / seen if seen else None, "absent": absent / seen if seen else None,
                "switches": sum(motion.id_switches(ids) for ids in recording.ids)}
    handed = motion.handovers(recording.spans, round(HANDOVER_S * clip.fps))
    lost, frames = motion.lost_frames(recording.spans, handed)
    leaps = sum(motion.jumps(boxes, numbers) for numbers, boxes in recording.boxes.values())
    ends = [span for span in recording.spans if span.identifier not in handed.values()
            and span.last < recording.count - 1 - END_S * clip.fps]
    return {**out, "lost": lost / frames if frames else None, "switches": len(handed) + leaps, "ends": len(ends)}


def _apart(a: FloatArray, b: FloatArray) -> Doubles:
    """(n, V, 3) twice → (n,) mean distance of the vertices."""
    return np.linalg.norm(a - b, axis=2).mean(axis=1, dtype=np.float64)


def _angles(a: FloatArray, b: FloatArray) -> Doubles:
    """(n, 3) rad twice → (n,) degrees between the rotations."""
    trace = np.einsum("nij,nij->n", rotation_matrices(a), rotation_matrices(b))
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def _mean(parts: Sequence[Any]) -> float | None:
    values = np.concatenate(parts) if parts else np.zeros(0)
    return float(values.mean()) if len(values) else None


def _weighted(pairs: Sequence[tuple[float, int]]) -> float | None:
    return float(np.average([v for v, _ in pairs], weights=[n for _, n in pairs])) if pairs else None
