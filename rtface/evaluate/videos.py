"""Protocol ``videos``: the whole pipeline on real clips, without ground truth.

Every clip of the pack runs through the pipeline as ``rtface convert`` runs it for coefficients (offline: gaps are
interpolated; no meshes). Reported per clip: frames per second of wall time from opening the file to the last result,
the shares of frames with a face that was measured and with any face (held and interpolated ones included), mean
confidence of measured faces, ids, detector runs, and

- jitter: noise of the points from their second differences over three consecutive measured frames
  (:func:`rtface.evaluate.metrics.jitter`), median over the clip, in per cent of the distance of the outer eye corners;
  of the landmark network's points, and of the mesh's points, which are smoothed in time.
- gap: mean distance between the two, in the same unit: how far mesh and landmark network disagree.
- with a peer detector: on every fifth frame, the share of its faces that are tracked (recall) and of measured faces
  that it sees, too (precision; what it does not see is often no face). Boxes overlap by at least 0.3.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from rtface.config import FitConfig, PipelineConfig, TrackerConfig
from rtface.errors import MediaError
from rtface.evaluate import metrics
from rtface.evaluate.dataset import Pack, Problem, Sample, altered
from rtface.evaluate.networks import MeshLandmarks
from rtface.evaluate.report import Cell, Report, Table, percent, percent_range
from rtface.geometry import FloatArray
from rtface.inference import Engine
from rtface.io import open_source
from rtface.morphable import MorphableModel
from rtface.pipeline import Pipeline
from rtface.report import Tally
from rtface.stages.detect import Detects
from rtface.types import FaceStatus, FrameResult

SHOWN_FRAMES: Final = 4
"""Frames kept of each clip for contact sheets, evenly spread."""
PEER_EVERY: Final = 5
PEER_IOU: Final = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One face over a clip, where it was measured."""

    frames: list[int]
    network: list[FloatArray]
    """(68, 2) px of the landmark network."""
    mesh: list[FloatArray]
    """(68, 2) px of the mesh."""


@dataclass(frozen=True, slots=True, eq=False)
class ClipRun:
    """One clip, its figures, and some of its results for looking at."""

    sample: Sample
    figures: dict[str, Any]
    shown: tuple[FrameResult, ...]
    """Without meshes."""


def run(pack: Pack, engines: Mapping[str, Engine], model: MorphableModel, *, faces: int = TrackerConfig().faces,
        reflect: bool = True, fit: bool = True, peer: Detects | None = None, settings: Mapping[str, Any] | None = None,
        look: Callable[[Sequence[ClipRun]], None] | None = None,
        progress: Callable[[str], None] = lambda line: None) -> Report:
    """Run every clip; ``look`` gets the results, for contact sheets. Clips that cannot be read become problems.

    peer: a detector to compare the tracked faces with, after each clip's time was taken.
    """
    clips = pack.clips()
    config = PipelineConfig(meshes=False, reflect=reflect, fit=FitConfig(enabled=fit),
                            tracker=TrackerConfig(faces=faces))
    runs = []
    with Pipeline(config, engines=engines, model=model) as pipeline:
        _warm_up(pipeline, clips.samples)
        for sample in clips.samples:
            what = altered(sample)
            try:
                if what is None:
                    runs.append(run_clip(sample, pipeline, model, peer))
            except MediaError as exc:
                what = f"unreadable clip ({exc})"
            if what is not None:
                clips.problems[sample.path] = Problem(sample.path, what)
            else:
                progress(f"{sample.path}: {runs[-1].figures['frames']} frames, {runs[-1].figures['fps']:.1f} fps")
    clips.samples = tuple(run.sample for run in runs)
    if look is not None:
        look(runs)
    results = [run.figures for run in runs]
    tables = [_table([*results, _total(results)]), _interval_table(_total(results))] if results else [_table([])]
    return Report("videos", tables,
                  [*results, _total(results)] if results else [], [clips],
                  {**(settings or {}), "config": config.to_dict(), "backends": pipeline.backends})


