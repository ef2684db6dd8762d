"""Which layers of a network stay in float32: a rule that measures, and the module in mixed precision that follows.

TensorRT takes the precision of every layer from the network it is given (strong typing), so it is decided here. A
layer is one call in the network's graph. It computes in float16 unless that costs too much:

1. The whole network is tried in float16. If every figure of the task (:mod:`build_engines.tasks`) stays within
   TARGET of its limit, nothing else is needed.
2. Otherwise each layer is tried alone, all others in float32. Those that use up more than a share of any limit stay in
   float32, first those above SHARES[0], then SHARES[1], …, until the whole network is within TARGET.
3. A layer that gives a value beyond RANGE, for realistic or extreme inputs, stays in float32 in any case.

Float16 is emulated: inputs, weights and outputs of a layer are rounded to it. Sums of convolutions are kept in float32,
as tensor cores keep them; all other sums (means, normalisations, softmax, matrix products) are rounded to float16
after every addition, because TensorRT may do so.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

aten = torch.ops.aten
TARGET: Final = 0.4
"""Of a limit that the whole network may use up on the measured inputs; the rest is for inputs that were not seen."""
SHARES: Final = (0.05, 0.02, 0.01, 0.005)
"""Of a limit that one layer may use up in float16, tried in this order."""
RANGE: Final = 65504 / 4
"""Largest value a float16 layer may give on the measured inputs."""
_VIEWS: Final = {"slice", "select", "unsqueeze", "squeeze", "reshape", "view", "flatten", "transpose", "permute",
                 "expand", "split", "to", "dropout", "feature_dropout", "contiguous", "detach", "alias", "clone"}
"""Calls that only arrange values: they follow their input."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer that stays in float32, and why."""

    layer: str
    """Path of the module and number of the call: ``net.head:linear_1``."""
    op: str
    share: float
    """Of the strictest limit, used up by this layer alone in float16."""
    reason: str


