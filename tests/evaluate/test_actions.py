"""How far actions are followed, by systems of which the answer is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rtface.evaluate import actions
from rtface.evaluate.networks import Measured, NetworkOptions, Networks
from rtface.io.avatar import curve_names
from rtface.morphable import MorphableModel
from rtface.synth.generator import FaceFactory, Sample
from rtface.types import Coefficients
from tests import blobs


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Sample]:
    """Samples as they are drawn, oldest first."""
    samples: list[Sample] = []
    generate = FaceFactory.generate

    def remember(self: FaceFactory, *arguments: Any) -> Sample:
        samples.append(generate(self, *arguments))
        return samples[-1]

    monkeypatch.setattr(FaceFactory, "generate", remember)
    return samples


def _run(monkeypatch: pytest.MonkeyPatch, answer: Any, faces: int) -> dict[str, dict[str, Any]]:
    class Reader:
        def measure(self, frame: Any, box: Any) -> Measured | None:
            known = answer()
            return known if known is None else Measured(np.zeros((68, 2), np.float32), 1.0, known)

    monkeypatch.setattr(actions, "face_reader", lambda *_, **__: Reader())
    every = blobs.engines()
    engines = {name: every[name] for name in ("detector", "landmarks", "regressor")}
    with Networks(NetworkOptions(), *engines, engines=engines) as networks:
        report = actions.measure(networks, MorphableModel.load(), faces=faces, seed=3)
    assert "Actions of drawn faces, by group" in report.text()
    return {line["name"]: line for line in report.results}


def test_the_truth_explains_all_and_half_of_it_three_quarters(drawn: list[Sample],
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    def scaled(share: float) -> Coefficients:
        truth = Coefficients.from_vector(drawn[-1].coefficients[None], "")
        return replace(truth, expression=truth.expression * np.float32(share))

    exact = _run(monkeypatch, lambda: scaled(1.0), 12)
    assert exact["all"]["explained"] == pytest.approx(1) and exact["gaze"]["slope"] == pytest.approx(1)
    half = _run(monkeypatch, lambda: scaled(0.5), 12)
    assert half["all"]["slope"] == pytest.approx(0.5) and half["smile"]["correlation"] == pytest.approx(1)
    assert 0.4 < half["all"]["explained"] < 0.75  # 0.75, less what half of the mean is off


def test_a_face_that_is_not_found_counts_as_at_rest(drawn: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    lost = _run(monkeypatch, lambda: None, 6)
    assert lost["all"]["slope"] == 0 and lost["all"]["correlation"] == 0 and lost["all"]["explained"] < 0


def test_every_action_has_a_group() -> None:
    names = curve_names(MorphableModel.load(level=0).expression_names)
    groups = {name: actions.group_of(name) for name in names}
    assert set(groups.values()) == set(actions.GROUPS) - {"all"}
    assert groups["eyeLookUpLeft"] == "gaze" and groups["mouthSmileRight"] == "smile" and groups["tongueOut"] == (
        "other of the mouth")


def test_the_shipped_networks_follow_what_faces_do(capsys: pytest.CaptureFixture[str]) -> None:
    actions.main(["--faces", "24", "--seed", "5"])
    out = capsys.readouterr().out
    line = next(row.split() for row in out.splitlines() if row.startswith("smile"))
    assert float(line[2]) > 0.3 and float(line[3]) > 0.6  # slope, correlation
