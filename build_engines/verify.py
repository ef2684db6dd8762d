"""The same fixed inputs through every way of running a network, against torch in float32.

Runtimes: torch in float16 (true half tensors, on the CPU), ONNX Runtime and OpenVINO on the shipped float32 file,
ONNX Runtime on the typed float16 file, and the compiled engines where there is a GPU. Reported are differences per
tensor, figures in units of the task (:mod:`build_engines.tasks`), and whether extreme inputs give NaN or infinity.
"""

from __future__ import annotations

import json
import math
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import torch

from build_engines import precision, samples, tasks, typed_onnx
from build_engines.build import Order, Prepared, answers, decided_before, is_trained, prepare
from rtface.errors import BackendError, ModelFileError
from rtface.inference import Engine, available_backends, open_engine
from rtface.inference.spec import EngineSpec, read_spec
from rtface.inference.tensorrt import TensorRtEngine
from rtface.io.atomic import write_atomic

Run = Callable[[samples.Feed], Mapping[str, Any]]
FLAVOURS: Final = ("rtx", "tensorrt")


@dataclass(frozen=True, slots=True)
class Result:
    """One network on one runtime."""

    name: str
    profile: str
    runtime: str
    figures: tuple[tasks.Figure, ...]
    tensors: Mapping[str, tuple[float, float]]
    """Greatest and mean difference per output."""
    broken: tuple[str, ...]
    """Extreme inputs that gave NaN or infinity."""
    untrained: bool
    skipped: str = ""
    """Why it did not run; empty when it did."""

    @property
    def kept(self) -> bool:
        """Nothing is wrong: all limits hold (of trained weights: chance answers have none) and all is finite."""
        return bool(self.skipped) or (not self.broken and (self.untrained or all(f.kept for f in self.figures)))


def verify(name: str, order: Order, seed: int = samples.SEED) -> list[Result]:
    """Compare all runtimes for one network, on the inputs that precision was decided on or, by seed, on others.

    Precision is as in the manifest of an engine of these weights, else decided anew. ModelFileError when weights are
    missing or damaged.
    """
    spec = read_spec(name, order.profile, folder=order.weights)
    made = prepare(spec, order.precision, decided_before(spec, order))
    if seed != samples.SEED:
        feeds = samples.realistic(spec, seed=seed)
        made = replace(made, feeds=feeds, reference=answers(made.module, spec, feeds))
    results = []
    with ExitStack() as stack:
        for label, start in runtimes(made, order):
            try:
                run = stack.enter_context(start())
            except (BackendError, ModelFileError) as exc:
                results.append(_result(made, label, skipped=str(exc)))
                continue
            results.append(measure(made, label, run))
    return results


