"""TensorRT and TensorRT for RTX (optional): compiled engines on an NVIDIA GPU, one class for both flavours.

Device and page-locked host buffers are made once, for the greatest batch, and never move. Every input shape gets an
execution context of its own, which is not touched again, so a CUDA graph of upload, network and download, captured on
a shape's first call, stays valid and is replayed afterwards.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from rtface.errors import BackendError, InputError, ModelFileError
from rtface.inference.manifest import (
    Flavour,
    Manifest,
    build_command,
    check_owner,
    find_engine,
    fitting_profile,
)
from rtface.inference.nvidia import (
    FULL,
    CudaMemory,
    check,
    cuda_runtime,
    gpu_capability,
    last_errors,
    tensorrt_module,
    trt_log,
)
from rtface.inference.spec import EngineSpec, TensorSpec, match_tensors
from rtface.types import Array

PRECISIONS: Final[Mapping[str, tuple[str, ...]]] = {"auto": ("fp16", "fp32"), "f32": ("fp32",)}
"""Which engines a precision asks for, best first."""
STEPS: Final = ("h2d", "compute", "d2h")
"""What the device does for a run, in its order, under trtexec's names."""
MAX_SHAPES: Final = 8
"""Input shapes that keep an execution context and a CUDA graph; the one that was not used for longest goes."""


@dataclass(slots=True)
class _Prepared:
    """All that belongs to one shape of the inputs."""

    context: Any
    shapes: dict[str, tuple[int, ...]]
    """Of all tensors."""
    graph: Any = None
    """The executable CUDA graph; None before the second call and where capturing is not possible."""


