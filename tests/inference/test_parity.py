"""Every shipped network gives the same answers on every CPU backend, in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rtface.errors import BackendError, ModelFileError
from rtface.inference import available_backends, open_engine, read_spec, shipped_specs
from rtface.inference.probe import example_inputs
from rtface.types import Array

NETWORKS = [f"{spec.name}.{spec.profile}" for spec in shipped_specs()]
OTHERS = ("openvino", "torch")
TOLERANCE = 2e-4
"""Of the largest value of an output; sums are added up in another order."""


def smooth(inputs: dict[str, Array]) -> dict[str, Array]:
    """Noise with the low frequencies of pictures: every 16 px of it count, linearly between."""
    out = {}
    for name, array in inputs.items():
        coarse = array[..., ::16, ::16]
        for axis in (-2, -1):
            place = np.linspace(0, coarse.shape[axis] - 1, array.shape[axis])
            low = np.minimum(place.astype(int), coarse.shape[axis] - 2)
            share = (place - low).astype(np.float32)
            share = share[:, None] if axis == -2 else share
            coarse = np.take(coarse, low, axis) * (1 - share) + np.take(coarse, low + 1, axis) * share
        out[name] = np.ascontiguousarray(coarse, np.float32)
    return out


@pytest.mark.parametrize("backend", OTHERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_backends_agree_in_float32(network: str, backend: Any) -> None:
    if backend not in available_backends():
        pytest.skip(f"{backend} is not installed")
    name, profile = network.split(".")
    with (open_engine(name, profile, backend="onnx", threads=1) as reference,
          open_engine(name, profile, backend=backend, threads=1, precision="f32") as other):
        for batch in (1, 3):
            inputs = smooth(example_inputs(reference.spec, batch=batch))
            expected, got = reference.run(**inputs), other.run(**inputs)
            assert expected.keys() == got.keys()
            reference.spec.check_outputs(got)
            for key, value in expected.items():
                error = np.abs(got[key] - value).max() / np.abs(value).max()
                assert error < TOLERANCE, f"{key}: {error}"
                assert value.size == 1 or np.ptp(value) > 0, f"{key}: a constant would prove nothing"


def test_torch_gives_arrays_of_their_own_and_takes_any_batch() -> None:
    pytest.importorskip("torch")
    with open_engine("landmarks", backend="torch", threads=1) as engine:
        assert "torch" in engine.backend
        inputs = example_inputs(engine.spec, batch=2)
        inputs["crops"].flags.writeable = False
        first = engine.run(**inputs)
        kept = {name: value.copy() for name, value in first.items()}
        engine.run(crops=np.zeros_like(inputs["crops"]))
        for name, value in first.items():
            np.testing.assert_array_equal(value, kept[name])
            assert value.flags.writeable and value.flags.c_contiguous and value.dtype == np.float32
        assert engine.run(crops=inputs["crops"][:0])["landmarks"].shape == (0, 68, 2)
    engine.close()
    with pytest.raises(BackendError, match="after close"):
        engine.run(**inputs)


def test_torch_says_what_is_missing_or_wrong(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from rtface.inference.torch import TorchEngine

    spec = read_spec("landmarks", "compact")
    with pytest.raises(BackendError, match=r"backend torch: got .*nowhere"):
        TorchEngine(spec, device="nowhere")
    damaged = tmp_path / "landmarks.compact.onnx.gz"
    assert spec.path is not None
    damaged.write_bytes(spec.path.read_bytes()[:-7])
    (tmp_path / "landmarks.compact.json").write_bytes(spec.path.with_name("landmarks.compact.json").read_bytes())
    with pytest.raises(ModelFileError, match="got sha256"):
        open_engine("landmarks", backend="torch", folder=tmp_path)

    engine = TorchEngine(spec, threads=1, device="cpu")

    def fail(crops: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")
    engine._module = fail
    with pytest.raises(BackendError, match=r"OutOfMemoryError: CUDA out of memory\.; use fewer faces"):
        engine.run(**example_inputs(spec))
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(BackendError, match=r"pip install 'rtface\[torch\]'"):
        TorchEngine(spec)


@pytest.mark.needs_cuda
@pytest.mark.parametrize("network", NETWORKS)
def test_cuda_graphs_change_nothing_and_half_precision_little(network: str) -> None:
    from rtface.inference.torch import TorchEngine

    spec = read_spec(*network.split("."))  # type: ignore[arg-type]
    with (TorchEngine(spec, device="cuda") as replayed, TorchEngine(spec, device="cuda", graphs=False) as plain,
          TorchEngine(spec, device="cuda", precision="f32") as exact,
          open_engine(spec.name, spec.profile, backend="onnx") as reference):
        assert "float16, CUDA graphs" in replayed.backend and "graphs" not in plain.backend
        for batch in (1, 3, 1, 2):
            inputs = smooth(example_inputs(spec, batch=batch))
            got, expected = replayed.run(**inputs), reference.run(**inputs)
            for key, value in plain.run(**inputs).items():
                np.testing.assert_array_equal(got[key], value)
                scale = np.abs(expected[key]).max()
                assert np.abs(exact.run(**inputs)[key] - expected[key]).max() < 2e-3 * scale
                assert np.abs(value - expected[key]).mean() < 1e-2 * scale


@pytest.mark.needs_cuda
def test_only_so_many_cuda_graphs_are_kept() -> None:
    from rtface.inference.torch import MAX_GRAPHS, TorchEngine

    with TorchEngine(read_spec("landmarks", "compact"), device="cuda") as engine:
        for batch in (*range(1, MAX_GRAPHS + 4), 1):
            out = engine.run(**example_inputs(engine.spec, batch=batch))
            assert out["landmarks"].shape[0] == batch and len(engine._graphs) <= MAX_GRAPHS
