"""The papers' data sets: tiny folders of the same layout, and everything that can be wrong with them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from rtface.errors import BackendError, InputError
from rtface.evaluate.commands import EvaluateOptions, evaluate
from rtface.evaluate.layouts import LAYOUTS, open_layout
from rtface.evaluate.schemes import IBUG_FROM_WFLW
from tests import blobs
from tests.evaluate.packs import points_of

FACE = (80.0, 60.0, 50.0, 0)
TRUTH = points_of(FACE)


def picture(path: Path, faces: Iterable[Any] = (FACE,)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), blobs.paint(faces)[:, :, ::-1])
    return path


def write_pts(path: Path, points: np.ndarray, count: int | None = None) -> None:
    rows = "\n".join(f"{x:.6f} {y:.6f}" for x, y in points)
    path.write_text(f"version: 1\nn_points: {count or len(points)}\n{{\n{rows}\n}}\n")


def small_300w(root: Path) -> Path:
    for where in ("lfpw/testset", "ibug"):
        for k in range(2):
            write_pts(picture(root / where / f"image_{k}.png").with_suffix(".pts"), TRUTH + 0.5)
    return root


def scored(root: Path, layout: str, protocol: str = "landmarks") -> dict[str, Any]:
    report = evaluate(protocol, EvaluateOptions(data=root, layout=layout), engines=blobs.engines())
    return {"lines": [dict(line) for line in report.results], "text": report.text(), "sets": report.sets}


def test_300w_is_read_by_folder_with_its_split_as_tags(tmp_path: Path) -> None:
    got = scored(small_300w(tmp_path), "300w")
    names = {(line["group"], line["name"]): line for line in got["lines"] if line["system"] == "network (label box)"}
    assert set(names) == {("set", "lfpw/testset"), ("set", "ibug"), ("tag", "common"), ("tag", "challenging")}
    assert all(line["faces"] == 2 and line["nme"] < 0.05 for line in names.values())
    samples = open_layout("300w", "landmarks", tmp_path).landmarks("ibug").samples
    np.testing.assert_allclose(samples[0].points, TRUTH, atol=1e-4)
    assert samples[0].path == "ibug/image_0.png" and not samples[0].free


def test_what_is_wrong_with_300w_is_named(tmp_path: Path) -> None:
    folder = small_300w(tmp_path) / "ibug"
    write_pts(picture(folder / "few.png").with_suffix(".pts"), TRUTH[:51])
    write_pts(picture(folder / "liar.png").with_suffix(".pts"), TRUTH, count=67)
    picture(folder / "words.png").with_suffix(".pts").write_text("n_points: 68\n{\nleft eye\n}")
    write_pts(folder / "lonely.pts", TRUTH)
    picture(folder / "naked.png")
    write_pts(folder / "torn.pts", TRUTH)
    (folder / "torn.png").write_bytes(b"no picture")
    got = scored(tmp_path, "300w")
    (ibug,) = [found for found in got["sets"] if found.name == "ibug"]
    told = {problem.path: problem.what for problem in ibug.problems.values()}
    for path, part in {"ibug/few.png": "(51, 2), expected (68, 2)", "ibug/liar.png": "got 68 points, expected 67",
                       "ibug/words.png": "damaged file", "ibug/lonely.pts": "no picture of this name",
                       "ibug/naked.png": "without a label", "ibug/torn.png": "unreadable picture"}.items():
        assert part in told.pop(path)
    assert not told and "ibug: 6 problems" in got["text"]


def test_aflw2000_has_points_and_the_turn_of_the_head(tmp_path: Path) -> None:
    for k, yaw in enumerate((0.1, -0.9)):
        depth = np.concatenate([TRUTH.T + 0.5, np.zeros((1, 68))])
        savemat(picture(tmp_path / f"image{k:05d}.jpg").with_suffix(".mat"),
                {"pt3d_68": depth, "Pose_Para": [[0.0, yaw, 0, 0, 0, 0, 1]]})
    savemat(tmp_path / "image00008.mat", {"pt3d_68": np.zeros((3, 21)), "Pose_Para": np.zeros((1, 7))})
    savemat(tmp_path / "image00009.mat", {"pt2d": np.zeros((2, 68))})
    (tmp_path / "image00010.mat").write_bytes(b"MATLAB no more")
    savemat(tmp_path / "image00011.mat", {"pt3d_68": depth, "Pose_Para": np.zeros((1, 7))})
    picture(tmp_path / "image00012.jpg")
    got = scored(tmp_path, "aflw2000")
    assert {line["name"] for line in got["lines"]} == {"aflw2000", "yaw < 30", "yaw 30-60"}
    found = open_layout("aflw2000", "landmarks", tmp_path).landmarks("aflw2000")
    np.testing.assert_allclose(found.samples[0].points, TRUTH, atol=1e-4)
    told = " ".join(map(str, found.problems.values()))
    for part in ("image00008.mat: got points of shape (21, 2)", "image00009.mat: got no variable pt3d_68",
                 "image00010.mat: got a damaged file", "image00011.jpg: missing file",
                 "image00012.jpg: picture without a label"):
        assert part in told
    assert len(found.problems) == 5 and found.whole == 7


def small_cofw(root: Path, count: int = 3) -> Path:
    (root / "test_annotations").mkdir(parents=True)
    for number in range(1, count + 1):
        savemat(root / f"test_annotations/{number}_points.mat",
                {"Points": TRUTH + 0.5, "Occ": np.array([[0]] * 48 + [[1]] * 20)})
    return root


def check_cofw(root: Path) -> None:
    got = scored(root, "cofw68")
    line = next(line for line in got["lines"] if line["system"] == "network (label box)")
    assert (line["faces"], line["hidden_points"]) == (2, 40) and line["nme_hidden"] < 0.05
    told = [str(problem) for problem in got["sets"][0].problems.values()]
    assert told == ["test_annotations/3_points.mat: got no picture 3, expected one of 2"]


def test_cofw68_from_cells_of_matlab(tmp_path: Path) -> None:
    cells = np.empty((2, 1), object)
    cells[:, 0] = blobs.paint([FACE]), blobs.paint([FACE])
    savemat(small_cofw(tmp_path) / "COFW_test_color.mat", {"IsT": cells})
    check_cofw(tmp_path)
    cells[:, 0] = blobs.paint([FACE])[..., 0], blobs.paint([FACE]).astype(float)
    savemat(tmp_path / "COFW_test_color.mat", {"IsT": cells})
    found = open_layout("cofw68", "landmarks", tmp_path).landmarks("cofw68")
    ((sample, pixels),) = found.pictures()
    assert sample.path == "COFW_test_color.mat:1" and (pixels[..., 0] == pixels[..., 2]).all()
    assert "COFW_test_color.mat:2: got a picture (120, 160, 3) float64" in found.problems["COFW_test_color.mat:2"].what


def test_cofw68_from_matlab_7_3(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(small_cofw(tmp_path) / "COFW_test_color.mat", "w", userblock_size=512) as file:
        references = file.create_dataset("IsT", (1, 2), h5py.ref_dtype)
        for k in range(2):
            references[0, k] = file.create_dataset(f"#refs#/{k}", data=blobs.paint([FACE]).T).ref
    check_cofw(tmp_path)


def test_matlab_files_name_the_package_that_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (small_cofw(tmp_path) / "COFW_test_color.mat").write_bytes(b"\0" * 512 + b"\x89HDF\r\n")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(BackendError, match=r"no h5py.*pip install rtface\[evaluate\]"):
        open_layout("cofw68", "landmarks", tmp_path)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    picture(tmp_path / "test_annotations/im_1.png")
    (tmp_path / "COFW_test_color.mat").unlink()
    with pytest.raises(BackendError, match=r"no SciPy.*pip install rtface\[evaluate\]"):
        open_layout("cofw68", "landmarks", tmp_path)


def test_cofw68_from_loose_pictures(tmp_path: Path) -> None:
    small_cofw(tmp_path, 2)
    picture(tmp_path / "test_annotations/im_2.png")
    savemat(tmp_path / "test_annotations/3_points.mat", {"Points": TRUTH, "Occ": np.zeros(29)})
    found = open_layout("cofw68", "landmarks", tmp_path).landmarks("cofw68")
    assert [s.path for s in found.samples] == ["test_annotations/im_2.png"]
    assert [p.what[:12] for p in found.problems.values()] == ["got no pictu", "got 29 flags"]


def wflw_line(name: str, attributes: str = "0 0 0 0 1 0", points: np.ndarray | None = None) -> str:
    truth = np.tile([1.0, 2.0], (98, 1))
    truth[IBUG_FROM_WFLW] = TRUTH - 0.5
    return f"{' '.join(f'{v:.4f}' for v in (truth if points is None else points).ravel())} 1 2 3 4 {attributes} {name}"


def test_wflw_becomes_68_points_with_attributes_as_tags(tmp_path: Path) -> None:
    picture(tmp_path / "WFLW_images/0--Parade/a b.png")
    where = tmp_path / "WFLW_annotations/list_98pt_rect_attr_train_test"
    where.mkdir(parents=True)
    lines = [wflw_line("0--Parade/a b.png"), wflw_line("0--Parade/a b.png", "0 0 0 0 0 0"), wflw_line("gone.png"), "",
             "1 2 3 name.png", wflw_line("a.png").replace(" 2 3 4 ", " two 3 4 "),
             wflw_line("flat.png", points=np.ones((98, 2)))]
    (where / "list_98pt_rect_attr_test.txt").write_text("\n".join(lines))
    found = open_layout("wflw", "landmarks", tmp_path).landmarks("wflw_test")
    first, second = found.samples
    np.testing.assert_allclose(first.points, TRUTH, atol=1e-3)
    assert (first.tags, second.tags) == (("occlusion",), ())
    assert second.path == "WFLW_images/0--Parade/a b.png#2"
    told = [str(problem) for problem in found.problems.values()]
    assert [text.partition(": ")[2][:22] for text in told] == [
        "missing file", "got 3 numbers and a na", "got could not convert ", "label whose points are"]
    assert "test.txt line 5" in told[1]
    assert scored(tmp_path, "wflw", "detector")["lines"][0]["pictures"] == 2


def small_lfw(root: Path) -> Path:
    for name, count, face in (("Ann_Lee", 2, (60.0, 60.0, 50.0, 0)), ("Bo", 2, (90.0, 60.0, 50.0, 1))):
        for k in range(count):
            picture(root / f"lfw/{name}/{name}_{k + 1:04d}.jpg", [face])
    fold = ["Ann_Lee 1 2", "Bo 1 2", "Ann_Lee 1 Bo 1", "Ann_Lee 2 Bo 2"]
    (root / "pairs.txt").write_text("\n".join(["2\t2", *("\t".join(line.split()) for line in fold * 2)]))
    return root


def test_lfw_is_read_from_its_pairs_and_folders(tmp_path: Path) -> None:
    got = scored(small_lfw(tmp_path), "lfw", "verification")
    assert got["lines"][0]["pairs"] == 8 and got["lines"][0]["not_found"] == 0
    opened = open_layout("lfw", "verification", tmp_path)
    pair = opened.pairs("lfw")[6]
    assert pair == ("lfw/Ann_Lee/Ann_Lee_0001.jpg", "lfw/Bo/Bo_0001.jpg", False, 1)
    (tmp_path / "lfw/Bo/Bo_0002.jpg").unlink()
    got = scored(tmp_path, "lfw", "verification")
    assert got["lines"][0]["pairs"] == 4 and "lfw/Bo/Bo_0002.jpg: missing file" in got["text"]


@pytest.mark.parametrize(("text", "message"), [
    ("", "the first line"), ("2 1\nBo 1 2\nBo 1 Ann 2", "got 2 pairs, expected 2 x 1 x 2"),
    ("1\nBo 1 2\nBo 1 Ann two", "line 3: got 'Bo 1 Ann two'"), ("1\nBo 1\nBo 1 2", "line 2: got 'Bo 1'")])
def test_damaged_pairs_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        open_layout("lfw", "verification", tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_of_something_else_is_one_clear_error(layout: str, tmp_path: Path) -> None:
    protocol = LAYOUTS[layout].protocols[0]
    with pytest.raises(InputError, match="got no folder, expected"):
        evaluate(protocol, EvaluateOptions(data=tmp_path / "nowhere", layout=layout))
    with pytest.raises(InputError, match=f"{tmp_path}.*: got .*, expected"):
        evaluate(protocol, EvaluateOptions(data=tmp_path, layout=layout))
    with pytest.raises(InputError, match=f"got {layout} for the protocol videos, expected one of pack"):
        evaluate("videos", EvaluateOptions(data=tmp_path, layout=layout))


def test_unknown_layouts_and_sets_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got '400w', expected one of pack, 300w, aflw2000"):
        evaluate("landmarks", EvaluateOptions(data=tmp_path, layout="400w"))
    opened = open_layout("300w", "landmarks", small_300w(tmp_path))
    with pytest.raises(InputError, match="set: got 'helen', expected one of .*: ibug, lfpw/testset"):
        opened.landmarks("helen")
    with pytest.raises(InputError, match="got no pairs"):
        opened.pairs("ibug")
    assert all(sample.points is None for sample in opened.pictures("ibug").samples)


def test_the_command_line_takes_layouts_and_files_of_predictions(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from rtface.cli import app

    threads = cv2.getNumThreads()
    np.savez(tmp_path / "theirs.npz", **{"ibug/image_0.png": TRUTH + [0.0, 1.0]})
    arguments = ["evaluate", "landmarks", "--data", str(small_300w(tmp_path / "data")), "--layout", "300w", "--set",
                 "ibug", "--peer", f"theirs={tmp_path / 'theirs.npz'}", "--peers-only"]
    try:
        done = CliRunner().invoke(app, arguments)
    finally:
        cv2.setNumThreads(threads)
    assert done.exit_code == 0, done.stderr
    (first, *_) = json.loads(done.stdout.splitlines()[-1])["results"]
    assert (first["system"], first["faces"], first["not_found"]) == ("theirs", 2, 1)
    assert "1 of 2 pictures are not in theirs.npz and count as not found: ibug/image_1.png" in done.stdout
