"""The only wiring: source → detect/track → crop → (occlusion stages) → regress → smooth → gaps → mesh.

Threads: the source decodes in one, the stages run in one or two others (``PipelineConfig.stage_threads``), and the
caller iterates over the results.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from types import TracebackType
from typing import Final, Protocol, Self, cast

import numpy as np

from rtface.config import Backend, OcclusionConfig, PipelineConfig, Recipe
from rtface.errors import InputError
from rtface.inference import Choice, Engine, choose_backend, open_engine, physical_cores
from rtface.mirror import Mirror
from rtface.morphable import MorphableModel
from rtface.run import Looked, PipelineState, Run, Steps
from rtface.stages.assess import assess
from rtface.stages.crop import crop_faces, same_faces
from rtface.stages.deocclude import NETWORKS as DEOCCLUSION
from rtface.stages.deocclude import Deoccluder
from rtface.stages.detect import Detections, FaceDetector, Searches
from rtface.stages.fit import LandmarkFitter
from rtface.stages.gaps import GapFiller, with_unmeasured
from rtface.stages.mesh import MeshBuilder
from rtface.stages.neutral import NeutralFace
from rtface.stages.occlude import seen_irises, seen_points
from rtface.stages.reflect import reflected_landmarks, reflected_maps, reflected_regressor
from rtface.stages.regress import Regressor
from rtface.stages.remember import FaceMemory
from rtface.stages.smooth import Smoother
from rtface.stages.steady import MaskSteadier
from rtface.stages.track import FaceTracker
from rtface.stream import StageObserver, StageTimer, one_blas_thread
from rtface.types import Array, FaceCrops, FaceStatus, FaceTracks, Frame, FrameResult, Occlusion

NETWORKS: Final = ("detector", "landmarks", "regressor")
"""Names of the networks that every pipeline runs."""
CPU_BACKENDS: Final = ("onnx", "openvino")
"""Engines of these compute on the CPU, and each in the thread that calls it."""


class CropStage(Protocol):
    """A step between cropping and regression, such as finding and removing what hides the face."""

    name: str
    """Of its entry in the timings."""

    def apply(self, crops: FaceCrops, occlusion: Occlusion | None) -> tuple[FaceCrops, Occlusion | None]:
        """New crops (same faces, same transforms) and what is known of the occlusion; inputs stay as they are."""
        ...


class Pipeline:
    """The chain with its networks; a context manager that closes the engines it has opened.

    One run at a time: the stages remember faces from frame to frame.
    """

    def __init__(self, config: PipelineConfig | None = None, *, engines: Mapping[str, Engine] | None = None,
                 model: MorphableModel | None = None, crop_stages: Sequence[CropStage] = (),
                 observer: StageObserver | None = None) -> None:
        """engines: by network name, to use instead of the shipped weights; they stay the caller's to close.
        model: the morphable model; None loads the shipped one if meshes are wanted. With a model, actions are kept
        within what they mean (:meth:`rtface.morphable.MorphableModel.clip_expression`).
        crop_stages: applied in order to the crops before regression.
        observer: told when stages begin and end, in their threads; for traces and profilers.

        ModelFileError when weights are missing or damaged, BackendError when the backend is not there.
        """
        self.config = config or PipelineConfig()
        self._observer = observer
        self._opened: list[Engine] = []
        self._changes: deque[Callable[[], None]] = deque()
        self.choice: Choice | None = None
        """What runs the networks that this pipeline opened, and why; None when it opened none."""
        try:
            names = (*NETWORKS, *DEOCCLUSION[self.config.occlusion.recipe])
            found = {name: (engines or {}).get(name) or self._open(name) for name in names}
            if model is None and self.config.meshes:
                model = MorphableModel.load()
            self._timer = self._look_timer = StageTimer(self._observer)
            detector = _TimedDetector(FaceDetector(found["detector"], self.config.detector), self)
            landmarks, regressor = found["landmarks"], found["regressor"]
            known = model or MorphableModel.load(level=0)
            if self.config.reflect:
                landmarks, regressor = reflected_landmarks(landmarks), reflected_regressor(regressor, Mirror(known))
            self._fitter = LandmarkFitter(known, self.config.fit)
            self._tracker = FaceTracker(detector, landmarks, self.config.tracker)
            self._regressor = Regressor(regressor, model.basis_id if model else regressor.spec.basis)
            self._deoccluder = self._made_deoccluder(found, self.config.occlusion)
            self._engines = found
        except BaseException:
            self.close()
            raise
        self._memory = FaceMemory(known, self.config.memory)
        self._smoother, self._steadier = Smoother(self.config.smooth), MaskSteadier(self.config.occlusion)
        self._neutral = NeutralFace()
        self._crop_stages = tuple(crop_stages)
        self._model = model
        self._mesh = MeshBuilder(model) if model and self.config.meshes else None
        self._held = GapFiller(self.config.gaps, lookahead=False, faces=self.config.tracker.faces)
        self._running = False
        self.backends: dict[str, str] = {name: engine.backend for name, engine in found.items()}
        """What runs each network, for reports."""

    def _open(self, name: str) -> Engine:
        config = self.config
        if self.choice is None:
            self.choice = choose_backend(config.profile, backend=config.backend, threads=config.threads,
                                         precision=config.precision, fallback=name)
        engine = open_engine(name, config.profile, backend=cast(Backend, self.choice.backend), threads=config.threads,
                             precision=config.precision, rebuild=config.rebuild_engines)
        self._opened.append(engine)
        return engine

    def _made_deoccluder(self, engines: Mapping[str, Engine], config: OcclusionConfig) -> Deoccluder:
        return Deoccluder(reflected_maps(engines) if self.config.reflect else engines, config)

    def close(self) -> None:
        """Close the engines that this pipeline opened; a second call does nothing."""
        while self._opened:
            self._opened.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def reset(self) -> None:
        """Forget all faces: the next frame begins a new clip."""
        self._tracker.reset()
        self._memory.reset()
        self._smoother.reset()
        self._steadier.reset()
        self._neutral.reset()
        self._held.reset()
        self._timer = StageTimer(self._observer)

    def process(self, frame: Frame) -> FrameResult:
        """One frame, in this thread. Frames of a clip come in order; lost faces are held, never interpolated."""
        if self._running:
            raise InputError("process: got a frame while a run is going on, expected none; close the run first")
        with one_blas_thread():
            (result,) = self._held.push(self._measure(self._look(frame, {}, 0)))
            return self._finish(result)

    def run(self, source: Iterable[Frame], *, live: bool = False, state: PipelineState | None = None,
            recent: Iterable[FrameResult] = ()) -> Run:
        """Start a run over a source and iterate over its results, one per frame, in order.

        live: drop the oldest frame when processing is slower than the source, and give every result at once (lost
        faces are only held). Otherwise every frame is processed, and faces that come back soon are interpolated.
        state, recent: of an earlier run, to go on after the frame ``state.after_index``; the source must deliver
        the frames that follow. ``recent`` are its last results, oldest first, as far back as gaps may reach.
        """
        if self._running:
            raise InputError("run: got a second run, expected one at a time; close the first one")
        self.reset()
        gaps = GapFiller(self.config.gaps, lookahead=not live, faces=self.config.tracker.faces)
        if state is not None:
            self._restore(state)
            gaps.recall(recent)
        self._running = True
        steps = Steps(self._look_and_remember, self._measure_and_remember, self._finish)
        return Run(steps, source, gaps, live=live, stage_threads=self._stage_threads(live), timer=self._timer,
                   observer=self._observer, ended=self._end_run)

    def _stage_threads(self, live: bool) -> int:
        """Two give more frames per second where two cores compute; a GPU is one device."""
        on_cpu = all(name.startswith(CPU_BACKENDS) for name in self.backends.values())
        return self.config.stage_threads or (2 if on_cpu and not live and physical_cores() > 1 else 1)

    def _end_run(self) -> None:
        self._running = False

    @property
    def recipe(self) -> Recipe:
        """What is done about things before a face: the configuration's, or that of the last :meth:`set_recipe`."""
        return self.config.occlusion.recipe

    def set_recipe(self, recipe: Recipe) -> None:
        """Another recipe from the next frame on; from any thread, also while a run goes on.

        Networks that it needs and that are not open yet are opened here, in the calling thread. Errors are those of
        the constructor; the recipe stays as it was then.
        """
        config = replace(self.config, occlusion=replace(self.config.occlusion, recipe=recipe))
        for name in DEOCCLUSION[recipe]:
            if name not in self._engines:
                self._engines[name] = self._open(name)
                self.backends[name] = self._engines[name].backend
        deoccluder = self._made_deoccluder(self._engines, config.occlusion)
        self.config = config

        def change() -> None:
            self._deoccluder = deoccluder
            self._steadier.reset()

        self._changes.append(change)

    def reset_identity(self) -> None:
        """Forget who the faces are (mean identity and albedo) with the next frame; from any thread."""
        self._changes.append(self._smoother.forget_people)

    def calibrate_neutral(self, seconds: float = 1.0) -> None:
        """Take every face's mean expression of the next ``seconds`` off its later ones; from any thread.

        It holds until the next run, the next calibration, or :meth:`reset`. InputError unless ``seconds`` is above 0.
        """
        if not seconds > 0:
            raise InputError(f"calibrate_neutral: got {seconds!r} s, expected a time above 0")
        self._changes.append(lambda: self._neutral.start(seconds))

    @property
    def calibrating(self) -> bool:
        """Whether a calibration is going on; may be read from any thread."""
        return self._neutral.calibrating

    def _memories(self) -> dict[str, FaceMemory | Smoother | MaskSteadier]:
        """What remembers, of the stages after the tracker."""
        return {"memory": self._memory, "smooth": self._smoother, "mask": self._steadier}

    def _restore(self, state: PipelineState) -> None:
        for name, stage in {"track": self._tracker, **self._memories()}.items():
            stage.restore({key.removeprefix(f"{name}."): value for key, value in state.arrays.items()
                           if key.startswith(f"{name}.")})

    def _look_and_remember(self, frame: Frame, timings_ms: Mapping[str, float], dropped: int) -> Looked:
        looked = self._look(frame, timings_ms, dropped)
        return replace(looked, memory=_named("track", self._tracker.snapshot()))

    def _measure_and_remember(self, looked: Looked) -> tuple[FrameResult, PipelineState]:
        result, arrays = self._measure(looked), dict(looked.memory)
        for name, stage in self._memories().items():
            arrays |= _named(name, stage.snapshot())
        return result, PipelineState(looked.frame.index, arrays)

    def _look(self, frame: Frame, timings_ms: Mapping[str, float], dropped: int) -> Looked:
        """The frame's faces; ``timings_ms`` are those of the source. May run beside :meth:`_measure`."""
        timer = self._look_timer = StageTimer(self._observer)
        timer.begin_frame(frame.index)
        for name, elapsed in timings_ms.items():
            timer.add(name, elapsed)
        with timer.stage("track"):
            faces = self._tracker.track(frame)
        return Looked(frame, faces, timer.end_frame(), dropped, {})

    def _measure(self, looked: Looked) -> FrameResult:
        """All stages between the tracker and the gaps."""
        timer, frame, tracked = self._timer, looked.frame, looked.faces
        timer.begin_frame(frame.index)
        while self._changes:  # asked for by other threads; these stages are only touched between frames
            self._changes.popleft()()
        for name, elapsed in looked.timings_ms.items():
            timer.add(name, elapsed)
        with timer.stage("crop"):
            crops = crop_faces(frame, tracked.tracks, self._regressor.size)
            covered = same_faces(frame, tracked.tracks, crops, self._deoccluder.size)
        occlusion, completion = self._deoccluder.apply(covered, tracked.tracks.landmarks, timer.stage,
                                                       steadier=self._steadier, pts_s=frame.pts_s)
        crops = self._deoccluder.regressed(crops, occlusion, completion)
        for stage in self._crop_stages:
            with timer.stage(stage.name):
                crops, occlusion = stage.apply(crops, occlusion)
        with timer.stage("regress"):
            coefficients = self._regressor.regress(crops, occlusion)
        with timer.stage("fit"):
            seen = seen_points(tracked.visibility, tracked.tracks.landmarks, occlusion)
            coefficients = self._fitter.fit(coefficients, tracked.tracks.landmarks, seen,
                                            seen_irises(tracked.irises, occlusion))
        with timer.stage("smooth"):
            regions, confidence = assess(seen, tracked.tracks.scores)
            coefficients = self._memory.recall(tracked.tracks.ids, coefficients, occlusion, seen, frame.pts_s)
            trust = confidence if occlusion is None else (
                confidence * occlusion.visible_fraction ** self.config.smooth.person_trust)
            coefficients = self._smoother.smooth(tracked.tracks.ids, coefficients, trust, frame.pts_s)
            coefficients = replace(coefficients, expression=self._neutral.apply(
                tracked.tracks.ids, coefficients.expression, frame.pts_s))
            if self._model is not None and len(coefficients):
                coefficients = replace(coefficients, expression=self._model.clip_expression(
                    coefficients.expression, coefficients.identity))
        return FrameResult(frame, tracked.tracks, occlusion, coefficients, None, regions, confidence,
                           (FaceStatus.TRACKED,) * len(tracked.tracks), timer.end_frame(), looked.dropped, completion,
                           tracked.cut)

    def add_occlusion(self, result: FrameResult) -> FrameResult:
        """A result from a journal with what hid its measured faces, found and completed again from its frame."""
        rows = [k for k, status in enumerate(result.status) if status is FaceStatus.TRACKED]
        tracks = result.tracks
        if len(rows) < len(tracks):
            tracks = FaceTracks(*(getattr(tracks, f.name)[rows] for f in fields(tracks)))
        size = self._deoccluder.size or self._regressor.size
        occlusion, completion = self._deoccluder.apply(crop_faces(result.frame, tracks, size), tracks.landmarks)
        if occlusion is not None and len(rows) < len(result.tracks):
            order = np.argsort([*rows, *sorted(set(range(len(result.tracks))) - set(rows))], kind="stable")
            occlusion = with_unmeasured(occlusion, len(result.tracks) - len(rows), order)
        return replace(result, occlusion=occlusion, completion=completion)

    def add_mesh(self, result: FrameResult) -> FrameResult:
        """The result with meshes, when the configuration wants them; runs no network."""
        if self._mesh is None:
            return result
        return replace(result, mesh=self._mesh.build(result.coefficients, result.regions, result.occlusion))

    def _finish(self, result: FrameResult) -> FrameResult:
        """Meshes, after the gaps."""
        if self._mesh is None:
            return result
        self._timer.begin_frame(result.frame.index)
        with self._timer.stage("mesh"):
            result = self.add_mesh(result)
        return replace(result, timings_ms={**result.timings_ms, **self._timer.end_frame()})


class _TimedDetector:
    """Gives the detector its own entry in the timings."""

    def __init__(self, detector: Searches, pipeline: Pipeline) -> None:
        self._detector, self._pipeline = detector, pipeline

    def detect(self, frame: Frame) -> Detections:
        with self._pipeline._look_timer.stage("detect"):
            return self._detector.detect(frame)

    def glance(self, frame: Frame, step: int) -> Detections:
        with self._pipeline._look_timer.stage("detect"):
            return self._detector.glance(frame, step)


def _named(name: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {f"{name}.{key}": value for key, value in arrays.items()}