@dataclass(frozen=True, slots=True)
class Precision:
    """The decision for one network."""

    float32: tuple[Layer, ...]
    half: int
    """Layers in float16."""
    share: float
    """Of a limit that a layer may use up; 0: no layer had to be measured alone."""
    whole: float
    """Of the strictest limit, used up by the network as decided (emulated)."""

    @property
    def names(self) -> frozenset[str]:
        """Graph names of the float32 layers."""
        return frozenset(layer.layer.rpartition(":")[2] for layer in self.float32)


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """A copy in which batch normalisation that follows a convolution has become part of it, computed in float32."""
    module = copy.deepcopy(module).eval()
    for parent in list(module.modules()):
        if not isinstance(parent, nn.Sequential):
            continue
        for index in range(len(parent) - 1):
            conv, norm = parent[index], parent[index + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                parent[index], parent[index + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return module


class MixedPrecision(nn.Module):
    """A traced network whose layers compute in float16, but for some; inputs and outputs are float32.

    emulate: float32 arithmetic with rounding, see the module's docstring; otherwise true float16 tensors, which is
    what gets exported.
    """

    def __init__(self, graph: fx.GraphModule, float32: frozenset[str], *, emulate: bool = False) -> None:
        super().__init__()
        self.graph_module, self.float32, self.emulate = graph, float32, emulate
        self.training = False  # a traced graph knows no other mode, and eval() would tell it
        self.largest: dict[str, float] | None = None
        """Set it to a dict to collect the largest magnitude that each layer gives."""

    def forward(self, *inputs: Tensor) -> Any:
        return _Runner(self).run(*inputs)


class _Runner(fx.Interpreter):
    def __init__(self, owner: MixedPrecision) -> None:
        super().__init__(owner.graph_module)
        self.owner = owner

    def run_node(self, n: fx.Node) -> Any:
        if n.op == "call_module" or (n.op == "call_function" and "_assert" in str(n.target)):
            return None  # guards of the trace
        if not is_layer(n):
            result = super().run_node(n)
            return fx.node.map_aggregate(result, _single) if n.op == "output" else result
        half = n.name not in self.owner.float32
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if not self.owner.emulate:
            kind = torch.float16 if half else torch.float32
            args, kwargs = (fx.node.map_aggregate(v, lambda a: _cast(a, kind)) for v in (args, kwargs))
            if _name(n) == "to" or (_name(n) == "arange" and not half):
                return args[0].to(kind) if _name(n) == "to" else n.target(*args, **{**kwargs, "dtype": kind})
            return n.target(*args, **kwargs)
        if half:
            args, kwargs = (fx.node.map_aggregate(v, _rounded) for v in (args, kwargs))
            result = _SUMS.get(_name(n), n.target)(*args, **kwargs)
            result = fx.node.map_aggregate(result, _rounded)
        else:
            result = n.target(*args, **kwargs)
        if self.owner.largest is not None and isinstance(result, Tensor):
            value = float(result.abs().max().nan_to_num(torch.inf, torch.inf))
            self.owner.largest[n.name] = max(value, self.owner.largest.get(n.name, 0.0))
        return result


def is_layer(node: fx.Node) -> bool:
    """A call that gives floating-point values."""
    if node.op != "call_function" or "_assert" in str(node.target) or "sym_size" in str(node.target):
        return False
    value = node.meta.get("val")
    first = value[0] if isinstance(value, tuple | list) and value else value
    return isinstance(first, Tensor) and first.is_floating_point()


def layers(graph: fx.GraphModule) -> list[fx.Node]:
    """All layers of a traced network, in order."""
    return [node for node in graph.graph.nodes if is_layer(node)]


def trace(module: nn.Module, inputs: tuple[Tensor, ...], free: Sequence[Mapping[int, Any]]) -> fx.GraphModule:
    """The network's graph of ATen calls, none of them in place. free: per input, the axes that may vary."""
    with torch.no_grad():
        program = torch.export.export(module.eval(), inputs, dynamic_shapes=tuple(dict(axes) for axes in free))
        graph = program.module()
    assert isinstance(graph, fx.GraphModule)
    for node in graph.graph.nodes:
        if node.op == "call_function" and _name(node).endswith("_"):
            node.target = getattr(getattr(aten, _name(node)[:-1]), node.target._overloadname)
    graph.recompile()
    return graph


def decide(graph: fx.GraphModule, cost: Callable[[Callable[..., Any]], float],
           ranges: Callable[[Callable[..., Any]], None]) -> Precision:
    """Apply the rule of the module's docstring.

    cost: share of the strictest limit that a network (same inputs and outputs) uses up. ranges: runs a network on
    realistic and extreme inputs, results unused.
    """
    everything = layers(graph)
    watched = MixedPrecision(graph, frozenset(n.name for n in everything), emulate=True)
    watched.largest = {}
    ranges(watched)
    kept = {n: Layer(_label(n), _name(n), float("inf"), f"gives values up to {watched.largest[n.name]:.3g}")
            for n in everything if watched.largest.get(n.name, 0.0) > RANGE}

    def whole(names: Mapping[fx.Node, Layer]) -> float:
        return cost(MixedPrecision(graph, _followed(everything, names), emulate=True))

    used, share = whole(kept), 0.0
    if used > TARGET:
        alone = {n: cost(MixedPrecision(graph, frozenset(m.name for m in everything if m is not n), emulate=True))
                 for n in everything if n not in kept and not _is_view(n)}
        for share in SHARES:
            kept |= {n: Layer(_label(n), _name(n), value, f"above {share:g} of a limit")
                     for n, value in alone.items() if value > share and n not in kept}
            used = whole(kept)
            if used <= TARGET:
                break
    names = _followed(everything, kept)
    followers = {n: Layer(_label(n), _name(n), 0.0, "arranges float32 values")
                 for n in everything if n.name in names and n not in kept}
    chosen = kept | followers
    return Precision(tuple(chosen[n] for n in everything if n in chosen), len(everything) - len(chosen), share, used)


def all_float32(graph: fx.GraphModule) -> Precision:
    """No layer in float16."""
    return Precision(tuple(Layer(_label(n), _name(n), 0.0, "asked for") for n in layers(graph)), 0, 0.0, 0.0)


def _followed(everything: Sequence[fx.Node], kept: Mapping[fx.Node, Any]) -> frozenset[str]:
    """Names of the kept layers and of the views that only arrange what they give."""
    names = {n.name for n in kept}
    for node in everything:
        if _is_view(node) and any(source.name in names for source in node.all_input_nodes):
            names.add(node.name)
    return frozenset(names)


def _is_view(node: fx.Node) -> bool:
    return _name(node) in _VIEWS


def _name(node: fx.Node) -> str:
    return str(getattr(node.target, "_opname", node.target))


def _label(node: fx.Node) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return f"{stack[-1][0] if stack else ''}:{node.name}"


def _single(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value


def _cast(value: Any, kind: torch.dtype) -> Any:
    return value.to(kind) if isinstance(value, Tensor) and value.is_floating_point() else value


def _rounded(value: Any) -> Any:
    return value.half().float() if isinstance(value, Tensor) and value.is_floating_point() else value


def _half_sum(x: Tensor, dims: Sequence[int], keepdim: bool = False) -> Tensor:
    """Sum over ``dims`` with float16 rounding after every addition of a balanced tree."""
    dims = sorted(d % x.dim() for d in dims)
    rest = [d for d in range(x.dim()) if d not in dims]
    tree = x.permute(*rest, *dims).flatten(len(rest)).half()
    while tree.shape[-1] > 1:
        if tree.shape[-1] % 2:
            tree = torch.cat([tree, tree.new_zeros(*tree.shape[:-1], 1)], -1)
        tree = tree[..., ::2] + tree[..., 1::2]
    shape = [1 if d in dims else x.shape[d] for d in range(x.dim())] if keepdim else [x.shape[d] for d in rest]
    return tree.float().reshape(shape)


def _mean(x: Tensor, dims: Sequence[int], keepdim: bool = False) -> Tensor:
    count = 1
    for d in dims:
        count *= x.shape[d]
    return _half_sum(x, dims, keepdim) / count


def _softmax(x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    powers = _rounded(torch.exp(_rounded(x - x.amax(dim, keepdim=True))))
    return powers / _half_sum(powers, [dim], True)


def _instance_norm(x: Tensor, weight: Any, bias: Any, mean: Any, var: Any, use: bool, momentum: float, eps: float,
                   cudnn: bool) -> Tensor:
    centred = _rounded(x - _rounded(_mean(x, (2, 3), True)))
    spread = _rounded(_mean(_rounded(centred * centred), (2, 3), True))
    return centred * _rounded(torch.rsqrt(spread + eps))


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    total: Tensor | float = 0.0
    for start in range(0, a.shape[-1], 16):  # a tensor core adds 16 products before it rounds
        total = _rounded(total + a[..., start:start + 16] @ b[..., start:start + 16, :])
    assert isinstance(total, Tensor)
    return total


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    out = _matmul(x, weight.t())
    return out if bias is None else out + bias


_SUMS: Final[Mapping[str, Callable[..., Any]]] = {
    "mean": _mean, "softmax": _softmax, "instance_norm": _instance_norm, "matmul": _matmul, "linear": _linear}
"""Emulated sums in float16, by the call they stand for."""
