"""Protocol ``passing``: something comes before a face in a video and goes again; how far does the mesh move?

A clip with one face is run through the whole pipeline, as ``rtface convert`` runs it. Then an occluder of the factory
is fastened to the face for the middle third of the clip (it follows the head, not the expression), and the pipeline
runs again. What differs between both runs of a system is the occluder's doing: the truth need not be known.

- ``shape``: mean distance of the mesh's vertices (identity and expression, head space) over the hidden frames, mm.
- ``identity``: the same of the identity alone; ``turn``: angle between both head rotations, degrees.
- ``points``: the mesh's 68 points in the picture, per cent of the outer eye corners' distance.
- ``leap``: how far the mesh leaps, beyond its own movement, in the frame in which the occluder appears, mm.
- ``after``: ``shape`` over the half second after the occluder went.
- ``lost``: share of the hidden frames in which the face was not measured, or another one was.

``worn``: the occluder is there from the first frame to the last one, so nobody knows the face without it; ``shape``
from half a second on, and ``lively``: the slope of the actions' movements under it over those without it, 1 if none
is lost.

Systems: ``off`` (no masks), ``mask, no memory`` and ``mask`` (with :mod:`rtface.stages.remember`). Clips in which no
single face is measured in every frame are left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.config import FitConfig, MemoryConfig, OcclusionConfig, PipelineConfig, Recipe, TrackerConfig
from rtface.errors import InputError, MediaError
from rtface.evaluate.dataset import Pack, Pixels, Problem, Sample, SampleSet, altered
from rtface.evaluate.displacement import Faces, Result, compare
from rtface.evaluate.metrics import mean_interval
from rtface.evaluate.networks import MeshLandmarks
from rtface.evaluate.pasting import Paster
from rtface.evaluate.report import Cell, Report, Table, amount, percent
from rtface.evaluate.robustness import BINS, KINDS
from rtface.geometry import FloatArray, box_iou, boxes_from_landmarks
from rtface.inference import Engine
from rtface.io import open_source
from rtface.morphable import MorphableModel
from rtface.pipeline import Pipeline
from rtface.types import LANDMARKS, Coefficients, FaceStatus, Frame, FrameResult

SYSTEMS: Final[Mapping[str, tuple[Recipe, bool]]] = {
    "off": ("off", False), "mask, no memory": ("mask", False), "mask": ("mask", True)}
"""Recipe, and whether what was seen is remembered."""
MOST_FRAMES: Final = 150
LEAST_FRAMES: Final = 30
LONG_SIDE: Final = 640
"""px; larger frames are scaled down."""
SETTLED_S: Final = 0.5
SAME: Final = 0.3
"""Faces whose boxes share less (intersection over union) are two faces."""
PER_CLIP: Final = 3
"""So many kinds of occluders per clip, in turn."""
WORST: Final = 8
"""So many are kept to be looked at."""
NOTHING: Final = np.zeros(LANDMARKS, np.bool_)
"""Which landmarks are hidden is not asked here."""
FIELDS: Final = ("shape_mm", "identity_mm", "turn_deg", "points", "leap_mm", "after_mm", "lost")


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A face in one frame of a run."""

    coefficients: Coefficients
    """N = 1."""
    shape: NDArray[Any]
    """(V, 3) mm, the face in head space; so the next one, without expression."""
    identity: NDArray[Any]
    rotation: NDArray[Any]
    """(3, 3)."""
    points: FloatArray
    """(68, 2) px of the mesh."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A clip with an occluder, to be looked at."""

    sample: Sample
    kind: str
    moved_mm: Mapping[str, float]
    """By system."""
    moments: Sequence[str]
    clean: Sequence[Pixels]
    """At these moments; so the next ones."""
    pasted: Sequence[Pixels]
    before: Sequence[Seen]
    """The last system's say on the clean frames."""
    after: Mapping[str, Sequence[Seen | None]]


@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """One occluder in one clip, and one system."""

    system: str
    clip: str
    kind: str
    worn: bool
    coverage: float
    figures: Mapping[str, float]


