"""Benchmarks for the tests: real runs over fake networks, and documents with invented times."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtface.bench.clips import Clips
from rtface.bench.conditions import Usage
from rtface.bench.document import build_document
from rtface.bench.measure import Block, FrameTimes
from rtface.bench.options import BenchOptions
from rtface.bench.run import BenchResult, CaseResult, WarmUp
from rtface.stream import Span
from tests import blobs

QUICK = {"duration_s": 3.0, "rounds": 3, "warm_up_s": 0.5}
USAGE = Usage(1.0, 0.5, 0.1, 200.0, None)


def painted_clips(frames: int = 12) -> Clips:
    """An ellipse that moves back and forth."""
    forth = [blobs.paint([(60 + 2 * k, 60, 40, 0)]) for k in range(frames)]
    return Clips(None, 0, forth + forth[-2:0:-1])


def frame(index: int, latency_ms: float, *, at_ms: float | None = None, work_ms: float | None = None) -> FrameTimes:
    """A frame at 30 fps with a latency: 1 ms each of source, queue, rest and handover; the stages take the others."""
    captured = round((1000 * index / 30 if at_ms is None else at_ms) * 1e6)
    work = latency_ms - 4 if work_ms is None else work_ms
    stages = {"track": 0.4 * work, "regress": 0.6 * work}
    end = captured + round(latency_ms * 1e6)
    return FrameTimes(index, captured, captured + 1_000_000, captured + 2_000_000, end - 1_000_000, end, end, stages, 1,
                      {"landmarks": 0.3 * work})


def invented(scale: float = 1.0, *, seed: int = 0, rounds: int = 8, frames: int = 60, noise: float = 0.15,
             drift: float = 0.02, dropped: int = 0, options: BenchOptions | None = None) -> BenchResult:
    """A result whose latencies are lognormal around 20 ms · scale; ``drift`` is the noise of whole rounds."""
    options = options or BenchOptions()
    rng = np.random.default_rng(seed)
    results = []
    for case in options.cases():
        paced, free = [], []
        for _ in range(rounds):
            level = 20 * scale * np.exp(rng.normal(0, drift))
            times = level * np.exp(rng.normal(0, noise, (2, frames)))
            streams = [[frame(k, float(ms)) for k, ms in enumerate(times[0])] for _ in range(case.streams)]
            spans = [[Span("track", f.index, f.started_ns, f.finished_ns, "rtface-stages") for f in s] for s in streams]
            paced.append(Block(streams, case.streams * (frames + dropped), case.streams * dropped, USAGE, spans))
            ends = np.cumsum(times[1])
            free.append(Block([[frame(k, float(ms), at_ms=float(end - ms), work_ms=float(ms) - 4)
                                for k, (ms, end) in enumerate(zip(times[1], ends, strict=True))]], frames, 0, USAGE))
        results.append(CaseResult(case, "fake", WarmUp(True, 1.0, [1.0, 1.0, 1.0]), paced,
                                  free if case.streams == 1 else []))
    machine = {"processor": "a <processor>", "cores": 2, "system": "Linux", "python": "3.11",
               "versions": {"rtface": "1"}, "commit": None, "date": "2026-11-21"}
    conditions = {"cpu_features": ["avx2"], "cpu_mhz": None, "governor": None, "boost": None, "load_average_1min": 0.1,
                  "cores_allowed": 2, "niceness": 0, "gil_switch_interval_s": 0.005}
    return BenchResult(options, results, machine, conditions, [], (480, 640), 0.5)


def document(scale: float = 1.0, *, samples: bool = False, **options: Any) -> dict[str, Any]:
    """:func:`invented` as its document."""
    return build_document(invented(scale, **options), samples=samples)
