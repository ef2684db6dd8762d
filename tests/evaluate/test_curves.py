"""Curves worked out by hand, and their drawing."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import html
from rtface.evaluate.curves import cumulative, receiver_operating, share_from
from rtface.evaluate.report import Report
from rtface.figures import svg
from rtface.figures.plot import Curve, Plot

SVG = "{http://www.w3.org/2000/svg}"


def test_the_cumulative_curve_is_the_share_of_faces_up_to_an_error() -> None:
    x, y = cumulative(np.array([0.01, 0.02, 0.02, np.inf]), 0.04, steps=4)
    np.testing.assert_allclose(x, [0, 0.01, 0.02, 0.03, 0.04])
    np.testing.assert_allclose(y, [0, 0.25, 0.75, 0.75, 0.75])
    with pytest.raises(InputError, match="no errors"):
        cumulative(np.zeros(0), 0.1)


def test_the_roc_takes_the_best_threshold_of_every_rate() -> None:
    same = np.array([True] * 4 + [False] * 4)
    x, y = receiver_operating(np.array([0.9, 0.8, 0.6, 0.3, 0.7, 0.4, 0.2, 0.1]), same)
    rates = dict(zip(np.round(x, 3).tolist(), y, strict=True))
    assert (rates[0.0], rates[0.24], rates[0.26], rates[0.5], rates[1.0]) == (0.5, 0.5, 0.75, 1.0, 1.0)
    assert receiver_operating(np.where(same, 0.0, 1.0), same)[1][:-1] == [0.0] * 65  # the wrong way round
    assert max(receiver_operating(np.zeros(8), same)[1][:-1]) == 0  # ties are not accepted before the end
    with pytest.raises(InputError, match="one kind only"):
        receiver_operating(np.zeros(4), np.ones(4, bool))


def test_shares_from_thresholds() -> None:
    assert share_from(np.array([0.2, 0.5, 0.9]), (0.1, 0.5, 1.0)) == pytest.approx([1, 2 / 3, 0])
    assert np.isnan(share_from(np.zeros(0), (0.5,))).all()


def test_a_curve_has_as_many_y_as_x() -> None:
    for wrong in ({"y": [1.0]}, {"y": [1.0, 2.0], "low": [0.0]}, {"y": [1.0, 2.0], "low": [0.0], "high": [1.0]}):
        with pytest.raises(InputError, match="curve a: got 2 x"):
            Curve("a", [0.0, 1.0], **wrong)


PLOT = Plot("A <title>", "share", "error & more", [
    Curve("first", [0.0, 0.5, 1.0], [0.0, 5.0, 10.0], [0.0, 4.0, 9.0], [1.0, 6.0, 10.0]),
    Curve("second <&>", [0.0, 0.25, 0.5, 0.75, 1.0], [10.0, 9.0, float("nan"), 5.0, 99.0])],
    (0, 1), (0, 10), percent="x")


def points(element: ElementTree.Element) -> list[tuple[float, float]]:
    return [tuple(map(float, pair.split(","))) for pair in element.attrib["points"].split()]  # type: ignore[misc]


def test_a_plot_is_drawn_to_scale_with_gaps_bands_and_names() -> None:
    root = ElementTree.fromstring(svg.draw(PLOT))
    first, after, before = (points(e) for e in (root.findall(f".//{SVG}polyline")[k] for k in (0, 2, 1)))
    left, right = svg.LEFT, svg.WIDTH - svg.RIGHT
    top, bottom = svg.TOP, svg.HEIGHT - svg.BOTTOM
    assert first == [(left, bottom), ((left + right) / 2, (top + bottom) / 2), (right, top)]
    assert len(before) == len(after) == 2 and after[-1] == (right, top)  # 99 is cut to the axis
    assert len(points(root.findall(f".//{SVG}polygon")[0])) == 6
    text = [element.text for element in root.iter(f"{SVG}text")]
    assert {"A <title>", "share (%)", "error & more", "first", "second <&>", "100", "10"} <= set(text)
    assert [e.text for e in root.iter(f"{SVG}title")] == ["first", "second <&>"]
    assert all(0 <= float(e.attrib["x"]) <= svg.WIDTH for e in root.iter(f"{SVG}text") if "x" in e.attrib)


def test_axes_without_ranges_are_round() -> None:
    assert svg._extent([0.13, 0.87]) == pytest.approx((0.0, 1.0))
    assert svg._extent([3.0, 41.0], zero=True) == pytest.approx((0.0, 50.0))
    assert svg._extent([]) == (0.0, 1.0) and svg._extent([2.0]) == pytest.approx((2.0, 2.2))
    assert svg._ticks(0, 0.15) == pytest.approx([0, 0.05, 0.1, 0.15])


def test_more_curves_than_colours_are_dashed() -> None:
    plot = Plot("t", "x", "y", [Curve(str(k), [0.0, 1.0], [0.0, k]) for k in range(len(svg.COLORS) + 1)])
    lines = [e.attrib for e in ElementTree.fromstring(svg.draw(plot)).findall(f".//{SVG}polyline")]
    assert lines[0]["stroke"] == lines[-1]["stroke"]
    assert [k for k, line in enumerate(lines) if "stroke-dasharray" in line] == [len(svg.COLORS)]


def test_curves_are_on_the_page_and_in_the_json_document() -> None:
    report = Report("one", [], [{"x": 1}], [], curves=[PLOT])
    page = html.page([html.Section("one", report)])
    assert page.count("<svg") == 1 and svg.STYLE.strip() in page and "<script" not in page
    assert not re.search(r"(src|href)=|url\(|@import", page.partition("<svg")[2].partition("</svg>")[0])
    (told,) = json.loads(report.json_line())["curves"]
    assert (told["title"], told["x"]) == ("A <title>", "share")
    assert told["curves"][0]["high"] == [1.0, 6.0, 10.0] and told["curves"][1]["y"][2] is None
