"""The rule that decides precision, on small modules whose weak layers are known; and typed ONNX made from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from torch import Tensor, nn

from build_engines import networks, precision, typed_onnx
from build_engines.plan import build_plan
from rtface.inference import EngineSpec, TensorSpec

SPEC = EngineSpec("tiny", "compact", (TensorSpec("crops", ("N", 3, 16, 16)),), (TensorSpec("out", ("N", 4)),))


class Tiny(nn.Module):
    """Convolution, normalisation, activation, mean, and a function of the result."""

    def __init__(self, end: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
                                  nn.Conv2d(8, 4, 1))
        self.body[1].running_var.fill_(0.2)
        self.body[1].running_mean.fill_(0.1)
        self.end = end

    def forward(self, crops: Tensor) -> Tensor:
        return self.end(self.body(crops).mean(dim=(2, 3)))


def traced(module: nn.Module) -> Any:
    return precision.trace(precision.fold_batch_norm(module.eval()), networks.examples(SPEC),
                           networks.free_sizes(SPEC.inputs))


def rule(module: nn.Module, limit: float) -> precision.Precision:
    """Decide with the greatest difference as the only figure."""
    crops = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = module.eval()(crops)

        def cost(candidate: Any) -> float:
            with torch.no_grad():
                return float((candidate(crops) - wanted).abs().max().nan_to_num(torch.inf)) / limit

        def ranges(candidate: Any) -> None:
            with torch.no_grad():
                candidate(crops)
        return precision.decide(traced(module), cost, ranges)


def names(decided: precision.Precision) -> set[str]:
    return {layer.op for layer in decided.float32}


def test_batch_normalisation_is_folded_without_a_difference() -> None:
    module = Tiny().eval()
    folded = precision.fold_batch_norm(module)
    crops = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(folded(crops), module(crops))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in module.modules())  # the original stays as it was


def test_a_network_that_loses_little_is_float16_throughout() -> None:
    decided = rule(Tiny(), limit=0.1)
    assert decided.float32 == () and decided.half >= 4 and decided.share == 0 and decided.whole < precision.TARGET


def test_layers_that_lose_too_much_stay_in_float32() -> None:
    decided = rule(Tiny(lambda x: (x + 900.0) * 1.0 - 900.0), limit=0.05)  # float16 knows halves only at 900
    assert {"add", "mul", "sub"} <= names(decided) and "conv2d" not in names(decided)
    assert decided.whole <= precision.TARGET and decided.share in precision.SHARES
    assert all(layer.share > decided.share for layer in decided.float32 if "above" in layer.reason)


def test_values_near_the_end_of_float16_stay_in_float32() -> None:
    decided = rule(Tiny(lambda x: torch.log1p((x.abs() + 1) * 3e4) * 1e-6), limit=1.0)
    assert {layer.op: layer.reason for layer in decided.float32 if "up to" in layer.reason}.keys() >= {"mul"}


def test_views_follow_what_they_arrange() -> None:
    decided = rule(Tiny(lambda x: (x + 900.0).reshape(-1, 2, 2).transpose(1, 2).flatten(1) - 900.0), limit=0.05)
    assert {"reshape", "transpose", "flatten"} <= names(decided)


@pytest.mark.parametrize(("value", "count", "finite"), [(1.0, 60000, True), (1.0, 70000, False)])
def test_sums_are_emulated_in_float16(value: float, count: int, finite: bool) -> None:
    mean = precision._mean(torch.full((1, 1, count, 1), value), (2, 3), True)
    assert mean.shape == (1, 1, 1, 1) and bool(torch.isfinite(mean).all()) is finite
    if finite:
        assert float(mean) == pytest.approx(1.0, abs=2e-3)


def test_emulated_calls_agree_with_torch_but_for_rounding() -> None:
    torch.manual_seed(0)
    x, w, b = torch.randn(2, 8, 6, 6), torch.randn(5, 40), torch.randn(5)
    rows = torch.randn(3, 40)
    for got, want in ((precision._softmax(x, 1), torch.softmax(x, 1)),
                      (precision._instance_norm(x, None, None, None, None, True, 0.1, 1e-5, False),
                       torch.nn.functional.instance_norm(x)),
                      (precision._linear(rows, w, b), torch.nn.functional.linear(rows, w, b)),
                      (precision._matmul(rows, w.t()), rows @ w.t()),
                      (precision._mean(x, (2, 3)), x.mean(dim=(2, 3)))):
        assert got.shape == want.shape and not torch.equal(got, want)
        torch.testing.assert_close(got, want, atol=0.02, rtol=0.01)


def test_emulation_agrees_with_true_half_tensors() -> None:
    graph = traced(Tiny())
    crops = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        emulated, true = (precision.MixedPrecision(graph, frozenset(), emulate=e)(crops) for e in (True, False))
        exact = precision.MixedPrecision(graph, frozenset(n.name for n in precision.layers(graph)))(crops)
    assert true.dtype == emulated.dtype == torch.float32
    torch.testing.assert_close(emulated, true, atol=3e-3, rtol=3e-3)
    torch.testing.assert_close(exact, precision.fold_batch_norm(Tiny())(crops).detach())
    assert not torch.equal(true, exact)


@pytest.mark.parametrize("kind", ["fp16", "fp32", "mixed"])
def test_typed_onnx_says_every_type_and_compiles(kind: str) -> None:
    module = Tiny(lambda x: torch.softmax(x * 3, dim=1))
    graph = traced(module)
    everything = frozenset(n.name for n in precision.layers(graph))
    float32 = {"fp16": frozenset[str](), "fp32": everything,
               "mixed": frozenset(n for n in everything if n.startswith(("softmax", "mul")))}[kind]
    typed = typed_onnx.export(graph, float32, SPEC)
    model = onnx.load_model_from_string(typed.content)
    onnx.checker.check_model(model, full_check=True)  # types of all tensors agree
    assert [t.type.tensor_type.elem_type for t in (*model.graph.input, *model.graph.output)] == [TensorProto.FLOAT] * 2
    weights = {t.data_type for t in model.graph.initializer if np.prod(t.dims) > 8}
    assert weights == {TensorProto.FLOAT if kind == "fp32" else TensorProto.FLOAT16}
    assert (typed.half_weights > 0) == (kind != "fp32")
    assert b".py" not in typed.content  # no paths of this machine
    session = onnxruntime.InferenceSession(typed.content, providers=["CPUExecutionProvider"])
    for count in (1, 3):
        crops = np.random.default_rng(0).random((count, 3, 16, 16), np.float32)
        (got,) = session.run(["out"], {"crops": crops})
        with torch.no_grad():
            want = module.eval()(torch.from_numpy(crops)).numpy()
        np.testing.assert_allclose(got, want, atol=1e-6 if kind == "fp32" else 5e-3)
    plan = build_plan(typed.content, SPEC, flavour="rtx", batch=(1, 2, 4))
    assert len(plan.content) > 1000 and plan.sm == "any"
