"""The benchmark of the pipeline: warm up, then all cases in turns, round by round."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import cv2

from rtface.bench.clips import Clips
from rtface.bench.conditions import busy_warnings, describe_conditions
from rtface.bench.measure import Block, Lane, drawing, measure_block
from rtface.bench.options import FREE_SETTLE_FRAMES, SETTLE_FRAMES, BenchOptions, Case
from rtface.io import SimulatedCamera
from rtface.io.simulated_camera import Pace
from rtface.machine import describe_machine
from rtface.morphable import MorphableModel
from rtface.stream import SpanRecorder, StageObserver, StageTimer, one_blas_thread

WINDOW_S: Final = 1.0
"""Length of a window of the warm-up."""
STABLE_CHANGE: Final = 0.05
"""A case is warm when the medians of three windows in a row differ by no more than this share of the least."""
Progress = Callable[[str], None]


class Sensors(Protocol):
    """Reads the GPU in the background; see :class:`rtface.bench.gpu_sensors.GpuSensors`."""

    def reset(self) -> None:
        """Forget what was read so far."""
        ...

    def reading(self) -> dict[str, Any] | None:
        """Means since the last reset; None without a reading."""
        ...


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How a case became warm."""

    stable: bool
    seconds: float
    medians_ms: Sequence[float]
    """Time per frame in each window."""


@dataclass(slots=True)
class CaseResult:
    """What was measured of one case; lists have one entry per round."""

    case: Case
    engine: str
    """What ran the networks, as the engines say."""
    warm_up: WarmUp
    paced: list[Block] = field(default_factory=list)
    """At the camera's rate, live."""
    free: list[Block] = field(default_factory=list)
    """Without waiting, every frame; empty for several streams."""
    gpu: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BenchResult:
    """A finished benchmark."""

    options: BenchOptions
    cases: Sequence[CaseResult]
    machine: dict[str, Any]
    conditions: dict[str, Any]
    """Before the run."""
    warnings: Sequence[str]
    shape: tuple[int, int]
    """Height and width of the frames."""
    observed_stage_us: float
    """What watching a stage costs: microseconds that one watched stage takes longer than one that is not."""


