"""OpenVINO on the CPU (optional): the same onnx files, faster on CPUs with bfloat16 or AMX."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import numpy as np

from rtface.errors import BackendError, ModelFileError
from rtface.inference.spec import EngineSpec, TensorSpec, match_tensors, verify_weights
from rtface.inference.threads import default_threads
from rtface.types import Array

_DTYPES = {"f32": "float32", "f16": "float16", "i64": "int64", "i32": "int32", "u8": "uint8"}


class OpenVinoEngine:
    """A weight file on OpenVINO's CPU plugin, tuned for latency."""

    def __init__(self, spec: EngineSpec, *, threads: int | None = None, precision: str = "auto") -> None:
        """spec from :func:`rtface.inference.read_spec`; threads None: :func:`.threads.default_threads`.

        precision: ``auto`` computes in bfloat16 where the CPU has instructions for it, ``f32`` always in float32.
        ModelFileError when the file differs from its json, BackendError when OpenVINO is not installed or fails.
        """
        try:
            import openvino as ov
        except ImportError as exc:
            raise BackendError(f"backend openvino: got {exc}, expected the package openvino; "
                               f"install it with: pip install 'rtface[openvino]'") from exc
        content = verify_weights(spec)
        self._spec = spec
        self._threads = threads or default_threads(spec.profile)
        core: Any = ov.Core()
        bf16 = precision == "auto" and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        hint = "bf16" if bf16 else "f32"
        self._precision = "int8" if spec.precision == "int8" else hint
        properties = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": self._threads,
                      "INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": 1,
                      "ENABLE_CPU_PINNING": False}  # pinned, a thread waits for its core while others are free
        try:
            model = core.read_model(content, b"")
            for reported, want, kind in ((model.inputs, spec.inputs, "inputs"),
                                         (model.outputs, spec.outputs, "outputs")):
                match_tensors(spec, [_tensor(node) for node in reported], want, kind)
            compiled = core.compile_model(model, "CPU", properties)
        except RuntimeError as exc:
            raise ModelFileError(f"{spec.path}: got a file that OpenVINO {ov.__version__} cannot load ({exc}), "
                                 f"expected an onnx network; use --backend onnx or make the file again") from exc
        self._request: Any = compiled.create_infer_request()
        self._version = str(ov.__version__).partition("-")[0]

    @property
    def spec(self) -> EngineSpec:
        """What it takes and gives."""
        return self._spec

    @property
    def backend(self) -> str:
        """For reports."""
        return f"openvino {self._version} CPU {self._precision}, {self._threads} threads"

    def run(self, **inputs: Array) -> dict[str, Array]:
        """See :meth:`rtface.inference.Engine.run`."""
        if self._request is None:
            raise BackendError(f"engine {self._spec.name}: got run() after close(), expected an open engine")
        sizes = self._spec.check_inputs(inputs)
        if 0 in sizes.values():
            return self._spec.empty_outputs(sizes)
        feed = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        try:
            results = self._request.infer(feed, share_inputs=True)
        except RuntimeError as exc:
            raise BackendError(f"engine {self._spec.name}: OpenVINO failed: {exc}") from exc
        return {tensor.name: np.array(results[tensor.name]) for tensor in self._spec.outputs}

    def close(self) -> None:
        """Free the network."""
        self._request = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _tensor(node: Any) -> TensorSpec:
    shape = tuple(size.get_length() if size.is_static else "?" for size in node.partial_shape)
    kind = node.element_type.get_type_name()
    return TensorSpec(node.any_name, shape, _DTYPES.get(kind, kind))
