"""Reading packs: coordinates, rights, and every kind of damage named and counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate.dataset import Pack, to_pixel_centres
from tests.evaluate.packs import PackWriter, clip_bytes, points_of, small_pack

FACE = (80.0, 60.0, 50.0, 0)


def test_labels_become_pixel_centres_at_one_half() -> None:
    first_pixel_in_matlab = np.array([[1.0, 1.0]])
    np.testing.assert_allclose(to_pixel_centres(first_pixel_in_matlab, None), [[0.5, 0.5]])
    # Cut at source pixel (10, 20) and halved: MATLAB's (11, 21) is the centre of the cut's first pixel, which is at
    # (0.5, 0.5) before scaling and at (0.25, 0.25) after it.
    to_crop = np.array([[0.5, 0, -5], [0, 0.5, -10]])
    stored = to_crop[:, :2] @ [11, 21] + to_crop[:, 2]
    np.testing.assert_allclose(to_pixel_centres(stored[None], to_crop), [[0.25, 0.25]])


def test_a_labelled_set_is_read_with_points_tags_and_rights(tmp_path: Path) -> None:
    found = Pack(small_pack(tmp_path / "pack")).landmarks("lfpw_test")
    assert (len(found), found.whole, found.problems) == (4, 10, {})
    assert [s.tags for s in found.samples] == [(), ("hand",), (), ()]
    assert {s.rights for s in found.samples} == {"non_commercial"} and not found.samples[0].free
    points = found.samples[0].points
    assert points is not None and points.dtype == np.float32
    np.testing.assert_allclose(points, points_of((60, 60, 44, 0)), atol=1e-4)
    pictures = list(found.pictures())
    assert len(pictures) == 4 and pictures[0][1].shape == (120, 160, 3)


def test_every_problem_is_named_and_counted(tmp_path: Path) -> None:
    writer = PackWriter(tmp_path)
    writer.add_set("faces", "faces", files=9)
    for name in ("good", "missing", "altered", "broken", "resized", "few", "flat", "words", "crooked"):
        writer.add_picture("faces", f"faces/{name}.png", [FACE], label=FACE, tags=[])
    writer.add_picture("faces", "faces/forgotten.png", [FACE])
    entries = {Path(e["file"]).stem: e for e in writer.labels["faces"]}
    entries["resized"]["width"] = 320
    entries["few"]["points"] = entries["few"]["points"][:5]
    entries["flat"]["points"] = [[3.0, 4.0]] * 68
    entries["words"]["points"] = "left eye"
    entries["crooked"]["to_crop"] = [[1, 0], [0, 1]]
    writer.labels["faces"] += [{"points": []}, {"file": "later.png", "points": None}]
    (tmp_path / "faces/missing.png").unlink()
    with open(tmp_path / "faces/altered.png", "ab") as file:
        file.write(b"more")
    (tmp_path / "faces/broken.png").write_bytes(b"\x89PNG\r\n")
    writer.items = [item for item in writer.items if "broken" not in item["path"]]  # no hash that would tell first
    found = Pack(writer.write()).landmarks("faces")
    assert [sample.path for sample, _ in found.pictures()] == ["faces/good.png"]
    assert found.unlabelled == 1
    told = {path: problem.what for path, problem in found.problems.items()}
    for path, part in {"faces/missing.png": "missing file", "faces/altered.png": "got sha256",
                       "faces/broken.png": "unreadable picture", "faces/resized.png": "expected 320 x 120",
                       "faces/few.png": r"(5, 2), expected (68, 2)", "faces/flat.png": "no extent",
                       "faces/words.png": "no list of points", "faces/crooked.png": "got to_crop of shape (2, 2)",
                       "faces/annotations.json item 9": "got no file name",
                       "faces/forgotten.png": "picture without a label"}.items():
        assert part in told.pop(path)
    assert not told
    list(found.pictures())
    assert len(found.problems) == 10  # reading twice does not count twice


def test_clips_are_found_by_index_and_by_folder(tmp_path: Path) -> None:
    folder = small_pack(tmp_path / "pack")
    (folder / "videos/clips/stray.mp4").write_bytes(clip_bytes(tmp_path, 3))
    (folder / "videos/clips/secret.mp4").unlink()
    pack = Pack(folder)
    clips = pack.clips()
    assert [(s.path, s.rights) for s in clips.samples] == [("videos/clips/free.mp4", "free"),
                                                           ("videos/clips/stray.mp4", "unclear")]
    assert clips.whole == 2
    assert sorted(str(p) for p in clips.problems.values()) == [
        "videos/clips/secret.mp4: missing file",
        "videos/clips/stray.mp4: clip that index.json does not name; its rights are taken as unclear"]
    assert pack.credits({"videos/clips/free.mp4", "nowhere"}) == ["clips: some/clips @ cccccccccccc; licence of clips"]


def test_yaw_becomes_a_tag(tmp_path: Path) -> None:
    writer = PackWriter(tmp_path)
    writer.add_set("turned", "turned")
    for k, yaw in enumerate((-10.0, 45.0, -80.0)):
        writer.add_picture("turned", f"turned/{k}.png", [FACE], label=FACE, pose_para=[0.0, np.radians(yaw), 0.0])
    tags = [s.tags for s in Pack(writer.write()).landmarks("turned").samples]
    assert tags == [("yaw < 30",), ("yaw 30-60",), ("yaw > 60",)]


def test_what_is_no_pack_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="index.json: got No such file or directory, expected the index"):
        Pack(tmp_path)
    index = tmp_path / "index.json"
    for text, message in (("{", "got a damaged file"), ("[]", "got a list"), ("{}", "no 'sets' and 'items'"),
                          ('{"sets": {}, "items": [3]}', "got the item 3")):
        index.write_text(text)
        with pytest.raises(InputError, match=message):
            Pack(tmp_path)
    index.write_text(json.dumps({"sets": {"a": {"labels": None}, "b": {"labels": "b/annotations.json"}}, "items": []}))
    pack = Pack(tmp_path)
    with pytest.raises(InputError, match="got 'c', expected one that .* has: a, b"):
        pack.landmarks("c")
    with pytest.raises(InputError, match="set a: got no annotations.json"):
        pack.landmarks("a")
    with pytest.raises(InputError, match="annotations.json: got No such file"):
        pack.landmarks("b")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/annotations.json").write_text("{}")
    with pytest.raises(InputError, match="got no 'items'"):
        pack.landmarks("b")
