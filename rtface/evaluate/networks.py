"""rtface's own networks on single pictures: the stages of the pipeline without time, smoothing or gaps."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, get_args

import numpy as np

from rtface.config import Backend, DetectorConfig, FitConfig, OcclusionConfig, Profile, Recipe, TrackerConfig
from rtface.errors import InputError
from rtface.evaluate.report import describe_network
from rtface.geometry import FloatArray, crops_from_landmarks, pose_vertices
from rtface.inference import Engine, open_engine
from rtface.jaw import JAW, JawLine, project_landmarks
from rtface.mirror import Mirror
from rtface.morphable import MorphableModel
from rtface.stages.crop import crop_faces, same_faces, sample
from rtface.stages.deocclude import Deoccluder
from rtface.stages.detect import Detections, Detects, FaceDetector
from rtface.stages.fit import LandmarkFitter
from rtface.stages.occlude import seen_irises, seen_points
from rtface.stages.reflect import reflected_landmarks, reflected_maps, reflected_regressor
from rtface.stages.regress import Regressor
from rtface.stages.track import FaceTracker
from rtface.types import Array, Coefficients, FaceTracks, Frame

REFLECTED: Final = ("landmarks", "regressor", "segment", "parse")
"""Networks that look at mirror images too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """Which weights, run by what."""

    weights: Path | None = None
    """Folder of the weights; None: the shipped ones."""
    profile: Profile = "compact"
    backend: Backend = "onnx"
    """Not the fastest one: figures shall be the same on every machine."""
    threads: int | None = None
    reflect: bool = True
    fit: bool = True
    """Both as :class:`rtface.config.PipelineConfig` has them."""

    def __post_init__(self) -> None:
        if self.profile not in get_args(Profile):
            raise InputError(f"profile: got {self.profile!r}, expected one of {', '.join(get_args(Profile))}")


