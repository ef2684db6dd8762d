"""Arithmetic and memory traffic of a network, counted from its ONNX graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rtface.errors import BackendError, ModelFileError
from rtface.types import Array

_FREE: Final = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Constant", "Shape", "Cast",
                          "Dropout"})
"""Nodes that need no arithmetic worth counting."""


@dataclass(frozen=True, slots=True)
class GraphCost:
    """Of one run."""

    flops: float
    """Floating point operations of convolutions and matrix products: two per multiply-add (bias not counted), as
    trtexec's users and papers count (the papers' "MACs" are half of it)."""
    weight_bytes: float
    """Of all parameters, as float32."""
    traffic_bytes: float
    """Least memory traffic: parameters, inputs and outputs once; everything between stays in caches."""
    tensor_bytes: float
    """Traffic when no nodes are fused: parameters, and every tensor between nodes written and read."""

    @property
    def intensity(self) -> float:
        """Operations per byte of least traffic."""
        return self.flops / max(self.traffic_bytes, 1.0)


def matrix_product(side: int) -> bytes:
    """An ONNX file that multiplies two float32 matrices of a side: inputs a and b, output c.

    BackendError without the package onnx.
    """
    onnx = _onnx()
    kind, helper = onnx.TensorProto.FLOAT, onnx.helper
    a, b, c = (helper.make_tensor_value_info(name, kind, [side, side]) for name in "abc")
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "product", [a, b], [c])
    content: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)],
                                       ir_version=10).SerializeToString()
    return content


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as exc:
        raise BackendError(f"operations of a network: got {exc}, expected the package onnx; install it with: "
                           f"pip install 'rtface[bench]'") from exc
    return onnx


def graph_cost(content: bytes, inputs: Mapping[str, Array]) -> GraphCost:
    """content: an ONNX file; inputs: what it is run on, once, so that every tensor's real shape is known.

    BackendError without the package onnx, ModelFileError when ONNX Runtime cannot run the graph.
    """
    model = _onnx().load_from_string(content)
    graph = model.graph
    weights = {tensor.name: tuple(int(d) for d in tensor.dims) for tensor in graph.initializer}
    ends = [value.name for value in (*graph.input, *graph.output) if value.name not in weights]
    shapes = {**weights, **_shapes(model, inputs)}
    flops = float(sum(_flops(node, shapes) for node in graph.node))
    weight_bytes = 4.0 * sum(math.prod(shape) for shape in weights.values())
    between = sum(4.0 * math.prod(shapes[name]) for node in graph.node if node.op_type not in _FREE
                  for name in (*node.input, *node.output) if name and name not in weights)
    return GraphCost(flops, weight_bytes, weight_bytes + sum(4.0 * math.prod(shapes[name]) for name in ends),
                     weight_bytes + between)


def _shapes(model: Any, inputs: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    """Of all tensors between nodes, seen in a run without optimisations; the model gets all of them as outputs."""
    import onnxruntime as ort

    given = {value.name for value in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if name]
    model.graph.output.extend(type(model.graph.output[0])(name=name) for name in names if name not in given)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        outputs = session.run(names, dict(inputs))
    except Exception as exc:  # onnxruntime raises its own types, which share no base but Exception
        raise ModelFileError(f"operations of a network: ONNX Runtime cannot run the graph ({exc}), expected one that "
                             f"it can; export the network again") from exc
    return {**{name: array.shape for name, array in inputs.items()},
            **{name: tuple(value.shape) for name, value in zip(names, outputs, strict=True)}}


def _flops(node: Any, shapes: Mapping[str, tuple[int, ...]]) -> int:
    kind = node.op_type
    if kind == "Conv":
        weight = shapes[node.input[1]]  # (out, in / groups, *kernel)
        return 2 * math.prod(shapes[node.output[0]]) * math.prod(weight[1:])
    if kind == "ConvTranspose":
        weight = shapes[node.input[1]]  # (in, out / groups, *kernel): each input pixel adds so many
        return 2 * math.prod(shapes[node.input[0]]) * math.prod(weight[1:])
    if kind == "Gemm":
        first = shapes[node.input[0]]
        inner = first[0] if any(a.name == "transA" and a.i for a in node.attribute) else first[1]
        return 2 * math.prod(shapes[node.output[0]]) * inner
    if kind == "MatMul":
        inner = shapes[node.input[0]][-1]
        return 2 * math.prod(shapes[node.output[0]]) * inner
    return 0
