"""Pasting occluders on photographs, and what they move."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import robustness as rob
from rtface.evaluate.commands import EvaluateOptions, evaluate
from rtface.evaluate.dataset import Pack
from rtface.evaluate.displacement import Faces, Result, compare, under
from rtface.evaluate.networks import Measured, face_reader
from rtface.evaluate.pasting import Paster
from rtface.evaluate.protocols import SYSTEMS
from rtface.geometry import pose_vertices
from rtface.inference import FakeEngine
from rtface.io import read_picture
from rtface.morphable import MorphableModel
from rtface.types import VECTOR_SIZE, Coefficients
from tests import blobs
from tests.evaluate.packs import small_pack


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load()


def face(scale: float = 0.9, x: float = 100.0) -> Coefficients:
    vector = np.zeros((1, VECTOR_SIZE), np.float32)
    vector[0, -3:] = scale, x, 100.0
    return Coefficients.from_vector(vector, "rtface-1")


@pytest.mark.parametrize(("kind", "where"), [("mask", slice(48, 68)), ("headset", slice(36, 48))])
def test_things_are_pasted_where_they_are_worn(model: MorphableModel, kind: str, where: slice) -> None:
    picture = np.full((200, 200, 3), 120, np.uint8)
    coefficients = face()
    pasted = Paster(model).paste(np.random.default_rng(1), picture, coefficients, kind)
    placed = pose_vertices(model.mean[None], coefficients.rotation, coefficients.scale, coefficients.translation)
    hidden = under(placed[0, model.landmarks68, :2], pasted.cover)
    assert hidden[where].mean() > 0.8 and 0.1 < pasted.coverage < 0.8
    other = slice(36, 48) if kind == "mask" else slice(55, 60)
    assert not hidden[other].any()  # a mask leaves the eyes free, a headset the lower lip
    moved = (pasted.pixels != picture).any(axis=2)
    assert moved[pasted.cover].mean() > 0.8
    near = cv2.dilate(pasted.cover.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert not moved[~near].any()  # beyond the soft border nothing changes


def test_arms_of_spectacles_go_behind_the_head(model: MorphableModel) -> None:
    picture = np.full((200, 200, 3), 120, np.uint8)
    turned = face()
    turned.rotation[0, 1] = 0.6
    pasted = Paster(model).paste(np.random.default_rng(0), picture, turned, "glasses")
    assert 0.005 < pasted.coverage < 0.35


def test_points_beyond_the_picture_are_not_hidden() -> None:
    cover = np.ones((10, 10), np.bool_)
    points = np.array([[5.0, 5.0], [-3.0, 5.0], [5.0, 11.0]])
    assert under(points, cover).tolist() == [True, False, False]


def test_nothing_moves_between_equal_results(model: MorphableModel) -> None:
    points = np.random.default_rng(0).normal(size=(68, 2)).astype(np.float32)
    result, hidden = Faces(model).result, np.arange(68) < 10
    one = result(Measured(points, 0.9, face()))
    assert one.shape is not None
    below = np.arange(len(one.shape)) % 3 == 0
    same = compare(one, one, hidden, below)
    assert all(abs(value) < 0.03 for value in same.values())
    other = face()
    other.identity[0, 0] = 2.0
    other.rotation[0, 1] = np.radians(10)
    two = result(Measured(points + np.float32(1.0), 0.5, other))
    figures = compare(one, two, hidden)
    eyes = float(np.linalg.norm(points[36] - points[45]))
    assert figures["landmarks"] == pytest.approx(np.sqrt(2) / eyes, rel=1e-4)
    assert figures["turn_deg"] == pytest.approx(10, abs=0.05) and figures["presence_drop"] == pytest.approx(0.4)
    assert figures["shape_mm"] == pytest.approx(figures["identity_mm"]) and figures["identity_mm"] > 0.2
    assert np.isnan(compare(one, two, np.zeros(68, bool))["hidden"])
    lower = one._replace(shape=one.shape + below[:, None] * [0, 3, 0])
    split = compare(one, lower, hidden, below)
    assert split["shape_hidden_mm"] == pytest.approx(3) and split["shape_seen_mm"] == 0
    assert split["shape_mm"] == pytest.approx(3 * below.mean())
    for unknown in (None, np.ones(7, np.bool_)):  # meshes of which nobody knows where they were pasted over
        assert np.isnan(compare(one, lower, hidden, unknown)["shape_seen_mm"])

    little = compare(Result(points, None, None, None), Result(points, np.zeros((5, 3)), None, np.eye(3)), hidden)
    assert little["landmarks"] == 0 and all(np.isnan(little[name]) for name in ("shape_mm", "identity_mm", "turn_deg"))
    with pytest.raises(InputError, match="expected the same vertices"):
        compare(Result(None, np.zeros((4, 3)), None, None), Result(None, np.zeros((5, 3)), None, None), hidden)


def test_vertices_lie_under_what_covers_their_pixels(model: MorphableModel) -> None:
    faces, one = Faces(model), face()
    cover = np.zeros((200, 200), np.bool_)
    cover[100:] = True  # the lower half of the picture; the face's middle is at 100
    shape = faces.of_coefficients(one).shape
    assert shape is not None
    assert np.array_equal(faces.covered(one, cover), 0.9 * shape[:, 1] >= 0)


def test_the_protocol_pastes_every_kind_on_every_face(tmp_path: Path) -> None:
    pack = small_pack(tmp_path / "pack")
    options = EvaluateOptions(data=pack, sets=("lfpw_test",), sheet_all=tmp_path / "private")
    report = evaluate("robustness", options, engines=blobs.engines())
    for system in (*SYSTEMS, rob.REGRESSOR):
        lines = [line for line in report.results if line["system"] == system]
        assert [line["name"] for line in lines if line["group"] == "kind"] == list(rob.KINDS)
        everything = lines[-1]
        for group in ("kind", "coverage"):
            assert everything["pasted"] == sum(line["pasted"] for line in lines if line["group"] == group)
        assert everything["name"] == "all"
    assert "left out because the clean result was doubtful" in report.text()
    bins = [line for line in report.results if line["group"] == "coverage" and line["system"] == rob.OFF]
    for plot in report.curves:
        moves_points = "eye" in plot.y_label
        assert [curve.name for curve in plot.curves] == [*SYSTEMS, *([] if moves_points else [rob.REGRESSOR])]
        for curve in plot.curves:
            assert len(curve.x) == len(bins) or plot.group
            assert list(curve.x) == sorted(curve.x)
            assert all(low <= y <= high for low, y, high in zip(curve.low, curve.y, curve.high, strict=True))
    for title in {plot.group for plot in report.curves if plot.group}:
        assert [plot.title for plot in report.curves if plot.group == title] == list(rob.KINDS)
    for kind in rob.KINDS:
        own = [line for line in report.results if line["group"] == f"coverage of {kind}" and line["system"] == rob.OFF]
        assert sum(line["pasted"] for line in own) == next(
            line["pasted"] for line in report.results if line["name"] == kind and line["system"] == rob.OFF)
    sheet = read_picture(tmp_path / "private/most_moved.jpg")
    assert sheet.shape[1] == 2 * 4 * 220 + 4 and sheet.std() > 10


def test_systems_are_compared_with_their_own_clean_result(tmp_path: Path, model: MorphableModel) -> None:
    pack = Pack(small_pack(tmp_path / "pack"))

    def shifted(crops: np.ndarray) -> dict[str, np.ndarray]:
        out = blobs.find_landmarks(crops)
        return {**out, "landmarks": out["landmarks"] + np.float32(2)}

    def steady(crops: np.ndarray) -> dict[str, np.ndarray]:
        return blobs.regress(crops * 0)  # sees nothing, and says the same of every picture

    other = {**blobs.engines(), "regressor": FakeEngine(blobs.SPECS["regressor"], steady),
             "landmarks": FakeEngine(blobs.SPECS["landmarks"], shifted)}
    readers = {rob.OFF: face_reader(blobs.engines(), model), "on": face_reader(other, model, fit=False)}
    report = rob.run(pack, readers, model, sets=("lfpw_test",), kinds=("mask", "glasses"))
    lines = {(line["system"], line["name"]): line for line in report.results}
    assert lines["on", "all"]["pasted"] == lines["off", "all"]["pasted"] > 0
    assert lines["on", "all"]["coverage"] == lines["off", "all"]["coverage"]
    assert lines["on", "all"]["shape_mm"] == 0 < lines["off", "all"]["shape_mm"]
    assert [curve.name for curve in report.curves[0].curves] == ["off", "on"]
    assert lines["regressor only", "all"]["shape_mm"] > 0 and np.isnan(lines["regressor only", "all"]["landmarks"])
    assert "on: 0 lost under an occluder" in report.notes
    with pytest.raises(InputError, match="got no systems"):
        rob.run(pack, {}, model)


def test_the_worst_pictures_are_few_of_each_kind() -> None:
    def shown(kind: str, shape_mm: float) -> rob.Shown:
        moved = rob.Moved("off", "a", kind, 0.3, 0, 0, 0, shape_mm, 0, 0, 0, 0, 0)
        return rob.Shown(moved, None, None, None, None, None)  # type: ignore[arg-type]

    kept = rob.keep_worst([shown("hand", k) for k in range(20)] + [shown(f"thing {k}", -k) for k in range(15)])
    assert [one.moved.shape_mm for one in kept] == [19, 18, 17, 0, -1, -2, -3, -4, -5, -6, -7, -8]


def test_nearly_covered_faces_are_in_the_last_bin() -> None:
    rows = [rob.Moved("off", "a", "mask", share, 0, 0, 0, 1, 1, 1, 0, 0, 0) for share in (0.0, 0.1, 0.59, 0.6, 1.0)]
    counts = {name: len(found) for group, name, found in rob._groups(rows, ("mask",)) if group == "coverage"}
    assert counts == {"0..10 %": 1, "10..20 %": 1, "20..30 %": 0, "30..40 %": 0, "40..50 %": 0, "50..60 %": 1,
                      "60..100 %": 2}
