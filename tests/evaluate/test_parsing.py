"""The protocol of parts: class tables of datasets, scores in their classes, the command."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import parsing, superpixels
from rtface.evaluate.commands import EvaluateOptions, evaluate
from rtface.evaluate.dataset import Pack, Sample
from rtface.evaluate.networks import LandmarkNetwork
from rtface.evaluate.parts import (
    ALL_PARTS,
    ELEVEN_PARTS,
    NUMBER,
    THREE_PARTS,
    ParsedFace,
    PartLabel,
    PartSet,
    Scheme,
    part_set,
)
from rtface.evaluate.placing import ClassNetwork
from tests import blobs
from tests.evaluate.class_packs import class_pack, hidden_face, parse_engine, parsing_of


def numbers(*names: str) -> list[int]:
    return [NUMBER[name] for name in names]


def test_nineteen_classes_stay_as_they_are() -> None:
    every = np.arange(19, dtype=np.uint8)[None]
    assert (ALL_PARTS.from_label(every) == every).all() and ALL_PARTS.classes == tuple(range(19))
    with pytest.raises(InputError, match="got class 19, expected 0 to 18"):
        ALL_PARTS.from_label(every + 1)


def test_eleven_parts_have_no_sides_ears_or_spectacles() -> None:
    label = ELEVEN_PARTS.from_label(np.arange(11, dtype=np.uint8)[None])[0].tolist()
    assert label == numbers("background", "skin", "left_brow", "left_brow", "left_eye", "left_eye", "nose", "upper_lip",
                            "mouth", "lower_lip", "hair")
    asked = numbers("right_eye", "right_brow", "eye_glasses", "left_ear", "neck", "hat", "hair", "mouth")
    told = ELEVEN_PARTS.merge(np.array([asked], np.uint8))[0].tolist()
    assert told == numbers("left_eye", "left_brow", "skin", "background", "background", "background", "hair", "mouth")
    assert len(ELEVEN_PARTS.classes) == 9
    assert ELEVEN_PARTS.name_of(NUMBER["left_eye"]) == "eyes" and ELEVEN_PARTS.name_of(NUMBER["nose"]) == "nose"


def test_three_parts_join_the_face_with_ears_and_neck() -> None:
    label = THREE_PARTS.from_label(np.arange(3, dtype=np.uint8)[None])[0].tolist()
    assert label == numbers("hair", "skin", "background")
    told = THREE_PARTS.merge(np.arange(19, dtype=np.uint8)[None])[0]
    assert set(told.tolist()) == set(THREE_PARTS.classes) == set(numbers("hair", "skin", "background"))
    assert (told == NUMBER["background"]).nonzero()[0].tolist() == sorted(
        numbers("background", "hat", "earring", "necklace", "cloth"))


def test_a_scheme_of_unknown_or_chained_names_is_an_error() -> None:
    with pytest.raises(InputError, match="got the class 'beard'"):
        Scheme(("background", "beard"), {}, {})
    with pytest.raises(InputError, match="both as a name and as renamed"):
        Scheme(("background",), {"hat": "hair", "hair": "skin"}, {})


def test_scores_by_hand() -> None:
    truth = np.array([[1, 1, 2, 0]], np.uint8)
    face = ParsedFace(Sample("a", Path("a"), "free"), np.zeros((1, 4, 3), np.uint8),
                      PartLabel(truth, None, np.array([[0, 0, 0, 1]])))
    everywhere = np.ones((1, 4), bool)
    numbers = parsing.superpixels_of(face, everywhere)
    assert numbers is face.label.superpixels
    row = parsing.score(face, ALL_PARTS, np.array([[1, 2, 2, 0]], np.uint8), everywhere, numbers)
    line = parsing.figures([row], ALL_PARTS)
    assert line["f1"]["skin"] == pytest.approx(2 / 3) and line["f1"]["nose"] == pytest.approx(2 / 3)
    assert line["f1"]["background"] == 1.0 and np.isnan(line["f1"]["hat"])
    assert line["mean_f1"] == pytest.approx(2 / 3) and line["accuracy"] == 0.75
    assert row.superpixels == (1, 2) and line["superpixel_accuracy"] == 0.5 and line["superpixels"] == 2
    assert line["superpixels_from"] == "data set"
    assert line["shown_in"]["skin"] == 1 and line["shown_in"]["hat"] == 0
    part = parsing.score(face, ALL_PARTS, truth, np.array([[True, False, False, False]]), numbers)
    assert part.counts.sum() == 1


def quadrants(*values: object) -> np.ndarray:
    """(40, 40, …): one value per quadrant, upper left, upper right, lower left, lower right."""
    upper_left, upper_right, lower_left, lower_right = (np.full((20, 20, *np.shape(v)), v, np.uint8) for v in values)
    return np.vstack([np.hstack([upper_left, upper_right]), np.hstack([lower_left, lower_right])])


def test_super_pixels_are_made_where_a_data_set_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four flat colours are four super-pixels; 45 % of one wrong leaves it right, 55 % of another does not."""
    monkeypatch.setattr(parsing.superpixels, "slic", partial(superpixels.slic, segments=4))
    pixels, truth = quadrants((200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)), quadrants(1, 2, 10, 0)
    face = ParsedFace(Sample("a", Path("a"), "free"), pixels, PartLabel(truth, None))
    predicted = truth.copy()
    predicted[:9, :20], predicted[:11, 20:] = 17, 17
    everywhere = np.ones((40, 40), bool)
    row = parsing.score(face, ALL_PARTS, predicted, everywhere, parsing.superpixels_of(face, everywhere))
    line = parsing.figures([row], ALL_PARTS)
    assert row.superpixels == (3, 4) and line["superpixel_accuracy"] == 0.75 and line["accuracy"] == 0.75
    assert line["superpixels_from"] == "SLIC" and line["superpixels"] == 4


