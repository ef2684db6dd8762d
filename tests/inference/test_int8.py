"""INT8 forms: made, judged, refused, kept, and never taken for those of other weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtface.errors import BackendError, ModelFileError
from rtface.inference import available_backends, open_engine, read_spec
from rtface.inference.int8 import int8_folder, int8_spec
from rtface.inference.probe import example_inputs
from rtface.paths import WEIGHTS

pytest.importorskip("onnx")
pytest.importorskip("torch")

from build_engines import quantize  # noqa: E402

SPEC = read_spec("contour", "compact")
FEEDS = [example_inputs(SPEC, batch=2), example_inputs(SPEC)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an INT8 form that every limit lets pass."""
    folder = tmp_path_factory.mktemp("int8")
    made = quantize.make(SPEC, calibration=FEEDS, judged=FEEDS[:1], most_share=1e9, folder=folder)
    assert made.refused is None and set(made.times_ms) == {"onnx", "openvino"} & set(available_backends())
    assert "contour.compact" in made.line() and "kept" in made.line()
    return folder


@pytest.fixture
def installed(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same where engines look for it."""
    monkeypatch.setenv("RTFACE_CACHE", str(tmp_path / "cache"))
    shutil.copytree(kept, int8_folder())
    return int8_folder()


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_an_int8_form_runs_and_is_near_the_original(installed: Path, backend: Any) -> None:
    if backend not in available_backends():
        pytest.skip(f"{backend} is not installed")
    with (open_engine("contour", backend="onnx", threads=1) as plain,
          open_engine("contour", backend=backend, threads=1, precision="int8") as engine):
        assert "int8" in engine.backend and "int8" not in plain.backend
        expected, got = (e.run(**FEEDS[0])["contour_goal"] for e in (plain, engine))
        assert 0 < np.abs(expected - got).mean() < 0.1
    assert (installed / "contour.compact.onnx.gz").stat().st_size < 0.7 * (WEIGHTS / SPEC.path.name).stat().st_size  # type: ignore[union-attr]


def test_a_network_that_loses_too_much_is_refused_and_runs_as_it_was(tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTFACE_CACHE", str(tmp_path / "cache"))
    int8_folder().mkdir(parents=True)
    (int8_folder() / "contour.compact.onnx.gz").write_bytes(b"of an earlier trial")
    made = quantize.make(SPEC, calibration=FEEDS, judged=FEEDS[:1], most_share=1e-3)
    assert made.refused is not None and "PSNR" in made.refused and "REFUSED" in made.line()
    assert [path.name for path in int8_folder().iterdir()] == ["contour.compact.json"]
    with open_engine("contour", backend="onnx", threads=1, precision="int8") as engine:
        assert "float32" in engine.backend


def test_int8_needs_forms_of_exactly_these_weights(installed: Path) -> None:
    with pytest.raises(ModelFileError, match="python -m build_engines.quantize landmarks --profile compact"):
        open_engine("landmarks", backend="onnx", precision="int8")
    path = installed / "contour.compact.json"
    described = json.loads(path.read_text())
    path.write_text(json.dumps(described | {"source_sha256": "ab" * 32}))
    with pytest.raises(ModelFileError, match="got the INT8 form of other weights"):
        int8_spec(SPEC)
    for damage in ("", "[]", "{}", "3"):
        path.write_text(damage)
        with pytest.raises(ModelFileError, match="does not describe a network"):
            int8_spec(SPEC)
    path.write_text(json.dumps(described))
    network = installed / "contour.compact.onnx.gz"
    network.write_bytes(network.read_bytes()[:-1])
    with pytest.raises(ModelFileError, match="got sha256"):
        open_engine("contour", backend="onnx", precision="int8")


def test_torch_has_no_int8() -> None:
    with pytest.raises(BackendError, match="expected auto or f32"):
        open_engine("contour", backend="torch", precision="int8")


def test_batches_are_calibrated_face_by_face() -> None:
    rows = list(quantize.single(FEEDS))
    assert len(rows) == 3 and all(array.shape[0] == 1 for row in rows for array in row.values())
    np.testing.assert_array_equal(rows[1]["mask"][0], FEEDS[0]["mask"][1])


def test_a_network_that_cannot_be_quantised_is_told(tmp_path: Path) -> None:
    import hashlib

    (tmp_path / "contour.compact.onnx").write_bytes(b"nothing")
    described = json.loads((WEIGHTS / "contour.compact.json").read_text())
    described["sha256"] = hashlib.sha256(b"nothing").hexdigest()
    (tmp_path / "contour.compact.json").write_text(json.dumps(described))
    with pytest.raises(ModelFileError, match="expected a network that ONNX Runtime"):
        quantize.quantize(read_spec("contour", "compact", folder=tmp_path), FEEDS)
