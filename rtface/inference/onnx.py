"""ONNX Runtime on the CPU: the default backend, part of the core install."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import numpy as np

from rtface.errors import BackendError, ModelFileError
from rtface.inference.spec import EngineSpec, TensorSpec, match_tensors, verify_weights
from rtface.inference.threads import default_threads
from rtface.types import Array

_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32",
           "tensor(float16)": "float16", "tensor(uint8)": "uint8"}


class OnnxEngine:
    """A weight file on ONNX Runtime's CPU provider, as precise as the file, with all of its graph optimisations."""

    def __init__(self, spec: EngineSpec, *, threads: int | None = None) -> None:
        """spec from :func:`rtface.inference.read_spec`; threads None: :func:`.threads.default_threads`.

        ModelFileError when the file differs from its json, BackendError when ONNX Runtime cannot load it.
        """
        try:
            import onnxruntime as ort
        except ImportError as exc:
            raise BackendError(f"backend onnx: got {exc}, expected the package onnxruntime; "
                               f"install it with: pip install onnxruntime") from exc
        content = verify_weights(spec)
        self._spec = spec
        self._threads = threads or default_threads(spec.profile)
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # onnxruntime raises its own types, which share no base but Exception
            raise ModelFileError(f"{spec.path}: got a file that ONNX Runtime {ort.__version__} cannot load ({exc}), "
                                 f"expected an onnx network; update onnxruntime or make the file again") from exc
        for reported, want, kind in ((session.get_inputs(), spec.inputs, "inputs"),
                                     (session.get_outputs(), spec.outputs, "outputs")):
            match_tensors(spec, [_tensor(node) for node in reported], want, kind)
        self._session: Any = session
        self._outputs = [tensor.name for tensor in spec.outputs]
        self._version = ort.__version__

    @property
    def spec(self) -> EngineSpec:
        """What it takes and gives."""
        return self._spec

    @property
    def backend(self) -> str:
        """For reports."""
        return f"onnx {self._version} CPU {self._spec.precision}, {self._threads} threads"

    def run(self, **inputs: Array) -> dict[str, Array]:
        """See :meth:`rtface.inference.Engine.run`."""
        if self._session is None:
            raise BackendError(f"engine {self._spec.name}: got run() after close(), expected an open engine")
        sizes = self._spec.check_inputs(inputs)
        if 0 in sizes.values():
            return self._spec.empty_outputs(sizes)
        feed = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        try:
            values = self._session.run(self._outputs, feed)
        except Exception as exc:  # see __init__
            raise BackendError(f"engine {self._spec.name}: ONNX Runtime failed: {exc}") from exc
        return dict(zip(self._outputs, values, strict=True))

    def close(self) -> None:
        """Free the session and its threads."""
        self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _tensor(node: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else str(size) for size in node.shape)
    return TensorSpec(node.name, shape, _DTYPES.get(node.type, node.type))
