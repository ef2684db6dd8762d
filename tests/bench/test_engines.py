"""Networks alone: operations counted by hand, times of engines that are told to be slow."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from rtface.bench.engines import (
    SCHEMA_FILE,
    EngineOptions,
    Peaks,
    bench_engines,
    engine_table,
    example_inputs,
    measure_peaks,
    usable_backends,
)
from rtface.bench.graph_cost import graph_cost, matrix_product
from rtface.cli import app
from rtface.errors import BackendError, InputError, ModelFileError
from rtface.inference import FakeEngine, read_spec, verify_weights
from rtface.inference.timing import TellsTimes
from tests import blobs

OPTIONS = EngineOptions(names=("regressor",), duration_s=0.2, rounds=3, batches=(1, 4))
SPECS = tuple(blobs.SPECS.values())


def network(nodes: list[Any], weights: Mapping[str, tuple[int, ...]], output: str) -> bytes:
    """An ONNX file from the input x (N, 4, H, W)."""
    graph = helper.make_graph(
        nodes, "test", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, "H", "W"])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


X = np.zeros((2, 4, 10, 12), np.float32)


def test_operations_of_convolutions_are_counted() -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
             helper.make_node("Relu", ["a"], ["b"]),
             helper.make_node("Conv", ["b", "depth"], ["c"], group=8, pads=[1, 1, 1, 1]),
             helper.make_node("ConvTranspose", ["c", "up"], ["y"], strides=[2, 2])]
    cost = graph_cost(network(nodes, {"w": (8, 4, 3, 3), "depth": (8, 1, 3, 3), "up": (8, 2, 2, 2)}, "y"), {"x": X})
    small = 2 * 8 * 5 * 6  # elements of a, b and c
    assert cost.flops == 2 * (small * 4 * 9 + small * 9 + small * 2 * 4)
    weights = 4 * (8 * 4 * 9 + 8 * 9 + 8 * 2 * 4)
    y = 2 * 2 * 10 * 12
    assert cost.weight_bytes == weights and cost.traffic_bytes == weights + 4 * (X.size + y)
    assert cost.tensor_bytes == weights + 4 * (X.size + 6 * small + y)
    assert cost.intensity == pytest.approx(cost.flops / cost.traffic_bytes)


def test_operations_of_matrix_products_are_counted() -> None:
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "g"], ["h"], transB=1),
             helper.make_node("MatMul", ["h", "m"], ["y"])]
    cost = graph_cost(network(nodes, {"g": (16, 480), "m": (16, 3)}, "y"), {"x": X})
    assert cost.flops == 2 * (2 * 16 * 480 + 2 * 3 * 16)


def test_the_shipped_networks_can_be_counted() -> None:
    for name, least in (("detector", 0.1e9), ("regressor", 0.02e9)):
        spec = read_spec(name, "compact")
        one, two = (graph_cost(verify_weights(spec), example_inputs(spec, n)) for n in (1, 2))
        assert one.flops > least and one.weight_bytes > 1e6 and one.tensor_bytes > one.traffic_bytes
        if name == "regressor":
            assert two.flops == 2 * one.flops and two.weight_bytes == one.weight_bytes


def test_a_graph_that_cannot_run_and_a_missing_package_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = network([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": (8, 5, 3, 3)}, "y")
    with pytest.raises(ModelFileError, match="cannot run the graph"):
        graph_cost(broken, {"x": X})
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(BackendError, match=r"rtface\[bench\]"):
        graph_cost(b"", {})


class SlowEngine(FakeEngine):
    """Takes 4 ms on one backend and 12 on the other, and tells 3 of them."""

    def __init__(self, name: str, profile: str, *, backend: str, **options: Any) -> None:
        def function(**inputs: np.ndarray) -> dict[str, np.ndarray]:
            time.sleep(0.004 if backend == "onnx" else 0.012)
            return blobs.FUNCTIONS[name](**inputs)

        super().__init__(blobs.SPECS[name], function)

    def times_ms(self) -> dict[str, float]:
        return {"enqueue": 1.0, "compute": 2.0}


def test_times_are_those_of_the_engines_and_backends_take_turns() -> None:
    assert isinstance(SlowEngine("regressor", "compact", backend="onnx"), TellsTimes)
    options = EngineOptions(names=("regressor",), duration_s=0.6, rounds=3, batches=(2,), backends=("onnx", "openvino"))
    found = bench_engines(options, specs=SPECS, open_on=SlowEngine)
    fast, slow = found["engines"]
    assert 4 <= fast["latency_ms"]["min"] < slow["latency_ms"]["min"] and slow["latency_ms"]["min"] >= 12
    assert len(fast["latency_ms"]["rounds_p50"]) == 3
    assert fast["items_per_s"] == pytest.approx(2 * fast["throughput_qps"])
    assert fast["throughput_qps"] == pytest.approx(1000 / fast["latency_ms"]["mean"])
    assert fast["parts_ms"]["compute"]["p50"] == 2.0 and fast["gflop"] is None
    assert "no file" in found["notes"][0]
    text = str(engine_table(found))
    assert "enqueue" in text and "regressor" in text


def test_every_batch_is_measured_and_fixed_ones_once() -> None:
    found = bench_engines(EngineOptions(duration_s=0.01, rounds=3, batches=(1, 3), names=("landmarks", "detector")),
                          specs=SPECS, open_on=lambda name, *a, **k: blobs.open_fake(name))
    assert [(e["name"], e["batch"]) for e in found["engines"]] == [("detector", 1), ("landmarks", 1), ("landmarks", 3)]


def test_backends_that_do_not_work_here_are_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_some(name: str, profile: str, *, backend: str, threads: int) -> FakeEngine:
        if backend == "tensorrt":
            raise BackendError("no GPU")
        return blobs.open_fake(name)

    said: list[str] = []
    monkeypatch.setattr("rtface.bench.engines.available_backends", lambda: ("onnx", "tensorrt"))
    assert usable_backends("compact", said.append, open_on=open_some) == ("onnx",)
    assert said == ["tensorrt is left out: no GPU"]
    monkeypatch.setattr("rtface.bench.engines.available_backends", lambda: ("tensorrt",))
    with pytest.raises(BackendError, match="none of tensorrt"):
        usable_backends("compact", said.append, open_on=open_some)


def test_unknown_networks_and_wrong_options_are_errors() -> None:
    with pytest.raises(InputError, match="got nose, expected some of"):
        bench_engines(EngineOptions(names=("nose",)))
    for options in ({"batches": (0,)}, {"batches": ()}, {"rounds": 1}, {"duration_s": 0.0}):
        with pytest.raises(InputError, match="bench engines: got"):
            EngineOptions(**options)


def test_peaks_are_those_of_a_real_machine() -> None:
    peaks = measure_peaks(1, repeats=5)
    assert isinstance(peaks, Peaks) and peaks.gflops > 0.5 and peaks.gbytes_per_s > 0.1


def test_the_command_measures_shipped_networks() -> None:
    result = CliRunner().invoke(app, ["bench", "engines", "regressor", "--backend", "onnx", "--batch", "1,2",
                                      "--duration", "0.2", "--rounds", "3", "--json", "e.json", "--markdown", "e.md"])
    assert result.exit_code == 0, result.output
    last = json.loads(result.stdout.splitlines()[-1])
    assert last["schema"] == "rtface-bench-engines-1" and json.loads(Path("e.json").read_text()) == last
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(last, schema)
    one, two = last["engines"]
    assert two["gflop"] == pytest.approx(2 * one["gflop"]) and one["roofline_share"] > 0
    assert one["gflops"] == pytest.approx(one["gflop"] / (one["latency_ms"]["p50"] / 1e3), rel=1e-2)
    assert "roofline %" in result.stdout and Path("e.md").read_text().count("| regressor |") == 2


def test_the_matrix_product_is_one() -> None:
    session = onnxruntime.InferenceSession(matrix_product(3), providers=["CPUExecutionProvider"])
    a, b = np.arange(9, dtype=np.float32).reshape(3, 3), np.eye(3, dtype=np.float32)[::-1]
    (c,) = session.run(None, {"a": a, "b": np.ascontiguousarray(b)})
    np.testing.assert_array_equal(c, a @ b)
