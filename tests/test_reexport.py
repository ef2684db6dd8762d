"""Weight files written anew from themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtface.errors import ModelFileError
from rtface.inference import read_spec
from rtface.inference.onnx import OnnxEngine

pytest.importorskip("onnx")
pytest.importorskip("torch")

from build_engines import reexport  # noqa: E402


def noise(spec: Any) -> list[dict[str, Any]]:
    return [{"crops": np.random.default_rng(0).random((2, 3, 128, 128), np.float32)}]


def test_a_network_keeps_its_answers_recipe_and_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("build_engines.samples.realistic", noise)
    spec = read_spec("regressor", "compact")
    assert spec.path is not None
    path = reexport.reexport(spec, tmp_path)
    made = read_spec("regressor", "compact", folder=tmp_path)
    assert path == made.path and sorted(p.suffix for p in tmp_path.iterdir()) == [".gz", ".json"]
    assert (made.training, made.metrics) == (spec.training, spec.metrics)
    assert (made.basis, made.inputs) == (spec.basis, spec.inputs)
    with OnnxEngine(made, threads=1) as new, OnnxEngine(spec, threads=1) as old:
        (feed,) = noise(spec)
        np.testing.assert_allclose(new.run(**feed)["coefficients"], old.run(**feed)["coefficients"], atol=1e-3)
    again = reexport.reexport(made, tmp_path)
    assert json.loads((tmp_path / "regressor.compact.json").read_text())["config"] == spec.config and again == path


def test_a_network_that_would_answer_differently_is_not_written(tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("build_engines.samples.realistic", noise)
    monkeypatch.setattr(reexport, "TOLERANCE", -1.0)
    with pytest.raises(ModelFileError, match="the old file is kept"):
        reexport.reexport(read_spec("landmarks", "compact"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
