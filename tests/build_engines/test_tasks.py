"""Figures in units of the task: known differences give known numbers; and the fixed inputs are what they should be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from build_engines import samples, tasks
from build_engines.verify import Result, differences, table
from rtface.errors import InputError
from rtface.inference import EngineSpec, TensorSpec, read_spec
from rtface.morphable import MorphableModel


def figures(name: str, a: dict[str, Any], b: dict[str, Any], feed: dict[str, Any] | None = None) -> dict[str, Any]:
    return {figure.name: figure for figure in tasks.compare(name, [feed or {}], [a], [b])}


def test_landmarks_are_told_in_px() -> None:
    a = {"landmarks": np.zeros((2, 68, 2), np.float32), "presence": np.ones(2, np.float32),
         "visibility": np.ones((2, 68), np.float32)}
    b = {key: value.copy() for key, value in a.items()}
    b["landmarks"][1, 5] = 0.03, 0.04
    b["visibility"][0, 3] = 0.99
    got = figures("landmarks", a, b)
    assert got["landmarks, greatest, px"].value == pytest.approx(0.05)
    assert got["landmarks, greatest, px"].share == pytest.approx(0.5) and got["landmarks, greatest, px"].kept
    assert got["probability"].value == pytest.approx(0.01, rel=1e-3)
    b["landmarks"][1, 5] = 0.3, 0.4
    assert not figures("landmarks", a, b)["landmarks, greatest, px"].kept


def test_coefficients_are_told_in_mm_of_the_mesh_and_px_of_its_landmarks() -> None:
    model = MorphableModel.load()
    a = np.zeros((1, 239), np.float32)
    a[:, 236] = 0.5
    b = a.copy()
    b[0, 80] = 0.1
    moved = model.vertices(b[:, :80], b[:, 80:144]) - model.vertices(a[:, :80], a[:, 80:144])
    got = figures("regressor", {"coefficients": a}, {"coefficients": b})
    assert got["vertices, greatest, mm"].value == pytest.approx(np.linalg.norm(moved, axis=-1).max(), rel=1e-4)
    shifted = a.copy()
    shifted[0, 237] += 0.07
    got = figures("regressor", {"coefficients": a}, {"coefficients": shifted})
    assert got["vertices, greatest, mm"].value == 0
    assert got["landmarks of the posed mesh, greatest, px"].value == pytest.approx(0.07, rel=1e-3)


def test_masks_are_told_as_iou() -> None:
    a = np.zeros((1, 3, 10, 10), np.float32)
    a[:, 0], a[:, 2, :5] = 0.4, 0.6
    b = a.copy()
    b[0, 2, 0, 0] = 0.0
    got = figures("segment", {"probability": a}, {"probability": b})
    assert got["mask IoU"].value == pytest.approx(49 / 50) and not got["mask IoU"].kept
    assert got["IoU of all classes"].value == pytest.approx(99 / 101)
    assert figures("parse", {"probability": a}, {"probability": a})["IoU of all classes"].share == 0


@pytest.mark.parametrize(("name", "tensor", "channels"), [("complete", "pixels", 3), ("contour", "contour_goal", 1)])
def test_drawn_pixels_are_told_as_psnr_within_the_hole(name: str, tensor: str, channels: int) -> None:
    mask = np.zeros((1, 1, 8, 8), np.float32)
    mask[..., :4, :] = 1
    a = np.full((1, channels, 8, 8), 0.5, np.float32)
    b = a + np.where(mask > 0, 0.01, 0.9).astype(np.float32)
    (figure,) = figures(name, {tensor: a}, {tensor: b}, {"mask": mask}).values()
    assert figure.value == pytest.approx(40.0, abs=0.01) and not figure.kept
    (figure,) = figures(name, {tensor: a}, {tensor: a}, {"mask": mask}).values()
    assert figure.value == 120 and figure.share < 1e-3


def test_boxes_count_where_a_face_is_likely() -> None:
    a = {"scores": np.array([[0.9, 0.1]], np.float32),
         "boxes": np.array([[[0, 0, 10, 10], [5, 5, 9, 9]]], np.float32)}
    b = {"scores": np.array([[0.89, 0.1]], np.float32),
         "boxes": np.array([[[0, 0, 10, 9], [0, 0, 1, 1]]], np.float32)}
    got = figures("detector", a, b)
    assert got["IoU of boxes, least"].value == pytest.approx(0.9)
    assert got["score"].value == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_not_finite_break_every_limit(value: float) -> None:
    (figure,) = tasks.compare("complete", [{}], [{}], [{"pixels": np.array([value])}])
    assert not figure.kept and tasks.worst_share([figure]) == np.inf


def test_inputs_are_the_same_every_time_and_fit_the_network() -> None:
    spec = read_spec("complete", "compact")
    (feed,) = samples.realistic(spec, 2)
    (again,) = samples.realistic(spec, 2)
    spec.check_inputs(feed)
    assert all(np.array_equal(feed[name], again[name]) and feed[name] is not again[name] for name in feed)
    assert 0.05 < feed["crops"].std() and set(np.unique(feed["mask"])) == {0.0, 1.0}
    assert (feed["mask"].mean(axis=(1, 2, 3)) > 0.005).all() and feed["contour"].max() > 0.5
    assert not (feed["contour"] * feed["mask"]).any()
    assert not np.array_equal(feed["crops"][0], feed["crops"][1])


def test_extremes_fit_every_shape() -> None:
    for name in ("detector", "complete"):
        spec = read_spec(name, "compact")
        seen = dict(samples.extreme(spec))
        assert tuple(seen) == samples.EXTREMES
        for feed in seen.values():
            spec.check_inputs(feed)
            assert all(0 <= array.min() and array.max() <= 1 and array.flags.writeable for array in feed.values())
        assert not seen["black"][spec.inputs[0].name].any() and seen["checkerboard"][spec.inputs[0].name].mean() == 0.5


def test_networks_with_unknown_inputs_are_told() -> None:
    spec = EngineSpec("new", "compact", (TensorSpec("crops", ("N", 3, 32, 32)), TensorSpec("depth", ("N", 1, 32, 32))),
                      ())
    with pytest.raises(InputError, match="got the inputs depth.*expected some of crops, mask, contour"):
        samples.realistic(spec, 1)
    with pytest.raises(InputError, match="expected crops"):
        samples.realistic(EngineSpec("new", "compact", (TensorSpec("audio", ("N", 100)),), ()), 1)


def test_the_table_names_what_broke_and_what_did_not_run() -> None:
    good = tasks.Figure("mask IoU", 0.999, 0.995, 0.2)
    bad = tasks.Figure("PSNR, dB", 40.0, 45.0, 1.8)
    results = [Result("segment", "compact", "onnx", (good,), {"probability": (0.1, 0.01)}, (), False),
               Result("complete", "compact", "onnx", (bad,), {}, ("black",), False),
               Result("complete", "paper", "onnx", (bad,), {}, (), True),
               Result("segment", "compact", "rtx", (), {}, (), False, "CUDA says no; install a driver")]
    text = table(results)
    assert [result.kept for result in results] == [True, False, True, True]
    assert "PSNR, dB 40.0 **beyond the limit**" in text and text.count("beyond") == 1
    assert "NaN or infinite: black" in text and "- rtx: CUDA says no" in text


def test_differences_are_told_per_tensor() -> None:
    zero, two = {"y": np.zeros((1, 4), np.float32)}, {"y": np.array([[0, 0, -2, 0]], np.float32)}
    assert differences([zero], [two]) == {"y": (2.0, 0.5)}
