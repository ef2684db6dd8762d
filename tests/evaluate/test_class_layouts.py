"""Data sets of masks and parts in their publishers' own folders, written small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from rtface.errors import InputError
from rtface.evaluate.commands import EvaluateOptions, evaluate
from rtface.evaluate.layouts import celebamask, cofw, faceocc, helen, lapa, lfw_parts
from rtface.evaluate.masks import Rule
from rtface.evaluate.parts import NUMBER
from tests import blobs
from tests.evaluate.class_packs import encoded, hidden_face, parse_engine, parsing_of, put

PIXELS, FACE, HIDDEN = hidden_face()
SEEN = np.where(FACE & ~HIDDEN, 255, 0).astype(np.uint8)


def eleven() -> np.ndarray:
    """The hidden face in the numbers of Helen and LaPa: skin, a nose, an eye of each side, hair."""
    classes = parsing_of(FACE, HIDDEN)
    out = np.where(np.isin(classes, (1, 3)), 1, np.where(classes == 2, 6, np.where(classes == 13, 10, 0)))
    out[45:50, 65:70], out[45:50, 90:95] = 4, 5
    return out.astype(np.uint8)


def write_cofw(root: Path) -> None:
    for number in (1, 2, 12):
        put(root / f"images/{number}.png", encoded(PIXELS))
        put(root / f"masks/mask_{number}.png", encoded(SEEN))
    put(root / "masks/mask_3.png", encoded(SEEN))
    put(root / "boxes.csv", "number,x,y,width,height\n1,50,24,60,72\n12,500,500,20,20\n")


def write_faceocc(root: Path) -> None:
    put(root / "COFW_test/img/a.jpg", encoded(PIXELS, ".jpg"))
    put(root / "COFW_test/mask/a.png", encoded(SEEN))
    put(root / "COFW_test/img/b.jpg", encoded(PIXELS, ".jpg"))
    put(root / "CelebAHQ/1.png", encoded(np.dstack([PIXELS, np.where(HIDDEN, 255, 0).astype(np.uint8)])))
    put(root / "ffhq/2.png", encoded(PIXELS))


def write_celebamask(root: Path) -> None:
    double = cv2.resize(PIXELS, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    for number in (3, 4, 2001):
        put(root / f"CelebA-HQ-img/{number}.jpg", encoded(double, ".jpg"))
    layers = {"skin": FACE, "nose": parsing_of(FACE, HIDDEN) == 2, "eye_g": FACE & HIDDEN}
    for number in (3, 2001):
        for part, layer in layers.items():
            colors = np.dstack([np.where(layer, 255, 0).astype(np.uint8)] * 3)
            put(root / f"CelebAMask-HQ-mask-anno/{number // 2000}/{number:05d}_{part}.png", encoded(colors))


def write_helen(root: Path) -> None:
    for number in range(11):
        likely = np.where(eleven() == number, 200, 20).astype(np.uint8)
        put(root / f"labels/a_1/a_1_lbl{number:02d}.png", encoded(likely))
    put(root / "labels/b_1/b_1_lbl00.png", encoded(PIXELS[:, :, 0]))
    for name in ("a_1", "b_1"):
        put(root / f"images/{name}.jpg", encoded(PIXELS, ".jpg"))
    put(root / "testing.txt", "1 , a_1\n2 , b_1\n3 , c_1\n")


def write_lapa(root: Path) -> None:
    for name in "ab":
        put(root / f"test/images/{name}.jpg", encoded(PIXELS, ".jpg"))
    put(root / "test/labels/a.png", encoded(eleven()))
    put(root / "test/labels/c.png", encoded(eleven()))


def write_lfw_parts(root: Path) -> None:
    classes = np.where(FACE, 1, np.where(np.arange(120)[:, None] < 30, 0, 2))
    colors = np.eye(3, dtype=np.uint8)[classes] * 255
    blocks = np.arange(120)[:, None] // 10 * 16 + np.arange(160)[None] // 10
    for name in ("Ann_Lee_0001", "Bo_0002"):
        person = name.rpartition("_")[0]
        put(root / f"lfw_funneled/{person}/{name}.jpg", encoded(PIXELS, ".jpg"))
        put(root / f"parts_lfw_funneled_gt_images/{name}.ppm", encoded(colors, ".ppm"))
    put(root / "parts_lfw_funneled_superpixels_mat/Ann_Lee/Ann_Lee_0001.dat",
        "\n".join(" ".join(map(str, row)) for row in blocks))
    put(root / "parts_test.txt", "Ann_Lee 1\nBo 2\nBo 3\n")


WRITERS: dict[str, Callable[[Path], None]] = {
    "cofw": write_cofw, "faceocc": write_faceocc, "celebamask_hq": write_celebamask, "helen": write_helen,
    "lapa": write_lapa, "lfw_parts": write_lfw_parts}


@pytest.mark.parametrize(("protocol", "layout", "sets", "problems"), [
    ("occlusion", "cofw", {"cofw": 1}, 3), ("occlusion", "faceocc", {"cofw_test": 1, "faceocc": 1}, 2),
    ("occlusion", "celebamask_hq", {"celebamask_hq (all)": 2}, 1),
    ("parsing", "celebamask_hq", {"celebamask_hq (all)": 2}, 1), ("parsing", "helen", {"helen_parts": 1}, 2),
    ("parsing", "lapa", {"lapa": 1}, 2), ("parsing", "lfw_parts", {"lfw_parts": 1}, 2)])
def test_protocols_read_a_layout(protocol: str, layout: str, sets: dict[str, int], problems: int,
                                 tmp_path: Path) -> None:
    WRITERS[layout](tmp_path)
    report = evaluate(protocol, EvaluateOptions(data=tmp_path, layout=layout),
                      engines={**blobs.engines(), "parse": parse_engine()})
    assert {line["name"]: line["faces"] for line in report.results
            if line["group"] == "set" and line["system"] == "network"} == sets
    assert sum(len(found.problems) for found in report.sets) == problems
    for line in report.results:
        if line["group"] == "set" and line["system"] == "network":
            if protocol == "occlusion":
                assert line["accuracy"] > 0.9
            else:  # the fake network knows no hair and no eyes
                assert line["f1"]["face" if layout == "lfw_parts" else "skin"] > 0.85
            if layout == "lfw_parts":
                assert line["superpixel_accuracy"] == pytest.approx(line["accuracy"], abs=0.05)
            if protocol == "parsing":
                given = layout == "lfw_parts"
                source = "given by the data set" if given else "by SLIC"
                assert line["superpixels_from"] == ("data set" if given else "SLIC") and line["superpixels"] > 0
                assert (report.settings["superpixels"] is None) == given
                assert f"{line['name']}: super-pixels {source}" in report.text()
    with pytest.raises(InputError):
        evaluate(protocol, EvaluateOptions(data=tmp_path / "nowhere", layout=layout), engines=blobs.engines())


def test_cofw_is_read_from_matlabs_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three training pictures, masks for the last two of them; boxes count from 1."""
    monkeypatch.setattr(cofw, "MASKS", 2)
    write_cofw(tmp_path)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    cells = np.empty((3, 1), object)
    for k in range(3):
        cells[k, 0] = np.full_like(PIXELS, 10 * k) if k == 0 else PIXELS
    boxes = np.array([[1, 1, 5, 5], [61, 31, 40, 50], [61, 31, 40, 50]], float)
    scipy.io.savemat(tmp_path / "COFW_train_color.mat", {"IsTr": cells, "bboxesTr": boxes})
    for path in (tmp_path / "masks").iterdir():
        path.unlink()
    put(tmp_path / "masks/mask_1.png", encoded(SEEN))
    put(tmp_path / "masks/mask_9.png", encoded(SEEN))
    (one,) = cofw.masks(tmp_path)
    (face,) = one.faces()
    assert face.sample.path == "COFW_train_color.mat:2" and np.array_equal(face.pixels, PIXELS)
    assert face.label.box_xyxy is not None and face.label.box_xyxy.tolist() == [60, 30, 100, 80]
    assert face.label.valid.sum() == 40 * 50 and "got no picture 9" in str(one.found.problems["mask_9.png"])


