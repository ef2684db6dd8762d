"""Other systems on the very pictures that rtface sees: inputs written out, answers read back and scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import completion, robustness, shape, temporal
from rtface.evaluate.commands import EvaluateOptions, evaluate
from rtface.evaluate.portraits import VIEWS
from rtface.evaluate.predictions import TRACK, VERTICES, Predictions
from rtface.evaluate.recording import Clip, Truth
from rtface.evaluate.report import Report
from rtface.evaluate.scans import SEVEN
from rtface.io import read_picture
from rtface.morphable import MorphableModel
from rtface.types import Frame
from tests import blobs
from tests.evaluate.heads import pack_with_a_scan
from tests.evaluate.packs import HEIGHT, WIDTH, points_of, small_pack

Answers = dict[str, Any]
Run = Callable[..., Report]


def runner(protocol: str, pack: Path, *sets: str) -> Run:
    def run(**options: Any) -> Report:
        return evaluate(protocol, EvaluateOptions(data=pack, sets=sets, **options), engines=blobs.engines())

    return run


def export(run: Run, folder: Path) -> dict[str, Any]:
    report = run(export_inputs=folder)
    index: dict[str, Any] = json.loads((folder / "inputs.json").read_text())
    assert index["fingerprint"] == report.settings["inputs"] and index["protocol"] == report.protocol
    assert len({entry["key"] for entry in index["inputs"]}) == len(index["inputs"]) > 0
    return index


def of_system(report: Report, system: str, **more: Any) -> dict[str, Any]:
    (line,) = [line for line in report.results if line["system"] == system
               and all(line.get(key) == value for key, value in more.items())]
    return dict(line)


def test_completed_crops_are_scored_in_the_same_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "KINDS", ("mask", "headset + mask"))
    run = runner("completion", small_pack(tmp_path / "pack"), "lfpw_test")
    index = export(run, tmp_path / "inputs")
    nothing: Answers = {"inputs": index["fingerprint"]}
    gray: Answers = {"inputs": "of another day"}
    for entry in index["inputs"]:
        picture, hole = (read_picture(tmp_path / "inputs" / entry[name]) for name in ("picture", "hole"))
        assert picture.shape == hole.shape and set(np.unique(hole)) == {0, 255}
        assert np.shape(entry["points"]) == (68, 2) and np.shape(entry["crop_from_picture"]) == (2, 3)
        nothing[entry["key"]] = picture
        gray[entry["key"]] = np.where(hole > 0, 128, picture)
    left_out, small, bright = (entry["key"] for entry in index["inputs"][:3])
    del gray[left_out]
    gray[small], gray[bright] = gray[small][:9], gray[bright].astype(int) + 200
    np.savez(tmp_path / "nothing.npz", **nothing)
    np.savez(tmp_path / "gray.npz", **gray)
    report = run(peer=tuple(f"{name}={tmp_path / name}.npz" for name in ("nothing", "gray")),
                 sheet_all=tmp_path / "private")
    assert report.settings["inputs"] == index["fingerprint"]
    own, same, other = (of_system(report, name, name="all") for name in ("input", "nothing", "gray"))
    for metric in (*completion.METRICS, completion.FEATURES):
        assert same[metric] == pytest.approx(own[metric], rel=0.02) and other[metric] != own[metric]
        assert own[f"{metric}_95"][0] <= own[metric] <= own[f"{metric}_95"][1]
    assert own["pasted"] == other["pasted"] == len(index["inputs"])
    text = report.text()
    assert f"pictures are not in gray.npz and count as not found: {left_out}" in text
    assert f"{small} (got (9, " in text and f"{bright} (got (" in text and "with 0..255" in text
    assert "gray.npz was made for other pictures (fingerprint of another day" in text
    assert "nothing.npz was made" not in text
    assert [curve.name for curve in report.curves[1].curves][-2:] == ["nothing", "gray"]
    assert (tmp_path / "private/worst_completions.jpg").is_file()


def test_results_on_pasted_pictures_are_compared_with_clean_ones(tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robustness, "KINDS", ("mask", "glasses"))
    run = runner("robustness", small_pack(tmp_path / "pack"), "helen_test")
    index = export(run, tmp_path / "inputs")
    points = np.stack([*np.meshgrid(np.arange(17.0), np.arange(4.0))], axis=-1).reshape(68, 2)
    eyes = float(np.linalg.norm(points[36] - points[45]))
    mesh, turn = np.random.default_rng(0).normal(size=(30, 3)), np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    answers: Answers = {}
    for entry in index["inputs"]:
        key, pasted = entry["key"], "coverage" in entry
        assert read_picture(tmp_path / "inputs" / entry["picture"]).shape == (HEIGHT, WIDTH, 3)
        assert len(entry["box_xyxy"]) == 4 and pasted == (", " in key)
        answers[key] = points + 3.0 * pasted
        answers[f"{key}:mesh"] = mesh + [0, 0, 2.0 * pasted]
        answers[f"{key}:rotation"] = turn if pasted else np.eye(3)
    masks = [entry["key"] for entry in index["inputs"] if entry["key"].endswith(", mask")]
    answers[masks[0]], answers[f"{masks[0]}:mesh"], answers[f"{masks[0]}:rotation"] = (np.zeros((0, 2)),) * 3
    answers[f"{masks[1]}:mesh"] = mesh[:5]
    np.savez(tmp_path / "theirs.npz", **answers)
    np.savez(tmp_path / "points.npz", **{key: value for key, value in answers.items() if ":" not in key})
    report = run(peer=(f"theirs={tmp_path / 'theirs.npz'}", f"points={tmp_path / 'points.npz'}"))
    line = of_system(report, "theirs", name="all")
    assert line["pasted"] == 2 and line["shape_mm"] == pytest.approx(2) and line["turn_deg"] == pytest.approx(90)
    assert line["landmarks"] == pytest.approx(3 * np.sqrt(2) / eyes) and np.isnan(line["identity_mm"])
    assert line["coverage"] == of_system(report, "off", group="kind", name="glasses")["coverage"]
    only = of_system(report, "points", name="all")
    assert only["pasted"] == 3 and np.isnan(only["shape_mm"]) and only["landmarks"] == line["landmarks"]
    text = report.text()
    assert "theirs: 2 lost under an occluder" in text
    assert "got a mesh (5, 3) where the clean picture's is (30, 3)" in text


def test_meshes_of_any_topology_are_measured_against_scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtface.evaluate.shape_cases.VIEWS", VIEWS[:1])
    monkeypatch.setattr("rtface.evaluate.alignment.ICP_POINTS", 200)
    model = MorphableModel.load(level=0)
    run = runner("shape", pack_with_a_scan(tmp_path / "pack", model), "james")
    index = export(run, tmp_path / "inputs")
    keys = [entry["key"] for entry in index["inputs"]]
    assert len(keys) == 2 and keys[1] == f"{keys[0]}, glasses"
    last = len(model.mean) - 1  # the scan is the mean face; theirs has its vertices backwards, turned and larger
    theirs = (2 * model.mean[::-1] @ np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0.0]]) + 50).astype(np.float32)
    rows = last - model.landmarks68
    shared = {"triangles": last - model.triangles, "landmarks": rows}
    np.savez(tmp_path / "right.npz", **shared, **dict.fromkeys(keys, theirs))
    np.savez(tmp_path / "flat.npz", triangles=shared["triangles"], **{
        keys[0]: theirs * [1, 1, 0.3], f"{keys[0]}:landmarks": theirs[rows[list(SEVEN)]] * [1, 1, 0.3],
        keys[1]: theirs})
    report = run(peer=(f"right={tmp_path / 'right.npz'}", f"flat={tmp_path / 'flat.npz'}"),
                 sheet_all=tmp_path / "private")
    for glasses in (False, True):
        right = of_system(report, "right", group="all", glasses=glasses)
        assert right["found"] == 1 and right["median"] < 0.02 and right["p90"] < 0.02 and right["anchored"] < 0.02
        assert right["metric"] > 1 and np.isnan(right["identity"])  # twice as large
    flat = of_system(report, "flat", group="all", glasses=False)
    assert flat["found"] == 1 and flat["median"] > 0.5 and flat["median_gain"] < 0
    assert of_system(report, "flat", group="all", glasses=True)["found"] == 0
    text = report.text()
    assert f"{keys[1]} (got a mesh without landmarks, expected them for it or for all pictures)" in text
    assert "right" in str(report.tables[2]) and read_picture(tmp_path / "private/worst_shape.jpg").std() > 10


@pytest.mark.parametrize(("triangle", "marks", "message"), [
    ([0, 1, 9], [0, 1, 2, 0, 1, 2, 0], "with vertices that exist"),
    ([0, 1, 2], [0, 1, 2, 0, 1, 2, 0], "points on one line"),
    ([0, 1, 2], [0, 1, 2, 0, 1, 2, 3], r"landmarks at vertices 0\.\.3, expected whole numbers from 0 to 2"),
    ([0, 1, 2], [0, 1, 2, 0, 1, 2, 0.5], "expected whole numbers")])
def test_meshes_that_cannot_be_aligned_are_told(triangle: list[int], marks: list[float], message: str,
                                                tmp_path: Path) -> None:
    line = np.arange(9.0).reshape(3, 3)
    np.savez(tmp_path / "a.npz", x=line, triangles=np.array([triangle]), landmarks=np.array(marks))
    one = Predictions("a", tmp_path / "a.npz", VERTICES)
    case = SimpleNamespace(scan=SimpleNamespace(points=np.zeros((5, 3)), landmarks=np.eye(7, 3)))
    assert shape._all_systems(case, "x", None, None, [one]) == {}  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(one.wrong["x"])


def clip_with_truth(frames: int = 60) -> Clip:
    faces = [(60 + 8 * np.sin(2 * np.pi * k / 30), 60.0, 50.0, 0) for k in range(frames)]
    source = [Frame(blobs.paint([face], HEIGHT, WIDTH), k, k / 30) for k, face in enumerate(faces)]
    truth = Truth(np.stack([points_of(face) for face in faces]).astype(np.float32))
    return Clip("swinging", "painted", 30.0, lambda: nullcontext(source), "drawn", truths=(truth,))


def test_points_over_time_are_measured_like_the_pipelines(tmp_path: Path) -> None:
    clip, rng = clip_with_truth(), np.random.default_rng(0)
    true = clip.truths[0].points
    late = true[[0, 0, 0, *range(57)]]
    gap = true.copy()
    gap[20:30] = np.nan
    files = {"right": {"swinging": true}, "shaking": {"swinging": true + rng.normal(0, 0.5, true.shape)},
             "late": {"swinging": late}, "gap": {"swinging": gap}, "lost": {"other": true},
             "short": {"swinging": true[:9]},
             "other face first": {"swinging": true + 500, "swinging#2": true}}
    for name, arrays in files.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
    answers = [Predictions(name, tmp_path / f"{name}.npz", TRACK) for name in files]
    report = temporal.run([clip], blobs.engines(), MorphableModel.load(level=0), files=answers)
    lines = {name: of_system(report, name, kind="clip") for name in files}
    assert lines["right"]["error"] == 0 and lines["right"]["lost"] == 0 and lines["right"]["moving_px"] < 1e-4
    assert lines["shaking"]["moving_px"] == pytest.approx(0.5, rel=0.15)
    assert lines["late"]["lag_place_ms"] == pytest.approx(100, abs=10) and lines["late"]["lag_mouth_ms"] is None
    assert lines["gap"]["lost"] == pytest.approx(1 / 6) and lines["gap"]["error"] == 0
    assert lines["lost"]["lost"] == 1 and lines["lost"]["error"] is None and lines["short"]["lost"] == 1
    assert lines["other face first"]["lost"] == 0 and lines["other face first"]["ids"] == 2
    text = report.text()
    assert "short: 1 arrays cannot be used" in text and "got points of 9 frames, expected 60" in text
    assert "shaking" in str(report.tables[0])


def test_clips_are_exported_as_pictures_or_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtface.evaluate.scenes.SCENES", ("still",))
    monkeypatch.setattr("rtface.evaluate.scenes.PEOPLE", 1)
    monkeypatch.setattr("rtface.evaluate.scenes.FRAMES", 2)
    pack = small_pack(tmp_path / "pack")
    drawn, *real = export(runner("temporal", pack), tmp_path / "inputs")["inputs"]
    assert drawn["frames"] == 2 and read_picture(tmp_path / "inputs" / drawn["frame00001"]).std() > 10
    assert [entry["key"] for entry in real] == ["videos/clips/free.mp4", "videos/clips/secret.mp4"]
    assert real[0]["frames"] == 20 and "frame00000" not in real[0]
    np.savez(tmp_path / "theirs.npz", **{real[0]["key"]: np.full((20, 68, 2), np.nan)})
    report = runner("temporal", pack, "videos")(peer=(f"theirs={tmp_path / 'theirs.npz'}",))
    assert of_system(report, "theirs", clip="videos/clips/free.mp4")["lost"] is None
    assert "1 of 2 pictures are not in theirs.npz" in report.text()


@pytest.mark.parametrize("protocol", ["landmarks", "detector", "occlusion", "parsing", "verification", "videos"])
def test_protocols_on_the_packs_own_pictures_have_nothing_to_export(protocol: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"--export-inputs: got a value, but the protocol {protocol}"):
        evaluate(protocol, EvaluateOptions(data=small_pack(tmp_path / "pack"), export_inputs=tmp_path / "inputs"))


def test_inputs_stay_out_of_git_and_names_of_systems_are_taken(tmp_path: Path) -> None:
    pack = small_pack(tmp_path / "pack")
    (tmp_path / "work/.git").mkdir(parents=True)
    with pytest.raises(InputError, match="inside the git working tree"):
        evaluate("completion", EvaluateOptions(data=pack, export_inputs=tmp_path / "work/inputs"))
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    for protocol, name in (("completion", "telea"), ("shape", "mean face"), ("robustness", "off"),
                           ("temporal", "landmark network")):
        with pytest.raises(InputError, match=f"got the name '{name}' twice or for a system"):
            evaluate(protocol, EvaluateOptions(data=pack, peer=(f"{name}={tmp_path / 'a.npz'}",)))
