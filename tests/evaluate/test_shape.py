"""Scan to mesh: cases whose distance is known, figures by hand, and the protocol on a rendered head."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import heatmaps, shape
from rtface.evaluate.commands import EvaluateOptions, evaluate
from rtface.evaluate.dataset import SampleSet
from rtface.evaluate.networks import NetworkOptions
from rtface.evaluate.portraits import PX_PER_MM, SIDE, VIEWS, look
from rtface.evaluate.scans import ORDERS, REGIONS, SEVEN, Templates, from_file_axes, make_scan
from rtface.evaluate.shape_cases import Case, people_cases
from rtface.inference import FakeEngine
from rtface.io import read_picture
from rtface.morphable import MorphableModel
from rtface.types import VECTOR_SIZE, Coefficients
from tests import blobs
from tests.evaluate.heads import PLACE, head, pack_with_a_scan, seven


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load(level=0)


@pytest.fixture(scope="module")
def ruler(model: MorphableModel) -> shape.Ruler:
    return shape.Ruler(model)


def somebody(expression: float = 0.0) -> Coefficients:
    vector = np.zeros((1, VECTOR_SIZE), np.float32)
    vector[0, :4] = 2.5, -2.0, 1.5, 2.0
    vector[0, 80 + 24] = expression
    vector[0, -3:] = 1.0, 100, 100
    return Coefficients.from_vector(vector, "rtface-1")


def case_of(ruler: shape.Ruler, person: Coefficients, *, factor: float = 1.0, neutral: bool = False) -> Case:
    """A scan that is this person's own mesh, elsewhere and ``factor`` times as large."""
    vertices = PLACE.apply(ruler.mesh(person.identity, person.expression)) * factor
    points = vertices[ruler.model.landmarks68]
    scan = make_scan("a", vertices[:len(ruler.model.mean)], ruler.model.triangles, seven(points),
                     Templates(ruler.model), points)
    return Case("a", "a", "front", np.zeros((9, 9, 3), np.uint8), scan, neutral, person.identity[0])


def test_the_right_face_has_no_distance_and_the_mean_face_has_one(ruler: shape.Ruler) -> None:
    errors = ruler.measure(case_of(ruler, somebody()), somebody())
    right, mean = errors["rtface"].values, errors["mean face"].values
    assert all(right[name] < 0.02 for name in (*shape.MEASURES, *REGIONS, "identity"))
    assert all(mean[name] > 0.1 for name in (*shape.MEASURES, *REGIONS)) and mean["identity"] > 0.5
    assert mean["p90"] > mean["mean"] > 0 and len(errors["rtface"].points) > 500


def test_size_counts_only_without_scale(ruler: shape.Ruler) -> None:
    values = ruler.measure(case_of(ruler, somebody(), factor=1.1), somebody())["rtface"].values
    assert values["median"] < 0.05 and values["anchored"] < 0.05 and values["metric"] > 1


def test_a_neutral_scan_is_compared_without_expression(ruler: shape.Ruler) -> None:
    smiling = somebody(0.8)
    neutral = case_of(ruler, somebody(), neutral=True)
    assert ruler.measure(neutral, smiling)["rtface"].values["p90"] < 0.05
    assert ruler.measure(replace(neutral, neutral=False), smiling)["rtface"].values["p90"] > 0.5


def test_corresponding_vertices_may_not_slide() -> None:
    grid = np.stack([*np.meshgrid(np.arange(9.0), np.arange(9.0)), np.zeros((9, 9))], axis=-1).reshape(-1, 3)
    bulged = grid + np.outer(np.sin(grid[:, 0]), [0, 0.5, 0])  # within the plane: no distance to it anywhere
    assert shape.corresponding(grid * 2 + 5, grid) < 1e-9 < 0.2 < shape.corresponding(bulged, grid)


def scored(person: str, mine: float, mean: float, found: bool = True) -> shape.Scored:
    case = Case(person, person, "front", np.zeros((9, 9, 3), np.uint8), None)  # type: ignore[arg-type]
    names = (*shape.MEASURES, *REGIONS, "identity")
    errors = {system: shape.Errors(np.zeros(1, np.float32), dict.fromkeys(names, value))
              for system, value in (("rtface", mine), ("mean face", mean))}
    return shape.Scored("a", case, False, errors if found else {})


def test_people_count_alike_however_many_pictures_they_have() -> None:
    rows = [scored("x", 1.0, 2.0), scored("x", 1.0, 2.0), scored("x", 1.0, 2.0), scored("y", 3.0, 3.0),
            scored("z", 9.0, 1.0, found=False)]
    line = shape.figures("a", "all", False, "rtface", rows)
    assert (line["pictures"], line["found"], line["people"]) == (5, 4, 2)
    assert line["median"] == pytest.approx(2.0) and line["median_gain"] == pytest.approx(0.5)
    assert line["median_95"] == pytest.approx((1.0, 3.0)) and line["median_gain_95"] == pytest.approx((0.0, 1.0))
    assert shape.figures("a", "all", False, "mean face", rows)["median"] == pytest.approx(2.5)
    np.testing.assert_allclose(shape.person_means(np.array([1.0, 3.0]), ["x", "x"]), [1, 3])  # one person: pictures