def run(pack: Pack, engines: Mapping[str, Engine], model: MorphableModel, *, kinds: Sequence[str] | None = None,
        seed: int = 0, reflect: bool = True, fit: bool = True, settings: Mapping[str, Any] | None = None,
        look: Callable[[Sequence[Shown]], None] | None = None,
        progress: Callable[[str], None] = lambda line: None) -> Report:
    """Every clip of the pack with :data:`PER_CLIP` of the kinds (None: all, in turn), the first one also worn.

    ``look`` gets the :data:`WORST` passing occluders that moved the last system's meshes most, worst first.
    """
    kinds = tuple(kinds or KINDS)
    if unknown := set(kinds) - set(KINDS):
        raise InputError(f"passing: got {', '.join(sorted(unknown))}, expected some of {', '.join(KINDS)}")
    clips, passed, left_out = pack.clips(), list[Passed](), 0
    configs = {system: PipelineConfig(
        meshes=False, reflect=reflect, fit=FitConfig(enabled=fit), tracker=TrackerConfig(faces=1),
        occlusion=OcclusionConfig(recipe=recipe), memory=MemoryConfig(enabled=memory))
        for system, (recipe, memory) in SYSTEMS.items()}
    with ExitStack() as opened:
        pipelines = {system: opened.enter_context(Pipeline(config, engines=engines, model=model))
                     for system, config in configs.items()}
        stage = _Stage(pipelines, model)
        left_out = _play_all(clips, stage, kinds, seed, passed, progress)
    if look is not None:
        look(stage.shown)
    lines = [figures(system, group, name, rows) for system in SYSTEMS
             for group, name, rows in _groups([one for one in passed if one.system == system], kinds) if rows]
    return Report("passing", tables(lines), lines, [clips], {
        **(settings or {}), "kinds": list(kinds), "seed": seed, "per_clip": PER_CLIP,
        "clips": sorted({one.clip for one in passed}),
        "configs": {system: config.to_dict() for system, config in configs.items()}},
        [f"{left_out} clips left out: shorter than {LEAST_FRAMES} frames, or without one face in every frame"])


def _play_all(clips: SampleSet, stage: _Stage, kinds: Sequence[str], seed: int, passed: list[Passed],
              progress: Callable[[str], None]) -> int:
    """Fills ``passed``; how many clips were left out."""
    left_out = 0
    for number, sample in enumerate(clips.samples):
        what = altered(sample)
        try:
            frames = [] if what else read(sample.file)
        except MediaError as exc:
            what = f"unreadable clip ({exc})"
        if what:
            clips.problems[sample.path] = Problem(sample.path, what)
            continue
        played = {system: stage.play(system, frames) for system in SYSTEMS}
        clean = {system: [face for face in faces if face is not None] for system, faces in played.items()}
        if len(frames) < LEAST_FRAMES or any(len(faces) < len(frames) for faces in clean.values()):
            left_out += 1
            continue
        for k in range(PER_CLIP):
            kind = kinds[(PER_CLIP * number + k) % len(kinds)]
            for worn in (False, True)[:2 if k == 0 else 1]:
                rows = stage.compare(sample, frames, clean, kind, worn, np.array([seed, number, k]))
                passed += rows
                progress(f"{sample.path}, {kind}{', worn' if worn else ''}: " + ", ".join(
                    f"{row.system} {row.figures['shape_mm']:.2f} mm" for row in rows))
    return left_out


def read(path: Any) -> list[Frame]:
    """The first :data:`MOST_FRAMES` frames of a clip, scaled to :data:`LONG_SIDE`."""
    frames: list[Frame] = []
    with open_source(path) as source:
        for frame in source:
            height, width = frame.pixels.shape[:2]
            share = LONG_SIDE / max(height, width)
            pixels = frame.pixels if share >= 1 else cv2.resize(
                frame.pixels, (round(width * share), round(height * share)), interpolation=cv2.INTER_AREA)
            frames.append(Frame(np.ascontiguousarray(pixels), frame.index, frame.pts_s))
            if len(frames) == MOST_FRAMES:
                break
    return frames


