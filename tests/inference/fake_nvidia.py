"""TensorRT and the CUDA runtime without a GPU: the calls that rtface makes, on host memory, strict about their use.

Names and parameters are held against the real packages in test_nvidia_names.py. An "engine" is json: every output is
the sum of all inputs' means over everything but the batch, plus the number of the output; so batches can be told apart.
"""

from __future__ import annotations

import ctypes
import enum
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np


class Fault(Exception):
    """A call that the real thing would answer with undefined behaviour."""


class CudaError(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100
    cudaErrorLaunchFailure = 719


class FakeCuda:
    """cuda.bindings.runtime: every call returns (error, result…)."""

    cudaStreamNonBlocking = 1
    cudaEventRecordDefault, cudaEventRecordExternal = 0, 1
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
    cudaDeviceAttr = SimpleNamespace(cudaDevAttrComputeCapabilityMajor=75, cudaDevAttrComputeCapabilityMinor=76)

    def __init__(self, capability: int = 86) -> None:
        self.capability = capability
        self.held: dict[Any, Any] = {}
        """What was given out and not freed: memory by address, streams and graphs by handle."""
        self.fails: dict[str, CudaError] = {}
        """Functions that fail, and how."""
        self.capturing: list[Callable[[], None]] | None = None
        self.counts: dict[str, int] = {}
        self.synchronised = True
        self.clock_ms = 0.0
        """Of the stream: a copy takes 0.25 ms, a network 2 ms."""
        self._handles = iter(range(1000, 100000))

    def _start(self, name: str) -> CudaError:
        self.counts[name] = self.counts.get(name, 0) + 1
        return self.fails.get(name, CudaError.cudaSuccess)

    def _give(self, name: str, value: Any) -> tuple[CudaError, Any]:
        if error := self._start(name):
            return error, None
        handle = ctypes.addressof(value) if isinstance(value, ctypes.Array) else next(self._handles)
        self.held[handle] = value
        return CudaError.cudaSuccess, handle

    def _free(self, name: str, handle: Any) -> tuple[CudaError]:
        if handle not in self.held:
            raise Fault(f"{name}: {handle} was freed twice or never given out")
        del self.held[handle]
        return (self._start(name),)

    def do(self, action: Callable[[], None], ms: float) -> None:
        """Work on the stream: now, or when the graph that is being captured is launched."""
        def work() -> None:
            action()
            self.clock_ms += ms

        if self.capturing is None:
            work()
            self.synchronised = False
        else:
            self.capturing.append(work)

    def cudaEventCreate(self) -> tuple[CudaError, Any]:
        return self._give("cudaEventCreate", SimpleNamespace(ms=None))

    def cudaEventDestroy(self, event: int) -> tuple[CudaError]:
        return self._free("cudaEventDestroy", event)

    def cudaEventRecordWithFlags(self, event: int, stream: int, flags: int) -> tuple[CudaError]:
        if stream not in self.held or event not in self.held:
            raise Fault("cudaEventRecordWithFlags: no such stream or event")
        if flags != (self.cudaEventRecordDefault if self.capturing is None else self.cudaEventRecordExternal):
            return (CudaError.cudaErrorInvalidValue,)
        self.do(lambda: setattr(self.held[event], "ms", self.clock_ms), 0.0)
        return (self._start("cudaEventRecordWithFlags"),)

    def cudaEventElapsedTime(self, start: int, end: int) -> tuple[CudaError, Any]:
        if not self.synchronised or None in (self.held[start].ms, self.held[end].ms):
            raise Fault("cudaEventElapsedTime: an event that has not happened yet")
        return self._start("cudaEventElapsedTime"), self.held[end].ms - self.held[start].ms

    def cudaGetErrorString(self, error: CudaError) -> tuple[CudaError, bytes]:
        return CudaError.cudaSuccess, error.name.encode()

    def cudaGetDeviceCount(self) -> tuple[CudaError, int | None]:
        return self._start("cudaGetDeviceCount"), 1

    def cudaGetDevice(self) -> tuple[CudaError, int]:
        return self._start("cudaGetDevice"), 0

    def cudaDeviceGetAttribute(self, attr: int, device: int) -> tuple[CudaError, int]:
        return self._start("cudaDeviceGetAttribute"), divmod(self.capability, 10)[attr - 75]

    def cudaMalloc(self, size: int) -> tuple[CudaError, Any]:
        return self._give("cudaMalloc", (ctypes.c_uint8 * size)())

    def cudaFree(self, devPtr: int) -> tuple[CudaError]:
        return self._free("cudaFree", devPtr)

    def cudaMallocHost(self, size: int) -> tuple[CudaError, Any]:
        return self._give("cudaMallocHost", (ctypes.c_uint8 * size)())

    def cudaFreeHost(self, ptr: int) -> tuple[CudaError]:
        return self._free("cudaFreeHost", ptr)

    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: int, stream: int) -> tuple[CudaError]:
        for address in (dst, src):
            if address not in self.held or count > len(self.held[address]):
                raise Fault(f"cudaMemcpyAsync: {count} bytes at an address that holds fewer")
        if stream not in self.held:
            raise Fault("cudaMemcpyAsync: no such stream")
        self.do(lambda: ctypes.memmove(dst, src, count) and None, 0.25)
        return (self._start("cudaMemcpyAsync"),)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[CudaError, Any]:
        return self._give("cudaStreamCreateWithFlags", "stream")

    def cudaStreamDestroy(self, stream: int) -> tuple[CudaError]:
        return self._free("cudaStreamDestroy", stream)

    def cudaStreamSynchronize(self, stream: int) -> tuple[CudaError]:
        if self.capturing is not None:
            raise Fault("cudaStreamSynchronize while capturing")
        self.synchronised = True
        return (self._start("cudaStreamSynchronize"),)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple[CudaError]:
        self.capturing = []
        return (self._start("cudaStreamBeginCapture"),)

    def cudaStreamEndCapture(self, stream: int) -> tuple[CudaError, Any]:
        actions, self.capturing = self.capturing, None
        return self._give("cudaStreamEndCapture", actions)

    def cudaGraphInstantiate(self, graph: int, flags: int) -> tuple[CudaError, Any]:
        return self._give("cudaGraphInstantiate", list(self.held[graph]))

    def cudaGraphDestroy(self, graph: int) -> tuple[CudaError]:
        return self._free("cudaGraphDestroy", graph)

    def cudaGraphExecDestroy(self, graphExec: int) -> tuple[CudaError]:
        return self._free("cudaGraphExecDestroy", graphExec)

    def cudaGraphLaunch(self, graphExec: int, stream: int) -> tuple[CudaError]:
        for action in self.held[graphExec]:
            action()
        self.synchronised = False
        return (self._start("cudaGraphLaunch"),)