@pytest.mark.parametrize(("interval", "words"), [
    ((0.1, 0.4), "nearer than"), ((-0.4, -0.1), "worse than"), ((-0.1, 0.1), "no difference"), ((np.nan, np.nan), "-")])
def test_a_verdict_needs_an_interval_beside_zero(interval: tuple[float, float], words: str) -> None:
    assert shape.verdict(interval).startswith(words)


def test_the_camera_makes_near_things_larger() -> None:
    points = np.array([[0, 0, 0], [100, 0, 0], [100, 0, -300.0]])
    placed, inverse_w = look(points, np.zeros(3), 600.0, side=SIDE, px_per_mm=PX_PER_MM)
    np.testing.assert_allclose(placed[:, 0] - SIDE / 2, [0, 100 * PX_PER_MM, 200 * PX_PER_MM], rtol=1e-5)
    np.testing.assert_allclose(inverse_w, [1, 1, 2])
    turned, _ = look(points, np.array([0, np.pi / 2, 0]), np.inf)
    assert turned[1, 2] == pytest.approx(-100, abs=1e-3)  # x right → towards the camera: nose to the left


def test_a_drawn_person_is_where_its_scan_is(model: MorphableModel) -> None:
    found = SampleSet("synthetic", (), 0)
    fine = MorphableModel.load()
    case = next(iter(people_cases(found, Templates(fine), 1)))
    again = next(iter(people_cases(SampleSet("synthetic", (), 0), Templates(fine), 1)))
    np.testing.assert_array_equal(case.pixels, again.pixels)
    assert case.pixels.shape == (SIDE, SIDE, 3) and case.pixels.std() > 20 and len(found) == 1
    assert case.scan.vertices.shape == model.mean.shape and case.identity is not None
    assert np.linalg.norm(case.scan.landmarks - fine.mean[fine.landmarks68[list(SEVEN)]], axis=1).max() < 40


def too_long_a_nose(crops: np.ndarray) -> dict[str, np.ndarray]:
    """The fake regressor's pose with one wrong identity and no expression, whatever it sees."""
    vector = blobs.regress(crops)["coefficients"]
    vector[:, :224] = 0
    vector[:, 0] = 3
    return {"coefficients": vector}


def test_the_protocol_renders_a_scan_and_shows_the_worst(model: MorphableModel, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtface.evaluate.shape_cases.VIEWS", VIEWS[::9])
    monkeypatch.setattr("rtface.evaluate.alignment.ICP_POINTS", 200)
    on_the_fine_surface = replace(model, mean=MorphableModel.load().mean[:len(model.mean)])
    pack = pack_with_a_scan(tmp_path / "pack", on_the_fine_surface, np.argsort(ORDERS[1]).tolist())
    engines = {**blobs.engines(), "regressor": FakeEngine(blobs.SPECS["regressor"], too_long_a_nose)}
    report = evaluate("shape", EvaluateOptions(data=pack, sets=("james",), sheet_all=tmp_path / "private",
                                               networks=NetworkOptions(fit=False)), engines=engines)
    whole = [line for line in report.results if line["group"] == "all"]
    assert [(line["glasses"], line["system"]) for line in whole] == [
        (False, "rtface"), (False, "mean face"), (True, "rtface"), (True, "mean face")]
    assert all(line["pictures"] == line["found"] == 2 for line in whole)
    for mine, floor in (whole[:2], whole[2:]):  # the scan is the mean face
        assert all(floor[name] < 0.02 for name in (*shape.MEASURES, *REGIONS)) and mine["median"] > 0.2
        assert mine["median_gain"] == pytest.approx(floor["median"] - mine["median"])
        assert shape.verdict(mine["median_gain_95"]) == "worse than the mean face"
    assert "one person; its intervals are over pictures" in report.text() and "worse than the mean" in report.text()
    assert json.loads(report.json_line())["settings"]["layout"] == "pack"
    sheet = read_picture(tmp_path / "private/worst_shape.jpg")
    assert sheet.shape[1] == 6 * shape.SHOWN_PX + 4


def test_what_is_missing_of_a_scan_is_named(model: MorphableModel, tmp_path: Path) -> None:
    pack = pack_with_a_scan(tmp_path / "pack", model)
    (pack / "scans/james/landmarks68.json").write_text("{}")
    with pytest.raises(InputError, match=r"got sha256 .*expected .* as in index.json"):
        evaluate("shape", EvaluateOptions(data=pack, sets=("james",)), engines=blobs.engines())


def test_heat_maps_show_errors_in_their_place(model: MorphableModel) -> None:
    vertices, landmarks = (from_file_axes(points) for points in head(model))
    scan = make_scan("a", vertices, model.triangles, seven(landmarks), Templates(model))
    errors = np.where(scan.regions["nose"], 9.0, 0.0)
    picture = heatmaps.heat_map(scan, errors, model, 200).astype(int)
    red = picture[..., 0] - picture[..., 2]
    rows, columns = np.nonzero(red > 60)
    assert len(rows) > 200 and 60 < rows.mean() < 140 and np.ptp(rows) < 90
    np.testing.assert_array_equal(heatmaps.colors_of(np.array([0, 5, 50.0])), heatmaps.TABLE[[0, 255, 255]])
    assert heatmaps.color_bar(300).shape[1:] == (300, 3)
