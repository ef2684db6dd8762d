"""Contact sheets have the rows and columns they announce."""

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from rtface.synth import gallery
from rtface.synth.commands import app
from rtface.synth.config import SynthConfig
from rtface.synth.generator import FaceFactory


@pytest.fixture(scope="module")
def factory():
    return FaceFactory()


def test_sheets_have_a_cell_per_face(factory):
    config = SynthConfig(size=48, supersample=1.0, occluder_kinds=("hat", "text"))
    sheet = gallery.many(factory, config, 10, 0)
    assert sheet.shape == (96, 8 * 48, 3)
    assert all(sheet[48 * r:48 * r + 48, 48 * c:48 * c + 48].std() > 3 for r, c in ((0, 0), (0, 7), (1, 1)))
    assert not sheet[48:, 96:].any()
    kinds = gallery.by_kind(factory, config, 3, 0)
    assert kinds.shape == (2 * (48 + gallery.CAPTION_PX), 3 * 48, 3)
    rows = gallery.with_labels(factory, config, 2, 0)
    assert rows.shape == (gallery.CAPTION_PX + 2 * 48, len(gallery.PARTS) * 48, 3)
    cells = rows[gallery.CAPTION_PX:gallery.CAPTION_PX + 48].reshape(48, len(gallery.PARTS), 48, 3)
    assert all(cells[:, k].std() > 3 for k in range(len(gallery.PARTS)))


def test_the_command_writes_a_picture(tmp_path):
    out = tmp_path / "sheet.png"
    assert CliRunner().invoke(app, ["preview", str(out), "--count", "2", "--size", "48", "--dense"]).exit_code == 0
    assert cv2.imread(str(out)).shape == (gallery.CAPTION_PX + 96, len(gallery.PARTS) * 48, 3)
    twice = CliRunner().invoke(app, ["preview", str(out), "--dense", "--kinds"])
    assert twice.exit_code != 0 and "expected at most one" in str(twice.exception)
    assert np.array_equal(cv2.imread(str(out)).shape, (gallery.CAPTION_PX + 96, len(gallery.PARTS) * 48, 3))
