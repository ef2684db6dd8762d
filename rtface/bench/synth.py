"""How fast the face factory draws, and what takes the time: ``python -m rtface.bench.synth``."""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

import cv2
import numpy as np

from rtface import ops
from rtface.machine import describe_machine
from rtface.synth import camera, generator, render
from rtface.synth.config import SynthConfig
from rtface.synth.generator import FaceFactory
from rtface.synth.shards import single_threaded_processes

STEPS: dict[tuple[Any, str], str] = {
    (generator, "sample_person"): "person and skin", (generator, "place"): "join and pose",
    (generator, "paint"): "light and colour", (render, "shadows"): "shadows", (ops, "rasterize"): "raster",
    (generator, "finish"): "compose and shrink", (generator, "segment"): "masks",
    (camera, "shoot"): "camera"}
"""Functions that drawing calls, and what they are in the table; what one of them spends in another is the other's."""


def draw(seed: int, count: int, config: SynthConfig) -> dict[str, float]:
    """Seconds per step over ``count`` samples, ``all`` for the whole; single-threaded."""
    cv2.setNumThreads(1)
    factory = FaceFactory()
    spent: dict[str, float] = defaultdict(float)
    inner = [0.0]  # of the functions that are under way: seconds in others of the table

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            inner.append(0.0)
            try:
                return function(*arguments, **options)
            finally:
                whole = time.perf_counter() - start
                spent[name] += whole - inner.pop()
                inner[-1] += whole
        return call

    for some in (config, replace(config, occluder_rate=1.0, occluder_kinds=("head",))):  # maps of both sizes of skin
        factory.generate(np.random.default_rng(0), some)
    replaced = {step: getattr(*step) for step in STEPS}
    try:
        for step, label in STEPS.items():
            setattr(*step, timed(label, replaced[step]))
        factory.builder.surfaces = timed("shape, eyes, hair", factory.builder.surfaces)  # type: ignore[method-assign]
        factory.background = timed("background", factory.background)  # type: ignore[method-assign]
        start = time.perf_counter()
        for i in range(count):
            factory.generate(np.random.default_rng([seed, i]), config)
        spent["all"] = time.perf_counter() - start
    finally:
        for step, function in replaced.items():
            setattr(*step, function)
    return dict(spent)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--count", type=int, default=100, help="samples per process")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--dense", action="store_true", help="with parsing, contours, depth, normals")
    options = parser.parse_args(arguments)
    config = SynthConfig(size=options.size, dense=options.dense, clean_twin=options.dense)
    with single_threaded_processes(options.processes) as pool:
        runs = list(pool.map(draw, range(1, options.processes + 1), [options.count] * options.processes,
                             [config] * options.processes))
    drawn = options.count * options.processes
    rate = drawn / max(run["all"] for run in runs)
    mean_ms = {name: 1e3 * sum(run.get(name, 0.0) for run in runs) / drawn for name in runs[0]}
    whole = mean_ms.pop("all")
    mean_ms["rest (occluders, labels, poses)"] = whole - sum(mean_ms.values())
    print(f"{drawn} samples of {options.size} px, {options.processes} processes: {rate:.1f} samples/s, "
          f"{whole:.1f} ms each")
    for name, value in sorted(mean_ms.items(), key=lambda item: -item[1]):
        print(f"  {name:<32}{value:>8.2f} ms{100 * value / whole:>7.1f} %")
    print(json.dumps({"benchmark": "synth", "samples_per_s": round(rate, 2), "processes": options.processes,
                      "size": options.size, "dense": options.dense, "machine": describe_machine(),
                      "ms": {k: round(v, 3) for k, v in mean_ms.items()}}, separators=(",", ":")))


if __name__ == "__main__":
    main()
