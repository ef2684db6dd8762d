"""Contact sheets: what is shown where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import looks, sheets
from rtface.evaluate.dataset import Sample
from rtface.evaluate.landmarks import Scored
from rtface.io import read_picture
from tests.evaluate.packs import points_of


def test_a_view_shows_the_boxes_in_the_shape_of_the_cell() -> None:
    boxes = np.array([[40, 30, 60, 50], [50, 35, 70, 50]], np.float32)
    view = sheets.View.around(boxes, (200, 100), 80, 60, 2.0)
    assert view[:4] == (25, 17, 85, 63)  # 30 wide: 60 × 45 around the middle (55, 40), whole pixels
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[40, 55] = 255
    cell = view.cut(pixels)
    assert cell.shape == (60, 80, 3)
    x, y = view.place(np.array([[55.5, 40.5]], np.float32))[0]
    peak = np.unravel_index(cell[..., 0].argmax(), cell.shape[:2])
    assert abs(peak[1] + 0.5 - x) <= 1 and abs(peak[0] + 0.5 - y) <= 1


@pytest.mark.parametrize("box", [[-500, -500, -400, -400], [0, 0, 4000, 4000], [199, 99, 200, 100]])
def test_views_stay_inside_the_frame(box: list[float]) -> None:
    view = sheets.View.around(np.array([box], np.float32), (200, 100), 80, 60, 2.0)
    assert 0 <= view.left < view.right <= 200 and 0 <= view.top < view.bottom <= 100
    assert view.cut(np.zeros((100, 200, 3), np.uint8)).shape == (60, 80, 3)


def test_without_a_box_the_whole_frame_is_shown() -> None:
    assert sheets.View.around(np.zeros((0, 4), np.float32), (200, 100), 80, 60, 2.0)[:4] == (0, 0, 200, 100)


def test_points_and_boxes_are_drawn_on_copies() -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels.flags.writeable = False
    points = np.array([[10.5, 20.5], [np.inf, 3], [np.nan, 3], [1e9, 3]], np.float32)
    dotted = sheets.with_points(pixels, points, (255, 0, 0))
    assert dotted[20, 10].tolist() == [255, 0, 0] and not dotted[:, 20:].any()
    boxed = sheets.with_boxes(pixels, np.array([[5, 5, 15, 15], [-1e9, 0, 1e9, 1]], np.float32), (0, 255, 0))
    assert boxed[5, 10].tolist() == [0, 255, 0] and not boxed[10, 10].any() and not pixels.any()


@pytest.mark.parametrize("name", ["sheet.png", "sheet.jpg", "sheet.webp"])
def test_pictures_are_written_by_their_ending(name: str, tmp_path: Path) -> None:
    path = sheets.sheet_path(tmp_path / "new" / name)
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    sheets.write_picture(path, sheets.grid([red, red, red], 2))
    stored = read_picture(path)
    assert stored.shape == (68, 68, 3)
    assert abs(stored[16, 16].astype(int) - [200, 0, 0]).max() < 12
    with pytest.raises(InputError, match="ending in '.gif'"):
        sheets.sheet_path(tmp_path / "sheet.gif")


@pytest.mark.parametrize(("lost", "shown"), [
    (0, [*range(29, 17, -1), *range(16, 12, -1)]), (6, [*range(4), *range(29, 21, -1), *range(19, 15, -1)])])
def test_the_worst_faces_are_twelve_with_some_that_were_not_found(
        lost: int, shown: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.zeros((120, 160, 3), np.uint8)
    points = points_of((80.0, 60.0, 50.0, 0)).astype(np.float32)
    faces = [Scored(Sample(f"{k}.png", tmp_path, "free", points=points, stored=lambda: picture), "a",
                    {"net": points + (np.inf if k < lost else k / 10)}) for k in range(30)]
    names: list[int] = []
    cell = looks._scored_cell
    monkeypatch.setattr(looks, "_scored_cell", lambda face, *rest: (names.append(int(face.sample.path[:-4])),
                                                                    cell(face, *rest))[1])
    looks.worst_landmarks(faces, tmp_path, side=40)
    assert names == shown
    assert read_picture(tmp_path / "worst_net.jpg").shape[0] == 4 * (40 + sheets.LINE + sheets.GAP) - sheets.GAP
