"""Seen and hidden points scored apart: from flags, from masks, and by hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from rtface.config import DetectorConfig
from rtface.evaluate import landmarks, metrics
from rtface.evaluate.dataset import Pack
from rtface.evaluate.landmarks import LABEL_BOX, Systems
from rtface.evaluate.networks import LandmarkNetwork, detector_stage
from tests import blobs
from tests.evaluate.packs import HEIGHT, WIDTH, PackWriter, points_of

FACE = (80.0, 60.0, 50.0, 0)


def systems() -> Systems:
    engines = blobs.engines()
    detector = detector_stage(engines["detector"], DetectorConfig().min_score)
    return Systems(detector, LandmarkNetwork(engines["landmarks"]))


def label_box(report: landmarks.Report, name: str) -> dict[str, object]:
    (line,) = [dict(r) for r in report.results if (r["system"], r["name"]) == (LABEL_BOX, name)]
    return line


def test_means_over_points_weigh_faces_by_their_points() -> None:
    errors = np.array([[0.1, 0.2, 0.3], [0.5, 0.6, 0.7], [np.inf] * 3])
    chosen = np.array([[True, True, False], [False, False, True], [True, True, True]])
    rows = metrics.sums_of_chosen(errors, chosen)
    np.testing.assert_allclose(rows, [[0.3, 2], [0.7, 1]])  # the third face was not found
    assert metrics.mean_of_sums(rows) == pytest.approx(1.0 / 3)
    assert np.isnan(metrics.mean_of_sums(metrics.sums_of_chosen(errors, np.zeros((3, 3), bool))))


def test_flags_of_the_labels_split_the_error(tmp_path: Path) -> None:
    writer = PackWriter(tmp_path)
    writer.add_set("misc", "misc")
    writer.add_picture("misc", "misc/a.png", [FACE], label=FACE, occluded=[0] * 48 + [1] * 20)
    writer.add_picture("misc", "misc/b.png", [FACE], label=FACE, occluded=[0, 1])
    points = np.array(writer.labels["misc"][0]["points"])
    points[48:, 1] += 6.0  # the hidden mouth is labelled lower
    writer.labels["misc"][0]["points"] = points.tolist()
    writer.labels["misc"].append({**writer.labels["misc"][0], "occluded": None})  # a second face of the same picture
    report = landmarks.run(Pack(writer.write()), systems(), sets=("misc",))
    line = label_box(report, "misc")
    assert (line["faces"], line["flagged_faces"], line["seen_points"], line["hidden_points"]) == (2, 1, 48, 20)
    corners = points_of(FACE)[[36, 45]]
    assert line["nme_hidden"] - line["nme_seen"] == pytest.approx(  # type: ignore[operator]
        6 / np.linalg.norm(corners[1] - corners[0]), abs=0.05)
    assert "Seen and hidden points apart" in report.text()
    assert "misc/b.png: got 2 flags" in report.text()


def test_masks_tell_which_points_are_hidden(tmp_path: Path) -> None:
    writer = PackWriter(tmp_path)
    writer.add_set("handdrawn", "drawn")
    region = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[60:] = 255  # the lower half is covered
    mask[:, :70] = 128  # nobody knows on the left
    for name in ("good", "torn"):
        writer.add_picture("handdrawn", f"drawn/images/{name}.png", [FACE], label=FACE)
        writer.labels["handdrawn"][-1]["file"] = f"images/{name}.png"
        writer.items[-1]["mask"] = f"drawn/masks/{name}.png"
    writer.write()
    for folder, picture in (("masks", mask), ("regions", region)):
        (tmp_path / "drawn" / folder).mkdir()
        cv2.imwrite(str(tmp_path / "drawn" / folder / "good.png"), picture)
    report = landmarks.run(Pack(tmp_path), systems(), sets=("handdrawn",))
    line = label_box(report, "handdrawn")
    points = points_of(FACE)
    known = points[:, 0] >= 70
    assert line["hidden_points"] == (known & (points[:, 1] >= 60)).sum() > 10
    assert line["seen_points"] == (known & (points[:, 1] < 60)).sum() > 10
    assert line["faces"] == 1 and "drawn/images/torn.png" in report.text()


def test_labels_that_count_from_0_are_moved_the_other_way(tmp_path: Path) -> None:
    writer = PackWriter(tmp_path)
    writer.add_set("misc", "misc")
    writer.add_picture("misc", "misc/a.png", [FACE], label=FACE)
    writer.add_picture("misc", "misc/b.png", [FACE], label=FACE)
    writer.labels["misc"][1]["set"] = "dlib_testing"
    first, second = Pack(writer.write()).landmarks("misc").samples
    assert first.points is not None and second.points is not None
    np.testing.assert_allclose(second.points - first.points, 1.0, atol=1e-4)


def test_all_faces_of_a_picture_have_names_of_their_own(tmp_path: Path) -> None:
    writer = PackWriter(tmp_path)
    writer.add_set("crowd", "crowd")
    writer.add_picture("crowd", "crowd/a.png", [FACE], label=FACE)
    writer.labels["crowd"] += [dict(writer.labels["crowd"][0]), {**writer.labels["crowd"][0], "points": [[1, 2]]}]
    found = Pack(writer.write()).landmarks("crowd")
    assert [s.path for s in found.samples] == ["crowd/a.png", "crowd/a.png#2"]
    assert len({s.origin for s in found.samples}) == 2 and list(found.problems) == ["crowd/a.png#3"]
