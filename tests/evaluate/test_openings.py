"""Slopes and correlations of openings on faces that are made for it."""

import numpy as np
import pytest

from rtface.evaluate.openings import OPENINGS, correlation, distances, openings, openings_table, slope
from tests.blobs import POINTS


def faces(opened: np.ndarray) -> np.ndarray:
    """(N, 68, 2): the standard face, its inner lips apart by ``opened`` (N,)."""
    points = np.repeat((POINTS * 100)[None], len(opened), axis=0).astype(np.float64)
    for upper, lower in OPENINGS["mouth open"]:
        points[:, upper, 1], points[:, lower, 1] = 77 - opened / 2, 77 + opened / 2
        points[:, lower, 0] = points[:, upper, 0]
    return points


def test_by_hand() -> None:
    assert slope(np.array([[0.0, 1], [1, 1.5], [2, 2]])) == pytest.approx(0.5)
    assert correlation(np.array([[0.0, 1], [1, 1.5], [2, 2]])) == pytest.approx(1)
    assert correlation(np.array([[0.0, 1], [1, 0], [2, 1]])) == pytest.approx(0)
    assert slope(np.ones((4, 2))) == 0  # nothing opens: nothing to say, but no NaN
    points = np.zeros((1, 68, 2))
    points[0, 66] = [3, 4]
    assert distances(points, ((62, 66), (0, 1))) == pytest.approx([2.5])


def test_half_open_mouths_have_half_a_slope_at_any_size() -> None:
    truth, half = faces(np.linspace(0, 20, 30)), faces(np.linspace(4, 14, 30))
    out = openings(half, truth)["mouth open"]
    assert out["slope"] == pytest.approx(0.5) and out["correlation"] == pytest.approx(1)
    assert out["slope_95"] == pytest.approx((0.5, 0.5))
    scaled = np.linspace(1, 3, 30)[:, None, None]
    assert openings(half * scaled, truth * scaled)["mouth open"]["slope"] == pytest.approx(0.5)
    same = openings(faces(np.full(30, 5.0)), truth)["mouth open"]
    assert same["slope"] == pytest.approx(0, abs=1e-9) and same["correlation"] == pytest.approx(0, abs=1e-6)


def test_few_faces_say_nothing_and_the_table_leaves_them_out() -> None:
    few, many = faces(np.arange(7.0)), faces(np.arange(9.0))
    assert openings(few, few) == {}
    table = openings_table([{"name": "s", "system": "a", "openings": openings(few, few)},
                            {"name": "s", "system": "b", "openings": openings(many, many)}])
    (row,) = table.rows
    assert row[:2] == ["s", "b"] and row[2] == "1.00 1.00..1.00 (1.00)" and len(row) == 2 + len(OPENINGS)
