"""--via torch-tensorrt, with a fake of the package: what it is asked for, and what becomes of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from build_engines import networks, precision, via_torch_tensorrt
from rtface.errors import BackendError
from rtface.inference import EngineSpec, TensorSpec
from rtface.inference.manifest import Manifest

SPEC = EngineSpec("tiny", "compact", (TensorSpec("crops", ("N", 3, 8, 8)),), (TensorSpec("out", ("N", 4, 8, 8)),))
SHAPES = {"crops": ((1, 3, 8, 8), (4, 3, 8, 8), (8, 3, 8, 8))}


class FakeTorchTensorRt:
    """Keeps the exported program that it is given and what it was asked for."""

    __version__ = "2.13.0"

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.asked = error, dict[str, Any]()
        self.dynamo = SimpleNamespace(compile=self._compile)

    class Input:
        def __init__(self, *, min_shape: Any, opt_shape: Any, max_shape: Any, dtype: Any, name: str) -> None:
            self.shapes, self.dtype, self.name = (min_shape, opt_shape, max_shape), dtype, name

    def _compile(self, exported_program: Any, *, arg_inputs: Any, **options: Any) -> Any:
        if self.error is not None:
            raise self.error
        self.asked = {"inputs": arg_inputs, **options}
        return exported_program

    def save(self, module: Any, file_path: str, *, output_format: str, arg_inputs: Any) -> None:
        assert output_format == "exported_program" and arg_inputs[0].shape[1:] == (3, 8, 8)
        torch.export.save(module, file_path)


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A traced network; what would go to the GPU stays on the CPU."""
    torch.manual_seed(0)
    monkeypatch.setattr(nn.Module, "cuda", lambda module: module)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)
    monkeypatch.setattr(via_torch_tensorrt, "gpu_capability", lambda: 86)
    return precision.trace(nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.Softmax(1)), networks.examples(SPEC),
                           networks.free_sizes(SPEC.inputs))


def test_it_gets_the_same_module_in_mixed_precision(graph: Any, monkeypatch: pytest.MonkeyPatch,
                                                    tmp_path: Path) -> None:
    fake = FakeTorchTensorRt()
    monkeypatch.setitem(sys.modules, "torch_tensorrt", fake)
    plan = via_torch_tensorrt.compile_module(graph, frozenset({"softmax"}), SPEC, ({}, SHAPES))
    assert plan.sm == "sm86" and plan.version == "2.13.0" and plan.profiles == (SHAPES,)
    assert fake.asked["use_explicit_typing"] and fake.asked["require_full_compilation"] and fake.asked["disable_tf32"]
    (asked,) = fake.asked["inputs"]
    assert asked.shapes == SHAPES["crops"] and asked.dtype == torch.float32 and asked.name == "crops"
    path = tmp_path / "tiny.ep"
    path.write_bytes(plan.content)
    module = torch.export.load(path).module()
    kinds = {str(node.meta["val"].dtype) for node in module.graph.nodes if "conv2d" in node.name and "val" in node.meta}
    assert kinds == {"torch.float16"}
    crops = torch.rand(3, 3, 8, 8)
    want = precision.MixedPrecision(graph, frozenset({"softmax"}))(crops)
    torch.testing.assert_close(module(crops), want)


def test_what_it_raises_becomes_one_of_ours(graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_tensorrt", FakeTorchTensorRt(RuntimeError("no converter for mod")))
    with pytest.raises(BackendError, match="torch_tensorrt 2.13.0 could not build it .*no converter for mod"):
        via_torch_tensorrt.compile_module(graph, frozenset(), SPEC, (SHAPES,))


def test_without_the_package_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)
    with pytest.raises(BackendError, match="expected the package torch_tensorrt.*pip install torch-tensorrt"):
        via_torch_tensorrt.load()


def test_its_files_are_exported_programs() -> None:
    path = Path("tiny.compact.fp16.sm86.torchtensorrt2.13.0.json")
    manifest = Manifest(path, "tiny", "compact", "fp16", "torchtensorrt", "2.13.0", "sm86", "", "", (), False)
    assert manifest.engine.name == "tiny.compact.fp16.sm86.torchtensorrt2.13.0.ep"


def test_the_schema_knows_it() -> None:
    from rtface.paths import PACKAGE
    schema = json.loads((PACKAGE.parent / "engines" / "manifest.schema.json").read_text())
    assert via_torch_tensorrt.FLAVOUR in schema["properties"]["flavour"]["enum"]
