"""Each network alone, on every backend: latency as trtexec reports it, operations, and the share of the roofline."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from threadpoolctl import threadpool_limits

from rtface.bench.conditions import UsageMeter, busy_warnings, describe_conditions
from rtface.bench.graph_cost import GraphCost, graph_cost, matrix_product
from rtface.bench.statistics import Distribution
from rtface.config import Backend, Precision
from rtface.errors import BackendError, InputError, ModelFileError
from rtface.figures.table import Cell, Table
from rtface.inference import Engine, EngineSpec, available_backends, open_engine, shipped_specs, verify_weights
from rtface.inference.threads import default_threads
from rtface.inference.timing import TellsTimes
from rtface.machine import describe_machine
from rtface.types import Array

SCHEMA: Final = "rtface-bench-engines-1"
SCHEMA_FILE: Final = Path(__file__).with_name("schema-engines-1.json")
PICTURE: Final = (192, 256)
"""Height and width of the detector's input: a 640×480 frame at its first look."""
WARM_RUNS: Final = 5
GEMM_SIDE: Final = 384
COPY_MB: Final = 256
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What to measure; checked at construction (InputError)."""

    names: tuple[str, ...] = ()
    """Of networks; empty: all that are shipped."""
    profile: str = "compact"
    backends: tuple[str, ...] = ("onnx",)
    precisions: tuple[str, ...] = ("auto",)
    batches: tuple[int, ...] = (1, 4, 8)
    """Networks with a fixed batch are measured with that alone."""
    duration_s: float = 2.0
    """Seconds per engine and batch, over all rounds."""
    rounds: int = 5
    threads: int | None = None

    def __post_init__(self) -> None:
        if not self.batches or min(self.batches) < 1 or max(self.batches) > 256:
            raise InputError(f"bench engines: got batches {self.batches}, expected numbers from 1 to 256")
        if not 0 < self.duration_s < 3600 or not 3 <= self.rounds <= 1000:
            raise InputError(f"bench engines: got {self.duration_s} s in {self.rounds} rounds, expected above 0 s in "
                             f"3 to 1000 rounds")


@dataclass(frozen=True, slots=True)
class Peaks:
    """What this machine's CPU can do, measured just before."""

    gflops: float
    """Of float32 matrix products of side :data:`GEMM_SIDE`, by NumPy or ONNX Runtime, whichever is faster: one
    thread's, times the engine's number of threads."""
    gbytes_per_s: float
    """Read and written while copying arrays larger than the caches, in one thread."""