def run_clip(sample: Sample, pipeline: Pipeline, model: MorphableModel, peer: Detects | None = None) -> ClipRun:
    """One clip through the pipeline; MediaError when it cannot be read."""
    tally, tracks, kept = Tally(), dict[int, Track](), list[FrameResult]()
    project = MeshLandmarks(model)
    measured = 0
    waiting: list[FrameResult] = []
    start = time.perf_counter()
    with open_source(sample.file) as source:
        wanted = _spread(source.expected_frames or 0)
        results = pipeline.run(source)
        with results:
            for number, result in enumerate(results):
                tally.add(result)
                measured += FaceStatus.TRACKED in result.status
                waiting.append(_without_pixels(result))
                if number in wanted:
                    kept.append(result)
        seconds = time.perf_counter() - start
        summary = tally.summary(seconds=seconds, computed=tally.frames, times=results.times(),
                                backends=pipeline.backends, problems=source.problems, files=())
    for number, result in enumerate(waiting):
        _collect(number, result, project, tracks)
    return ClipRun(sample, {
        "kind": "clip", "clip": sample.path, "rights": sample.rights, "tags": list(sample.tags),
        "frames": summary.frames, "fps": summary.fps, "seconds": summary.seconds,
        "measured": measured / max(summary.frames, 1), "with_face": summary.frames_with_face / max(summary.frames, 1),
        "confidence": summary.mean_confidence, "ids": summary.faces, "faces_tracked": summary.tracked,
        "detections": summary.detections,
        "jitter_network": _jitter(tracks.values(), "network"), "jitter_mesh": _jitter(tracks.values(), "mesh"),
        "gap": _gap(tracks.values()), "peer": _compare(sample, waiting, peer)._asdict() if peer is not None else None,
        "stages_ms": {name: t["mean_ms"] for name, t in summary.stages.items()},
        "notes": list(summary.notes)}, tuple(kept))


def _warm_up(pipeline: Pipeline, samples: Sequence[Sample]) -> None:
    """A few frames of the first readable clip, so that no clip pays for first runs."""
    for sample in samples:
        try:
            with open_source(sample.file) as source:
                for number, frame in enumerate(source):
                    pipeline.process(frame)
                    if number == 4:
                        break
        except MediaError:
            continue
        break
    pipeline.reset()


def _spread(count: int) -> frozenset[int]:
    return frozenset(int((k + 0.5) * count / SHOWN_FRAMES) for k in range(SHOWN_FRAMES)) if count else frozenset({0})


def _without_pixels(result: FrameResult) -> FrameResult:
    """The result with a 1 × 1 picture, so that a clip's frames need not stay in memory."""
    return replace(result, frame=replace(result.frame, pixels=np.zeros((1, 1, 3), np.uint8)))


def _collect(number: int, result: FrameResult, project: MeshLandmarks, tracks: dict[int, Track]) -> None:
    if FaceStatus.TRACKED not in result.status:
        return
    mesh, _ = project.project(result.coefficients)
    for row, (identifier, status) in enumerate(zip(result.tracks.ids.tolist(), result.status, strict=True)):
        if status is FaceStatus.TRACKED:
            track = tracks.setdefault(identifier, Track([], [], []))
            track.frames.append(number)
            track.network.append(result.tracks.landmarks[row])
            track.mesh.append(mesh[row])


def _compare(sample: Sample, results: Sequence[FrameResult], peer: Detects) -> metrics.DetectionCounts:
    """Measured faces against the peer's, over every fifth frame, which are read again."""
    total = np.zeros(3, np.int64)
    by_index = {result.frame.index: result for result in results}
    with open_source(sample.file, every=PEER_EVERY) as source:
        for frame in source:
            result = by_index[frame.index]
            rows = [k for k, status in enumerate(result.status) if status is FaceStatus.TRACKED]
            boxes, wanted = result.tracks.boxes_xyxy[rows], peer.detect(frame).boxes_xyxy
            hits = metrics.match_boxes(boxes, result.tracks.scores[rows], wanted, PEER_IOU)
            total += [int((hits.reference >= 0).sum()), len(boxes), len(wanted)]
    return metrics.DetectionCounts(*total.tolist())


