"""Speed of every shipped network on every CPU backend that is installed.

    python -m rtface.bench.backends                         # table: backend by network, about a minute
    python -m rtface.bench.backends --batch 4               # the same for four faces at once
    python -m rtface.bench.backends --accuracy              # how far answers lie from ONNX Runtime's, on drawn faces
    python -m rtface.bench.backends --side-by-side 2        # so many processes at once: what crowding costs

Calls of the backends are interleaved, so a busy moment of the machine meets all of them; minima say what a backend can
do, medians what it did on this machine. The last line of the output is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rtface.inference import EngineSpec, available_backends, open_engine, shipped_specs, verify_weights
from rtface.inference.probe import example_inputs
from rtface.machine import describe_machine
from rtface.types import Array

PER_FRAME = ("landmarks", "segment", "regressor")
"""Networks that the default recipe runs for every face in every frame."""


class Way(NamedTuple):
    """A way to run a network."""

    label: str
    backend: str
    precision: str


WAYS = (Way("onnx f32", "onnx", "f32"), Way("openvino f32", "openvino", "f32"),
        Way("openvino auto", "openvino", "auto"), Way("torch f32", "torch", "f32"))
"""``openvino auto`` is bfloat16 where the CPU has it, else the same as f32."""
FACES = 24
CROWDED = ("onnx", "onnx spinning", "openvino", "openvino pinned")
"""Ways of the runs side by side, all in float32: as rtface opens them, and as the libraries would by themselves."""


def time_network(spec: EngineSpec, ways: Sequence[Way], threads: int, repeats: int,
                 batch: int = 1) -> list[dict[str, Any]]:
    """One row per way: milliseconds to open it, of the first call, and minimum and median of the others."""
    engines, rows = [], []
    inputs = example_inputs(spec, batch=batch)
    for way in ways:
        start = time.perf_counter()
        engine = open_engine(spec.name, spec.profile, backend=way.backend, threads=threads,  # type: ignore[arg-type]
                             precision=way.precision, folder=folder_of(spec))  # type: ignore[arg-type]
        opened = time.perf_counter()
        engine.run(**inputs)
        rows.append({"network": spec.name, "threads": threads, "way": way.label, "engine": engine.backend,
                     "open_ms": (opened - start) * 1e3, "first_ms": (time.perf_counter() - opened) * 1e3})
        engines.append(engine)
    times: list[list[float]] = [[] for _ in engines]
    for _ in range(repeats):
        for engine, spent in zip(engines, times, strict=True):
            start = time.perf_counter()
            engine.run(**inputs)
            spent.append((time.perf_counter() - start) * 1e3)
    for row, engine, spent in zip(rows, engines, times, strict=True):
        row |= {"min_ms": min(spent), "median_ms": float(np.median(spent))}
        engine.close()
    return rows


def folder_of(spec: EngineSpec) -> Path:
    """Where a network's file lies."""
    assert spec.path is not None
    return spec.path.parent


def table(rows: Sequence[dict[str, Any]], labels: Sequence[str]) -> list[str]:
    """Networks down, ways across: minimum / median ms; the sums of the networks that every frame needs at the end."""
    lines = [f"{'network':<11}{'threads':>8}" + "".join(f"{label:>18}" for label in labels)]
    cells = {(row["network"], row["threads"], row["way"]): (row["min_ms"], row["median_ms"]) for row in rows}
    for threads in dict.fromkeys(row["threads"] for row in rows):
        names = list(dict.fromkeys(row["network"] for row in rows))
        for name in names:
            lines.append(f"{name:<11}{threads:>8}" + "".join(
                "{:>11.2f} /{:>5.2f}".format(*cells[name, threads, label]) for label in labels))
        frame = [name for name in names if name in PER_FRAME]
        sums = {label: [sum(cells[name, threads, label][k] for name in frame) for k in (0, 1)] for label in labels}
        best = [sum(min(cells[name, threads, label][k] for label in labels) for name in frame) for k in (0, 1)]
        lines.append(f"{'each frame':<11}{threads:>8}" + "".join(
            "{:>11.2f} /{:>5.2f}".format(*sums[label]) for label in labels)
            + "   best of each: {:.2f} / {:.2f}".format(*best))
    return lines


def print_accuracy(ways: Sequence[Way]) -> list[dict[str, Any]]:
    """Differences from ONNX Runtime in float32, in the units of each network's task, the worst over all faces."""
    from build_engines import samples, tasks

    rows = []
    for spec in shipped_specs():
        feeds = samples.realistic(spec, FACES)
        with open_engine(spec.name, spec.profile, backend="onnx", threads=1) as engine:
            reference = [engine.run(**feed) for feed in feeds]
        for way in ways[1:]:
            with open_engine(spec.name, spec.profile, backend=way.backend, threads=1,  # type: ignore[arg-type]
                             precision=way.precision) as engine:  # type: ignore[arg-type]
                figures = tasks.compare(spec.name, feeds, reference, [engine.run(**feed) for feed in feeds])
            print(f"{spec.name:<11}{way.label:<15}"
                  + "; ".join(f"{figure.name} {figure.value:.4g}" for figure in figures), flush=True)
            rows.append({"network": spec.name, "way": way.label, **{figure.name: figure.value for figure in figures}})
    return rows


