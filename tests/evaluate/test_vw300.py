"""300-VW's layout on tiny clips that are written here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate.commands import EvaluateOptions, evaluate
from rtface.evaluate.layouts import vw300
from tests import blobs
from tests.evaluate.packs import clip_bytes, points_of


def write_label(file: Path, points: np.ndarray) -> None:
    lines = "\n".join(f"{x + 0.5:.3f} {y + 0.5:.3f}" for x, y in points)  # the first pixel's centre is (1, 1)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"version: 1\nn_points: {len(points)}\n{{\n{lines}\n}}\n")


def write_clip(folder: Path, frames: int = 20, labels: int = 20) -> Path:
    """The ellipse of :func:`clip_bytes` with its labels."""
    folder.mkdir(parents=True)
    (folder / "vid.avi").write_bytes(clip_bytes(folder, frames))
    for k in range(labels):
        write_label(folder / f"annot/{k + 1:06d}.pts", points_of((60 + k, 60, 40, 0)))
    return folder


def test_a_clip_with_its_labels_is_scored(tmp_path: Path) -> None:
    write_clip(tmp_path / "001")
    report = evaluate("temporal", EvaluateOptions(data=tmp_path, layout="300vw"), engines=blobs.engines())
    by_system = {r["system"]: r for r in report.results if r["kind"] == "clip"}
    network = by_system["landmark network"]
    assert network["error"] < 0.04  # half a pixel of 17 at most: labels and pictures fit each other
    assert by_system["smoothed"]["lost"] == 0 and by_system["smoothed"]["moving_px"] >= 0
    assert by_system["smoothed"]["rights"] == "non_commercial" and by_system["smoothed"]["shape_mm"] is None
    assert not report.document()["problems"] and "all labelled clips" in report.text()


def test_labels_are_read_in_rtfaces_convention(tmp_path: Path) -> None:
    points = points_of((60, 60, 40, 0))
    write_label(tmp_path / "000001.pts", points)
    read = vw300.read_points(tmp_path / "000001.pts")
    assert not isinstance(read, str)
    np.testing.assert_allclose(read, points, atol=2e-3)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    write_clip(tmp_path / "001", frames=20, labels=18)
    write_label(tmp_path / "001/annot/000003.pts", np.zeros((5, 2)))
    (tmp_path / "001/annot/000004.pts").write_text("version: 1\nn_points: 68\n{\n1 2\n")
    (tmp_path / "001/annot/000005.pts").unlink()
    (tmp_path / "001/annot/000006.pts").write_text("{\n1 x\n}")
    (tmp_path / "001/annot/notes.pts").write_text("")
    write_label(tmp_path / "001/annot/000007.pts", np.ones((68, 2)))
    write_clip(tmp_path / "002", 3, 3)
    (tmp_path / "002/vid.avi").unlink()
    (tmp_path / "003").mkdir()
    (tmp_path / "003/vid.avi").write_bytes(b"")
    write_clip(tmp_path / "004", 3, 3)
    (tmp_path / "004/vid.avi").write_bytes(b"no video")
    report = evaluate("temporal", EvaluateOptions(data=tmp_path, layout="300vw"), engines=blobs.engines())
    problems = "\n".join(report.document()["sets"]["300vw"]["problems"])
    for text in ("000003.pts: got points of shape (5, 2), expected (68, 2)", "000004.pts: got points of shape (1, 2)",
                 "000005.pts: missing label", "000006.pts: label that is no list of points",
                 "000007.pts: label whose points", "notes.pts: got a name without a frame number",
                 "001: got labels up to frame 18, expected 20", "002: got no vid.avi", "003: got no labels",
                 "004: unreadable clip"):
        assert text in problems
    assert report.document()["problems"] == 10
    assert {r["clip"] for r in report.results if r["kind"] == "clip"} == {"001"}


def test_a_folder_without_clips_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected folders with vid.avi"):
        evaluate("temporal", EvaluateOptions(data=tmp_path, layout="300vw"), engines=blobs.engines())
    write_clip(tmp_path / "001", 3, 0)
    with pytest.raises(InputError, match="got nothing to score in 300vw"):
        evaluate("temporal", EvaluateOptions(data=tmp_path, layout="300vw"), engines=blobs.engines())
    with pytest.raises(InputError, match="--layout: got 300vw for the protocol landmarks"):
        evaluate("landmarks", EvaluateOptions(data=tmp_path, layout="300vw"), engines=blobs.engines())
