"""Weight files, their descriptions, and the backends that run them; networks are made here with onnx.helper."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtface.errors import BackendError, InputError, ModelFileError
from rtface.inference import (
    EngineSpec,
    FakeEngine,
    TensorSpec,
    available_backends,
    open_engine,
    read_spec,
    shipped_specs,
    verify_weights,
)
from rtface.inference.threads import default_threads, physical_cores

onnx = pytest.importorskip("onnx")
BACKENDS = [pytest.param(name, marks=pytest.mark.skipif(name not in available_backends(), reason="not installed"))
            for name in ("onnx", "openvino")]


def write_network(folder: Path, name: str = "tiny", profile: str = "compact", *, compressed: bool = True,
                  **changes: Any) -> Path:
    """crops (N, 3, 4, 4) → mean (N, 3) · weight + 1, with the weight stored as float16 behind a Cast."""
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.array([1, 2, 4], np.float16), "weight16")
    nodes = [helper.make_node("Cast", ["weight16"], ["weight"], to=TensorProto.FLOAT),
             helper.make_node("GlobalAveragePool", ["crops"], ["pooled"]),
             helper.make_node("Flatten", ["pooled"], ["flat"]),
             helper.make_node("Mul", ["flat", "weight"], ["scaled"]),
             helper.make_node("Add", ["scaled", "one"], ["mean"])]
    graph = helper.make_graph(
        nodes, "tiny", [helper.make_tensor_value_info("crops", TensorProto.FLOAT, ["N", 3, 4, 4])],
        [helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["N", 3])],
        [weight, numpy_helper.from_array(np.ones(1, np.float32), "one")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content = model.SerializeToString()
    if compressed:
        content = gzip.compress(content, mtime=0)
    path = folder / f"{name}.{profile}.onnx{'.gz' if compressed else ''}"
    path.write_bytes(content)
    meta = {"name": name, "profile": profile, "basis": None, "sha256": hashlib.sha256(content).hexdigest(),
            "inputs": [{"name": "crops", "shape": ["N", 3, 4, 4], "dtype": "float32"}],
            "outputs": [{"name": "mean", "shape": ["N", 3], "dtype": "float32"}],
            "config": {"width": 1}, "training": {}, "metrics": {}, "licence": "MIT"} | changes
    (folder / f"{name}.{profile}.json").write_text(json.dumps(meta))
    return path


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("compressed", [True, False])
def test_a_network_gives_its_formula_for_any_batch(tmp_path: Path, backend: Any, compressed: bool) -> None:
    write_network(tmp_path, compressed=compressed)
    with open_engine("tiny", backend=backend, threads=1, folder=tmp_path, precision="f32") as engine:
        assert backend in engine.backend and "1 threads" in engine.backend
        for count in (2, 0, 1):
            crops = np.random.default_rng(count).random((count, 3, 4, 4), np.float32)
            crops.flags.writeable = False
            out = engine.run(crops=crops)["mean"]
            assert out.dtype == np.float32
            np.testing.assert_allclose(out, crops.mean(axis=(2, 3)) * [1, 2, 4] + 1, rtol=1e-6)
        turned = np.ones((4, 4, 3, 1), np.float32).transpose(3, 2, 0, 1)  # not C-contiguous
        np.testing.assert_allclose(engine.run(crops=turned)["mean"], [[2, 3, 5]], rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_results_belong_to_the_caller(tmp_path: Path, backend: Any) -> None:
    write_network(tmp_path)
    with open_engine("tiny", backend=backend, threads=1, folder=tmp_path) as engine:
        first = engine.run(crops=np.zeros((1, 3, 4, 4), np.float32))["mean"]
        engine.run(crops=np.ones((1, 3, 4, 4), np.float32))
        np.testing.assert_allclose(first, 1.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_wrong_inputs_and_closed_engines_are_told(tmp_path: Path, backend: Any) -> None:
    write_network(tmp_path)
    engine = open_engine("tiny", backend=backend, folder=tmp_path)
    with pytest.raises(InputError, match=r"got input crops float32\(1, 3, 5, 4\), expected crops float32\(N, 3, 4, 4"):
        engine.run(crops=np.zeros((1, 3, 5, 4), np.float32))
    with pytest.raises(InputError, match="float64"):
        engine.run(crops=np.zeros((1, 3, 4, 4)))
    with pytest.raises(InputError, match=r"got inputs \['crop'\], expected \['crops'\]"):
        engine.run(crop=np.zeros((1, 3, 4, 4), np.float32))
    engine.close()
    engine.close()
    with pytest.raises(BackendError, match="after close"):
        engine.run(crops=np.zeros((1, 3, 4, 4), np.float32))


def test_a_missing_network_names_the_command_that_makes_it(tmp_path: Path) -> None:
    write_network(tmp_path)
    with pytest.raises(ModelFileError, match=r"there are: tiny.compact.*python -m rtface.train.eyes --profile paper"):
        open_engine("eyes", "paper", folder=tmp_path)


def test_a_damaged_network_is_found_by_its_hash(tmp_path: Path) -> None:
    path = write_network(tmp_path)
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"got sha256 .*expected .*python -m rtface.train.tiny"):
        open_engine("tiny", folder=tmp_path)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("change", [
    {"inputs": [{"name": "crops", "shape": ["N", 3, 8, 8], "dtype": "float32"}]},
    {"inputs": [{"name": "image", "shape": ["N", 3, 4, 4], "dtype": "float32"}]},
    {"outputs": [{"name": "mean", "shape": ["N", 3], "dtype": "float16"}]},
], ids=("shape", "name", "dtype"))
def test_a_description_that_differs_from_the_network_is_an_error(tmp_path: Path, backend: Any,
                                                                 change: dict[str, Any]) -> None:
    write_network(tmp_path, **change)
    with pytest.raises(ModelFileError, match="as in its json"):
        open_engine("tiny", backend=backend, folder=tmp_path)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("compressed", "message"), [(True, "expected a gzip-compressed"), (False, "cannot load")])
def test_a_file_that_is_no_network_is_an_error(tmp_path: Path, backend: Any, compressed: bool, message: str) -> None:
    path = write_network(tmp_path, compressed=compressed, sha256=hashlib.sha256(b"nothing").hexdigest())
    path.write_bytes(b"nothing")
    with pytest.raises(ModelFileError, match=message):
        open_engine("tiny", backend=backend, folder=tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": 1}', "\xff"])
def test_a_broken_description_is_an_error(tmp_path: Path, text: str) -> None:
    write_network(tmp_path)
    (tmp_path / "tiny.compact.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelFileError, match="does not describe a network"):
        read_spec("tiny", "compact", folder=tmp_path)


def test_a_renamed_description_is_an_error(tmp_path: Path) -> None:
    write_network(tmp_path, name="tiny", **{"profile": "compact"})
    for suffix in (".onnx.gz", ".json"):
        (tmp_path / f"tiny.compact{suffix}").rename(tmp_path / f"other.compact{suffix}")
    with pytest.raises(ModelFileError, match=r"got the description of tiny.compact, expected other.compact"):
        read_spec("other", "compact", folder=tmp_path)


def test_shipped_specs_lists_pairs_of_files_only(tmp_path: Path) -> None:
    write_network(tmp_path)
    write_network(tmp_path, "second", "paper", compressed=False)
    (tmp_path / "third.compact.onnx.gz").write_bytes(b"alone")
    (tmp_path / "basis.json").write_text("{}")
    assert [(s.name, s.profile) for s in shipped_specs(tmp_path)] == [("second", "paper"), ("tiny", "compact")]
    assert shipped_specs(tmp_path / "nowhere") == ()


def test_a_spec_without_a_file_cannot_be_verified() -> None:
    with pytest.raises(ModelFileError, match="without a file"):
        verify_weights(EngineSpec("tiny", "compact", (), ()))


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"backend": "cuda"}, BackendError, "got 'cuda'.*expected auto or one of onnx, openvino.*installed here"),
    ({"backend": "cupy"}, BackendError, "got 'cupy'"),
    ({"threads": 0}, InputError, "threads: got 0"),
    ({"precision": "f8"}, InputError, "precision: got 'f8'"),
])
def test_wrong_options_are_told(tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str) -> None:
    write_network(tmp_path)
    with pytest.raises(error, match=message):
        open_engine("tiny", folder=tmp_path, **options)


def test_a_backend_that_is_not_installed_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtface.inference.engine.importlib.util.find_spec", lambda name: None)
    write_network(tmp_path)
    with pytest.raises(BackendError, match=r"pip install 'rtface\[openvino\]'"):
        open_engine("tiny", backend="openvino", folder=tmp_path)


def _double(**inputs: np.ndarray) -> dict[str, np.ndarray]:
    return {"y": 2 * inputs["x"]}


@pytest.mark.parametrize(("function", "message"), [
    (lambda x: {"y": x[:, :1]}, r"got output y float32\(2, 1\)"),
    (lambda x: {"z": x}, r"got outputs \['z'\]"),
])
def test_a_fake_is_held_against_its_spec(function: Callable[..., Any], message: str) -> None:
    spec = EngineSpec("fake", "compact", (TensorSpec("x", ("N", "K")),), (TensorSpec("y", ("N", "K")),))
    with FakeEngine(spec, _double) as engine:
        np.testing.assert_array_equal(engine.run(x=np.ones((2, 3), np.float32))["y"], np.full((2, 3), 2))
        assert engine.calls == 1 and engine.backend == "fake" and engine.spec is spec
    with pytest.raises(BackendError, match="after close"):
        engine.run(x=np.ones((2, 3), np.float32))
    spec = EngineSpec("fake", "compact", (TensorSpec("x", ("N", 3)),), (TensorSpec("y", ("N", 3)),))
    with pytest.raises(InputError, match=message):
        FakeEngine(spec, function).run(x=np.ones((2, 3), np.float32))


def test_threads_follow_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_threads("compact") == 1 <= default_threads("paper") <= min(8, physical_cores())
    monkeypatch.setattr("rtface.inference.threads.physical_cores", lambda: 64)
    assert default_threads("paper") == 8 and default_threads("compact") == 1