def opened(way: str, spec: EngineSpec, threads: int) -> Callable[..., Any]:
    """A function that runs a network in float32 in one of the :data:`CROWDED` ways."""
    if way in ("onnx", "openvino"):
        return open_engine(spec.name, spec.profile, backend=way, threads=threads,  # type: ignore[arg-type]
                           precision="f32").run
    content = verify_weights(spec)
    if way == "onnx spinning":
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return lambda **inputs: session.run(None, inputs)
    import openvino as ov

    core: Any = ov.Core()
    request = core.compile_model(core.read_model(content, b""), "CPU", {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": True}).create_infer_request()
    return lambda **inputs: request.infer(inputs, share_inputs=True)


def run_frames(way: str, threads: int, begin_s: float, seconds: float) -> dict[str, float]:
    """One process of a run side by side: the networks of a frame, again and again from a given time on."""
    chain: list[tuple[Callable[..., Any], dict[str, Array]]] = []
    for spec in shipped_specs():
        if spec.name in PER_FRAME and spec.profile == "compact":
            chain.append((opened(way, spec, threads), example_inputs(spec)))
    for run, inputs in chain:
        run(**inputs)
    late = begin_s - time.time()
    if late < 0:
        raise SystemExit(f"got ready {-late:.1f} s late, expected before the common start; raise --warm-up")
    time.sleep(late)
    spent = []
    while time.time() < begin_s + seconds:
        start = time.perf_counter()
        for run, inputs in chain:
            run(**inputs)
        spent.append((time.perf_counter() - start) * 1e3)
    return {"frames": len(spent), "p50_ms": float(np.median(spent)), "p95_ms": float(np.percentile(spent, 95))}


def crowd(way: str, threads: int, processes: int, seconds: float, warm_up: float) -> dict[str, Any]:
    """Run several processes at once; frames per second are those of all together."""
    begin = time.time() + warm_up
    command = [sys.executable, "-m", "rtface.bench.backends", "--child", way, "--threads", str(threads),
               "--begin", str(begin), "--seconds", str(seconds)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    rows = []
    for child in children:
        text, _ = child.communicate(timeout=warm_up + seconds + 60)
        if child.returncode:
            raise SystemExit(f"{way}: a process ended with {child.returncode}, see above")
        rows.append(json.loads(text.splitlines()[-1]))
    return {"way": way, "threads": threads, "processes": processes,
            "frames_per_s": sum(row["frames"] for row in rows) / seconds,
            "p50_ms": max(row["p50_ms"] for row in rows), "p95_ms": max(row["p95_ms"] for row in rows)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=60, help="calls that are timed")
    parser.add_argument("--weights", type=Path, help="folder of networks to time; default: the shipped ones")
    parser.add_argument("--batch", type=int, default=1, help="faces at once")
    parser.add_argument("--accuracy", action="store_true", help="compare answers instead of times")
    parser.add_argument("--side-by-side", type=int, metavar="N", help="up to so many processes at once")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a run side by side")
    parser.add_argument("--warm-up", type=float, default=8.0, help="seconds that processes have to get ready")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--begin", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps(run_frames(options.child, options.threads[0], options.begin, options.seconds)))
        return
    installed = available_backends()
    ways = [way for way in WAYS if way.backend in installed]
    rows: list[dict[str, Any]] = []
    if options.side_by_side:
        print(f"{'way':<18}{'threads':>8}{'processes':>10}{'frames/s':>10}{'p50 ms':>9}{'p95 ms':>9}")
        for label in (label for label in CROWDED if label.split()[0] in installed):
            for threads in options.threads:
                for processes in range(1, options.side_by_side + 1):
                    row = crowd(label, threads, processes, options.seconds, options.warm_up)
                    print(f"{label:<18}{threads:>8}{processes:>10}{row['frames_per_s']:>10.1f}{row['p50_ms']:>9.2f}"
                          f"{row['p95_ms']:>9.2f}", flush=True)
                    rows.append(row)
    elif options.accuracy:
        rows = print_accuracy(ways)
    else:
        for threads in options.threads:
            for spec in shipped_specs(options.weights):
                rows += time_network(spec, ways, threads, options.repeats, options.batch)
        print("\n".join(table(rows, [way.label for way in ways])))
        for way in ways:
            some = [row for row in rows if row["way"] == way.label]
            opening, first = (float(np.median([row[key] for row in some])) for key in ("open_ms", "first_ms"))
            print(f"{way.label}: opening a network takes {opening:.0f} ms, its first call {first:.0f} ms (medians); "
                  f"{some[0]['engine']}")
    print(json.dumps({"benchmark": "backends", "machine": describe_machine() | {"load": os.getloadavg()},
                      "results": [{key: round(value, 3) if isinstance(value, float) else value
                                   for key, value in row.items()} for row in rows]}, separators=(",", ":")))


if __name__ == "__main__":
    main()
