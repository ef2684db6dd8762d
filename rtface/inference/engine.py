"""The protocol that every backend fulfils, and the one place that picks a backend."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, get_args

from rtface.config import Backend, Precision
from rtface.errors import BackendError, InputError
from rtface.inference.spec import EngineSpec, read_spec
from rtface.types import Array

_MODULES: dict[str, tuple[str, str]] = {"onnx": ("onnxruntime", "pip install onnxruntime"),
                                        "openvino": ("openvino", "pip install 'rtface[openvino]'"),
                                        "tensorrt": ("tensorrt", "pip install 'rtface[gpu]'"),
                                        "rtx": ("tensorrt_rtx_bindings", "pip install 'rtface[rtx]'")}


class Engine(Protocol):
    """A network that is ready to run. Not safe for two threads at once; close it or use it in ``with``."""

    @property
    def spec(self) -> EngineSpec:
        """What it takes and gives."""
        ...

    @property
    def backend(self) -> str:
        """What runs it, for reports: ``onnx 1.31.1 CPU, 2 threads``."""
        ...

    def run(self, **inputs: Array) -> dict[str, Array]:
        """Arrays by the names in ``spec.inputs`` → new arrays by the names in ``spec.outputs``, owned by the caller.

        Inputs are float32 and are made C-contiguous if they are not; a batch of N = 0 works.
        InputError on wrong names, shapes or dtypes; BackendError when the runtime fails.
        """
        ...

    def close(self) -> None:
        """Free what the engine holds; a second call does nothing, a later :meth:`run` raises BackendError."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None: ...


def available_backends() -> tuple[str, ...]:
    """Backends whose package is installed here; nothing is imported."""
    return tuple(name for name, (module, _) in _MODULES.items() if importlib.util.find_spec(module) is not None)


def open_engine(name: str, profile: str = "compact", *, backend: Backend = "auto", threads: int | None = None,
                precision: Precision = "auto", folder: Path | None = None, rebuild: bool = False) -> Engine:
    """Load the network ``name`` and make it ready on a backend.

    backend: ``auto`` takes ONNX Runtime, which the core install brings; ``openvino`` runs the same file;
    ``tensorrt`` and ``rtx`` take a compiled engine (``python -m build_engines``).
    threads: None takes one per physical core, at most 8.
    precision: ``auto`` lets the backend use bfloat16 where the CPU has it (OpenVINO only; ONNX Runtime always
    computes in float32), ``f32`` pins float32.
    folder: where the weights are; None takes the shipped ones.
    rebuild: build a compiled engine that is missing or stale, instead of telling the command that does.

    InputError on a wrong option, BackendError when the backend is not there, ModelFileError when weights or engine are
    missing, damaged, stale or not what their json says.
    """
    if precision not in get_args(Precision):
        raise InputError(f"precision: got {precision!r}, expected one of {', '.join(get_args(Precision))}")
    if threads is not None and threads < 1:
        raise InputError(f"threads: got {threads}, expected at least 1, or None for one per physical core")
    chosen = "onnx" if backend == "auto" else backend
    if chosen not in _MODULES:
        raise BackendError(f"backend: got {backend!r}, which this version does not have; "
                           f"expected auto or one of {', '.join(_MODULES)} "
                           f"(installed here: {', '.join(available_backends()) or 'none'})")
    if chosen not in available_backends():
        module, command = _MODULES[chosen]
        raise BackendError(f"backend {chosen}: got no package {module}, expected it to be installed; "
                           f"install it with: {command}")
    spec = read_spec(name, profile, folder=folder)
    if chosen == "openvino":
        from rtface.inference.openvino import OpenVinoEngine
        return OpenVinoEngine(spec, threads=threads, precision=precision)
    if chosen in ("tensorrt", "rtx"):
        from rtface.inference.tensorrt import TensorRtEngine
        return TensorRtEngine(spec, flavour=chosen, precision=precision, rebuild=rebuild)
    from rtface.inference.onnx import OnnxEngine
    return OnnxEngine(spec, threads=threads)