def test_cofw_is_scored_in_its_box(tmp_path: Path) -> None:
    write_cofw(tmp_path)
    (one,) = cofw.masks(tmp_path)
    (face,) = one.faces()
    inside = np.zeros_like(FACE)
    inside[24:96, 50:110] = True
    assert (face.label.valid == inside).all() and face.label.rule is Rule.FACE_OR_NOT
    assert (face.label.truth == (FACE & ~HIDDEN)).all()
    said = {key: problem.what for key, problem in one.found.problems.items()}
    assert "label without its picture" in said["3"] and "no box for picture 2" in said["images/2.png"]
    assert "outside of the picture" in said["images/12.png"]
    put(tmp_path / "boxes.csv", "1,50,24,60\n")
    with pytest.raises(InputError, match="got the row '1,50,24,60'"):
        cofw.masks(tmp_path)


def test_faceocc_has_seen_faces_and_occluders(tmp_path: Path) -> None:
    write_faceocc(tmp_path)
    test, hidden = faceocc.masks(tmp_path)
    (face,), (covered,) = test.faces(), hidden.faces()
    assert (face.label.truth == (FACE & ~HIDDEN)).all() and face.label.valid.all()
    assert (covered.pixels == PIXELS).all() and covered.label.box_xyxy is None
    assert (covered.label.truth == np.where(HIDDEN, 2, 0)).all() and covered.label.rule is Rule.OCCLUDER_OR_NOT
    assert "without an alpha channel" in hidden.found.problems["ffhq/2.png"].what
    assert "picture without its label" in test.found.problems["b"].what
    with pytest.raises(InputError, match="expected the folders of FaceOcc"):
        faceocc.masks(tmp_path / "ffhq")


