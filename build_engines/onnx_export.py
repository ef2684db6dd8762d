"""Checkpoint → ONNX: the one stored form of a network's weights.

The file is a plain float32 ONNX model, gzip-compressed. Weights are rounded to float16 precision first, so that half
of their bits are zero and compress away: on disk it is about as small as a float16 file, but no runtime has to cast
anything (ONNX Runtime does not fold such casts, which kept batch normalisation from being folded and doubled the time
of the landmark network). Initialisers keep the names of the torch module's state, so the same file restores the
module for more training (:func:`load_weights`): nothing is stored twice.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import os
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from onnxscript.optimizer import fold_constants, remove_unused_nodes
from torch import Tensor, nn

from rtface.errors import ModelFileError
from rtface.nets.complete import CompletionExport, CompletionNet, CompletionNetConfig
from rtface.nets.contour import ContourExport, ContourNet, ContourNetConfig
from rtface.nets.detector import STRIDES, Detector, DetectorExport, DetectorNetConfig
from rtface.nets.landmarks import LandmarkExport, LandmarkNet, LandmarkNetConfig
from rtface.nets.regressor import Regressor, RegressorConfig
from rtface.nets.segment import SegmentExport, SegmentNetConfig, segment_net

OPSET = 18
COMPRESSION = 9
"""Of gzip. Level 1 is about twelve times as fast, for files about a tenth larger."""
HALF_FROM = 2048
"""Initialisers with at least this many elements are rounded to float16 precision."""
LICENCE = "MIT"


def export(module: nn.Module, example: Tensor | tuple[Tensor, ...], path: Path, *, inputs: list[str],
           outputs: list[str], dynamic: Mapping[int, Any]) -> None:
    """Write a module as ONNX (atomic). ``dynamic``: axes that may vary, of every input, as torch.export dims."""
    examples = example if isinstance(example, tuple) else (example,)
    with warnings.catch_warnings(), out_of_place(module):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(module.eval().float().cpu(), examples, input_names=inputs, output_names=outputs,
                                    opset_version=OPSET, dynamo=True, optimize=False, verbose=False,
                                    dynamic_shapes=tuple(dict(dynamic) for _ in examples))
    assert program is not None
    fold_constants(program.model, output_size_limit=1 << 20)  # but not batch normalisation: its weights keep names
    remove_unused_nodes(program.model)
    model = round_weights(program.model_proto)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(gzip.compress(model.SerializeToString(), COMPRESSION, mtime=0))
    os.replace(temporary, path)


@contextmanager
def out_of_place(module: nn.Module) -> Iterator[None]:
    """Activations give new tensors meanwhile: the same graph, traced in two thirds of the time."""
    changed = [part for part in module.modules() if getattr(part, "inplace", False)]
    for part in changed:
        part.inplace = False
    try:
        yield
    finally:
        for part in changed:
            part.inplace = True


def round_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Round large float32 initialisers to float16 precision in place; values beyond its range are an error."""
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or int(np.prod(tensor.dims)) < HALF_FROM:
            continue
        values = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
        if not np.isfinite(values).all():
            raise ModelFileError(f"{tensor.name}: got weights beyond ±65504, expected what float16 can hold; train "
                                 f"with weight decay")
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


def read_model(path: Path) -> onnx.ModelProto:
    """The model of an exported file."""
    try:
        return onnx.load_model_from_string(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, zlib.error, ValueError) as exc:
        raise ModelFileError(f"{path}: got {exc}, expected a file written by a trainer's --export") from exc


def stored_state(path: Path, module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """The state of an exported file under the module's names, in the shapes in which it was stored."""
    stored = {t.name: numpy_helper.to_array(t) for t in read_model(path).graph.initializer}
    state: dict[str, Tensor] = {}
    for name, value in module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = value
            continue
        if prefix + name not in stored:
            raise ModelFileError(f"{path}: got no weight named {prefix + name}, expected every weight of "
                                 f"{type(module).__name__}; the file belongs to another network or profile")
        state[name] = torch.from_numpy(np.array(stored[prefix + name], np.float32))
    return state


def load_weights(path: Path, module: nn.Module, prefix: str = "") -> None:
    """Fill a module's parameters and buffers from an exported file, strictly."""
    own = module.state_dict()
    module.load_state_dict({name: value.reshape(own[name].shape)
                            for name, value in stored_state(path, module, prefix).items()})


def describe(path: Path, *, name: str, profile: str, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]],
             config: Any, training: Mapping[str, Any], basis: str | None = None) -> None:
    """Write the json beside an exported file; metrics of an earlier file of the same name are dropped."""
    described = {"name": name, "profile": profile, "basis": basis, "inputs": inputs, "outputs": outputs,
                 "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "config": dataclasses.asdict(config),
                 "training": dict(training), "metrics": {}, "licence": LICENCE}
    path.with_name(f"{name}.{profile}.json").write_text(json.dumps(described, indent=1, default=str) + "\n")


def tensor(name: str, *shape: int | str) -> dict[str, Any]:
    """One float32 tensor of an engine's json."""
    return {"name": name, "shape": list(shape), "dtype": "float32"}


