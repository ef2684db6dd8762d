"""PyTorch (optional): the weight files in their own modules, on a GPU in float16 with CUDA graphs, else on the CPU.

For GPUs without TensorRT, and as the baseline that TensorRT is compared with. On a CPU it is slower than ONNX Runtime
(docs/backends.md). Torch is imported when an engine is opened, never before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import numpy as np

from rtface.errors import BackendError, InputError, ModelFileError
from rtface.inference.spec import EngineSpec
from rtface.inference.threads import default_threads
from rtface.types import Array

MAX_GRAPHS: Final = 8
"""Recorded graphs that are kept, one per combination of input shapes; the one unused for longest goes."""
WARM_UP: Final = 3
"""Runs before a graph is recorded: libraries choose their kernels and take their memory then."""


class _Graph(NamedTuple):
    """A recorded run, with the memory that it reads and writes."""

    graph: Any
    inputs: Mapping[str, Any]
    outputs: tuple[Any, ...]


class TorchEngine:
    """A weight file as the module it was exported from, in inference mode."""

    def __init__(self, spec: EngineSpec, *, threads: int | None = None, precision: str = "auto",
                 device: str | None = None, graphs: bool = True) -> None:
        """spec from :func:`rtface.inference.read_spec`; device None: the first GPU that torch can use, else the CPU.

        precision: ``auto`` computes in float16 on a GPU, ``f32`` in float32; a CPU always computes in float32.
        threads: of the CPU, None: :func:`.threads.default_threads`. They are torch's, so the whole process' ones.
        graphs: record a CUDA graph per combination of input shapes and replay it; no effect on a CPU.

        ModelFileError when the file differs from its json, BackendError when torch is not there or fails.
        """
        try:
            import torch

            from build_engines.networks import load_module
        except ImportError as exc:
            raise BackendError(f"backend torch: got {exc}, expected the packages torch, onnx and onnxscript; "
                               f"install them with: pip install 'rtface[torch]'") from exc
        self._torch: Any = torch
        self._spec = spec
        self._threads = threads or default_threads(spec.profile)
        try:
            self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            self._half = self._device.type == "cuda" and precision == "auto"
            if self._device.type == "cpu":
                torch.set_num_threads(self._threads)
            module: Any = load_module(spec)
            if self._half:
                for part in module.modules():  # what scales results (offsets, mean shape) stays in float32
                    if isinstance(part, torch.nn.Conv2d | torch.nn.ConvTranspose2d | torch.nn.Linear):
                        part.half()
            layout = torch.channels_last if self._device.type == "cuda" else torch.contiguous_format
            module = module.to(self._device, memory_format=layout)
        except (RuntimeError, AssertionError) as exc:  # AssertionError: torch was built without CUDA
            raise BackendError(f"backend torch: got {_first_line(exc)}, expected {spec.name} to load on "
                               f"{device or 'the first GPU, or the CPU'}; see: rtface doctor") from exc
        self._module: Callable[..., Any] | None = module
        self._layout = layout
        self._graphs: OrderedDict[tuple[tuple[int, ...], ...], _Graph] = OrderedDict()
        self._checked = False
        self._record = graphs and self._device.type == "cuda"

    @property
    def spec(self) -> EngineSpec:
        """What it takes and gives."""
        return self._spec

    @property
    def backend(self) -> str:
        """For reports."""
        version, kind = self._torch.__version__, "float16" if self._half else "float32"
        if self._device.type == "cpu":
            return f"torch {version} CPU {kind}, {self._threads} threads"
        name = self._torch.cuda.get_device_name(self._device)
        return f"torch {version} {name} {kind}{', CUDA graphs' if self._record else ''}"

    def run(self, **inputs: Array) -> dict[str, Array]:
        """See :meth:`rtface.inference.Engine.run`."""
        if self._module is None:
            raise BackendError(f"engine {self._spec.name}: got run() after close(), expected an open engine")
        sizes = self._spec.check_inputs(inputs)
        if 0 in sizes.values():
            return self._spec.empty_outputs(sizes)
        torch = self._torch
        try:
            with torch.inference_mode():
                given = {t.name: torch.from_numpy(_writable(inputs[t.name])) for t in self._spec.inputs}
                outputs = self._replay(given) if self._record else self._forward(self._placed(given))
                values = [np.array(value.float().cpu().numpy(), order="C") for value in outputs]
        except RuntimeError as exc:  # CUDA's errors and torch.OutOfMemoryError are RuntimeErrors
            raise BackendError(f"engine {self._spec.name}: torch failed on {self._device}: {_first_line(exc)}; "
                               f"use fewer faces, or another --backend") from exc
        named = dict(zip((t.name for t in self._spec.outputs), values, strict=False))
        if not self._checked:  # the module is made from its configuration, not read from the file
            self._check(named, len(values))
        return named

    def _placed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value.to(self._device, memory_format=self._layout) for name, value in given.items()}

    def _forward(self, placed: Mapping[str, Any]) -> tuple[Any, ...]:
        assert self._module is not None
        with self._torch.autocast(self._device.type, dtype=self._torch.float16, enabled=self._half,
                                  cache_enabled=False):
            out = self._module(*placed.values())
        return tuple(out) if isinstance(out, tuple | list) else (out,)

    def _replay(self, given: Mapping[str, Any]) -> tuple[Any, ...]:
        """Run by the graph of these shapes, recorded when they come for the first time."""
        key = tuple(tuple(value.shape) for value in given.values())
        if key not in self._graphs:
            if len(self._graphs) >= MAX_GRAPHS:
                self._torch.cuda.synchronize(self._device)
                self._graphs.popitem(last=False)
            self._graphs[key] = self._recorded(self._placed(given))
        self._graphs.move_to_end(key)
        recorded = self._graphs[key]
        for name, value in given.items():
            recorded.inputs[name].copy_(value)
        recorded.graph.replay()
        return recorded.outputs

    def _recorded(self, placed: Mapping[str, Any]) -> _Graph:
        cuda = self._torch.cuda
        with cuda.device(self._device):
            aside = cuda.Stream()
            aside.wait_stream(cuda.current_stream())
            with cuda.stream(aside):
                for _ in range(WARM_UP):
                    self._forward(placed)
            cuda.current_stream().wait_stream(aside)
            graph = cuda.CUDAGraph()
            with cuda.graph(graph):
                outputs = self._forward(placed)
        return _Graph(graph, placed, outputs)

    def _check(self, outputs: Mapping[str, Array], count: int) -> None:
        """Hold the module's answers against the json, once."""
        try:
            self._spec.check_outputs(outputs)
        except InputError as exc:
            raise ModelFileError(f"{self._spec.path}: {exc}, as in its json; make both again") from exc
        if count != len(self._spec.outputs):
            raise ModelFileError(f"{self._spec.path}: got a module with {count} outputs, expected "
                                 f"{len(self._spec.outputs)} as in its json; make both again")
        self._checked = True

    def close(self) -> None:
        """Free the module and its graphs."""
        self._module = None
        self._graphs.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _writable(array: Array) -> Array:
    """C-contiguous and writable, since torch has no read-only tensors."""
    array = np.ascontiguousarray(array)
    return array if array.flags.writeable else array.copy()


def _first_line(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {(str(exc).strip().splitlines() or [''])[0]}"