def test_celebamask_joins_its_parts_and_takes_the_test_pictures(tmp_path: Path) -> None:
    write_celebamask(tmp_path)
    (one,) = celebamask.parts(tmp_path)
    faces = list(one.faces())
    wanted = parsing_of(FACE, HIDDEN)
    wanted[wanted == 13] = 0
    assert len(faces) == 2 and (faces[0].label.truth[::2, ::2] == wanted).all()
    assert one.found.problems["4"].what == "picture without its label"
    put(tmp_path / celebamask.MAPPING, "idx orig_idx orig_file\n3 119613 119613.jpg\n2001 182638 182638.jpg\n")
    (one,) = celebamask.masks(tmp_path)
    assert one.found.name == "celebamask_hq (test)" and [f.sample.origin for f in one.faces()] == ["2001"]
    assert not one.found.problems
    put(tmp_path / "CelebAMask-HQ-mask-anno/1/02001_hair.png", encoded(SEEN[:50]))
    (one,) = celebamask.masks(tmp_path)
    assert not list(one.faces()) and "02001_hair.png" in str(list(one.found.problems.values()))


def test_helen_takes_the_likeliest_part(tmp_path: Path) -> None:
    write_helen(tmp_path)
    (one,) = helen.parts(tmp_path)
    (face,) = one.faces()
    truth = face.label.truth
    assert (truth[45:50, 65:70] == NUMBER["left_eye"]).all() and (truth[45:50, 90:95] == NUMBER["left_eye"]).all()
    assert (truth[55:65, 75:85] == NUMBER["nose"]).all() and (truth[75] == np.where(FACE[75], NUMBER["skin"], 0)).all()
    said = one.found.problems
    assert "b_1_lbl01.png" in said["images/b_1.jpg"].what and said["c_1"].what == "label without its picture"
    put(tmp_path / "testing.txt", "a_1\n")
    with pytest.raises(InputError, match="expected 'number , NAME'"):
        helen.parts(tmp_path)


def test_lapa_reads_label_maps(tmp_path: Path) -> None:
    write_lapa(tmp_path)
    (one,) = lapa.parts(tmp_path)
    (face,) = one.faces()
    assert (face.label.truth[:10] == NUMBER["hair"]).all() and face.label.superpixels is None
    assert {key: problem.what for key, problem in one.found.problems.items()} == {
        "b": "picture without its label", "c": "label without its picture"}


def test_lfw_parts_have_colours_and_super_pixels(tmp_path: Path) -> None:
    write_lfw_parts(tmp_path)
    (one,) = lfw_parts.parts(tmp_path)
    (face,) = one.faces()
    assert (face.label.truth[FACE] == NUMBER["skin"]).all() and (face.label.truth[:20] == NUMBER["hair"]).all()
    assert face.label.superpixels is not None and face.label.superpixels.max() == 191 and face.label.box_xyxy is None
    said = one.found.problems
    assert "Bo_0002.dat" in said["lfw_funneled/Bo/Bo_0002.jpg"].what
    assert said["Bo_0003"].what == "label without its picture"
    put(tmp_path / "parts_lfw_funneled_gt_images/Ann_Lee_0001.ppm", encoded(PIXELS, ".ppm"))
    (one,) = lfw_parts.parts(tmp_path)
    assert not list(one.faces()) and "not red, green or blue" in str(list(one.found.problems.values()))