class ILogger:
    """Base of loggers."""

    VERBOSE = "VERBOSE"

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError


class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class CudaGraphStrategy(enum.Enum):
    DISABLED = 0
    WHOLE_GRAPH_CAPTURE = 1


class DynamicShapesKernelSpecializationStrategy(enum.Enum):
    LAZY = 0
    EAGER = 1
    NONE = 2


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine, self._captured = engine, False
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._profile: int | None = None

    def _change(self) -> None:
        if self._captured:
            raise Fault("a context was changed after a CUDA graph was captured from it")

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        self._change()
        self._profile = profile_index
        return profile_index < len(self._engine._data["profiles"])

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._change()
        low, _, high = self._engine._data["profiles"][self._profile or 0][name]
        self._shapes[name] = tuple(shape)
        return all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True))

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._change()
        self._addresses[name] = memory
        return memory in self._engine._cuda.held

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        count = next(iter(self._shapes.values()))[0]
        return self._shapes.get(name) or (count, *self._engine._data["outputs"][name][1:])

    def execute_async_v3(self, stream_handle: int) -> bool:
        data, cuda = self._engine._data, self._engine._cuda
        if self._profile is None or set(self._addresses) != {*data["inputs"], *data["outputs"]}:
            raise Fault("execute_async_v3 before profile, shapes and addresses")
        if stream_handle not in cuda.held:
            raise Fault("execute_async_v3 on no stream")
        if data.get("fails"):
            self._engine._logger.log(SimpleNamespace(name="ERROR"), "illegal memory access")
            return False
        self._captured = self._captured or cuda.capturing is not None

        def compute() -> None:
            means = [self._view(name).reshape(self._shapes[name][0], -1).mean(axis=1) for name in data["inputs"]]
            for index, name in enumerate(data["outputs"]):
                out = self._view(name)
                out[...] = (np.sum(means, axis=0) + index).reshape(-1, *[1] * (out.ndim - 1))
        cuda.do(compute, 2.0)
        return True

    def _view(self, name: str) -> np.ndarray:
        shape = self.get_tensor_shape(name)
        count = int(np.prod(shape))
        if 4 * count > len(self._engine._cuda.held[self._addresses[name]]):
            raise Fault(f"{name} {shape} does not fit its buffer")
        return np.ctypeslib.as_array((ctypes.c_float * count).from_address(self._addresses[name])).reshape(shape)


