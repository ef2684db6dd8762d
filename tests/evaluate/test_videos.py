"""The video protocol: every clip is accounted for, and pictures that are not free stay private."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import looks, videos
from rtface.evaluate.dataset import Pack
from rtface.evaluate.networks import detector_stage
from rtface.evaluate.sheets import private_folder
from rtface.io import read_picture
from rtface.morphable import MorphableModel
from rtface.stages.detect import Detections
from rtface.types import Frame
from tests import blobs
from tests.evaluate.packs import PackWriter, clip_bytes, small_pack


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load(level=0)


def test_every_clip_gets_a_line_and_all_together_one(tmp_path: Path, model: MorphableModel) -> None:
    lines: list[str] = []
    runs: list[videos.ClipRun] = []
    report = videos.run(Pack(small_pack(tmp_path / "pack")), blobs.engines(), model, look=runs.extend,
                        progress=lines.append)
    free, secret, total = report.results
    assert (free["frames"], secret["frames"], total["frames"]) == (20, 12, 32)
    assert free["measured"] == free["with_face"] == 1 and free["ids"] == 1 and free["fps"] > 0
    assert free["confidence"] == pytest.approx(1, abs=0.05)  # the fake mask is 95 % sure of what is seen
    assert free["jitter_network"] < 0.05 and free["jitter_mesh"] < free["jitter_network"] + 0.01  # straight motion
    assert free["gap"] > 0 and {"track", "regress"} <= free["stages_ms"].keys()
    assert total["kind"] == "total" and "all 2 clips" in report.text()
    assert "All clips: 95 % intervals over clips" in report.text()
    for key in ("measured", "with_face"):
        low, high = total[f"{key}_95"]
        assert min(free[key], secret[key]) - 1e-9 <= low <= total[key] <= high <= max(free[key], secret[key]) + 1e-9
    assert len(lines) == 2 and lines[0].startswith("videos/clips/free.mp4: 20 frames")
    assert [[r.frame.index for r in run.shown] for run in runs] == [[2, 7, 12, 17], [1, 4, 7, 10]]


def test_clips_without_a_face_and_clips_that_cannot_be_read(tmp_path: Path, model: MorphableModel) -> None:
    writer = PackWriter(tmp_path / "pack")
    writer.add_set("clips", "videos/clips", task="videos", labelled=False)
    (tmp_path / "pack").mkdir()
    writer.add_item("clips", "videos/clips/a_broken.mp4", b"not a video")
    writer.add_item("clips", "videos/clips/b_altered.mp4", clip_bytes(tmp_path, 3), rights="free")
    writer.items[-1]["sha256"] = "0" * 16
    writer.add_item("clips", "videos/clips/c_empty.mp4", clip_bytes(tmp_path, 5, face=False))
    report = videos.run(Pack(writer.write()), blobs.engines(), model)
    empty, total = report.results
    assert empty["clip"] == "videos/clips/c_empty.mp4" and empty["measured"] == empty["ids"] == 0
    assert empty["confidence"] is None and empty["jitter_mesh"] is None and total["gap"] is None
    problems = report.document()["sets"]["videos"]["problems"]
    assert len(problems) == 2 and "unreadable clip" in problems[0] and "got sha256" in problems[1]


def test_tracked_faces_are_compared_with_a_peer(tmp_path: Path, model: MorphableModel) -> None:
    class Peer:
        """Sees the ellipse until it has moved far, and always something at the left edge."""

        def detect(self, frame: Frame) -> Detections:
            found = detector_stage(blobs.engines()["detector"], 0.5).detect(frame)
            kept = found.boxes_xyxy[:, 0] < 50
            boxes = np.concatenate([found.boxes_xyxy[kept], np.array([[0, 0, 10, 10]], np.float32)])
            return Detections(boxes, np.ones(len(boxes), np.float32))

    report = videos.run(Pack(small_pack(tmp_path / "pack")), blobs.engines(), model, peer=Peer())
    free, secret, total = report.results  # frames 0, 5, 10, 15 with the ellipse from 40, 45, 50, 55 px on; 0, 5, 10
    assert free["peer"] == {"hits": 2, "detections": 4, "references": 6}
    assert secret["peer"] == {"hits": 2, "detections": 3, "references": 5}
    assert total["peer"] == {"hits": 4, "detections": 7, "references": 11}
    assert "57.1" in report.text()


def test_tracks_with_gaps_are_not_differenced_across_them() -> None:
    points = [np.full((68, 2), float(k)) + np.arange(68)[:, None] for k in (0, 1, 2, 50, 51)]
    track = videos.Track([0, 1, 2, 9, 10], points, points)
    assert videos._jitter([track], "mesh") == 0
    short = videos.Track([0, 1, 5], points[:3], points[:3])
    assert videos._jitter([short], "mesh") is None


@pytest.mark.slow
def test_only_free_clips_are_on_the_sheet(tmp_path: Path, model: MorphableModel) -> None:
    runs: list[videos.ClipRun] = []
    videos.run(Pack(small_pack(tmp_path / "pack")), blobs.engines(), model, look=runs.extend)
    shown = looks.clip_sheet(runs, model, tmp_path / "sheet.png", width=80, height=60, columns=4)
    assert shown == ["videos/clips/free.mp4"]
    assert read_picture(tmp_path / "sheet.png").shape == (60 + 18, 4 * 80 + 3 * 4, 3)
    looks.clip_pictures(runs, model, tmp_path / "all", width=80, height=60)
    assert len(list((tmp_path / "all").iterdir())) == 2
    with pytest.raises(InputError, match="got no picture to show"):
        looks.clip_sheet([run for run in runs if not run.sample.free], model, tmp_path / "none.png")


def test_private_pictures_are_kept_out_of_repositories(tmp_path: Path) -> None:
    assert private_folder(tmp_path / "private").is_dir()
    (tmp_path / "repository/.git").mkdir(parents=True)
    with pytest.raises(InputError, match="inside the git working tree"):
        private_folder(tmp_path / "repository/docs/pictures")
    (tmp_path / "link").symlink_to(tmp_path / "repository")
    with pytest.raises(InputError, match="inside the git working tree"):
        private_folder(tmp_path / "link/pictures")
    assert not (tmp_path / "repository/docs").exists()
