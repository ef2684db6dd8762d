"""Verification: measures on cases counted by hand, tables of pairs, and the protocol on painted faces."""

from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import looks, pairs
from rtface.evaluate import verification as ver
from rtface.evaluate.commands import EvaluateOptions, evaluate
from rtface.evaluate.dataset import Pack
from rtface.io import read_picture
from tests import blobs
from tests.evaluate.packs import PackWriter

SAME = np.array([True] * 4 + [False] * 4)
MIXED = np.array([0.9, 0.8, 0.6, 0.3, 0.7, 0.4, 0.2, 0.1])


def test_equal_error_rate_by_hand():
    assert ver.equal_error_rate(np.where(SAME, 1.0, 0.0), SAME) == 0.0
    assert ver.equal_error_rate(np.where(SAME, 0.0, 1.0), SAME) == 1.0
    assert ver.equal_error_rate(MIXED, SAME) == pytest.approx(0.25)  # from 0.6 on: 1 of 4 each way
    assert ver.equal_error_rate(np.zeros(8), SAME) == pytest.approx(0.5)
    assert np.isnan(ver.equal_error_rate(MIXED[:4], SAME[:4]))


def test_area_under_the_curve_counts_ordered_pairs():
    assert ver.area_under_roc(MIXED, SAME) == pytest.approx((4 + 4 + 3 + 2) / 16)
    assert ver.area_under_roc(np.zeros(8), SAME) == 0.5 and np.isnan(ver.area_under_roc(MIXED[4:], SAME[4:]))


def test_thresholds_come_from_the_other_folds():
    assert ver.best_threshold(MIXED, SAME) == pytest.approx(0.25)  # six right; so have 0.5 and 0.75
    assert ver.best_threshold(np.where(SAME, 0.9, 0.2), SAME) == pytest.approx(0.55)
    scores = np.array([0.9, 0.1, 0.9, 0.1, 0.2, 0.8])
    same = np.array([True, False] * 3)
    folds = np.array([0, 0, 1, 1, 2, 2])
    assert ver.fold_accuracies(scores, same, folds)[2] == 0  # the third fold is the wrong way round
    with pytest.raises(InputError, match="got 1, expected at least 2"):
        ver.fold_accuracies(scores, same, np.zeros(6, np.int64))


def test_both_kinds_of_tables_are_read(tmp_path: Path):
    (tmp_path / "a.csv").write_text("fold,file1,file2,same\n3,x.jpg,y.jpg,1\n4,x.jpg,z.jpg,0\n")
    (tmp_path / "b.csv").write_text("file_x,file_y,Decision\nx.jpg,y.jpg,Yes\ny.jpg,z.jpg,No\n")
    numbered = pairs.read_pairs(tmp_path / "a.csv", "p")
    assert numbered == [("p/x.jpg", "p/y.jpg", True, 3), ("p/x.jpg", "p/z.jpg", False, 4)]
    assert [p.fold for p in pairs.read_pairs(tmp_path / "b.csv", "p")] == [0, 1]


@pytest.mark.parametrize(("text", "message"), [
    ("fold,file1,file2,same\n", "got no pairs"), ("fold,file1,file2,same\n1,x.jpg,,1\n", "line 2: got"),
    ("fold,file1,file2,same\n1,x.jpg,y.jpg,maybe\n", "expected two file names and same 1/0"),
    ("fold,file1,file2,same\nfirst,x.jpg,y.jpg,1\n", "got fold 'first'")])
def test_damaged_tables_are_named(tmp_path: Path, text: str, message: str):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        pairs.read_pairs(tmp_path / "pairs.csv", "p")


def test_pairs_without_faces_score_lowest():
    judged = [pairs.Pair("a", other, other == "b", k % 2) for other in "bc" for k in range(4)]
    unit = np.array([1.0, 0.0])
    line = ver.figures(ver.judge("s", "shape", "none", judged, {("shape", False): {"a": unit, "b": unit}}))
    assert line["not_found"] == 4 and line["accuracy"] == 1.0 and line["one_minus_eer"] == 1.0


