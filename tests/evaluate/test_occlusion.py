"""The protocol of masks: scores by the rule of a label, by kind, on boxes, and of other systems."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError, ModelFileError
from rtface.evaluate import occlusion as occ
from rtface.evaluate import segmentation as seg
from rtface.evaluate.commands import EvaluateOptions, evaluate
from rtface.evaluate.dataset import Pack, Sample
from rtface.evaluate.masks import Label, MaskedFace, Rule, mask_set
from rtface.evaluate.networks import LandmarkNetwork, NetworkOptions
from rtface.evaluate.placing import ClassNetwork
from tests import blobs
from tests.evaluate.class_packs import class_pack, hidden_face

TRUTH = np.array([[0, 1, 1, 2], [0, 1, 1, 2]], np.uint8)
HIDDEN = TRUTH == 2


def face_of(rule: Rule, truth: np.ndarray = TRUTH, valid: np.ndarray | None = None) -> MaskedFace:
    label = Label(truth, np.ones(truth.shape, bool) if valid is None else valid, rule, None, {"bar": truth == 2})
    return MaskedFace(Sample("a.png", Path("a.png"), "free"), np.zeros((*truth.shape, 3), np.uint8), label)


def test_scores_by_hand() -> None:
    predicted = np.array([[0, 1, 0, 1], [0, 1, 1, 2]], np.uint8)
    inside = occ.score(face_of(Rule.SEEN_OR_HIDDEN, valid=TRUTH > 0), predicted)
    assert inside.counts.tolist() == [[0, 0, 0], [0, 3, 1], [0, 1, 1]]
    assert inside.kinds == {"bar": occ.KindPixels(2, 1, 1)}
    assert inside.islands == 0  # what is hidden by mistake touches the bar by a corner
    line = occ.figures([inside])
    assert line["iou_face"] == pytest.approx(3 / 5) and line["iou_occluder"] == pytest.approx(1 / 3)
    assert line["accuracy"] == pytest.approx(4 / 6) and line["recall_face"] == pytest.approx(3 / 4)
    assert line["recall_all"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert line["iou_face_95"] == pytest.approx((0.6, 0.6))  # of one picture
    seen = occ.score(face_of(Rule.FACE_OR_NOT, np.minimum(TRUTH, 1) * (TRUTH < 2)), predicted)
    assert seen.counts.tolist() == [[3, 1, 0], [1, 3, 0], [0, 0, 0]]
    hides = occ.score(face_of(Rule.OCCLUDER_OR_NOT, np.where(HIDDEN, 2, 0).astype(np.uint8)), predicted)
    assert hides.counts.tolist() == [[6, 0, 0], [0, 0, 0], [1, 0, 1]]


def test_pixels_of_pictures_add_up_and_means_are_over_pictures() -> None:
    good = occ.score(face_of(Rule.SEEN_OR_HIDDEN, valid=TRUTH > 0), TRUTH)
    bad = occ.score(face_of(Rule.SEEN_OR_HIDDEN, valid=TRUTH > 0), np.zeros_like(TRUTH))
    line = occ.figures([good, bad])
    assert line["iou_face"] == pytest.approx(4 / 8) and line["iou_face_mean"] == pytest.approx(0.5)
    assert line["iou_face_95"] == (0.0, 1.0)
    assert occ.kind_figures("bar", [good, bad])["not_face"] == 1.0
    assert occ.kind_figures("bar", [good, bad])["called_occluder"] == 0.5


def test_a_kind_that_is_hardly_there_is_not_shown() -> None:
    truth = np.ones((20, 20), np.uint8)
    truth[0, :4] = 2
    assert not occ.score(face_of(Rule.SEEN_OR_HIDDEN, truth), truth).kinds  # 4 of 400 are not more than 1 %
    truth[0, 4] = 2
    assert occ.score(face_of(Rule.SEEN_OR_HIDDEN, truth), truth).kinds


def test_halves_of_a_box() -> None:
    predicted = np.zeros((10, 10), np.uint8)
    predicted[6:8, 2:6] = 2
    predicted[2, 2:6] = 2
    assert occ.halves_of(predicted, np.array([2, 2, 6, 10], np.float32)) == occ.Halves(0.5, 0.25)
    beyond = occ.halves_of(predicted, np.array([20, 20, 30, 30], np.float32))
    assert np.isnan(beyond.lower) and np.isnan(beyond.upper)


def test_the_protocol_tells_the_network_from_a_guess(tmp_path: Path) -> None:
    pack = class_pack(tmp_path / "pack")
    options = EvaluateOptions(data=pack, sheet_all=tmp_path / "private")
    report = evaluate("occlusion", options, engines=blobs.engines())
    lines = {(line["group"], line["set"], line["system"]): line for line in report.results}
    network, guess = (lines["set", "handdrawn", system] for system in ("network", "all face"))
    assert network["iou_face"] > 0.95 and network["iou_occluder"] > 0.93 and network["fps"] > 0
    assert guess["iou_face"] < 0.85 and guess["recall_face"] > 0.9 and guess["iou_occluder"] < 0.3
    assert lines["kind", "handdrawn", "network"]["called_occluder"] > 0.95
    assert lines["kind", "celebamask_hq", "network"]["not_face"] > 0.95
    assert lines["kind", "celebamask_hq", "all face"]["not_face"] < 0.2
    weak = lines["boxed", "rmfd_masked", "network"]
    assert weak["faces"] == 1 and weak["upper_half"] < 0.01
    assert weak["lower_half"] == pytest.approx(0.475, abs=0.03)  # 20 rows of 40, and soft borders
    document = json.loads(report.json_line())
    assert document["problems"] == 3 and "rmfd_masked: 1 problem, left out:" in report.text()
    assert {path.name for path in (tmp_path / "private").iterdir()} == {
        "worst_handdrawn.jpg", "worst_celebamask_hq.jpg", "worst_rmfd_masked.jpg"}


def test_predictions_of_others_are_scored_and_held_against_the_pictures(tmp_path: Path) -> None:
    pack, engines = Pack(class_pack(tmp_path)), blobs.engines()
    _, face, hidden = hidden_face()
    right = np.where(hidden, 2, np.where(face, 1, 0)).astype(np.uint8)
    given = {"right": {"drawn/images/a.png": right}, "small": {"drawn/images/a.png": right[:50]},
             "wild": {"drawn/images/a.png": right + 2}, "absent": {}}
    systems = occ.Systems(LandmarkNetwork(engines["landmarks"]), None, ClassNetwork(engines["segment"]), given)
    masked = mask_set(pack, "handdrawn")
    report = occ.run([masked], systems)
    lines = {line["system"]: line for line in report.results if line["group"] == "set"}
    assert set(lines) == {"network", "all face", "right"} and lines["right"]["accuracy"] == 1.0
    said = "\n".join(str(problem) for problem in masked.found.problems.values())
    assert "small: got a prediction (50, 160)" in said and "wild: got classes from 2 to 4" in said
    assert "absent: no prediction" in said


@pytest.mark.parametrize("protocol", ["occlusion", "parsing"])
def test_class_maps_come_from_files_of_predictions(tmp_path: Path, protocol: str) -> None:
    pack = class_pack(tmp_path / "pack")
    _, face, hidden = hidden_face()
    maps = {"drawn/images/a.png": np.where(hidden, 2, np.where(face, 1, 0)).astype(np.uint8), "nowhere.png": face}
    np.savez(tmp_path / "other.npz", **maps)
    options = EvaluateOptions(data=pack, peer=(f"other={tmp_path / 'other.npz'}",))
    report = evaluate(protocol, options, engines=blobs.engines())
    told = report.document()["settings"]["peers"]["other"]
    assert told["file"] == "other.npz" and told["missing"] and "other:" in report.text()
    if protocol == "occlusion":
        lines = {line["system"]: line for line in report.results if line["group"] == "set"}
        assert lines["other"]["accuracy"] == 1.0 and told["unused"] == 1
    with pytest.raises(InputError, match="got the name 'network'"):
        evaluate(protocol, EvaluateOptions(data=pack, peer=(f"network={tmp_path / 'other.npz'}",)),
                 engines=blobs.engines())


def test_wrong_options_and_missing_weights(tmp_path: Path) -> None:
    pack = class_pack(tmp_path / "pack")
    for options, message in (({"sets": ("lfw",)}, "expected one of handdrawn, celebamask_hq"),
                             ({"layout": "lapa"}, "--layout: got lapa for the protocol occlusion"),
                             ({"layout": "cofw", "sets": ("x",)}, "occlusion with --layout cofw")):
        with pytest.raises(InputError, match=message):
            evaluate("occlusion", EvaluateOptions(data=pack, **options), engines=blobs.engines())
    for protocol, network in (("occlusion", "segment"), ("parsing", "parse")):
        ours = {name: engine for name, engine in blobs.engines().items() if name not in ("segment", "parse")}
        with pytest.raises(ModelFileError, match=network):
            evaluate(protocol, EvaluateOptions(data=pack, networks=NetworkOptions(weights=tmp_path)), engines=ours)


def test_sparsity_of_the_whole_set_is_a_mean() -> None:
    empty = np.zeros((3, 3), np.int64)
    rows = [occ.Scored("a", empty, islands, {}) for islands in (0, 4)]
    line = occ.figures(rows)
    assert line["sparsity"] == 2.0 and np.isnan(line["accuracy"]) and np.isnan(seg.iou(empty, 1))
