"""NVIDIA's packages, all optional: the CUDA runtime, its memory, TensorRT's Python modules and what they log.

Every CUDA error becomes a BackendError with the call, the cause and the mend.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from rtface.errors import BackendError, InputError
from rtface.inference.manifest import Flavour
from rtface.types import Array

MODULES: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "tensorrt": (("tensorrt",), "pip install 'rtface[gpu]'"),
    "rtx": (("tensorrt_rtx", "tensorrt_rtx_bindings"), "pip install 'rtface[rtx]'")}
"""Names that a flavour's Python module may have, and what installs it."""
FULL: Final = "the GPU's memory is full: close other programs, or build the engine with a smaller --batch"
_MENDS: Final = {
    "cudaErrorNoDevice": "there is no NVIDIA GPU here: use --backend auto",
    "cudaErrorInsufficientDriver": "the NVIDIA driver is missing or too old: install a newer one, or use "
                                   "--backend auto",
    "cudaErrorMemoryAllocation": FULL,
}


class CudaMemory:
    """What must be given back to CUDA, newest first; apart from the engine, so that a finalizer can do it."""

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._held: list[tuple[str, Any]] = []

    def stream(self) -> Any:
        """A CUDA stream that does not wait for others."""
        return self.keep("cudaStreamDestroy", check(self._cuda, "cudaStreamCreateWithFlags",
                                                    self._cuda.cudaStreamNonBlocking))

    def event(self) -> Any:
        """A CUDA event that keeps the time."""
        return self.keep("cudaEventDestroy", check(self._cuda, "cudaEventCreate"))

    def device(self, count: int) -> int:
        """Address of ``count`` bytes on the GPU."""
        return int(self.keep("cudaFree", check(self._cuda, "cudaMalloc", count)))

    def host(self, count: int) -> Array:
        """(count,) float32 in page-locked memory; must not be used after :meth:`free`."""
        pointer = int(self.keep("cudaFreeHost", check(self._cuda, "cudaMallocHost", 4 * count)))
        return np.ctypeslib.as_array((ctypes.c_float * count).from_address(pointer))

    def keep(self, free: str, value: Any) -> Any:
        """Remember that ``value`` is to be freed by the function ``free`` of the runtime; returns it."""
        self._held.append((free, value))
        return value

    def give_back(self, free: str, value: Any) -> None:
        """Free one thing now."""
        self._held.remove((free, value))
        getattr(self._cuda, free)(value)

    def free(self) -> None:
        """Free everything; errors are passed over, a failing GPU cannot be told twice."""
        while self._held:
            name, value = self._held.pop()
            getattr(self._cuda, name)(value)


def check(cuda: Any, name: str, *arguments: Any) -> Any:
    """Call a function of the CUDA runtime; its result, or a BackendError with its name, the cause and the mend."""
    error, *results = getattr(cuda, name)(*arguments)
    if int(error) != 0:
        kind = str(getattr(error, "name", error))
        _, text = cuda.cudaGetErrorString(error)
        reason = text.decode() if isinstance(text, bytes) else str(text)
        raise BackendError(f"{name}: CUDA says {reason} ({kind}); "
                           f"{_MENDS.get(kind, 'start the program again; if it stays, use --backend auto')}")
    return results[0] if results else None


def gpu_capability() -> int:
    """Compute capability of the current GPU, 86 for 8.6; BackendError when there is none or no driver."""
    cuda = cuda_runtime()
    check(cuda, "cudaGetDeviceCount")
    device = check(cuda, "cudaGetDevice")
    kinds = cuda.cudaDeviceAttr
    major, minor = (int(check(cuda, "cudaDeviceGetAttribute", kind, device)) for kind in
                    (kinds.cudaDevAttrComputeCapabilityMajor, kinds.cudaDevAttrComputeCapabilityMinor))
    return 10 * major + minor


def tensorrt_module(flavour: Flavour) -> Any:
    """The Python module of a flavour; BackendError with the command that installs it."""
    if flavour not in MODULES:
        raise InputError(f"flavour: got {flavour!r}, expected one of {', '.join(MODULES)}")
    names, command = MODULES[flavour]
    causes = []
    for name in names:
        try:
            return importlib.import_module(name)
        except (ImportError, OSError) as exc:  # a library that is missing or of another version
            causes.append(str(exc))
    raise BackendError(f"backend {flavour}: got {'; '.join(causes)}, expected the package {names[0]}; install it with: "
                       f"{command}")


def cuda_runtime() -> Any:
    try:
        from cuda.bindings import runtime
    except ImportError as exc:
        raise BackendError(f"backend tensorrt: got {exc}, expected the package cuda-python; install it with: "
                           f"pip install 'rtface[gpu]'") from exc
    return runtime


class TrtLog:
    """What TensorRT says. It takes one logger per process, so there is one per flavour; whoever works listens to it."""

    def __init__(self, trt: Any) -> None:
        lines: list[str] = []
        self._lines = lines

        class Logger(trt.ILogger):  # type: ignore[misc]
            def log(self, severity: Any, msg: str) -> None:
                if severity != trt.ILogger.VERBOSE:
                    lines.append(f"{severity.name}: {msg}")

        self.logger = Logger()

    @contextlib.contextmanager
    def collect(self) -> Iterator[list[str]]:
        """A list that fills with what is said inside of the block."""
        self._lines.clear()
        yield self._lines


def last_errors(lines: Sequence[str]) -> str:
    """What went wrong, as TensorRT told it."""
    bad = [line for line in lines if line.startswith(("ERROR", "INTERNAL_ERROR"))]
    return "; ".join(bad[-2:]) or "it gave no reason"


_LOGS: dict[str, TrtLog] = {}


def trt_log(flavour: Flavour) -> TrtLog:
    """The one log of a flavour."""
    if flavour not in _LOGS:
        _LOGS[flavour] = TrtLog(tensorrt_module(flavour))
    return _LOGS[flavour]