def measure_peaks(threads: int, repeats: int = 200) -> Peaks:
    """The best of many short tries, each in one thread: others may use the machine at the same time."""
    rng = np.random.default_rng(0)
    a, b = (rng.random((GEMM_SIDE, GEMM_SIDE), np.float32) for _ in range(2))
    source = np.ones(COPY_MB * 250_000 // 2, np.float32)
    target, product = np.empty_like(source), np.empty_like(a)
    with threadpool_limits(1, user_api="blas"):
        multiply = min(_seconds(lambda: np.matmul(a, b, out=product)) for _ in range(repeats))
    with suppress(BackendError):  # without onnx NumPy's has to do
        run = _runtime_product()
        multiply = min(multiply, *(_seconds(lambda: run(a, b)) for _ in range(repeats)))
    copy = min(_seconds(lambda: np.copyto(target, source)) for _ in range(max(repeats // 10, 1)))
    return Peaks(threads * 2 * GEMM_SIDE**3 / multiply / 1e9, 2 * source.nbytes / copy / 1e9)


def _runtime_product() -> Callable[[Array, Array], Any]:
    """ONNX Runtime's matrix product in one thread; its kernels know instructions that NumPy's library may not."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(matrix_product(GEMM_SIDE), options, providers=["CPUExecutionProvider"])
    return lambda a, b: session.run(None, {"a": a, "b": b})


def example_inputs(spec: EngineSpec, batch: int) -> dict[str, Array]:
    """Noise 0..1 of the right shapes; masks and contours are noise too, which no network minds the speed of."""
    rng = np.random.default_rng(0)
    sizes = {"N": batch, "H": PICTURE[0], "W": PICTURE[1]}
    out = {}
    for tensor in spec.inputs:
        shape = [sizes.get(s, 1) if isinstance(s, str) else s for s in tensor.shape]
        out[tensor.name] = rng.random(shape, np.float32).astype(tensor.dtype)
    return out


def usable_backends(profile: str, progress: Progress, *, network: str = "landmarks",
                    open_on: Callable[..., Engine] = open_engine) -> tuple[str, ...]:
    """Those that are installed and can run a network here; the others are named with the reason.

    A package may be there without what it needs: TensorRT without a GPU or without built engines. BackendError when
    none is left.
    """
    usable = []
    for backend in available_backends():
        try:
            open_on(network, profile, backend=cast(Backend, backend), threads=1).close()
        except (BackendError, ModelFileError) as exc:
            progress(f"{backend} is left out: {exc}")
        else:
            usable.append(backend)
    if not usable:
        raise BackendError(f"--backend all: got none of {', '.join(available_backends()) or 'no backend'} to run "
                           f"{network}, expected at least one; name it with --backend to see why")
    return tuple(usable)


def bench_engines(options: EngineOptions, *, specs: Sequence[EngineSpec] | None = None,
                  open_on: Callable[..., Engine] = open_engine,
                  progress: Progress = lambda line: None) -> dict[str, Any]:
    """The document of this benchmark. specs, open_on: to measure other networks than the shipped ones."""
    known = [s for s in (shipped_specs() if specs is None else specs) if s.profile == options.profile]
    chosen = [s for s in known if not options.names or s.name in options.names]
    if missing := set(options.names) - {s.name for s in known}:
        raise InputError(f"bench engines: got {', '.join(sorted(missing))}, expected some of "
                         f"{', '.join(s.name for s in known) or 'none'}")
    conditions, machine = describe_conditions(), describe_machine()
    progress("measuring what the CPU can do")
    peaks = measure_peaks(options.threads or default_threads(options.profile))
    results, notes = [], []
    meter = UsageMeter()
    for spec in chosen:
        progress(f"measuring {spec.name}")
        batches = options.batches if any("N" in t.shape for t in spec.inputs) else (1,)
        for batch in dict.fromkeys(batches):
            inputs = example_inputs(spec, batch)
            cost, note = _cost(spec, inputs)
            notes += [note] if note and note not in notes else []
            results += _measure(spec, batch, inputs, cost, peaks, options, open_on)
    usage = meter.stop()
    return {"schema": SCHEMA, "benchmark": "engines", "machine": machine, "conditions": conditions,
            "warnings": busy_warnings(conditions, usage.others, int(machine["cores"] or 1)), "notes": notes,
            "settings": {"duration_s": options.duration_s, "rounds": options.rounds, "threads": options.threads,
                         "profile": options.profile, "picture": list(PICTURE)},
            "peaks": {"gflops": peaks.gflops, "gbytes_per_s": peaks.gbytes_per_s,
                      "how": f"NumPy: float32 matrix product of side {GEMM_SIDE} in one thread, times threads; "
                             f"copy of {COPY_MB // 2} MB"},
            "engines": results}


def _cost(spec: EngineSpec, inputs: Mapping[str, Array]) -> tuple[GraphCost | None, str]:
    """None for engines without a file and without the package onnx; the reason then."""
    if spec.path is None:
        return None, f"{spec.name}: no file, so operations are not counted"
    try:
        return graph_cost(verify_weights(spec), inputs), ""
    except BackendError as exc:
        return None, str(exc)


def _measure(spec: EngineSpec, batch: int, inputs: Mapping[str, Array], cost: GraphCost | None, peaks: Peaks,
             options: EngineOptions, open_on: Callable[..., Engine]) -> list[dict[str, Any]]:
    """One network at one batch on all backends and precisions, in turns."""
    ways = [(backend, precision) for backend in options.backends for precision in options.precisions]
    with ExitStack() as stack:
        engines = {way: stack.enter_context(open_on(spec.name, spec.profile, backend=cast(Backend, way[0]),
                                                    precision=cast(Precision, way[1]), threads=options.threads))
                   for way in ways}
        times: dict[tuple[str, str], list[list[float]]] = {way: [] for way in ways}
        parts: dict[tuple[str, str], dict[str, list[list[float]]]] = {way: {} for way in ways}
        for engine in engines.values():
            for _ in range(WARM_RUNS):
                engine.run(**inputs)
        for number in range(options.rounds):
            for way in ways if number % 2 == 0 else ways[::-1]:
                one, told = _round(engines[way], inputs, options.duration_s / options.rounds / len(ways))
                times[way].append(one)
                for name, values in told.items():
                    parts[way].setdefault(name, []).append(values)
        return [_result(spec, way, engines[way], batch, times[way], parts[way], cost, peaks) for way in ways]


def _round(engine: Engine, inputs: Mapping[str, Array], seconds: float) -> tuple[list[float], dict[str, list[float]]]:
    """ms of every run, and of its parts where the engine tells them; at least one run."""
    times: list[float] = []
    told: dict[str, list[float]] = {}
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter_ns()
        engine.run(**inputs)
        times.append((time.perf_counter_ns() - start) / 1e6)
        if isinstance(engine, TellsTimes):
            for name, value in engine.times_ms().items():
                told.setdefault(name, []).append(value)
    return times, told


def _result(spec: EngineSpec, way: tuple[str, str], engine: Engine, batch: int, times: list[list[float]],
            parts: Mapping[str, list[list[float]]], cost: GraphCost | None, peaks: Peaks) -> dict[str, Any]:
    whole = Distribution.of(times)
    mean_s = float(whole.samples.mean()) / 1e3
    out: dict[str, Any] = {
        "name": spec.name, "backend": way[0], "precision": way[1], "engine": engine.backend, "batch": batch,
        "latency_ms": whole.document(samples=False), "throughput_qps": 1 / mean_s, "items_per_s": batch / mean_s,
        "parts_ms": {name: Distribution.of(rounds).document(samples=False) for name, rounds in parts.items()},
        "gflop": None, "weights_mb": None, "traffic_mb": None, "unfused_mb": None, "gflops": None,
        "roofline_gflops": None, "roofline_share": None}
    if cost is not None:
        achieved = cost.flops / (whole.quantile(50) / 1e3) / 1e9
        roof = min(peaks.gflops, cost.intensity * peaks.gbytes_per_s)
        on_cpu = "CPU" in engine.backend
        out |= {"gflop": cost.flops / 1e9, "weights_mb": cost.weight_bytes / 1e6,
                "traffic_mb": cost.traffic_bytes / 1e6, "unfused_mb": cost.tensor_bytes / 1e6, "gflops": achieved,
                "roofline_gflops": roof if on_cpu else None, "roofline_share": achieved / roof if on_cpu else None}
    return out


def engine_table(document: Mapping[str, Any]) -> Table:
    """One row per engine and batch; times in ms."""
    told = list(dict.fromkeys(name for e in document["engines"] for name in e["parts_ms"]))
    rows: list[list[Cell]] = []
    for e in document["engines"]:
        t = e["latency_ms"]
        share = None if e["roofline_share"] is None else f"{100 * e['roofline_share']:.0f}"
        rows.append([e["name"], f"{e['backend']} {e['precision']}", e["batch"], t["min"], t["p50"], t["p90"], t["p95"],
                     t["p99"], *(e["parts_ms"][name]["p50"] if name in e["parts_ms"] else None for name in told),
                     f"{e['throughput_qps']:.1f}", f"{e['items_per_s']:.1f}",
                     None if e["gflop"] is None else f"{e['gflop']:.3f}", e["traffic_mb"],
                     None if e["gflops"] is None else f"{e['gflops']:.1f}", share])
    peaks = document["peaks"]
    title = (f"Networks alone; the CPU's peaks: {peaks['gflops']:.0f} GFLOP/s (float32), "
             f"{peaks['gbytes_per_s']:.1f} GB/s")
    return Table(title, ("network", "backend", "batch", "min ms", "p50", "p90", "p95", "p99", *told, "runs/s",
                         "items/s", "GFLOP", "MB", "GFLOP/s", "roofline %"), rows)


def engine_markdown(document: Mapping[str, Any]) -> str:
    """For a page of the docs."""
    machine, state = document["machine"], document["conditions"]
    where = (f"{machine['processor']}, {machine['cores']} cores, commit {machine['commit'] or 'unknown'}, "
             f"{machine['date']}, load average before the run {state['load_average_1min']}, niceness "
             f"{state['niceness']}. {'; '.join(dict.fromkeys(e['engine'] for e in document['engines']))}.")
    lines = [f"- warning: {line}" for line in document["warnings"]] + [f"- {line}" for line in document["notes"]]
    return "\n\n".join(["# rtface bench engines, measured", where, engine_table(document).markdown(),
                        *(["\n".join(lines)] if lines else [])])


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