def _jitter(tracks: Any, which: str) -> float | None:
    """Median over all runs of at least three consecutive frames, over the inter-ocular distance; None without any."""
    noise: list[metrics.Doubles] = []
    for track in tracks:
        points, norm = np.stack(getattr(track, which)), metrics.interocular_distances(np.stack(track.network))
        breaks = np.flatnonzero(np.diff(track.frames) != 1) + 1
        for part in np.split(np.arange(len(points)), breaks):
            noise.append(metrics.jitter(points[part]) / np.maximum(norm[part][1:-1], 1e-3))
    values = np.concatenate(noise) if noise else np.zeros(0)
    return float(np.median(values)) if len(values) else None


def _gap(tracks: Any) -> float | None:
    gaps = [metrics.nme_interocular(np.stack(t.mesh), np.stack(t.network)) for t in tracks]
    return float(np.mean(np.concatenate(gaps))) if gaps else None


SHARES: Final = ("measured", "with_face")
MEDIANS: Final = ("jitter_network", "jitter_mesh", "gap")
"""Figures that are shares of frames, and such whose median over clips is told."""


def _total(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All clips as one: shares and rates over all frames, confidence over all faces, medians of the jitter."""
    frames, faces = sum(line["frames"] for line in lines), sum(line["faces_tracked"] for line in lines)
    seconds = sum(line["seconds"] for line in lines)
    sure = sum(line["confidence"] * line["faces_tracked"] for line in lines if line["confidence"] is not None)
    total: dict[str, Any] = {"kind": "total", "clip": f"all {len(lines)} clips", "rights": "", "frames": frames,
                             "fps": frames / max(seconds, 1e-9), "seconds": seconds,
                             "ids": sum(line["ids"] for line in lines), "faces_tracked": faces,
                             "detections": sum(line["detections"] for line in lines),
                             "confidence": sure / faces if faces else None}
    compared = [line["peer"] for line in lines if line["peer"] is not None]
    total["peer"] = {key: sum(counts[key] for counts in compared) for key in compared[0]} if compared else None
    for key in SHARES:
        rows = np.array([(line[key] * line["frames"], line["frames"]) for line in lines])
        total[key], total[f"{key}_95"] = _share(rows), metrics.bootstrap_interval(rows, _share)
    for key in MEDIANS:
        values = np.array([line[key] for line in lines if line[key] is not None], np.float64)
        total[key] = float(np.median(values)) if len(values) else None
        total[f"{key}_95"] = metrics.bootstrap_interval(values, lambda v: float(np.median(v))) if len(values) else None
    return total


def _share(rows: metrics.Doubles) -> float:
    """Rows (frames that count, frames) → their share."""
    return float(rows[:, 0].sum() / max(rows[:, 1].sum(), 1))


def _interval_table(total: Mapping[str, Any]) -> Table:
    """What the clips say of clips: 95 % intervals of the totals, by bootstrap over clips."""
    keys = (*SHARES, *MEDIANS)
    known = [key for key in keys if total[f"{key}_95"] is not None]
    return Table("All clips: 95 % intervals over clips (units as above)", tuple(key.replace("_", " ") for key in known),
                 [[percent_range(total[f"{key}_95"], 1 if key in SHARES else 2) for key in known]])


def _table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [line["clip"].removeprefix("videos/"), line["rights"], line["frames"], f"{line['fps']:.1f}",
         percent(line["measured"], 1), percent(line["with_face"], 1),
         None if line["confidence"] is None else f"{line['confidence']:.3f}", line["ids"],
         *(None if line[key] is None else percent(line[key]) for key in ("jitter_network", "jitter_mesh", "gap")),
         *_peer_cells(line["peer"])] for line in lines]
    return Table("Clips (per cent of frames; jitter and gap in per cent of the distance of the outer eye corners)",
                 ("clip", "rights", "frames", "fps", "measured", "with face", "confidence", "ids", "jitter network",
                  "jitter mesh", "gap", "peer recall", "peer precision"), rows)


def _peer_cells(counts: Mapping[str, int] | None) -> list[Cell]:
    if counts is None:
        return [None, None]
    both = metrics.DetectionCounts(**counts)
    return [percent(both.recall, 1), percent(both.precision, 1)]