class _Stage:
    """Plays clips to every system and compares."""

    def __init__(self, pipelines: Mapping[str, Pipeline], model: MorphableModel) -> None:
        self._pipelines, self._paster = pipelines, Paster(model)
        self._faces, self._points = Faces(model), MeshLandmarks(model)
        self.shown: list[Shown] = []
        """Worst first."""

    def play(self, system: str, frames: Iterable[Frame]) -> list[Seen | None]:
        """Where the face was measured."""
        with self._pipelines[system].run(frames) as results:
            return [self._seen(result) for result in results]

    def _seen(self, result: FrameResult) -> Seen | None:
        if result.status != (FaceStatus.TRACKED,):
            return None
        face = result.coefficients
        found = self._faces.of_coefficients(face)
        assert found.shape is not None and found.identity is not None and found.rotation is not None
        return Seen(face, found.shape, found.identity, found.rotation, self._points.project(face)[0][0])

    def compare(self, sample: Sample, frames: Sequence[Frame], clean: Mapping[str, Sequence[Seen]], kind: str,
                worn: bool, seed: NDArray[np.int64]) -> list[Passed]:
        """A line per system; clean: what they say of the clip, a face in every frame."""
        span = range(len(frames)) if worn else range(len(frames) // 3, 2 * len(frames) // 3)
        pasted, coverage = self._paste(frames, next(iter(clean.values())), kind, span, seed)
        rows, after = [], {system: same_face(before, self.play(system, pasted)) for system, before in clean.items()}
        for system, before in clean.items():
            measured = (_worn(frames, before, after[system]) if worn
                        else _passing(frames, span, before, after[system]))
            rows.append(Passed(system, sample.path, kind, worn, coverage, measured))
        if not worn:
            moved = {row.system: row.figures["shape_mm"] for row in rows}
            moments = {"before": span.start - 1, "first hidden": span.start, "middle": (span.start + span.stop) // 2,
                       "last hidden": span.stop - 1, "after": min(span.stop + 3, len(frames) - 1)}
            at = list(moments.values())
            own = Shown(sample, kind, moved, tuple(moments), [frames[k].pixels for k in at],
                        [pasted[k].pixels for k in at], [clean[rows[-1].system][k] for k in at],
                        {system: [found[k] for k in at] for system, found in after.items()})
            self.shown = sorted([*self.shown, own], key=lambda one: -np.nan_to_num(
                one.moved_mm[rows[-1].system]))[:WORST]
        return rows

    def _paste(self, frames: Sequence[Frame], clean: Sequence[Seen], kind: str, span: range,
               seed: NDArray[np.int64]) -> tuple[list[Frame], float]:
        still = np.mean([face.coefficients.expression for face in clean], axis=0, dtype=np.float32)
        out, covered = list(frames), []
        for k in span:
            frame = frames[k]
            held = replace(clean[k].coefficients, expression=still)
            done = self._paster.paste(np.random.default_rng(seed), frame.pixels, held, kind)
            out[k] = Frame(done.pixels, frame.index, frame.pts_s)
            covered.append(done.coverage)
        return out, float(np.mean(covered))


def same_face(clean: Sequence[Seen], found: Sequence[Seen | None]) -> list[Seen | None]:
    """What was found frame by frame, without faces that lie elsewhere than those of the clip without an occluder.

    Where the one face that is followed is hidden, another one may be in the picture.
    """
    return [two if two is not None and float(box_iou(*(boxes_from_landmarks(seen.points[None])
                                                       for seen in (one, two)))[0, 0]) >= SAME else None
            for one, two in zip(clean, found, strict=True)]


def _passing(frames: Sequence[Frame], span: range, clean: Sequence[Seen],
             after: Sequence[Seen | None]) -> dict[str, float]:
    apart = [None if two is None else _apart(one, two) for one, two in zip(clean, after, strict=True)]
    hidden = [found for found in apart[span.start:span.stop] if found is not None]
    end = frames[span.stop - 1].pts_s + SETTLED_S
    later = [found["shape_mm"] for found, frame in zip(apart[span.stop:], frames[span.stop:], strict=True)
             if found is not None and frame.pts_s <= end]
    last, first = after[span.start - 1], after[span.start]
    leap = np.nan
    if last is not None and first is not None:
        own = clean[span.start].shape - clean[span.start - 1].shape
        leap = float(np.linalg.norm(first.shape - last.shape - own, axis=1).mean())
    return {**_means(hidden), "leap_mm": leap, "after_mm": _mean(later), "lost": 1 - len(hidden) / len(span)}


def _worn(frames: Sequence[Frame], clean: Sequence[Seen], after: Sequence[Seen | None]) -> dict[str, float]:
    start = frames[0].pts_s + SETTLED_S
    pairs = [(one, two) for frame, one, two in zip(frames, clean, after, strict=True)
             if frame.pts_s >= start and two is not None]
    lively = np.nan
    if len(pairs) > 1:
        truth, shown = (np.concatenate([pair[k].coefficients.expression for pair in pairs]).astype(np.float64)
                        for k in (0, 1))
        truth, shown = truth - truth.mean(axis=0), shown - shown.mean(axis=0)
        lively = float((truth * shown).sum() / max(float((truth * truth).sum()), 1e-9))
    return {**_means([_apart(*pair) for pair in pairs]), "lively": lively,
            "lost": 1 - len(pairs) / max(sum(frame.pts_s >= start for frame in frames), 1)}


def _apart(clean: Seen, after: Seen) -> dict[str, float]:
    """How far two looks at a frame lie apart."""
    one, two = (Result(seen.points, seen.shape, seen.identity, seen.rotation) for seen in (clean, after))
    found = compare(one, two, NOTHING)
    return {**{name: found[name] for name in ("shape_mm", "identity_mm", "turn_deg")}, "points": found["landmarks"]}


def _means(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: _mean([one[name] for one in found]) for name in ("shape_mm", "identity_mm", "turn_deg", "points")}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _groups(passed: Sequence[Passed], kinds: Sequence[str]) -> list[tuple[str, str, list[Passed]]]:
    over, worn = ([one for one in passed if one.worn is kept] for kept in (False, True))
    groups = [("kind", kind, [one for one in over if one.kind == kind]) for kind in kinds]
    groups += [("coverage", f"{100 * low:.0f}..{100 * high:.0f} %", [one for one in over if low <= one.coverage < high])
               for low, high in zip(BINS[:-1], BINS[1:], strict=True)]
    groups.append(("claim", "20..50 %", [one for one in over if 0.2 <= one.coverage < 0.5]))
    return [*groups, ("all", "all", over), ("worn", "worn", worn)]


def figures(system: str, group: str, name: str, rows: Sequence[Passed]) -> dict[str, Any]:
    """Means over clips with an occluder; intervals of what the tables show with them."""
    fields = ("shape_mm", "identity_mm", "turn_deg", "points", "lively", "lost") if group == "worn" else FIELDS
    values = {field: np.array([row.figures[field] for row in rows], np.float64) for field in fields}
    return {"system": system, "group": group, "name": name, "pasted": len(rows),
            "coverage": float(np.mean([row.coverage for row in rows])),
            **{field: float(np.nanmean(v)) if not np.isnan(v).all() else float("nan") for field, v in values.items()},
            "shape_mm_95": mean_interval(values["shape_mm"])}


def tables(lines: Sequence[Mapping[str, Any]]) -> list[Table]:
    """What passes, and what is worn."""
    heads = ("occluder", "system", "clips", "coverage", "shape mm", "95 %", "identity mm", "turn deg", "points")
    return [Table("While something passes before a face (points in per cent of the eye corners' distance)",
                  (*heads, "leap mm", "after mm", "lost"),
                  [[*_cells(line), amount(line["leap_mm"]), amount(line["after_mm"]), percent(line["lost"], 1)]
                   for line in lines if line["group"] != "worn"]),
            Table("The same from the first frame to the last one", (*heads, "lively", "lost"),
                  [[*_cells(line), amount(line["lively"]), percent(line["lost"], 1)]
                   for line in lines if line["group"] == "worn"])]


def _cells(line: Mapping[str, Any]) -> list[Cell]:
    return [line["name"], line["system"], line["pasted"], percent(line["coverage"], 1), amount(line["shape_mm"]),
            "{:.2f}..{:.2f}".format(*line["shape_mm_95"]), amount(line["identity_mm"]), amount(line["turn_deg"], 1),
            percent(line["points"])]