def runtimes(made: Prepared, order: Order) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Label and context manager of every runtime, in the order of the table."""
    spec = made.spec
    typed = typed_onnx.export(made.graph, made.precision.names, spec).content
    yield f"torch {order.precision}", lambda: _torch(precision.MixedPrecision(made.graph, made.precision.names), spec)
    yield "onnxruntime, stored file", lambda: _engine(lambda: open_engine(
        spec.name, spec.profile, backend="onnx", threads=1, folder=order.weights))
    yield f"onnxruntime, typed {order.precision}", lambda: _session(typed, spec)
    if "openvino" in available_backends():
        yield "openvino f32, stored file", lambda: _engine(lambda: open_engine(
            spec.name, spec.profile, backend="openvino", precision="f32", threads=1, folder=order.weights))
    for flavour in FLAVOURS:
        for graph in (False, True):
            yield f"{flavour} {order.precision}{', CUDA graph' if graph else ''}", \
                lambda flavour=flavour, graph=graph: _engine(lambda: TensorRtEngine(
                    spec, flavour=flavour, folder=order.folder, graph=graph,
                    precision="auto" if order.precision == "fp16" else "f32"))


def measure(made: Prepared, label: str, run: Run) -> Result:
    """Run realistic and extreme inputs."""
    got = [dict(run(feed)) for feed in made.feeds]
    broken = tuple(name for name, feed in samples.extreme(made.spec)
                   if not all(np.isfinite(value).all() for value in run(feed).values()))
    return _result(made, label, tasks.compare(made.spec.name, made.feeds, made.reference, got),
                   differences(made.reference, got), broken)


def differences(reference: Sequence[Mapping[str, Any]], got: Sequence[Mapping[str, Any]]) -> dict[
        str, tuple[float, float]]:
    """Greatest and mean absolute difference per output."""
    out = {}
    for name in reference[0]:
        gap = np.concatenate([np.abs(a[name] - b[name]).ravel() for a, b in zip(reference, got, strict=True)])
        out[name] = (float(gap.max()), float(gap.mean()))
    return out


def _result(made: Prepared, label: str, figures: tuple[tasks.Figure, ...] = (),
            tensors: Mapping[str, tuple[float, float]] | None = None, broken: tuple[str, ...] = (),
            skipped: str = "") -> Result:
    return Result(made.spec.name, made.spec.profile, label, figures, tensors or {}, broken,
                  not is_trained(made.spec), skipped)


@contextmanager
def _torch(module: Any, spec: EngineSpec) -> Iterator[Run]:
    yield lambda feed: answers(module, spec, [feed])[0]


@contextmanager
def _session(content: bytes, spec: EngineSpec) -> Iterator[Run]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in spec.outputs]
    yield lambda feed: dict(zip(names, session.run(names, feed), strict=True))


@contextmanager
def _engine(start: Callable[[], Engine]) -> Iterator[Run]:
    with start() as engine:
        def run(feed: samples.Feed) -> Mapping[str, Any]:
            engine.run(**feed)  # the second time a CUDA graph is replayed, where there is one
            return engine.run(**feed)
        yield run


def table(results: Sequence[Result]) -> str:
    """A Markdown table, which is also readable in a terminal."""
    rows = ["| network | runtime | against torch float32 | greatest difference | extremes |", "|---|---|---|---|---|"]
    for result in results:
        if result.skipped:
            continue
        figures = ", ".join(f"{f.name} {_short(f)}{'' if f.kept or result.untrained else ' **beyond the limit**'}"
                            for f in result.figures)
        tensors = ", ".join(f"{name} {greatest:.2g}" for name, (greatest, _) in result.tensors.items())
        rows.append(f"| {result.name}.{result.profile} | {result.runtime} | {figures} | {tensors} | "
                    f"{'finite' if not result.broken else 'NaN or infinite: ' + ', '.join(result.broken)} |")
    skipped: dict[str, str] = {}
    for result in results:
        if result.skipped:
            skipped.setdefault(result.runtime, result.skipped.split("; ")[0])
    return "\n".join([*rows, *(["", "Not run:"] if skipped else []),
                      *(f"- {runtime}: {reason}" for runtime, reason in skipped.items())])


def _short(figure: tasks.Figure) -> str:
    return f"{figure.value:.1f}" if figure.name.endswith("dB") else f"{figure.value:.4g}"


def report(names: Sequence[str], order: Order, path: Path | None, seed: int = samples.SEED) -> int:
    """Print the table, write the JSON; exit code 1 when something is wrong."""
    results: list[Result] = []
    for name in names:
        print(f"comparing {name}.{order.profile} …", file=sys.stderr, flush=True)
        results += verify(name, order, seed)
    print(table(results))
    if path is not None:
        described = {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__,
                     "machine": platform.machine(), "seed": seed,
                     "results": [_plain(asdict(result)) | {"kept": result.kept} for result in results]}
        write_atomic(path, (json.dumps(described, indent=1) + "\n").encode())
    wrong = [result for result in results if not result.kept]
    for result in wrong:
        print(f"error: {result.name}.{result.profile} on {result.runtime} breaks a limit", file=sys.stderr)
    return 1 if wrong else 0


def _plain(value: Any) -> Any:
    """JSON has no infinity and no NaN."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

