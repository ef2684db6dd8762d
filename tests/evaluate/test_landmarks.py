"""The landmark protocol over a painted world: exact points, faces not found, tags, conventions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtface.config import DetectorConfig
from rtface.evaluate import landmarks
from rtface.evaluate.dataset import Pack, Sample
from rtface.evaluate.landmarks import LABEL_BOX, MESH, MESH_FIXED, NETWORK, PEER, Scored, Systems
from rtface.evaluate.networks import LandmarkNetwork, MeshLandmarks, MeshNetwork, detector_stage
from rtface.geometry import FloatArray
from rtface.inference import FakeEngine
from rtface.morphable import MorphableModel
from rtface.stages.detect import Detections
from rtface.types import VECTOR_SIZE, Coefficients, Frame
from tests import blobs
from tests.evaluate.packs import PackWriter, points_of, small_pack

SETS = ("lfpw_test", "helen_test")


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return Pack(small_pack(tmp_path / "pack"))


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load(level=0)


def ours(model: MorphableModel | None = None, **replaced: Any) -> Systems:
    engines = {**blobs.engines(), **replaced}
    return Systems(detector_stage(engines["detector"], DetectorConfig().min_score),
                   LandmarkNetwork(engines["landmarks"]),
                   None if model is None else MeshNetwork(engines["regressor"], model))


def line(report: landmarks.Report, system: str, name: str = "lfpw_test") -> dict[str, Any]:
    (found,) = [dict(r) for r in report.results if r["system"] == system and r["name"] == name]
    return found


def test_good_points_have_small_errors_from_the_detector_and_from_the_label(pack: Pack) -> None:
    report = landmarks.run(pack, ours(), sets=SETS)
    for system in (NETWORK, LABEL_BOX):
        got = line(report, system)
        assert (got["faces"], got["not_found"], got["refused"]) == (4, 0, 0)
        assert 0 < got["nme"] < 0.06 and got["failure_10"] == 0 and got["auc_8"] > 0.3
        assert got["nme_95"][0] <= got["nme"] <= got["nme_95"][1] and got["nme_box"] < got["nme"]
        assert all(low <= got["parts"][part] <= high for part, (low, high) in got["parts_95"].items())
        assert got["parts"].keys() == got["parts_95"].keys() >= {"jaw", "eyes"}
    assert {r["system"] for r in report.results} == {NETWORK, LABEL_BOX}
    assert line(report, NETWORK, "hand")["faces"] == 1 and line(report, NETWORK, "none")["faces"] == 5


def test_a_face_without_a_detection_is_a_failure_and_not_part_of_means(pack: Pack) -> None:
    def blind(image: np.ndarray) -> dict[str, np.ndarray]:
        out = blobs.detect(image)
        return {**out, "scores": out["scores"] * (out["scores"].argmax() > 1)}  # never the first colour

    report = landmarks.run(pack, ours(detector=FakeEngine(blobs.SPECS["detector"], blind)), sets=SETS)
    got, other = line(report, NETWORK), line(report, LABEL_BOX)
    assert got["not_found"] == 1 and got["failure_10"] == 0.25 and other["not_found"] == 0
    assert got["failure_10_95"][0] == 0 and 0.5 <= got["failure_10_95"][1] <= 0.75 and other["failure_10_95"] == (0, 0)
    assert np.isfinite(got["nme"]) and got["auc_8"] < other["auc_8"]
    assert "NaN" not in report.json_line() and "Infinity" not in report.json_line()


def test_a_face_that_the_tracker_would_refuse_is_scored_and_counted(pack: Pack) -> None:
    def unsure(crops: np.ndarray) -> dict[str, np.ndarray]:
        out = blobs.find_landmarks(crops)
        return {**out, "presence": np.full(len(crops), 0.2, np.float32)}

    report = landmarks.run(pack, ours(landmarks=FakeEngine(blobs.SPECS["landmarks"], unsure)), sets=SETS)
    assert line(report, NETWORK)["refused"] == 4 and line(report, NETWORK)["not_found"] == 0


def test_mesh_points_come_from_the_regressor(pack: Pack, model: MorphableModel) -> None:
    report = landmarks.run(pack, ours(model), sets=SETS)
    assert line(report, MESH)["faces"] == 4 and np.isfinite(line(report, MESH)["nme"])
    assert line(report, MESH)["nme_inner"] == pytest.approx(line(report, MESH_FIXED)["nme_inner"])


def test_the_jaw_slides_on_a_turned_head_and_rests_on_a_frontal_one(model: MorphableModel) -> None:
    def at(yaw: float) -> tuple[FloatArray, FloatArray]:
        vector = np.zeros((1, VECTOR_SIZE), np.float32)
        vector[0, -6:] = 0, yaw, 0, 1.0, 100, 100
        return MeshLandmarks(model).project(Coefficients.from_vector(vector, model.basis_id))

    sliding, fixed = at(0.7)  # nose to the picture's left: the cheek on that side hides its jaw points
    np.testing.assert_array_equal(sliding[0, 17:], fixed[0, 17:])
    assert (sliding[0, :5, 0] < fixed[0, :5, 0] - 2).all()
    sliding, fixed = at(0.0)
    assert np.abs(sliding - fixed).max() < 3


def test_the_peer_needs_no_network_of_ours(pack: Pack) -> None:
    class Boxes:
        def detect(self, frame: Frame) -> Detections:
            return detector_stage(blobs.engines()["detector"], 0.5).detect(frame)

    class Points:
        def locate(self, frame: Frame, box_xyxy: FloatArray) -> FloatArray:
            size = box_xyxy[2:] - box_xyxy[:2]
            return (blobs.POINTS * size + box_xyxy[:2] + [3, 0]).astype(np.float32)

    class Both:
        detector, landmarks = Boxes(), Points()

    report = landmarks.run(pack, Systems(peers=Both()), sets=SETS)  # type: ignore[arg-type]
    assert {r["system"] for r in report.results} == {PEER}
    offset = line(report, PEER, "helen_test")["offset"]
    apart = np.linalg.norm(points_of((80, 60, 50, 0))[45] - points_of((80, 60, 50, 0))[36])
    assert offset["eyes"][0] == pytest.approx(3 / apart, abs=0.01)
    assert "NME" in report.text() and "By tag" in report.text()


def test_the_detection_nearest_to_the_label_is_the_face() -> None:
    label = np.array([10, 10, 30, 30], np.float32)
    boxes = np.array([[12, 10, 32, 30], [11, 10, 31, 30], [60, 60, 90, 90]], np.float32)
    np.testing.assert_array_equal(landmarks.same_face(boxes, label), boxes[1])
    assert landmarks.same_face(boxes[2:], label) is None
    assert landmarks.same_face(boxes[:0], label) is None


def test_offsets_follow_the_eye_line() -> None:
    truth = points_of((80, 60, 50, 0))[None]
    turned = (truth - 80) @ np.array([[0, 1], [-1, 0]]) + 80  # a quarter turn clockwise: the face's right is down
    length = np.linalg.norm(truth[0, 45] - truth[0, 36])
    got = landmarks._offsets(turned + [0.0, 0.1 * length], turned)
    np.testing.assert_allclose(got["nose"], [0.1, 0], atol=1e-6)


def test_a_face_that_two_sets_show_counts_once_with_all_its_tags() -> None:
    def face(path: str, origin: str, *tags: str) -> Scored:
        return Scored(Sample(path, Path(path), "free", tags, origin=origin), path.partition("/")[0], {})

    groups = landmarks.by_tag([face("a/1", "one", "hand"), face("b/1", "one", "hat"), face("a/2", "two")])
    assert {tag: [s.sample.path for s in faces] for tag, faces in groups.items()} == {
        "hand": ["a/1"], "hat": ["a/1"], "none": ["a/2"]}


def test_the_worst_faces_can_be_looked_at(pack: Pack, tmp_path: Path) -> None:
    seen: list[Scored] = []
    landmarks.run(pack, ours(), sets=SETS, look=seen.extend)
    from rtface.evaluate.looks import worst_landmarks
    from rtface.io import read_picture

    worst_landmarks(seen, tmp_path / "look", side=100, columns=4)
    names = sorted(p.name for p in (tmp_path / "look").iterdir())
    assert names == ["worst_network.jpg", "worst_network__label_box.jpg"]
    assert read_picture(tmp_path / "look/worst_network.jpg").shape == (2 * (100 + 18) + 4, 4 * 100 + 3 * 4, 3)


def test_a_set_with_other_labels_is_reported(tmp_path: Path) -> None:
    writer = PackWriter(tmp_path)
    writer.add_set("odd", "odd")
    writer.add_picture("odd", "odd/1.png", [(80, 60, 50, 0)], label=(80, 60, 50, 0))
    writer.add_picture("odd", "odd/2.png", [(80, 60, 50, 0)], label=(80, 60, 50, 0))
    writer.labels["odd"][1]["points"] *= 2
    report = landmarks.run(Pack(writer.write()), ours(), sets=("odd",))
    assert line(report, NETWORK, "odd")["faces"] == 1
    assert "odd/2.png: got points of shape (136, 2), expected (68, 2)" in report.text()