class Bench:
    """Owns pipelines and clips for a benchmark; a context manager."""

    def __init__(self, options: BenchOptions, *, clips: Clips | None = None, watch: StageObserver | None = None,
                 sensors: Sensors | None = None, model: MorphableModel | None = None,
                 progress: Progress = lambda line: None) -> None:
        """clips: to look at instead of those that the options name; watch: told of all stages; sensors: of a GPU;
        model: None loads the shipped one.
        """
        self.options = options
        self._watch, self._sensors, self._progress = watch, sensors, progress
        self._stack = ExitStack()
        self._lanes: dict[tuple[object, ...], list[Lane]] = {}
        self._conditions, self._machine = describe_conditions(), describe_machine()  # of before the run
        if clips is None and options.video is None:
            progress("drawing the clip")
        self._clips = clips or Clips(options.video, options.seed)
        self._model = model or MorphableModel.load()

    def __enter__(self) -> Bench:
        self._stack.__enter__()
        self._stack.callback(cv2.setNumThreads, cv2.getNumThreads())
        cv2.setNumThreads(1)  # as in the other commands: the networks' threads and the decoder's share the cores
        self._stack.enter_context(one_blas_thread())
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def run(self) -> BenchResult:
        """Measure everything; whatever fails is raised."""
        cases = self.options.cases()
        results = [CaseResult(case, self._engine(case), self.warm_up(case)) for case in cases]
        for number in range(self.options.rounds):
            self._progress(f"round {number + 1} of {self.options.rounds}")
            for result in results if number % 2 == 0 else results[::-1]:
                self._round(result)
        blocks = [block for result in results for block in (*result.paced, *result.free)]
        others = [block.usage.others for block in blocks if block.usage.others is not None]
        warnings = busy_warnings(self._conditions, statistics.mean(others) if others else None, os.cpu_count() or 1)
        if cold := [result.case.label for result in results if not result.warm_up.stable]:
            warnings.append(f"not stable after {self.options.warm_up_s:g} s of warm-up: {'; '.join(cold)}")
        return BenchResult(self.options, results, self._machine, self._conditions, warnings, self._clips.shape,
                           watching_cost_us())

    def warm_up(self, case: Case) -> WarmUp:
        """Without waiting, until three windows in a row agree (:data:`STABLE_CHANGE`); other streams: one window."""
        lanes = self._lanes_of(case)
        self._clips.prepare(case.faces)
        self._progress(f"warming up {case.label}")
        for lane in lanes[1:]:
            self._block([lane], case, "off", min(WINDOW_S, self.options.warm_up_s) / 4, settle=0)
        start, stable = time.monotonic(), False
        medians: list[float] = []
        while not stable and time.monotonic() - start < self.options.warm_up_s:
            window = self._block(lanes[:1], case, "off", min(WINDOW_S, self.options.warm_up_s), settle=0)
            if times := [sum(frame.stages.values()) for frame in window.all_frames]:
                medians.append(statistics.median(times))
            last = medians[-3:]
            stable = len(last) == 3 and max(last) <= min(last) * (1 + STABLE_CHANGE)
        return WarmUp(stable, time.monotonic() - start, medians)

    def _round(self, result: CaseResult) -> None:
        case, seconds = result.case, self.options.duration_s / self.options.rounds
        lanes = self._lanes_of(case)
        if self._sensors is not None:
            self._sensors.reset()
        result.paced.append(self._block(lanes, case, self._pace, seconds))
        if case.streams == 1:
            result.free.append(self._block(lanes, case, "off", seconds / 2, FREE_SETTLE_FRAMES))
        if self._sensors is not None and (reading := self._sensors.reading()) is not None:
            result.gpu.append(reading)

    @property
    def _pace(self) -> Pace:
        return "camera" if self.options.video is None else "decoder"

    def _block(self, lanes: Sequence[Lane], case: Case, pace: Pace, seconds: float,
               settle: int = SETTLE_FRAMES) -> Block:
        """Streams begin one after the other within the time of a frame, as cameras that know nothing of each other."""
        fps = self.options.fps
        sources = [SimulatedCamera(self._clips.open(case.faces), fps=fps, seconds=seconds, pace=pace,
                               phase_s=k / fps / len(lanes) if pace != "off" else 0.0) for k in range(len(lanes))]
        live = pace != "off"
        if live and self.options.render and case.streams == 1:
            with drawing(*self._clips.shape) as show:
                return measure_block(lanes, sources, live=live, show=show, settle=settle)
        return measure_block(lanes, sources, live=live, settle=settle)

    def _lanes_of(self, case: Case) -> list[Lane]:
        """Pipelines are opened once per variant and number of faces, and shared by the numbers of streams."""
        lanes = self._lanes.setdefault((*case.variant, case.faces), [])
        while len(lanes) < case.streams:
            lane = Lane(self.options.config(case), self._model, self._watch)
            lanes.append(self._stack.enter_context(lane))
        return lanes[:case.streams]

    def _engine(self, case: Case) -> str:
        backends = self._lanes_of(case)[0].pipeline.backends
        return "; ".join(dict.fromkeys(backends.values()))


def watching_cost_us(stages: int = 2000) -> float:
    """Microseconds that a watched stage takes longer than one that is not, on this machine now."""
    def cost(observer: StageObserver | None) -> float:
        timer = StageTimer(observer)
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter_ns()
            for _ in range(stages // 5):
                with timer.stage("stage"):
                    pass
            best = min(best, (time.perf_counter_ns() - start) / (stages // 5))
        return best / 1e3
    return max(cost(SpanRecorder()) - cost(None), 0.0)