class Networks:
    """Open engines by name; a context manager that closes those it has opened."""

    def __init__(self, options: NetworkOptions, *names: str, engines: Mapping[str, Engine] | None = None) -> None:
        """engines: to use instead of weights, by name; they stay the caller's to close.

        ModelFileError when weights are missing or damaged, BackendError when the backend is not there.
        """
        self._stack = ExitStack()
        self.reflect, self.fit = options.reflect, options.fit
        """Whether faces are measured in the mirror too, and joined with their landmarks."""
        self.engines: dict[str, Engine] = {}
        try:
            for name in names:
                self.engines[name] = (engines or {}).get(name) or self._stack.enter_context(
                    open_engine(name, options.profile, backend=options.backend, threads=options.threads,
                                folder=options.weights))
        except BaseException:
            self._stack.close()
            raise

    def maps(self) -> dict[str, Engine]:
        """The engines; those that give maps of classes look at mirror images too, where others do."""
        return reflected_maps(self.engines) if self.reflect else self.engines

    def describe(self) -> dict[str, Any]:
        """Which networks ran, for reports."""
        return {name: {**describe_network(engine.spec, engine.backend),
                       **({"reflect": self.reflect} if name in REFLECTED else {})}
                for name, engine in self.engines.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stack.close()


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One face as the landmark network sees it."""

    tracks: FaceTracks
    """N = 1."""
    presence: float
    visibility: Array
    """(1, 68) float32, 1 where a landmark is not covered."""
    irises: Array
    """(1, 2, 3) as :class:`rtface.stages.track.TrackedFaces` has them."""

    @property
    def points(self) -> FloatArray:
        """(68, 2) px."""
        points: FloatArray = self.tracks.landmarks[0]
        return points


class _GivenBox:
    """A detector that knows the answer, so that the tracker's own code measures one chosen box."""

    def __init__(self, box_xyxy: FloatArray) -> None:
        self._box = box_xyxy

    def detect(self, frame: Frame) -> Detections:
        return Detections(self._box[None].astype(np.float32), np.ones(1, np.float32))

    def glance(self, frame: Frame, step: int) -> Detections:
        return self.detect(frame)


class LandmarkNetwork:
    """Two passes from a box, as the tracker starts a face: crop by the box, then by the points found."""

    ANY_FACE: Final = TrackerConfig(faces=1, min_presence_new=0.0, min_presence_rough=0.0, min_presence=0.0)

    def __init__(self, engine: Engine, *, reflect: bool = True) -> None:
        self._engine = reflected_landmarks(engine) if reflect else engine
        self.min_presence = TrackerConfig().min_presence_new
        """Faces that the network is less sure of are refused by the tracker."""

    def locate(self, frame: Frame, box_xyxy: FloatArray) -> Found | None:
        """The face in a box (4,) px, however sure; None when its points end up outside of the frame."""
        tracker = FaceTracker(_GivenBox(box_xyxy), self._engine, self.ANY_FACE)
        tracked = tracker.track(frame)
        tracks = tracked.tracks
        return Found(tracks, float(tracks.scores[0]), tracked.visibility, tracked.irises) if len(tracks) else None


class MeshLandmarks:
    """Coefficients → the mesh's 68 points in the picture."""

    def __init__(self, model: MorphableModel) -> None:
        self._model, self._jaw = model, JawLine(model)

    def project(self, coefficients: Coefficients) -> tuple[FloatArray, FloatArray]:
        """(N, 68, 2) px with the jaw line on the visible outline, and (N, 68, 2) px with the frontal face's outline."""
        vertices = self._model.vertices(coefficients.identity, coefficients.expression)
        placed = pose_vertices(vertices, coefficients.rotation, coefficients.scale, coefficients.translation)
        sliding = project_landmarks(self._model, self._jaw, placed, coefficients.rotation[:, 2])
        fixed = sliding.copy()
        fixed[:, :JAW] = placed[:, self._jaw.rows[:, 0]]
        return sliding[..., :2].astype(np.float32), fixed[..., :2].astype(np.float32)


class MeshNetwork:
    """The regressor on the crop that the pipeline would give it, and the mesh's points in the picture."""

    def __init__(self, engine: Engine, model: MorphableModel, *, reflect: bool = True, fit: bool = True) -> None:
        self._regressor = _regressor(engine, model, reflect)
        self._fitter = LandmarkFitter(model, FitConfig(enabled=fit))
        self._points = MeshLandmarks(model)

    def locate(self, frame: Frame, found: Found) -> tuple[FloatArray, FloatArray]:
        """As :meth:`MeshLandmarks.project`, for a face."""
        crops = crop_faces(frame, found.tracks, self._regressor.size)
        return self._points.project(self._fitter.fit(self._regressor.regress(crops), found.tracks.landmarks,
                                                     found.visibility, found.irises))


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What the chain says of one face."""

    points: FloatArray
    """(68, 2) px."""
    presence: float
    coefficients: Coefficients
    """N = 1, frame px."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceReader:
    """Detector, landmarks and regressor on single pictures."""

    detector: Detects
    landmarks: LandmarkNetwork
    regressor: Regressor
    fitter: LandmarkFitter
    deoccluder: Deoccluder | None = None
    """Between cropping and regression, where there is one."""

    def largest(self, frame: Frame) -> FloatArray | None:
        """The largest detected box (4,) px; None without a face."""
        boxes = self.detector.detect(frame).boxes_xyxy
        if not len(boxes):
            return None
        best: FloatArray = boxes[int(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).argmax())]
        return best

    def measure(self, frame: Frame, box_xyxy: FloatArray) -> Measured | None:
        """The face in a box (4,) px; None when its points end up outside of the frame."""
        found = self.landmarks.locate(frame, box_xyxy)
        if found is None:
            return None
        crops, occlusion = crop_faces(frame, found.tracks, self.regressor.size), None
        if self.deoccluder is not None:  # as in the pipeline
            covered = same_faces(frame, found.tracks, crops, self.deoccluder.size)
            occlusion, completion = self.deoccluder.apply(covered, found.tracks.landmarks)
            crops = self.deoccluder.regressed(crops, occlusion, completion)
        seen = seen_points(found.visibility, found.tracks.landmarks, occlusion)
        coefficients = self.regressor.regress(crops, occlusion)
        return Measured(found.points, found.presence, self.fitter.fit(
            coefficients, found.tracks.landmarks, seen, seen_irises(found.irises, occlusion)))

    def regress_at(self, frame: Frame, points: FloatArray) -> Coefficients:
        """The regressor alone, on the crop that 68 points (68, 2) px ask for, whatever the landmark network sees."""
        transforms = crops_from_landmarks(points[None].astype(np.float32), self.regressor.size)
        return self.regressor.regress(sample(frame, transforms, np.zeros(1, np.int32), self.regressor.size))


def face_reader(engines: Mapping[str, Engine], model: MorphableModel, recipe: Recipe = "off", *,
                reflect: bool = True, fit: bool = True) -> FaceReader:
    """The product's stages as a :class:`FaceReader`; model: what the regressor's coefficients stand for.

    recipe: what is done about occlusion before regression; reflect: whether to measure in the mirror too; fit: whether
    the mesh is brought onto the landmarks.
    """
    deoccluder = None if recipe == "off" else Deoccluder(reflected_maps(engines) if reflect else engines,
                                                         OcclusionConfig(recipe=recipe))
    return FaceReader(detector_stage(engines["detector"], DetectorConfig().min_score),
                      LandmarkNetwork(engines["landmarks"], reflect=reflect),
                      _regressor(engines["regressor"], model, reflect),
                      LandmarkFitter(model, FitConfig(enabled=fit)), deoccluder)


def _regressor(engine: Engine, model: MorphableModel, reflect: bool) -> Regressor:
    return Regressor(reflected_regressor(engine, Mirror(model)) if reflect else engine, model.basis_id)


def detector_stage(engine: Engine, min_score: float) -> FaceDetector:
    """The product's detector, from another threshold on."""
    return FaceDetector(engine, DetectorConfig(min_score=min_score))
