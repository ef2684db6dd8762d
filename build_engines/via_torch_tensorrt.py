"""The same modules through Torch-TensorRT (optional), for PyTorch programs: ``torch.export.load(FILE).module()``.

The file holds TensorRT engines inside of an exported program and needs torch and torch_tensorrt to run; rtface's own
run time takes the ``.engine`` files of :mod:`build_engines.plan`.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import fx

from build_engines import networks, precision
from build_engines.plan import Plan
from rtface.errors import BackendError
from rtface.inference.manifest import Shapes
from rtface.inference.nvidia import gpu_capability
from rtface.inference.spec import EngineSpec

FLAVOUR: Final = "torchtensorrt"
SUFFIX: Final = ".ep"
INSTALL: Final = "pip install torch-tensorrt --extra-index-url https://download.pytorch.org/whl/cu130"


def load() -> Any:
    """The package; BackendError with the command that installs it."""
    try:
        return importlib.import_module("torch_tensorrt")
    except (ImportError, OSError, RuntimeError) as exc:  # it raises what its libraries raise
        raise BackendError(f"--via torch-tensorrt: got {exc}, expected the package torch_tensorrt, which fits this "
                           f"torch {torch.__version__}, and a GPU; install it with: {INSTALL}; or leave --via out") \
            from exc


def version() -> str:
    """Of the package."""
    return str(load().__version__)


def compile_module(graph: fx.GraphModule, float32: frozenset[str], spec: EngineSpec,
                   profiles: Sequence[Shapes]) -> Plan:
    """Compile a traced network in decided precision, with every layer in TensorRT.

    Of several optimisation profiles the last one, the widest, is taken: Torch-TensorRT has one only. BackendError
    when the package or the GPU is missing, or compiling fails.
    """
    torch_tensorrt, capability = load(), gpu_capability()
    widest = profiles[-1]
    module = precision.MixedPrecision(graph, float32).cuda()
    examples = tuple(tensor.cuda() for tensor in networks.examples(spec))
    started = time.perf_counter()
    program = torch.export.export(module, examples, dynamic_shapes=(networks.free_sizes(spec.inputs),))
    inputs = [torch_tensorrt.Input(min_shape=least, opt_shape=best, max_shape=greatest, dtype=torch.float32,
                                   name=name) for name, (least, best, greatest) in widest.items()]
    try:
        compiled = torch_tensorrt.dynamo.compile(program, arg_inputs=inputs, use_explicit_typing=True,
                                                 disable_tf32=True, require_full_compilation=True, min_block_size=1)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{spec.name}{SUFFIX}"
            torch_tensorrt.save(compiled, str(path), output_format="exported_program", arg_inputs=list(examples))
            content = path.read_bytes()
    except (RuntimeError, ValueError, TypeError, NotImplementedError, AssertionError) as exc:
        raise BackendError(f"{spec.name}.{spec.profile}: torch_tensorrt {torch_tensorrt.__version__} could not build "
                           f"it ({type(exc).__name__}: {exc}); leave --via torch-tensorrt out") from exc
    return Plan(content, f"sm{capability}", str(torch_tensorrt.__version__), (widest,), time.perf_counter() - started,
                ())