def test_the_protocol_codes_every_picture_once_and_names_what_is_missing(tmp_path: Path):
    writer = PackWriter(tmp_path)
    writer.add_set("lfw", "pairs", task="verification_pairs", files=3, labelled=False)
    writer.sets["lfw"]["labels"] = "pairs/pairs.csv"
    for name, face in (("a", (60.0, 60.0, 50.0, 0)), ("b", (90.0, 60.0, 50.0, 1))):
        writer.add_picture("lfw", f"pairs/images/{name}.png", [face])
    writer.add_picture("lfw", "pairs/images/empty.png", [])
    rows = [f"{k % 2},a.png,{other},{same}" for k in range(4) for other, same in (("b.png", 1), ("empty.png", 0))]
    (tmp_path / "pairs").mkdir(exist_ok=True)
    (tmp_path / "pairs/pairs.csv").write_text("\n".join(["fold,file1,file2,same", *rows, "0,a.png,gone.png,1"]))
    writer.write()
    report = evaluate("verification", EvaluateOptions(data=tmp_path), engines=blobs.engines())
    assert [(line["system"], line["glasses"]) for line in report.results] == [
        (system, glasses) for glasses in ("none", "one", "both") for system in ver.SYSTEMS]
    assert all((line["pairs"], line["not_found"]) == (8, 4) for line in report.results)
    text = report.text()
    assert "no face found" in text and "gone.png" in text
    with pytest.raises(InputError, match="--peers"):
        evaluate("verification", EvaluateOptions(data=tmp_path, peers=tmp_path), engines=blobs.engines())


def test_glasses_are_on_the_second_picture_or_on_both():
    a, b = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    known = {("shape", False): {"x": a, "y": a}, ("shape", True): {"x": b, "y": b}}
    pair = pairs.Pair("x", "y", True, 0)
    scores = {glasses: ver.judge("s", "shape", glasses, [pair], known).scores[0] for glasses in ver.GLASSES}
    assert scores == {"none": 1.0, "one": 0.0, "both": 1.0}
    del known["shape", True]["x"]  # not found any more with glasses on
    assert ver.judge("s", "shape", "one", [pair], known).scores[0] == 0.0
    assert ver.judge("s", "shape", "both", [pair], known).scores[0] == ver.NOT_FOUND


def test_the_most_wrong_pairs_can_be_looked_at(tmp_path: Path):
    writer = PackWriter(tmp_path)
    writer.add_set("lfw", "pairs", labelled=False)
    for name in "abc":
        writer.add_picture("lfw", f"pairs/{name}.png", [(60.0, 60.0, 50.0, 0)])
    pictures = {sample.path: sample for sample in Pack(writer.write()).pictures("lfw").samples}
    a, b, c = sorted(pictures)
    judged = [pairs.Pair(a, b, True, 0), pairs.Pair(a, c, False, 0), pairs.Pair(b, c, False, 0),
              pairs.Pair(b, b, True, 1), pairs.Pair(c, c, True, 1), pairs.Pair(c, b, False, 1),
              pairs.Pair(c, a, False, 1)]
    scores = np.array([0.1, 0.9, ver.NOT_FOUND, 0.8, 0.95, 0.2, 0.3])  # the first two are wrong, from 0.55 on
    looks.wrong_pairs([ver.Judged("lfw", "shape + albedo", glasses, judged, scores) for glasses in ver.GLASSES],
                      pictures, tmp_path / "look", side=60, columns=1)
    assert [p.name for p in (tmp_path / "look").iterdir()] == ["wrong_lfw_shape___albedo.jpg"]
    sheet = read_picture(tmp_path / "look/wrong_lfw_shape___albedo.jpg")
    assert sheet.shape == (2 * (60 + 18) + 4, 120, 3)
    looks.wrong_pairs([ver.Judged("lfw", "shape", "none", judged[3:], scores[3:])], pictures, tmp_path / "none")
    assert not (tmp_path / "none").exists()  # nothing is wrong