class RtxExecutionContext(IExecutionContext):
    def is_stream_capturable(self, stream: int) -> bool:
        return not self._engine._data.get("uncapturable")


class IRuntimeCache:
    def __init__(self) -> None:
        self.loaded = b""

    def deserialize(self, blob: bytes) -> bool:
        self.loaded = bytes(blob)
        return True

    def serialize(self) -> bytes:
        return b"kernels" + self.loaded


class IRuntimeConfig:
    def __init__(self) -> None:
        self.cuda_graph_strategy = CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        self.dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY
        self._cache: IRuntimeCache | None = None

    def create_runtime_cache(self) -> IRuntimeCache:
        return IRuntimeCache()

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        self._cache = cache
        return True


class ICudaEngine:
    def __init__(self, data: dict[str, Any], cuda: FakeCuda, logger: Any) -> None:
        self._data, self._cuda, self._logger = data, cuda, logger
        self.num_io_tensors = len(data["inputs"]) + len(data["outputs"])
        self._contexts: list[IExecutionContext] = []
        self._config: Any = None

    def get_tensor_name(self, index: int) -> str:
        return [*self._data["inputs"], *self._data["outputs"]][index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        shape = {**self._data["inputs"], **self._data["outputs"]}[name]
        return tuple(-1 if isinstance(size, str) else size for size in shape)

    def get_tensor_dtype(self, name: str) -> str:
        return str(self._data.get("dtype", "float32"))

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._data["inputs"] else TensorIOMode.OUTPUT

    def create_runtime_config(self) -> IRuntimeConfig:
        return IRuntimeConfig()

    def create_execution_context(self, runtime_config: Any = None) -> IExecutionContext | None:
        if self._data.get("no_context"):
            self._logger.log(SimpleNamespace(name="ERROR"), "out of memory")
            return None
        if runtime_config is not None:
            assert runtime_config.cuda_graph_strategy is CudaGraphStrategy.DISABLED
        self._config = runtime_config
        made = (RtxExecutionContext if runtime_config is not None else IExecutionContext)(self)
        self._contexts.append(made)
        return made


class FakeTensorRt:
    """The module ``tensorrt`` or ``tensorrt_rtx``."""

    ILogger = ILogger
    TensorIOMode = TensorIOMode
    CudaGraphStrategy = CudaGraphStrategy
    DynamicShapesKernelSpecializationStrategy = DynamicShapesKernelSpecializationStrategy

    def __init__(self, cuda: FakeCuda, version: str = "9.9.9") -> None:
        self.__version__ = version
        self.engines: list[ICudaEngine] = []

        class Runtime:
            def __init__(self, logger: Any) -> None:
                self._logger = logger

            def deserialize_cuda_engine(_self, serialized_engine: bytes) -> ICudaEngine | None:  # noqa: N805
                data = json.loads(serialized_engine)
                if data.get("refused"):
                    _self._logger.log(SimpleNamespace(name="ERROR"), "version tag does not match")
                    return None
                self.engines.append(ICudaEngine(data, cuda, _self._logger))
                return self.engines[-1]
        self.Runtime = Runtime

    @staticmethod
    def nptype(trt_type: str) -> Any:
        return np.dtype(trt_type).type