class TensorRtEngine:
    """A compiled network on the current CUDA device, on a stream of its own."""

    def __init__(self, spec: EngineSpec, *, flavour: Flavour, precision: str = "auto", folder: Path | None = None,
                 graph: bool = True, rebuild: bool = False) -> None:
        """spec from :func:`rtface.inference.read_spec`; folder of the engines, None: :func:`rtface.paths.engines`.

        precision: ``auto`` takes float16 engines before float32 ones, ``f32`` float32 ones only. graph: replay CUDA
        graphs. rebuild: build an engine (takes torch and seconds) when none fits.
        ModelFileError when no engine fits this GPU, this TensorRT and these weights, or when it is damaged;
        BackendError when package, driver or GPU are missing, others may write to the engine, or TensorRT fails.
        """
        self._close: Any = None
        self._spec, self._flavour, self._graph = spec, flavour, graph
        self._trt, self._cuda = tensorrt_module(flavour), cuda_runtime()
        version, capability = str(self._trt.__version__), gpu_capability()

        def find() -> tuple[Manifest, bytes]:
            return find_engine(spec, flavour, version=version, capability=capability,
                               precisions=PRECISIONS[precision], folder=folder)
        try:
            self._manifest, content = find()
        except ModelFileError:
            if not rebuild:
                raise
            _build(spec, flavour, PRECISIONS[precision][0], folder)
            self._manifest, content = find()
        self._backend = f"{flavour} {version} sm{capability} {self._manifest.precision}"
        self._log = trt_log(flavour)
        self._runtime_cache: Any = None
        self._prepared: dict[tuple[int, ...], _Prepared] = {}
        self._memory = CudaMemory(self._cuda)
        self._close = weakref.finalize(self, self._memory.free)
        try:
            self._stream = self._memory.stream()
            self._marks = [self._memory.event() for _ in range(len(STEPS) + 1)]
            self._times = dict.fromkeys(("enqueue", *STEPS), 0.0)
            with self._log.collect() as lines:
                self._runtime = self._trt.Runtime(self._log.logger)
                self._engine = self._runtime.deserialize_cuda_engine(content)
                if self._engine is None:
                    raise self._error(f"TensorRT refuses the engine ({last_errors(lines)})")
            self._config = self._runtime_config() if flavour == "rtx" else None
            self._allocate()
        except BaseException:
            self.close()
            raise

    def _error(self, message: str) -> BackendError:
        command = build_command(self._spec.name, self._spec.profile, self._flavour, self._manifest.precision,
                                folder=self._manifest.path.parent)
        return BackendError(f"{self._manifest.engine}: {message}; build it again with: {command} --rebuild")

    def _runtime_config(self) -> Any:
        """Of TensorRT for RTX, which compiles kernels on first use and can keep them in a file."""
        config = self._engine.create_runtime_config()
        self._runtime_cache = config.create_runtime_cache()
        check_owner(self._manifest.cache)
        with contextlib.suppress(OSError):
            self._runtime_cache.deserialize(self._manifest.cache.read_bytes())  # a foreign one is refused, made anew
        config.set_runtime_cache(self._runtime_cache)
        config.cuda_graph_strategy = self._trt.CudaGraphStrategy.DISABLED  # captured here, together with the copies
        config.dynamic_shapes_kernel_specialization_strategy = (
            self._trt.DynamicShapesKernelSpecializationStrategy.EAGER)  # else a graph would freeze stand-in kernels
        return config

    def _allocate(self) -> None:
        """Check names, shapes and types against the specification; make buffers for the greatest shapes."""
        engine, spec, trt = self._engine, self._spec, self._trt
        names = [engine.get_tensor_name(k) for k in range(engine.num_io_tensors)]
        tensors = {name: TensorSpec(name, tuple("?" if size < 0 else int(size)
                                                for size in engine.get_tensor_shape(name)),
                                    np.dtype(trt.nptype(engine.get_tensor_dtype(name))).name) for name in names}
        for want, mode, kind in ((spec.inputs, trt.TensorIOMode.INPUT, "inputs"),
                                 (spec.outputs, trt.TensorIOMode.OUTPUT, "outputs")):
            match_tensors(spec, [tensors[n] for n in names if engine.get_tensor_mode(n) == mode], want, kind)
        self._buffers: dict[str, tuple[int, Array]] = {}
        counts = dict.fromkeys(names, 0)
        for profile in self._manifest.profiles:
            shapes = self._prepare({name: greatest for name, (_, _, greatest) in profile.items()}).shapes
            counts = {name: max(count, int(np.prod(shapes[name]))) for name, count in counts.items()}
        self._buffers = {name: (self._memory.device(4 * count), self._memory.host(count))
                         for name, count in counts.items()}

    def _prepare(self, inputs: Mapping[str, tuple[int, ...]]) -> _Prepared:
        """A new execution context for these input shapes, on the buffers that there are."""
        index = fitting_profile(self._manifest.profiles, inputs)
        if index is None:
            raise InputError(f"engine {self._spec.name}: got {dict(inputs)}, expected shapes within one of "
                             f"{[dict(p) for p in self._manifest.profiles]} (least, best, greatest); build the engine "
                             f"with another --batch")
        with self._log.collect() as lines:
            context = self._engine.create_execution_context(*([] if self._config is None else [self._config]))
            if context is None:
                raise BackendError(f"engine {self._spec.name}: TensorRT made no execution context "
                                   f"({last_errors(lines)}); {FULL}")
            taken = context.set_optimization_profile_async(index, self._stream)
            taken = taken and all(context.set_input_shape(name, shape) for name, shape in inputs.items())
            taken = taken and all(context.set_tensor_address(name, device)
                                  for name, (device, _) in self._buffers.items())
            if not taken:
                raise self._error(f"TensorRT does not take the inputs {dict(inputs)} ({last_errors(lines)})")
        check(self._cuda, "cudaStreamSynchronize", self._stream)
        outputs = {t.name: tuple(int(s) for s in context.get_tensor_shape(t.name)) for t in self._spec.outputs}
        return _Prepared(context, {**inputs, **outputs})

    def _get(self, inputs: Mapping[str, tuple[int, ...]]) -> _Prepared:
        """The context and graph of these input shapes, made when they are new."""
        key = tuple(size for tensor in self._spec.inputs for size in inputs[tensor.name])
        prepared = self._prepared.pop(key, None) or self._prepare(inputs)
        self._prepared[key] = prepared  # last in line
        if len(self._prepared) > MAX_SHAPES:
            old = self._prepared.pop(next(iter(self._prepared)))
            if old.graph is not None:
                self._memory.give_back("cudaGraphExecDestroy", old.graph)
        return prepared

    @property
    def spec(self) -> EngineSpec:
        """What it takes and gives."""
        return self._spec

    @property
    def backend(self) -> str:
        """For reports."""
        return self._backend

    @property
    def addresses(self) -> dict[str, int]:
        """Device addresses of all tensors, fixed until :meth:`close`.

        Whoever writes to an input there, or reads an output, does so on the stream given to :meth:`enqueue`.
        """
        return {name: device for name, (device, _) in self._buffers.items()}

    def enqueue(self, inputs: Mapping[str, tuple[int, ...]], stream: int) -> dict[str, tuple[int, ...]]:
        """Run on what lies in the device buffers, on any CUDA stream; nothing is copied and nobody waits.

        inputs: shapes of all inputs; returns those of all tensors. May be captured into a CUDA graph once it has run
        for these shapes; such a graph is valid until MAX_SHAPES other shapes have come.
        """
        prepared = self._get(inputs)
        with self._log.collect() as lines:
            if not prepared.context.execute_async_v3(stream):
                raise BackendError(f"engine {self._spec.name}: {self._backend} failed: {last_errors(lines)}")
        return prepared.shapes

    def run(self, **inputs: Array) -> dict[str, Array]:
        """See :meth:`rtface.inference.Engine.run`. Batches beyond the engine's greatest run in pieces."""
        if not self._close.alive:
            raise BackendError(f"engine {self._spec.name}: got run() after close(), expected an open engine")
        sizes = self._spec.check_inputs(inputs)
        if 0 in sizes.values():
            return self._spec.empty_outputs(sizes)
        most = max(profile[self._spec.inputs[0].name][2][0] for profile in self._manifest.profiles)
        self._times = dict.fromkeys(self._times, 0.0)
        parts = [self._run({name: array[start:start + most] for name, array in inputs.items()})
                 for start in range(0, sizes.get("N", 1), most)]
        return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts])
                                                 for name in parts[0]}

    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        shapes = {name: tuple(array.shape) for name, array in inputs.items()}
        prepared = self._get(shapes)
        for name, array in inputs.items():
            self._buffers[name][1][:array.size] = array.reshape(-1)
        replayed, start = prepared.graph is not None, time.perf_counter()
        if replayed:
            check(self._cuda, "cudaGraphLaunch", prepared.graph, self._stream)
        else:
            self._copies(shapes, self._cuda.cudaEventRecordDefault)
        self._times["enqueue"] += 1e3 * (time.perf_counter() - start)
        check(self._cuda, "cudaStreamSynchronize", self._stream)
        for step, one, other in zip(STEPS, self._marks, self._marks[1:], strict=False):
            self._times[step] += float(check(self._cuda, "cudaEventElapsedTime", one, other))
        if self._graph and not replayed:
            self._capture(prepared, shapes)
        found = prepared.shapes
        return {t.name: self._buffers[t.name][1][:int(np.prod(found[t.name]))].reshape(found[t.name]).copy()
                for t in self._spec.outputs}

    def times_ms(self) -> Mapping[str, float]:
        """See :class:`rtface.inference.timing.TellsTimes`; sums over the pieces of a large batch."""
        return dict(self._times)

    def _copies(self, inputs: Mapping[str, tuple[int, ...]], how: int) -> None:
        """Upload, network, download, on the engine's stream, with the time marked before, between and after.

        how: flag of the marks; those in a graph must be asked to be seen from outside of it.
        """
        kinds = self._cuda.cudaMemcpyKind
        marks = iter(self._marks)

        def mark() -> None:
            check(self._cuda, "cudaEventRecordWithFlags", next(marks), self._stream, how)

        mark()
        for name, shape in inputs.items():
            device, host = self._buffers[name]
            check(self._cuda, "cudaMemcpyAsync", device, host.ctypes.data, 4 * int(np.prod(shape)),
                  kinds.cudaMemcpyHostToDevice, self._stream)
        mark()
        shapes = self.enqueue(inputs, self._stream)
        mark()
        for tensor in self._spec.outputs:
            device, host = self._buffers[tensor.name]
            check(self._cuda, "cudaMemcpyAsync", host.ctypes.data, device, 4 * int(np.prod(shapes[tensor.name])),
                  kinds.cudaMemcpyDeviceToHost, self._stream)
        mark()

    def _capture(self, prepared: _Prepared, inputs: Mapping[str, tuple[int, ...]]) -> None:
        """Record what :meth:`_copies` does, without doing it; not where RTX says that it cannot be recorded."""
        asks = getattr(prepared.context, "is_stream_capturable", None)  # TensorRT itself always can
        if asks is not None and not asks(self._stream):
            return
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        check(self._cuda, "cudaStreamBeginCapture", self._stream, mode)
        try:
            self._copies(inputs, self._cuda.cudaEventRecordExternal)
        except BaseException:
            self._cuda.cudaStreamEndCapture(self._stream)  # the first error counts
            raise
        graph = check(self._cuda, "cudaStreamEndCapture", self._stream)
        try:
            prepared.graph = check(self._cuda, "cudaGraphInstantiate", graph, 0)
        finally:
            self._cuda.cudaGraphDestroy(graph)
        self._memory.keep("cudaGraphExecDestroy", prepared.graph)

    def close(self) -> None:
        """Free buffers, graphs and network; keep what TensorRT for RTX compiled."""
        if self._close is None or not self._close.alive:
            return
        if self._runtime_cache is not None and self._prepared:
            with contextlib.suppress(OSError, RuntimeError):  # the next start is slower, nothing else
                _replace(self._manifest.cache, bytes(self._runtime_cache.serialize()))
        self._prepared, self._config, self._runtime_cache, self._engine = {}, None, None, None
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _build(spec: EngineSpec, flavour: Flavour, precision: str, folder: Path | None) -> None:
    """Build an engine in another process, which may load torch."""
    weights = None if spec.path is None else spec.path.parent
    command = build_command(spec.name, spec.profile, flavour, precision, folder=folder, weights=weights)
    done = subprocess.run([sys.executable, *shlex.split(command)[1:], "--rebuild"], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        raise BackendError(f"engine {spec.name}: it could not be built: {done.stderr.strip()[-2000:]}; try it by hand: "
                           f"{command}")


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
