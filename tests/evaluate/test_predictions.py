"""Files of other systems: scored by the same code, and everything that can be wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import predictions
from rtface.evaluate.commands import EvaluateOptions, evaluate
from rtface.evaluate.dataset import Pack
from rtface.evaluate.predictions import BOXES, CLASSES, POINTS, VERTICES, Predictions
from rtface.geometry import boxes_from_landmarks
from tests import blobs
from tests.evaluate.packs import PackWriter, small_pack

SETS = ("lfpw_test", "helen_test")


def truth(pack: Path) -> dict[str, np.ndarray]:
    found = Pack(pack)
    return {s.path: s.points for name in SETS for s in found.landmarks(name).samples if s.points is not None}


def test_landmarks_of_a_file_are_scored_as_any_other_system(tmp_path: Path) -> None:
    pack = small_pack(tmp_path / "pack")
    points = truth(pack)
    lost, left_out, bent, *_ = points
    arrays = {path: value + [3.0, 4.0] for path, value in points.items() if path != left_out}
    arrays[lost], arrays[bent], arrays["stray"] = np.zeros((0, 2)), arrays[bent][:5], np.zeros((68, 2))
    np.savez(tmp_path / "theirs.npz", **arrays)
    options = EvaluateOptions(data=pack, sets=SETS, peer=(f"theirs={tmp_path / 'theirs.npz'}",), peers_only=True)
    report = evaluate("landmarks", options)
    assert {line["system"] for line in report.results} == {"theirs"}
    lines = {line["name"]: line for line in report.results}
    assert (lines["lfpw_test"]["not_found"], lines["helen_test"]["not_found"]) == (3, 0)
    corners = points[list(points)[-1]][[36, 45]]
    assert lines["helen_test"]["nme"] == pytest.approx(5 / np.linalg.norm(corners[1] - corners[0]), rel=1e-4)
    text = report.text()
    assert f"theirs: 1 of 6 pictures are not in theirs.npz and count as not found: {left_out}" in text
    assert f"{bent} (got an array (5, 2), expected points of shape (68, 2))" in text
    assert "1 arrays of theirs.npz belong to no picture measured here: stray" in text
    told = report.document()["settings"]["peer_files"]["theirs"]
    assert told["missing"] == [left_out] and list(told["wrong"]) == [bent] and told["unused"] == 1


def test_boxes_of_a_file_are_judged_by_the_labels(tmp_path: Path) -> None:
    pack = small_pack(tmp_path / "pack")
    boxes = {path: boxes_from_landmarks(value[None]) for path, value in truth(pack).items()}
    first = next(iter(boxes))
    arrays = {path: np.concatenate([box, [[0.9]]], axis=1) if path != first else box for path, box in boxes.items()}
    arrays[list(arrays)[1]] = np.zeros((0, 5))
    np.savez(tmp_path / "theirs.npz", **arrays)
    options = EvaluateOptions(data=pack, sets=SETS, peer=(f"theirs={tmp_path / 'theirs.npz'}",))
    report = evaluate("detector", options, engines=blobs.engines())
    lines = {(line["set"], line["subject"]): line for line in report.results if line["kind"] == "as_is"}
    assert (lines["all", "theirs"]["hits"], lines["all", "theirs"]["references"]) == (5, 6)
    assert lines["helen_test", "theirs"]["mean_iou"] == pytest.approx(1.0) and lines["all", "rtface"]["hits"] == 6


def test_embeddings_of_a_file_are_compared_by_their_cosine(tmp_path: Path) -> None:
    writer = PackWriter(tmp_path)
    writer.add_set("lfw", "pairs", task="verification_pairs", files=3, labelled=False)
    writer.sets["lfw"]["labels"] = "pairs/pairs.csv"
    for name in "abc":
        writer.add_picture("lfw", f"pairs/images/{name}.png", [(60.0, 60.0, 50.0, 0)])
    rows = [f"{k % 2},a.png,{other},{same}" for k in range(4) for other, same in (("b.png", 1), ("c.png", 0))]
    (tmp_path / "pairs/pairs.csv").write_text("\n".join(["fold,file1,file2,same", *rows]))
    path = "pairs/images/{}.png".format
    np.savez(tmp_path / "net.npz", **{path("a"): [1.0, 0, 0], path("b"): [5.0, 1, 0], path("c"): [0.0, 0, 2]})
    options = EvaluateOptions(data=writer.write(), peer=(f"net={tmp_path / 'net.npz'}",), peers_only=True)
    (line,) = evaluate("verification", options).results
    assert (line["system"], line["accuracy"], line["not_found"]) == ("net", 1.0, 0)
    options = EvaluateOptions(data=tmp_path, peer=options.peer)
    assert [r["system"] for r in evaluate("verification", options, engines=blobs.engines()).results][-1] == "net"


@pytest.mark.parametrize(("kind", "value", "message"), [
    (POINTS, np.full((68, 2), np.nan), "got NaN"), (POINTS, np.full((68, 2), "x"), "got <U1, expected numbers"),
    (BOXES, np.zeros((3, 6)), r"expected boxes of shape \(any, 5\) or \(any, 4\)"),
    (CLASSES, np.zeros((4, 4)), "got float64, expected whole numbers"), (VERTICES, np.zeros((9, 2)), "expected vert"),
    (POINTS, np.array([None]), "allow_pickle")])
def test_arrays_that_cannot_be_used_are_told(kind: predictions.Kind, value: np.ndarray, message: str,
                                             tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=value)
    one = Predictions("a", tmp_path / "a.npz", kind)
    assert one.of("x") is None and not one.missing
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(one.wrong["x"])


def test_masks_and_meshes_are_read_as_well(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([[0, 1], [2, 1]], np.uint8))
    got = Predictions("a", tmp_path / "a.npz", CLASSES).of("x")
    assert got is not None and got.dtype == np.int64 and got[1, 0] == 2
    np.savez(tmp_path / "b.npz", x=np.ones((5, 3), np.float32))
    got = Predictions("b", tmp_path / "b.npz", VERTICES).of("x")
    assert got is not None and got.shape == (5, 3) and got.dtype == np.float64


def test_wrong_files_and_names_are_one_clear_error(tmp_path: Path) -> None:
    for text in ("theirs", "=a.npz", "theirs="):
        with pytest.raises(InputError, match="expected NAME=FILE.npz"):
            Predictions.parse(text, POINTS)
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04")
    np.save(tmp_path / "single.npy", np.zeros(3))
    np.savez(tmp_path / "empty.npz")
    for name, message in (("gone.npz", "No such file"), ("torn.npz", "expected NumPy's .npz"),
                          ("single.npy", "no named arrays"), ("empty.npz", "no named arrays")):
        with pytest.raises(InputError, match=message):
            Predictions("a", tmp_path / name, POINTS)
    np.savez(tmp_path / "good.npz", x=np.zeros(3))
    for names in (("network", ), ("a", "a")):
        with pytest.raises(InputError, match="twice or for a system that is there already"):
            predictions.load_all([f"{name}={tmp_path / 'good.npz'}" for name in names], POINTS, ("network",))
    pack = small_pack(tmp_path / "pack")
    for protocol in ("videos",):
        with pytest.raises(InputError, match=f"--peer: got a value, but the protocol {protocol}"):
            evaluate(protocol, EvaluateOptions(data=pack, peer=("a=b.npz",)), engines=blobs.engines())