def _fill(module: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    module.load_state_dict(dict(state))
    return module


def export_landmarks(config: LandmarkNetConfig, state: Mapping[str, Tensor], folder: Path, *, profile: str,
                     training: Mapping[str, Any]) -> Path:
    """landmarks.PROFILE.onnx.gz and .json."""
    path = folder / f"landmarks.{profile}.onnx.gz"
    net = LandmarkExport(_fill(LandmarkNet(config), state))  # type: ignore[arg-type]
    outputs = [tensor("landmarks", "N", 68, 2), tensor("presence", "N"), tensor("visibility", "N", 68)]
    if config.irises:
        outputs += [tensor("irises", "N", 2, 2), tensor("iris_visibility", "N", 2)]
    export(net, torch.rand(2, 3, config.size, config.size), path, inputs=["crops"],
           outputs=[output["name"] for output in outputs], dynamic={0: torch.export.Dim("N", min=1)})
    describe(path, name="landmarks", profile=profile, config=config, training=training,
             inputs=[tensor("crops", "N", 3, config.size, config.size)], outputs=outputs)
    return path


def export_regressor(config: RegressorConfig, state: Mapping[str, Tensor], folder: Path, *, profile: str, basis: str,
                     training: Mapping[str, Any]) -> Path:
    """regressor.PROFILE.onnx.gz and .json."""
    path = folder / f"regressor.{profile}.onnx.gz"
    inputs = [("crops", 3), ("mask", 1)][:1 + config.mask]
    export(_fill(Regressor(config), state), tuple(torch.rand(2, c, config.size, config.size) for _, c in inputs), path,
           inputs=[n for n, _ in inputs], outputs=["coefficients"], dynamic={0: torch.export.Dim("N", min=1)})
    describe(path, name="regressor", profile=profile, basis=basis, config=config, training=training,
             inputs=[tensor(n, "N", c, config.size, config.size) for n, c in inputs],
             outputs=[tensor("coefficients", "N", 239)])
    return path


def export_detector(config: DetectorNetConfig, state: Mapping[str, Tensor], folder: Path, *, profile: str,
                    training: Mapping[str, Any]) -> Path:
    """detector.PROFILE.onnx.gz and .json; height and width are free multiples of the coarsest stride."""
    path = folder / f"detector.{profile}.onnx.gz"
    net = DetectorExport(_fill(Detector(config), state))  # type: ignore[arg-type]
    coarsest = STRIDES[-1]
    height, width = (coarsest * torch.export.Dim(f"{axis}{coarsest}", min=2, max=64) for axis in ("h", "w"))
    export(net, torch.rand(1, 3, 256, 320), path, inputs=["image"], outputs=["scores", "boxes"],
           dynamic={2: height, 3: width})
    describe(path, name="detector", profile=profile, config=config, training=training,
             inputs=[tensor("image", 1, 3, "H", "W")], outputs=[tensor("scores", 1, "P"), tensor("boxes", 1, "P", 4)])
    return path


def export_segment(config: SegmentNetConfig, state: Mapping[str, Tensor], folder: Path, *, profile: str,
                   training: Mapping[str, Any], name: str = "segment") -> Path:
    """NAME.PROFILE.onnx.gz and .json: probabilities of every class."""
    path = folder / f"{name}.{profile}.onnx.gz"
    crops = ("N", 3, config.size, config.size)
    export(SegmentExport(_fill(segment_net(config), state)), torch.rand(2, *crops[1:]), path,
           inputs=["crops"], outputs=["probability"], dynamic={0: torch.export.Dim("N", min=1)})
    describe(path, name=name, profile=profile, config=config, training=training, inputs=[tensor("crops", *crops)],
             outputs=[tensor("probability", "N", config.classes, config.size, config.size)])
    return path


def export_contour(config: ContourNetConfig, state: Mapping[str, Tensor], folder: Path, *, profile: str,
                   training: Mapping[str, Any]) -> Path:
    """contour.PROFILE.onnx.gz and .json."""
    net = ContourExport(_fill(ContourNet(config), state))  # type: ignore[arg-type]
    return _export_guided(net, config, folder, "contour", profile, training, [("contour_goal", 1)])


def export_complete(config: CompletionNetConfig, state: Mapping[str, Tensor], folder: Path, *, profile: str,
                    training: Mapping[str, Any]) -> Path:
    """complete.PROFILE.onnx.gz and .json."""
    net = CompletionExport(_fill(CompletionNet(config), state))  # type: ignore[arg-type]
    return _export_guided(net, config, folder, "complete", profile, training, [("pixels", 3)])


def _export_guided(net: nn.Module, config: ContourNetConfig | CompletionNetConfig, folder: Path, name: str,
                   profile: str, training: Mapping[str, Any], outputs: list[tuple[str, int]]) -> Path:
    """A network that takes crops, mask and contour."""
    path, side = folder / f"{name}.{profile}.onnx.gz", config.size
    inputs = [("crops", 3), ("mask", 1), ("contour", 1)]
    export(net, tuple(torch.rand(2, channels, side, side) for _, channels in inputs), path,
           inputs=[n for n, _ in inputs], outputs=[n for n, _ in outputs],
           dynamic={0: torch.export.Dim("N", min=1)})
    described = [[tensor(n, "N", channels, side, side) for n, channels in group] for group in (inputs, outputs)]
    describe(path, name=name, profile=profile, config=config, training=training, inputs=described[0],
             outputs=described[1])
    return path
