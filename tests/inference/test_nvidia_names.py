"""The fake GPU has no call and no parameter that the real packages have not: both flavours and the CUDA runtime."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.inference import fake_nvidia

CLASSES = ("ILogger", "ICudaEngine", "IExecutionContext", "IRuntimeConfig", "IRuntimeCache")
ATTRIBUTES = {"ICudaEngine": ["num_io_tensors"], "CudaGraphStrategy": ["DISABLED"],
              "IRuntimeConfig": ["cuda_graph_strategy", "dynamic_shapes_kernel_specialization_strategy"],
              "DynamicShapesKernelSpecializationStrategy": ["EAGER"], "TensorIOMode": ["INPUT", "OUTPUT"],
              "ILogger": ["VERBOSE"], "Builder": ["create_network", "create_builder_config", "build_serialized_network",
                                                  "create_optimization_profile"],
              "OnnxParser": ["parse", "num_errors", "get_error"], "BuilderFlag": ["TF32"],
              "IBuilderConfig": ["clear_flag", "add_optimization_profile", "create_timing_cache", "set_timing_cache",
                                 "get_timing_cache"],
              "IOptimizationProfile": ["set_shape"], "NetworkDefinitionCreationFlag": ["STRONGLY_TYPED"],
              "ParserError": ["desc", "node_name", "node_operator"]}
"""What else rtface and build_engines use."""
RTX_ONLY = {"IRuntimeConfig", "IRuntimeCache", "CudaGraphStrategy", "DynamicShapesKernelSpecializationStrategy"}
STUBBED = ("createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
           "createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL", "getBuilderPluginRegistry",
           "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins")
"""Functions that TensorRT's bindings want of its libraries, which are not on PyPI."""
DUMP = """
import importlib, json, sys
trt = importlib.import_module(sys.argv[1])
print(json.dumps({c: {m: getattr(getattr(trt, c), m).__doc__ or "" for m in dir(getattr(trt, c))
                      if m == "__init__" or not m.startswith("_")}
                  for c in dir(trt) if isinstance(getattr(trt, c), type)}))
"""

Docs = Mapping[str, Mapping[str, str]]


def read_docs(module: str, **environment: str) -> Docs:
    """Docstrings of every class, whose first lines are signatures, read in another process."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", DUMP, module], capture_output=True, text=True,
                          check=True, env={**os.environ, **environment}, timeout=300)
    docs: Docs = json.loads(done.stdout)
    return docs


@pytest.fixture(scope="module")
def rtx() -> Docs:
    return read_docs("tensorrt_rtx_bindings")


@pytest.fixture(scope="module")
def tensorrt(tmp_path_factory: pytest.TempPathFactory) -> Docs:
    """TensorRT's bindings are on PyPI, its libraries are not: empty ones let the module be imported and looked at."""
    folder = tmp_path_factory.mktemp("stubs")
    source = folder / "stub.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in STUBBED))
    for library in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        name = f"lib{library}.so.11"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(folder / name), f"-Wl,-soname,{name}", str(source)],
                       check=True, timeout=120)
    return read_docs("tensorrt_bindings", LD_LIBRARY_PATH=str(folder))


def signatures(doc: str) -> list[list[str]]:
    """Parameter names of every overload, without self."""
    found = []
    for line in doc.splitlines():
        if match := re.match(r"(?:\d+\. )?\w+\((self: .*)\)(?: -> .*)?$", line.strip()):
            names = re.findall(r"(?:^|, )(\w+): ", match.group(1))
            found.append(names[1:])
    return found


def parameters(function: object) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in ("self", "_self")]  # type: ignore[arg-type]


def check(docs: Docs, classes: tuple[str, ...]) -> int:
    """Hold the fake's classes against real ones; how many methods were compared."""
    fakes = {name: getattr(fake_nvidia, name) for name in classes}
    fakes["Runtime"] = fake_nvidia.FakeTensorRt(fake_nvidia.FakeCuda()).Runtime
    compared = 0
    for name, fake in fakes.items():
        for method, function in vars(fake).items():
            if method.startswith("_") or not inspect.isfunction(function):
                continue
            assert method in docs[name], f"{name}.{method} does not exist"
            real = signatures(docs[name][method])
            wanted = parameters(function)
            assert any(wanted == names[:len(wanted)] for names in real), \
                f"{name}.{method}: got parameters {wanted}, expected one of {real}"
            compared += 1
    for name, attributes in ATTRIBUTES.items():
        if name in classes or name not in RTX_ONLY:
            missing = [attribute for attribute in attributes if attribute not in docs[name]]
            assert not missing, f"{name} has no {missing}"
    return compared


def test_the_fake_fits_tensorrt_for_rtx(rtx: Docs) -> None:
    assert check(rtx, CLASSES) >= 17
    real = signatures(rtx["IExecutionContext"]["is_stream_capturable"])
    assert real == [parameters(fake_nvidia.RtxExecutionContext.is_stream_capturable)]
    assert {"num_compute_capabilities", "set_compute_capability"} <= rtx["IBuilderConfig"].keys()
    assert {"SM75", "SM86", "SM120"} <= rtx["ComputeCapability"].keys()


def test_the_fake_fits_tensorrt(tensorrt: Docs) -> None:
    assert check(tensorrt, ("ILogger", "ICudaEngine", "IExecutionContext")) >= 13
    assert "is_stream_capturable" not in tensorrt["IExecutionContext"]  # which is why its absence means yes


def test_the_fake_fits_the_cuda_runtime() -> None:
    from cuda.bindings import runtime
    for name, function in vars(fake_nvidia.FakeCuda).items():
        if name.startswith("cuda") and inspect.isfunction(function):
            assert parameters(function) == list(inspect.signature(getattr(runtime, name)).parameters), name
    for kind in ("cudaMemcpyKind", "cudaStreamCaptureMode", "cudaDeviceAttr"):
        for member, value in vars(getattr(fake_nvidia.FakeCuda, kind)).items():
            assert int(getattr(getattr(runtime, kind), member)) == value
    for constant in ("cudaStreamNonBlocking", "cudaEventRecordDefault", "cudaEventRecordExternal"):
        assert int(getattr(runtime, constant)) == getattr(fake_nvidia.FakeCuda, constant)
    for error in fake_nvidia.CudaError:
        assert int(getattr(runtime.cudaError_t, error.name)) == error


def test_tensorrt_types_are_told_as_numpy_types() -> None:
    import tensorrt_rtx_bindings as trt
    assert trt.nptype(trt.float32).__name__ == fake_nvidia.FakeTensorRt.nptype("float32").__name__ == "float32"


def test_the_log_of_the_real_package_collects_lines(tmp_path: Path) -> None:
    import tensorrt_rtx_bindings as trt

    from rtface.inference import nvidia
    log = nvidia.trt_log("rtx")
    with log.collect() as lines:
        builder = trt.Builder(log.logger)
        network = builder.create_network(0)
        assert not trt.OnnxParser(network, log.logger).parse(b"nothing")
    assert nvidia.last_errors(lines).startswith("ERROR")
