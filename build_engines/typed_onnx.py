"""A network in decided precision → strongly typed ONNX: every tensor has its final type, with a Cast where it changes.

Exported from torch with true float16 tensors. A float32 file that is converted afterwards would not do: TensorRT takes
types as they are written, and constants, resizes and shapes of such files do not agree with their neighbours.
"""

from __future__ import annotations

import logging
import warnings
from typing import NamedTuple

import onnx
import torch
from onnxscript.optimizer import optimize
from torch import fx

from build_engines import networks, precision
from build_engines.onnx_export import OPSET
from rtface.inference.spec import EngineSpec

FOLD_LIMIT = 1 << 28
"""Elements; weights are cast when the file is made, not when it is loaded."""


class TypedOnnx(NamedTuple):
    """What an engine is built from."""

    content: bytes
    """The ONNX file; inputs and outputs are float32 as in the specification."""
    half_weights: int
    """Bytes of weights in float16."""
    float_weights: int
    """Bytes of weights in float32."""


def export(graph: fx.GraphModule, float32: frozenset[str], spec: EngineSpec) -> TypedOnnx:
    """graph from :func:`build_engines.precision.trace`; float32: names of the layers that stay in it."""
    module = precision.MixedPrecision(graph, float32)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of torchvision, which nobody needs
        program = torch.onnx.export(module, networks.examples(spec), input_names=[t.name for t in spec.inputs],
                                    output_names=[t.name for t in spec.outputs], opset_version=OPSET, dynamo=True,
                                    optimize=False, verbose=False,
                                    dynamic_shapes=(networks.free_sizes(spec.inputs),))
    assert program is not None
    optimize(program.model, input_size_limit=FOLD_LIMIT, output_size_limit=FOLD_LIMIT)
    for node in program.model.graph:
        node.metadata_props.clear()  # stack traces with this machine's paths
    model = program.model_proto
    onnx.checker.check_model(model, full_check=True)
    sizes = {kind: sum(len(t.raw_data) for t in model.graph.initializer if t.data_type == kind)
             for kind in (onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT)}
    return TypedOnnx(model.SerializeToString(deterministic=True), *sizes.values())
