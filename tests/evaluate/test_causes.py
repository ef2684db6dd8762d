"""What moves the mesh of a hidden face, cause by cause, over the painted world."""

from pathlib import Path

import pytest

from rtface.evaluate import causes
from rtface.evaluate.dataset import Pack
from rtface.evaluate.networks import NetworkOptions, Networks
from rtface.inference import FakeEngine, TensorSpec
from rtface.morphable import MorphableModel
from tests import blobs
from tests.evaluate.packs import small_pack


def test_every_cause_is_measured_on_the_same_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causes, "COVERAGE", (0.02, 1.0))
    spec = blobs._spec("regressor", [TensorSpec("crops", ("N", 3, 128, 128))], list(blobs.SPECS["regressor"].outputs))
    engines = {**blobs.engines(), "regressor": FakeEngine(spec, blobs.regress)}
    with Networks(NetworkOptions(), *engines, engines=engines) as networks:
        report = causes.measure(Pack(small_pack(tmp_path / "pack")), "lfpw_test", networks, MorphableModel.load())
    lines = {line["regressed from"]: line for line in report.results}
    assert list(lines) == ["hidden", "hidden, told", "own mask", "own mask, completed", "true mask",
                           "true mask and points", "true crop and seen points", "clean crop, moved"]
    assert len({line["pasted"] for line in report.results}) == 1 and report.results[0]["pasted"] > 3
    assert all(line["shape_mm"] >= 0 for line in report.results)
    assert "What moves the mesh at 2 to 100 % coverage" in report.text()