def test_without_scored_pixels_there_is_no_figure_of_super_pixels() -> None:
    line = parsing.figures([parsing.Scored("a", np.eye(19, dtype=np.int64), (0, 0), "SLIC")], ALL_PARTS)
    assert np.isnan(line["superpixel_accuracy"]) and line["mean_f1"] == 1.0


def test_the_protocol_scores_what_lies_in_the_crop(tmp_path: Path) -> None:
    pack = class_pack(tmp_path / "pack")
    engines = {**blobs.engines(), "parse": parse_engine()}
    report = evaluate("parsing", EvaluateOptions(data=pack, sheet_all=tmp_path / "private"), engines=engines)
    (line,) = report.results
    assert line["faces"] == 1 and line["f1"]["skin"] > 0.9 and line["f1"]["eye_glasses"] > 0.7  # the bar goes on
    assert line["f1"]["hair"] == 0.0 and np.isnan(line["f1"]["hat"])  # the fake network knows no hair
    assert 0.3 < line["f1"]["nose"] < 1 and line["fps"] > 0
    assert "celebamask_hq: F1 by class" in report.text()
    assert "celebamask_hq: super-pixels by SLIC of scikit-image" in report.text()
    assert report.settings["superpixels"]["segments"] == superpixels.SEGMENTS < 2 * line["superpixels"]
    assert line["superpixel_accuracy"] == pytest.approx(line["accuracy"], abs=0.1)
    assert [path.name for path in (tmp_path / "private").iterdir()] == ["worst_celebamask_hq.jpg"]
    with pytest.raises(InputError, match="expected one of celebamask_hq"):
        evaluate("parsing", EvaluateOptions(data=pack, sets=("handdrawn",)), engines=engines)


def test_predictions_of_others_are_scored_in_the_same_pixels(tmp_path: Path) -> None:
    pack, engines = Pack(class_pack(tmp_path)), blobs.engines()
    _, face, hidden = hidden_face()
    right = parsing_of(face, hidden)
    systems = parsing.Systems(LandmarkNetwork(engines["landmarks"]), ClassNetwork(parse_engine(nose=False)), None,
                              {"right": {"celeb/images/d.png": right}, "absent": {}})
    parsed = part_set(pack, "celebamask_hq")
    report = parsing.run([parsed], systems)
    lines = {line["system"]: line for line in report.results}
    assert set(lines) == {"network", "right"} and lines["right"]["accuracy"] == lines["right"]["mean_f1"] == 1.0
    assert lines["network"]["f1"]["nose"] == 0.0 and np.isnan(lines["right"]["fps"])
    assert "absent: no prediction" in str(list(parsed.found.problems.values()))


def test_labels_of_other_classes_are_problems(tmp_path: Path) -> None:
    pack = Pack(class_pack(tmp_path))
    one = part_set(pack, "celebamask_hq")
    narrow = Scheme(("background", "skin"), {}, {})

    def read(sample: Sample, pixels: np.ndarray) -> PartLabel:
        return PartLabel(narrow.from_label(np.full(pixels.shape[:2], 7, np.uint8)), None)

    assert not list(PartSet(one.found, narrow, read).faces())
    assert "got class 7, expected 0 to 1" in one.found.problems["celeb/images/d.png"].what
