"""Masks as people wear them: tones near the skin, prints, folds, and the command that asks for them."""

import numpy as np
import pytest
from typer.testing import CliRunner

from rtface.cli import app
from rtface.morphable import MorphableModel
from rtface.synth.piece import Anchors
from rtface.synth.wearables import mask

SKIN = np.array([0.4, 0.25, 0.18], np.float32)


@pytest.fixture(scope="module")
def cloths():
    model = MorphableModel.load()
    anchors = Anchors(model.mean[model.landmarks68], model.mean[::3], SKIN)
    return [mask(np.random.default_rng(seed), anchors)[0] for seed in range(120)]


def colors(cloth):
    return np.broadcast_to(cloth.color, cloth.shape.vertices.shape)


def test_every_sixth_mask_or_so_has_nearly_the_tone_of_the_skin(cloths):
    chroma = [np.log(np.median(colors(cloth), axis=0) / SKIN) for cloth in cloths]
    alike = [float(np.ptp(tone)) < 0.45 and abs(float(tone.mean())) < 0.9 for tone in chroma]
    assert 0.1 < np.mean(alike) < 0.4


def test_some_masks_are_printed_and_most_are_not(cloths):
    printed = [len(np.unique(colors(cloth), axis=0)) > 1 for cloth in cloths]
    assert 0.25 < np.mean(printed) < 0.7  # figures and patterns
    assert all(np.isfinite(colors(cloth)).all() and (colors(cloth) >= 0).all() and (colors(cloth) <= 1).all()
               for cloth in cloths)


def test_cloth_lies_before_the_skin_that_it_covers(cloths):
    surface = MorphableModel.load().mean
    for cloth in cloths[::6]:
        x, y, z = cloth.shape.vertices.T
        inner = (np.abs(x) < np.quantile(np.abs(x), 0.5)) & (y > np.quantile(y, 0.2)) & (y < np.quantile(y, 0.8))
        distance = ((surface[:, None, :2] - cloth.shape.vertices[None, inner, :2]) ** 2).sum(axis=2)
        near = np.where(distance < 9, surface[:, None, 2], np.inf).min(axis=0)
        assert (z[inner] < near)[np.isfinite(near)].mean() > 0.97


def run(folder, *options):
    return CliRunner().invoke(app, ["synth", "write", str(folder), "--count", "4", "--size", "64", "--processes", "1",
                                    "--occluded", "1", *options])


def test_the_command_draws_the_asked_kinds_at_the_asked_size(tmp_path):
    result = run(tmp_path, "--occluder", "cup", "--face-share", "0.6", "0.62")
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "faces_00000.npz") as shard:
        kinds = {kind for drawn in shard["kinds"] for kind in str(drawn).split(",") if kind}
        sides = np.ptp(shard["landmarks"], axis=1).max(axis=1)
    assert kinds == {"cup"}
    assert 0.5 < sides.mean() / 64 < 0.8  # of 0.6 to 0.62 from afar, more from near


@pytest.mark.parametrize(("options", "message"), [
    (("--occluder", "dragon"), "got ['dragon'], expected some of"),
    (("--face-share", "0.8", "0.2"), "face_share: got (0.8, 0.2), expected two rising ones"),
])
def test_wrong_wishes_are_told(tmp_path, options, message):
    result = run(tmp_path, *options)
    assert result.exit_code != 0
    assert message in str(result.exception or result.output)
    assert not list(tmp_path.glob("*.npz"))
