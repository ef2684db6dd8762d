"""Configurations check themselves and survive JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtface.config import DetectorConfig, GapConfig, PipelineConfig, SmoothConfig, TrackerConfig
from rtface.errors import InputError


def test_defaults_are_valid_and_survive_json() -> None:
    config = PipelineConfig(tracker=TrackerConfig(faces=2), smooth=SmoothConfig(enabled=False), threads=2)
    assert PipelineConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert PipelineConfig.from_dict({}) == PipelineConfig()


@pytest.mark.parametrize(("kind", "options", "message"), [
    (DetectorConfig, {"min_score": 1.5}, r"DetectorConfig.min_score: got 1.5, expected a number from 0 to 1"),
    (DetectorConfig, {"long_side": 32}, r"long_side: got 32, expected a whole number of at least 64"),
    (DetectorConfig, {"nms_iou": float("nan")}, r"nms_iou: got nan"),
    (TrackerConfig, {"faces": 0}, r"TrackerConfig.faces: got 0, expected a whole number of at least 1"),
    (TrackerConfig, {"faces": 2.0}, r"faces: got 2.0"),
    (TrackerConfig, {"forget_s": "3"}, r"forget_s: got '3', expected a number of at least 0"),
    (SmoothConfig, {"rotation_cutoff_hz": 0}, r"rotation_cutoff_hz: got 0"),
    (SmoothConfig, {"enabled": "no"}, r"enabled: got 'no', expected one of True, False"),
    (GapConfig, {"hold_s": -1}, r"hold_s: got -1"),
    (PipelineConfig, {"profile": "huge"}, r"profile: got 'huge', expected one of compact, paper"),
    (PipelineConfig, {"precision": "f8"}, r"precision: got 'f8', expected one of auto, f32"),
    (PipelineConfig, {"threads": 0}, r"threads: got 0"),
    (PipelineConfig, {"tracker": {"faces": 2}}, r"tracker: got dict, expected TrackerConfig"),
])
def test_values_out_of_range_are_told(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        kind(**options)


@pytest.mark.parametrize(("values", "message"), [({"speed": 1}, r"PipelineConfig: got \['speed'\]"),
                                                ({"gaps": {"hold": 1}}, r"gaps: got \['hold'\]"),
                                                ({"gaps": 3}, "gaps: got 3")])
def test_unknown_names_in_json_are_told(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PipelineConfig.from_dict(values)
