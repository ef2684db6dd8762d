"""Importers of scans in their publishers' layouts, on tiny files of the same layout, and what is missing in them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import shape_layouts as layouts
from rtface.evaluate.commands import EvaluateOptions, evaluate
from rtface.evaluate.dataset import SampleSet
from rtface.evaluate.scans import REGIONS, Templates, from_file_axes, masks, read_obj
from rtface.evaluate.shape_cases import Case
from rtface.morphable import MorphableModel
from tests import blobs
from tests.evaluate.heads import PLACE, head, seven, write_obj, write_picked
from tests.evaluate.packs import clip_bytes


@pytest.fixture(scope="module")
def templates() -> Templates:
    return Templates(MorphableModel.load(level=0))


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), blobs.paint([(80, 60, 60, 0)])[:, :, ::-1])


def read(name: str, folder: Path, templates: Templates) -> tuple[list[Case], SampleSet]:
    found = SampleSet(name, (), 0)
    cases = list(layouts.LAYOUTS[name](folder, found, templates))
    assert [case.name for case in cases] == [sample.path for sample in found.samples]
    return cases, found


def now(folder: Path, model: MorphableModel) -> Path:
    vertices, landmarks = head(model)
    for subject in ("S_1", "S_2"):
        write_obj(folder / f"scans/{subject}/a.obj", vertices, model.triangles)
    write_picked(folder / "scans_lmks_onlypp/S_1/a_picked_points.pp", seven(landmarks))
    lines = ["S_1/multiview_neutral/IMG_1.png", "S_1/selfie/IMG_2.png", "S_2/selfie/IMG_3.png", "odd"]
    (folder / "imagepathsvalidation.txt").write_text("\n".join(lines) + "\n")
    for line in (lines[0], lines[2]):
        picture(folder / "NoW_Dataset/final_release_version/iphone_pictures" / line)
    return folder


def test_now_and_what_is_missing_of_it(templates: Templates, tmp_path: Path) -> None:
    cases, found = read("now", now(tmp_path, templates.model), templates)
    assert [(case.person, case.group, case.neutral) for case in cases] == [("S_1", "multiview_neutral", True)]
    _, landmarks = head(templates.model)
    np.testing.assert_allclose(cases[0].scan.landmarks, from_file_axes(seven(landmarks)), atol=1e-4)
    told = " | ".join(str(problem) for problem in found.problems.values())
    assert len(found.problems) == 3
    assert "IMG_2.png: missing file" in told and "seven picked points" in told and "odd: line of" in told


def test_now_is_scored_and_predictions_are_written_for_its_scorer(templates: Templates, tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtface.evaluate.alignment.ICP_POINTS", 100)
    model = templates.model
    options = EvaluateOptions(data=now(tmp_path / "data", model), layout="now", sheet_all=tmp_path / "private")
    report = evaluate("shape", options, engines=blobs.engines())
    assert report.document()["sets"]["now"]["pictures"] == 1 and report.document()["problems"] == 3
    assert {line["group"] for line in report.results} == {"all", "multiview_neutral"}
    mesh = read_obj(tmp_path / "private/now/S_1/multiview_neutral/IMG_1.obj")
    points = np.load(tmp_path / "private/now/S_1/multiview_neutral/IMG_1.npy")
    assert points.shape == (7, 3) and mesh.triangles.max() < len(mesh.vertices)
    apart = np.linalg.norm(mesh.vertices[:, None] - points[None], axis=2).min(axis=0)
    assert apart.max() < 1e-3 and points[0, 1] > points[5, 1] and points[0, 0] < points[3, 0]  # y up, right eye first


def test_micc_takes_frames_of_its_videos(templates: Templates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "MICC_EVERY", 8)
    vertices, landmarks = head(templates.model)
    for subject, model in (("subject_01", "frontal1"), ("subject_02", "frontal2"), ("subject_03", "frontal1")):
        write_obj(tmp_path / subject / f"Model/{model}/obj/1.obj", vertices, templates.model.triangles)
        if subject != "subject_03":
            write_picked(tmp_path / subject / f"Model/{model}/obj/1.pp", seven(landmarks))
    (tmp_path / "subject_01/Video").mkdir()
    (tmp_path / "subject_01/Video/Indoor-Cooperative.mp4").write_bytes(clip_bytes(tmp_path, 20))
    (tmp_path / "subject_01/Video/PTZ-Outdoor.mjpg").write_bytes(b"nothing")
    cases, found = read("micc", tmp_path, templates)
    assert [case.name for case in cases] == [
        f"subject_01/Video/Indoor-Cooperative.mp4 frame {k}" for k in (0, 8, 16)]
    assert {case.group for case in cases} == {"Indoor-Cooperative"} and cases[0].person == "subject_01"
    told = " | ".join(str(problem) for problem in found.problems.values())
    assert "PTZ-Outdoor.mjpg: unreadable video" in told and "subject_02/Video: no video" in told
    assert "seven picked points" in told and "subject_03/Video: no video" in told


def realy(folder: Path, templates: Templates, unit: float) -> Path:
    model = templates.model
    vertices, landmarks = head(model, unit)
    for person in (1, 2):
        keypoints = np.concatenate([landmarks, landmarks[:17 if person == 1 else 3]])
        write_obj(folder / f"REALY_HIFI3D_keypoints/{person}.obj", keypoints, np.zeros((0, 3), int))
        of = masks(templates.region_of_vertex)
        for name in REGIONS:
            rows = np.flatnonzero(of[name])
            row_of = np.full(len(vertices), -1)
            row_of[rows] = np.arange(len(rows))
            triangles = row_of[model.triangles]
            write_obj(folder / f"REALY_scan_region/{person}/{name.removesuffix('s')}.obj", vertices[rows],
                      triangles[(triangles >= 0).all(axis=1)])
    for name in ("image_frontal/1.png", "image_frontal/2.png", "multiview/1_3.png", "image_depth/1.png",
                 "multiview/face.png"):
        picture(folder / "REALY_image" / name)
    (folder / "metrical_scale.txt").write_text(f"{unit}\n{unit}\n")
    return folder


def test_realy_brings_its_own_regions_and_its_own_unit(templates: Templates, tmp_path: Path) -> None:
    cases, found = read("realy", realy(tmp_path, templates, 9.0), templates)
    assert [(case.name, case.person, case.group, case.neutral) for case in cases] == [
        ("image_frontal/1.png", "1", "image_frontal", False), ("multiview/1_3.png", "1", "multiview", False)]
    scan = cases[0].scan
    assert np.linalg.norm(scan.landmarks[0] - scan.landmarks[3]) == pytest.approx(
        float(np.linalg.norm(np.diff(templates.model.mean[templates.model.landmarks68[[36, 45]]], axis=0))), rel=1e-3)
    for k, name in enumerate(REGIONS):
        assert scan.regions[name].sum() == (templates.region_of_vertex == k).sum()
    assert len(scan.measured) == sum(int(mask.sum()) for mask in scan.regions.values())
    told = " | ".join(str(problem) for problem in found.problems.values())
    assert "got 71 key points, expected 85" in told and "face.png: picture named face" in told
    (tmp_path / "metrical_scale.txt").write_text("nine\n")
    with pytest.raises(InputError, match="expected one number per line"):
        read("realy", tmp_path, templates)


def test_ict_people_are_mixed_painted_and_rendered(templates: Templates, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    model, folder = templates.model, tmp_path / "FaceXModel"
    vertices, _ = head(model, 10.0)
    triangles, count = np.concatenate([model.triangles, model.eyes.triangles + len(vertices)]), len(vertices)
    eyes = model.eye_vertices(np.zeros((1, 80)), np.zeros((1, 64)))[0]
    vertices = np.concatenate([vertices, from_file_axes(PLACE.apply(eyes)) / 10])
    for name, value in (("ICT_PEOPLE", 2), ("ICT_FACE", count), ("ICT_EYEBALLS", (count, len(vertices)))):
        monkeypatch.setattr(layouts, name, value)
    monkeypatch.setattr(layouts, "VIEWS", layouts.VIEWS[:2])
    write_obj(folder / "generic_neutral_mesh.obj", vertices, triangles)
    write_obj(folder / "identity000.obj", vertices * [1.05, 1, 1], triangles)
    write_obj(folder / "identity001.obj", vertices[:-1], model.triangles[:9])
    (folder / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": model.landmarks68.tolist()}))
    cases, found = read("ict", tmp_path, templates)
    assert [case.person for case in cases] == ["ICT person 0", "ICT person 1"] and cases[0].neutral
    widths = [float(np.ptp(case.scan.vertices[:, 0])) / float(np.ptp(vertices[:count, 0]) * 10)
              for case in cases]
    weights = [float(np.random.default_rng([layouts.ICT_SEED, k]).normal(size=1)[0]) for k in range(2)]
    assert widths == pytest.approx([1 + 0.05 * weight for weight in weights], abs=2e-3)  # millimetres, one mode
    skin, eyes = (cases[0].pixels[rows, 180:332].reshape(-1, 3).astype(int)
                  for rows in (slice(200, 320), slice(155, 195)))
    assert skin[:, 0].mean() > skin[:, 2].mean() + 20  # skin, not the gray wall
    assert (np.ptp(eyes, axis=1) < 3).sum() > 20  # eyeballs have no colour
    assert f"got {len(vertices) - 1} vertices, expected {len(vertices)}" in str(found.problems["identity001.obj"])
    (folder / "vertex_indices.json").write_text("{}")
    with pytest.raises(InputError, match="expected idx_to_landmark_verts"):
        read("ict", tmp_path, templates)


@pytest.mark.parametrize(("name", "missing"), [("now", "imagepathsvalidation.txt"), ("micc", "subject_"),
                                               ("realy", "REALY_HIFI3D_keypoints"), ("ict", "generic_neutral_mesh")])
def test_another_folder_is_one_clear_error(name: str, missing: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"got no .*{missing}"):
        evaluate("shape", EvaluateOptions(data=tmp_path, layout=name), engines=blobs.engines())
    with pytest.raises(InputError, match="got no folder, expected"):
        evaluate("shape", EvaluateOptions(data=tmp_path / "nowhere", layout=name), engines=blobs.engines())


def test_layouts_belong_to_their_protocol(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--layout: got now for the protocol detector, expected one of pack"):
        evaluate("detector", EvaluateOptions(data=tmp_path, layout="now"), engines=blobs.engines())
    with pytest.raises(InputError, match="got 'florence', expected one of pack, 300w"):
        evaluate("shape", EvaluateOptions(data=tmp_path, layout="florence"), engines=blobs.engines())
