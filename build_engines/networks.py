"""Every network by name: its configuration, its module, and a module filled from a weights folder."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from build_engines import onnx_export
from rtface.basis_file import BasisFile
from rtface.contours import PARSING
from rtface.errors import InputError, ModelFileError
from rtface.inference.spec import EngineSpec, TensorSpec, verify_weights
from rtface.nets.complete import CompletionExport, CompletionNet, CompletionNetConfig
from rtface.nets.contour import ContourExport, ContourNet, ContourNetConfig
from rtface.nets.detector import STRIDES, Detector, DetectorExport, DetectorNetConfig
from rtface.nets.landmarks import LandmarkExport, LandmarkNet, LandmarkNetConfig
from rtface.nets.regressor import Regressor, RegressorConfig
from rtface.nets.segment import SegmentExport, SegmentNetConfig, segment_net
from rtface.paths import WEIGHTS


class Network(NamedTuple):
    """How one network is made."""

    config: Any
    """The configuration's class, with ``profile(name)``."""
    net: Callable[[Any], nn.Module]
    view: Callable[[Any], nn.Module] | None
    """Wraps the net into what an engine gives; None: the net itself."""
    write: Callable[..., Path]
    """Writes the weight file and its json."""
    prefix: str
    """Of the net's weights in the weight file."""


def _export_parse(*arguments: Any, **options: Any) -> Path:
    return onnx_export.export_segment(*arguments, **options, name="parse")


NETWORKS: Final[Mapping[str, Network]] = {
    "detector": Network(DetectorNetConfig, Detector, DetectorExport, onnx_export.export_detector, "net."),
    "landmarks": Network(LandmarkNetConfig, LandmarkNet, LandmarkExport, onnx_export.export_landmarks, "net."),
    "regressor": Network(RegressorConfig, Regressor, None, onnx_export.export_regressor, ""),
    "segment": Network(SegmentNetConfig, segment_net, SegmentExport, onnx_export.export_segment, "net."),
    "parse": Network(SegmentNetConfig, segment_net, SegmentExport, _export_parse, "net."),
    "contour": Network(ContourNetConfig, ContourNet, ContourExport, onnx_export.export_contour, "net."),
    "complete": Network(CompletionNetConfig, CompletionNet, CompletionExport, onnx_export.export_complete, "net."),
}
"""In the order of the chain."""
SIZES: Final = {"N": torch.export.Dim("N", min=1), "H": STRIDES[-1] * torch.export.Dim("h", min=2, max=64),
                "W": STRIDES[-1] * torch.export.Dim("w", min=2, max=64)}
"""What the letters in a network's shapes may be."""
_EXAMPLE: Final = {"N": 2, "H": 256, "W": 320}


def network(name: str) -> Network:
    """The entry of a name; InputError when there is none."""
    if name not in NETWORKS:
        raise InputError(f"network: got {name!r}, expected one of {', '.join(NETWORKS)}")
    return NETWORKS[name]


def load_module(spec: EngineSpec) -> nn.Module:
    """The module behind a weight file, in float32 on the CPU, as an engine sees it: ``spec.inputs`` in order →
    ``spec.outputs`` in order.

    ModelFileError when file and json differ, or the weights do not fit the configuration in the json.
    """
    verify_weights(spec)
    entry = network(spec.name)
    net = entry.net(config_from(entry.config, spec.config, f"{spec.name}.{spec.profile}.json"))
    assert spec.path is not None
    onnx_export.load_weights(spec.path, net, entry.prefix)
    return (net if entry.view is None else entry.view(net)).eval().requires_grad_(False)


def config_from(kind: Any, values: Mapping[str, Any], where: str) -> Any:
    """A configuration dataclass from the plain values that a json holds; nested ones are told by their field names."""
    hints = typing.get_type_hints(kind)
    unknown = values.keys() - {field.name for field in dataclasses.fields(kind)}
    if unknown:
        raise ModelFileError(f"{where}: got {', '.join(sorted(unknown))} in the configuration, which {kind.__name__} "
                             f"does not have; the weights belong to another version of rtface: train or export anew")
    return kind(**{name: _value(hints[name], value, where) for name, value in values.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        for kind in kinds:
            if dataclasses.is_dataclass(kind) and {f.name for f in dataclasses.fields(kind)} >= value.keys():
                return config_from(kind, value, where)
        raise ModelFileError(f"{where}: got the configuration {dict(value)}, expected one of "
                             f"{', '.join(getattr(k, '__name__', str(k)) for k in kinds)}")
    return tuple(value) if isinstance(value, list) else value


def write_untrained(name: str, profile: str, folder: Path, *, seed: int = 0) -> Path:
    """Weight file and json of a freshly initialised network: no answers, but every layer in its place.

    Blocks that start as identity, and gains that start at nothing, are set to ordinary values, so that every layer
    has a say in the output.
    """
    entry = network(name)
    config = entry.config.profile(profile)
    if name == "parse":
        config = dataclasses.replace(config, classes=len(PARSING))
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = entry.net(config)
    for key, value in net.state_dict().items():
        if key.endswith("running_var") or (value.dim() <= 1 and value.is_floating_point() and not value.any()):
            value.uniform_(0.2, 0.8, generator=generator)
    extra = {"basis": str(BasisFile.read(WEIGHTS / "basis.npz").info["id"])} if name == "regressor" else {}
    return entry.write(config, net.state_dict(), folder, profile=profile,
                       training={"note": f"untrained, seed {seed}"}, **extra)


def examples(spec: EngineSpec) -> tuple[Tensor, ...]:
    """Inputs of the right shapes, to trace a module with."""
    return tuple(torch.rand([_EXAMPLE.get(size, 0) if isinstance(size, str) else size for size in tensor.shape],
                            generator=torch.Generator().manual_seed(0)) for tensor in spec.inputs)


def free_sizes(tensors: tuple[TensorSpec, ...]) -> tuple[dict[int, Any], ...]:
    """Per input, which axes are free, as torch.export wants it."""
    return tuple({axis: SIZES[size] for axis, size in enumerate(tensor.shape) if isinstance(size, str)}
                 for tensor in tensors)
