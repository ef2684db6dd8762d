"""Weight files written anew from themselves."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtface.errors import ModelFileError
from rtface.inference import read_spec
from rtface.inference.onnx import OnnxEngine
from rtface.paths import WEIGHTS

pytest.importorskip("onnx")
pytest.importorskip("torch")

from build_engines import reexport  # noqa: E402
from build_engines.networks import network  # noqa: E402


def copied(config: Any, state: Any, folder: Path, *, profile: str, training: Any) -> Path:
    """In the place of an export, which takes a while."""
    for suffix in (".json", ".onnx.gz"):
        shutil.copy(WEIGHTS / f"landmarks.{profile}{suffix}", folder)
    return folder / f"landmarks.{profile}.onnx.gz"


def noise(spec: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [{tensor.name: rng.random([2 if size == "N" else size for size in tensor.shape], np.float32)
             for tensor in spec.inputs}]


@pytest.mark.slow
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


def test_a_network_that_would_answer_differently_is_not_written(tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("build_engines.samples.realistic", noise)
    monkeypatch.setattr(reexport, "TOLERANCE", -1.0)
    monkeypatch.setattr(reexport, "network", lambda name: network(name)._replace(write=copied))
    with pytest.raises(ModelFileError, match="the old file is kept"):
        reexport.reexport(read_spec("landmarks", "compact"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
