"""The detector protocol over a painted world: counts, thresholds, conventions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rtface.evaluate import detector
from rtface.evaluate.dataset import Pack
from rtface.evaluate.networks import detector_stage
from rtface.stages.detect import Detections
from rtface.types import Frame
from tests import blobs
from tests.evaluate.packs import small_pack


class Painted:
    """Finds every ellipse; ``move`` turns its boxes into another convention."""

    def __init__(self, move: detector.Refit | None = None, *, miss: int | None = None) -> None:
        self._stage = detector_stage(blobs.engines()["detector"], detector.LOWEST_SCORE)
        self._move, self._miss, self._calls = move, miss, 0

    def detect(self, frame: Frame) -> Detections:
        found = self._stage.detect(frame)
        self._calls += 1
        boxes, scores = found.boxes_xyxy, found.scores
        if self._calls == self._miss:
            boxes, scores = boxes[:0], scores[:0]
        return Detections(boxes if self._move is None else self._move.apply(boxes), scores)


NARROW = detector.Refit(np.array([0.25, 0.0]), np.array([0.6, 0.9]))


def lines(report: detector.Report, kind: str, **wanted: object) -> list[dict[str, object]]:
    return [dict(line) for line in report.results
            if line["kind"] == kind and all(line[key] == value for key, value in wanted.items())]


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return Pack(small_pack(tmp_path / "pack"))


SETS = ("lfpw_test", "helen_test", "cc0_people")


def test_a_detector_that_finds_all_labelled_faces_has_full_recall(pack: Pack) -> None:
    report = detector.run(pack, {"rtface": Painted()}, min_score=0.5, sets=SETS)
    (line,) = lines(report, "as_is", set="all", reference="labels")
    assert line["pictures"] == line["references"] == line["hits"] == 6
    assert line["recall"] == 1 and line["precision"] is None  # other faces in the pictures are not labelled
    assert line["mean_iou"] > 0.9  # type: ignore[operator]


def test_detectors_are_compared_with_each_other(pack: Pack) -> None:
    report = detector.run(pack, {"rtface": Painted(miss=7), "peer": Painted()}, min_score=0.5, sets=SETS)
    (line,) = lines(report, "as_is", set="cc0_people", subject="rtface", reference="peer")
    assert (line["hits"], line["detections"], line["references"]) == (2, 2, 4)  # one of two pictures was missed
    assert (line["recall"], line["precision"]) == (0.5, 1.0)
    assert line["recall_95"] == (0.0, 1.0)
    assert lines(report, "as_is", set="all", subject="rtface", reference="peer")[0]["references"] == 10


def test_scores_decide_which_detections_count(pack: Pack) -> None:
    report = detector.run(pack, {"rtface": Painted(), "peer": Painted()}, min_score=0.95, sets=SETS)
    assert lines(report, "as_is", set="all", subject="rtface", reference="labels")[0]["recall"] == 0
    sweep = {line["min_score"]: line for line in lines(report, "threshold", set="all")}
    assert sweep[0.9]["recall_labels"] == sweep[0.5]["recall_peer"] == sweep[0.5]["precision_peer"] == 1
    assert np.isnan(lines(report, "as_is", set="all", subject="rtface", reference="peer")[0]["precision"])


def test_another_box_convention_is_measured_and_undone_on_the_other_half(pack: Pack) -> None:
    report = detector.run(pack, {"rtface": Painted(NARROW), "peer": Painted()}, min_score=0.5, sets=SETS)
    (as_is,) = lines(report, "as_is", set="all", subject="rtface", reference="peer")
    (refitted,) = lines(report, "refitted", set="all", subject="rtface", reference="peer")
    assert as_is["recall"] == 0 and 0.2 < as_is["mean_iou"] < 0.5  # type: ignore[operator]
    assert refitted["recall"] == 1 and refitted["mean_iou"] > 0.97  # type: ignore[operator]
    (fit,) = lines(report, "refit", subject="rtface", reference="peer")
    np.testing.assert_allclose(fit["scale"], [1 / 0.6, 1 / 0.9], rtol=0.02)
    np.testing.assert_allclose(fit["shift"], [-0.25 / 0.6, 0], atol=0.02)


def test_the_report_is_a_table_and_json(pack: Pack) -> None:
    report = detector.run(pack, {"rtface": Painted(), "peer": Painted()}, min_score=0.5, sets=SETS)
    text = report.text()
    assert "Faces found" in text and "by score threshold" in text and "re-fit of rtface to peer" in text
    assert "lfpw_test: this pack has 4 of the 10 files of the whole set" in text
    document = json.loads(report.json_line())
    assert document["evaluation"] == "detector" and document["problems"] == 0
    assert {"processor", "cores", "versions", "commit", "date"} <= document["machine"].keys()
    assert document["sets"]["lfpw_test"] == {"pictures": 4, "whole_set": 10, "without_points": 0, "problems": []}
    assert "\n" not in report.json_line() and "NaN" not in report.json_line()


def test_pictures_that_cannot_be_read_are_left_out_and_told(pack: Pack) -> None:
    (pack.folder / "landmarks68/lfpw_test/0.png").unlink()
    (pack.folder / "portraits/cc0_people/0.png").write_bytes(b"")
    report = detector.run(pack, {"rtface": Painted()}, min_score=0.5, sets=SETS)
    assert lines(report, "as_is", set="all", reference="labels")[0]["pictures"] == 5
    assert "lfpw_test: 1 problem, left out:\n  landmarks68/lfpw_test/0.png: missing file" in report.text()
    assert report.document()["problems"] == 2


def test_disagreements_can_be_looked_at(pack: Pack, tmp_path: Path) -> None:
    from rtface.evaluate.looks import doubtful_detections
    from rtface.io import read_picture

    seen: list[detector.Seen] = []
    detector.run(pack, {"rtface": Painted(miss=7), "peer": Painted()}, min_score=0.5, sets=SETS, look=seen.extend)
    doubtful_detections(seen, 0.5, tmp_path / "look", side=80)
    assert read_picture(tmp_path / "look/doubtful_detections.jpg").shape == (80 + 18, 80, 3)  # the one it missed
    doubtful_detections(seen[:6], 0.5, tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_nothing_to_score_gives_no_results(tmp_path: Path) -> None:
    folder = small_pack(tmp_path / "pack")
    for path in folder.rglob("*.png"):
        path.unlink()
    assert not detector.run(Pack(folder), {"rtface": Painted()}, min_score=0.5, sets=SETS).results


def test_pictures_are_put_into_a_frame_with_the_face_at_a_given_size() -> None:
    face = (60.0, 50.0, 40.0, 0)
    label = np.array([[40, 26, 80, 74]], np.float32)  # the ellipse's box
    for share in (0.6, 0.1):
        canvas, box = detector.on_canvas(blobs.paint([face]), label, share)
        assert canvas.shape == (480, 640, 3) and box[0, 3] - box[0, 1] == pytest.approx(share * 480, rel=1e-5)
        np.testing.assert_allclose((box[0, :2] + box[0, 2:]) / 2, [320, 240], atol=1e-3)
        red = np.argwhere((canvas[..., 0] > 150) & (canvas[..., 1] < 60))[:, ::-1]
        np.testing.assert_allclose([*red.min(axis=0), *(red.max(axis=0) + 1)], box[0], atol=2.5)
    assert canvas[0, 0].tolist() == [115] * 3


def test_recall_by_size_of_the_face(pack: Pack) -> None:
    report = detector.run(pack, {"rtface": Painted()}, min_score=0.5, sets=("lfpw_test",))
    sizes = {line["face_share"]: line for line in lines(report, "size", subject="rtface")}
    assert sizes[0.4]["recall"] == 1 and sizes[0.4]["pictures"] == 4 and "By size of the face" in report.text()
