"""The protocol that every backend fulfils, and the one place that picks a backend."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, cast, get_args

from rtface.config import Backend, Precision
from rtface.errors import BackendError, InputError
from rtface.inference.gpus import nvidia_gpus
from rtface.inference.manifest import Flavour, compiled
from rtface.inference.probe import PROBED, Choice, choose
from rtface.inference.spec import EngineSpec, read_spec, shipped_specs
from rtface.inference.threads import default_threads
from rtface.paths import WEIGHTS
from rtface.types import Array

_MODULES: dict[str, tuple[str, str]] = {"onnx": ("onnxruntime", "pip install onnxruntime"),
                                        "openvino": ("openvino", "pip install 'rtface[openvino]'"),
                                        "torch": ("torch", "pip install 'rtface[torch]'"),
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


def choose_backend(profile: str = "compact", *, backend: Backend = "auto", threads: int | None = None,
                   precision: Precision = "auto", folder: Path | None = None, fallback: str = "detector") -> Choice:
    """What :func:`open_engine` with these options takes, and why; ``auto`` may run a trial, see :mod:`.probe`.

    fallback: the network that is tried where none of :data:`rtface.inference.probe.PROBED` is in the folder.
    InputError on a wrong option, BackendError when a backend that was asked for is not there, ModelFileError when the
    networks of the trial are missing.
    """
    if precision not in get_args(Precision):
        raise InputError(f"precision: got {precision!r}, expected one of {', '.join(get_args(Precision))}")
    if threads is not None and threads < 1:
        raise InputError(f"threads: got {threads}, expected at least 1, or None for the profile's")
    installed = available_backends()
    if backend == "auto":
        specs = [read_spec(name, profile, folder=folder) for name in _present(profile, folder) or [fallback]]
        gpus = nvidia_gpus()
        return choose(installed, specs, threads=threads or default_threads(profile), precision=precision,
                      open_on=lambda name, spec: _open(name, spec, threads, precision), gpus=gpus,
                      compiled=_compiled(profile, folder, precision) if gpus else {})
    if backend not in _MODULES:
        raise BackendError(f"backend: got {backend!r}, which this version does not have; "
                           f"expected auto or one of {', '.join(_MODULES)} "
                           f"(installed here: {', '.join(installed) or 'none'})")
    if backend not in installed:
        module, command = _MODULES[backend]
        raise BackendError(f"backend {backend}: got no package {module}, expected it to be installed; "
                           f"install it with: {command}")
    return Choice(backend, "asked for", {})


def open_engine(name: str, profile: str = "compact", *, backend: Backend = "auto", threads: int | None = None,
                precision: Precision = "auto", folder: Path | None = None, rebuild: bool = False) -> Engine:
    """Load the network ``name`` and make it ready on a backend.

    backend: ``auto`` takes the fastest backend that is installed, of those for GPUs too where there is one
    (:func:`choose_backend`); ``tensorrt`` and ``rtx`` take a compiled engine (``python -m build_engines``).
    threads: None takes 1 for compact networks, else one per physical core, at most 8.
    precision: ``auto`` lets the backend use bfloat16 where the CPU has it (OpenVINO only; ONNX Runtime always
    computes in float32) and float16 on a GPU (torch), ``f32`` pins float32,
    ``int8`` takes the forms made by ``python -m build_engines.quantize``, see :mod:`rtface.inference.int8`.
    folder: where the weights are; None takes the shipped ones.
    rebuild: build a compiled engine that is missing or stale, instead of telling the command that does.

    InputError on a wrong option, BackendError when the backend is not there, ModelFileError when weights or engine are
    missing, damaged, stale or not what their json says.
    """
    choice = choose_backend(profile, backend=backend, threads=threads, precision=precision, folder=folder,
                            fallback=name)
    return _open(choice.backend, read_spec(name, profile, folder=folder), threads, precision, rebuild)


def _present(profile: str, folder: Path | None) -> list[str]:
    """Networks for a trial that the folder has."""
    return [name for name in PROBED if ((WEIGHTS if folder is None else folder) / f"{name}.{profile}.json").is_file()]


def _compiled(profile: str, folder: Path | None, precision: Precision) -> dict[str, str]:
    """See :func:`rtface.inference.manifest.compiled`, for all networks of a profile."""
    specs = [spec for spec in shipped_specs(folder) if spec.profile == profile]
    return compiled(specs, ("fp32",) if precision == "f32" else ("fp16", "fp32"))


def _open(backend: str, spec: EngineSpec, threads: int | None, precision: Precision, rebuild: bool = False) -> Engine:
    if precision == "int8":
        if backend not in ("onnx", "openvino"):
            raise BackendError(f"backend {backend}: got --precision int8, expected auto or f32; INT8 networks run on "
                               f"onnx and openvino")
        from rtface.inference.int8 import int8_spec
        spec = int8_spec(spec)
    if backend == "openvino":
        from rtface.inference.openvino import OpenVinoEngine
        return OpenVinoEngine(spec, threads=threads, precision=precision)
    if backend == "torch":
        from rtface.inference.torch import TorchEngine
        return TorchEngine(spec, threads=threads, precision=precision)
    if backend in ("tensorrt", "rtx"):
        from rtface.inference.tensorrt import TensorRtEngine
        return TensorRtEngine(spec, flavour=cast(Flavour, backend), precision=precision, rebuild=rebuild)
    from rtface.inference.onnx import OnnxEngine
    return OnnxEngine(spec, threads=threads)
