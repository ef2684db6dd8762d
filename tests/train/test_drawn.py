"""Faces that are drawn while a network learns."""

import csv
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from rtface.contours import PARSING
from rtface.errors import InputError
from rtface.geometry import crop_transforms, opencv_affine, pose_vertices
from rtface.irises import Irises
from rtface.jaw import JawLine, project_landmarks
from rtface.mirror import Mirror
from rtface.morphable import MorphableModel
from rtface.synth.config import SynthConfig
from rtface.synth.device.supply import Order, Supply
from rtface.train import complete, contour, landmarks, parse, regressor, segment
from rtface.train.drawn import Drawn, cut
from rtface.types import Coefficients
from tests.train.runs import arguments

CPU = torch.device("cpu")
FAR = SynthConfig(size=96, distance_mm=(1e7, 1e7), occluder_rate=1.0, occluder_kinds=("mask", "glasses"))
"""Seen from afar, pictures are what coefficients can say."""


@pytest.fixture(scope="module")
def supply():
    with Supply(FAR, CPU, Order(batch=6, again=2, pool=6, scenery=2, processes=1, seed=2)) as supply:
        yield supply


def test_crops_are_those_of_opencv():
    rng = np.random.default_rng(0)
    pictures = cv2.GaussianBlur(rng.integers(0, 256, (40, 40, 9), dtype=np.uint8), (0, 0), 2)
    there = crop_transforms(np.array([[20.0, 22.0], [10.0, 30.0], [25.0, 20.0]]), np.array([24.0, 30.0, 36.0]),
                            np.array([0.3, -0.2, 1.0]), 32)
    planes = torch.from_numpy(pictures.transpose(2, 0, 1).reshape(3, 3, 40, 40).copy())
    got = cut(planes, there, 32)
    for n in range(3):
        picture = np.ascontiguousarray(planes[n].permute(1, 2, 0).numpy())
        want = cv2.warpAffine(picture, opencv_affine(there[n]), (32, 32), flags=cv2.INTER_LINEAR,
                              borderMode=cv2.BORDER_REPLICATE)
        assert np.abs(got[n].permute(1, 2, 0).numpy().astype(int) - want).max() <= 3
    labels = cut((planes > 128).to(torch.uint8), there, 32, nearest=True)
    assert set(labels.unique().tolist()) == {0, 1}


def project(vectors, model, jaw):
    c = Coefficients.from_vector(np.asarray(vectors, np.float32), "")
    placed = pose_vertices(model.vertices(c.identity, c.expression), c.rotation, c.scale, c.translation)
    return project_landmarks(model, jaw, placed, c.rotation[:, 2])[..., :2]


def test_drawn_crops_have_the_coefficients_that_place_their_landmarks(supply):
    model = MorphableModel.load()
    drawn, jaw = Drawn(supply, 0, 64, Mirror(model)), JawLine(model)
    pair = next(drawn.pairs(twins=0.0))
    apart = np.linalg.norm(project(pair.hidden_coefficients, model, jaw) - pair.landmarks.numpy(), axis=-1)
    assert apart[:, 17:].max() < 0.2 and np.median(apart) < 0.1
    assert pair.hidden.shape == pair.clean.shape == (6, 3, 64, 64) and pair.hidden.dtype == torch.uint8
    sample = next(drawn.crops())
    assert sample.crop.shape == (6, 3, 64, 64) and (sample.presence == 1).all()
    apart = np.linalg.norm(project(sample.coefficients, model, jaw) - sample.landmarks.numpy(), axis=-1)
    assert np.median(apart) < 0.1
    crops, masks = next(drawn.masks())
    assert masks.shape == (6, 64, 64) and set(masks.unique().tolist()) == {0, 1, 2} and crops.dtype == torch.uint8


def test_some_crops_show_no_face(supply, folders):
    model, scenes = MorphableModel.load(level=0), sorted((folders / "scenes").glob("scenes_*.npz"))
    drawn = Drawn(supply, 3, 64, Mirror(model), close=True, eyes=Irises(model), negatives=0.5, scenes=scenes)
    batch = [next(crops) for crops in [drawn.crops()] for _ in range(4)]
    present = torch.cat([s.presence for s in batch])
    assert 4 <= present.sum() <= 20 and set(present.tolist()) == {0.0, 1.0}
    irises, points = torch.cat([s.irises for s in batch]), torch.cat([s.landmarks for s in batch])
    lids = torch.stack([points[:, 36:42], points[:, 42:48]], dim=1)
    width = (lids.amax(dim=2) - lids.amin(dim=2)).amax(dim=2)
    beside = torch.linalg.norm(irises - lids.mean(dim=2), dim=2)
    assert (beside[present == 1] < 0.8 * width[present == 1] + 1).all()
    nowhere = (points == 32).all(dim=2).all(dim=1)  # crops of scenes have no points
    assert nowhere.any() and not nowhere[present == 1].any()


@pytest.mark.parametrize(("module", "extra"), [(segment, ("--loss", "consensus")), (landmarks, ()),
                                               (regressor, ("--pairs", "1", "--frozen", "6")), (parse, ()),
                                               (contour, ("--from-clean",)), (complete, ())])
def test_trainers_draw_for_themselves(folders, tmp_path, module, extra):
    data = tmp_path / "described"
    data.mkdir()
    shutil.copy(folders / "faces" / "dataset.json", data)  # no shards
    module.main(["--data", str(data), *arguments(folders, tmp_path / "run", "faces", *extra)[2:], "--steps", "2",
                 "--draw", "1"])
    with (tmp_path / "run" / "log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2"]


def test_drawn_crops_have_labels_of_every_pixel():
    with Supply(replace(FAR, dense=True, camera=False), CPU, Order(6, 2, 6, 2, 1, seed=4)) as supply:
        drawn = Drawn(supply, 1, 64, Mirror(MorphableModel.load(level=0)))
        masks = next(drawn.dense(fixed_holes=True))
        holes = next(drawn.dense(from_clean=True))
    assert torch.equal(holes.crop, holes.clean) and not torch.equal(masks.crop, masks.clean)
    for batch in (masks, holes):
        assert batch.parsing.shape == (6, 64, 64) and batch.contour.shape == batch.mask.shape == (6, 1, 64, 64)
        assert set(batch.mask.unique().tolist()) == {0, 1} and batch.mask.flatten(1).any(dim=1).all()
        assert 0.01 < (batch.contour > 127).float().mean() < 0.3
    seen = (masks.crop.float() - masks.clean.float()).abs().amax(dim=1) > 24
    assert (masks.mask[:, 0] == 1)[seen].float().mean() > 0.6  # the rest is what lies beside the face, and shadows
    eyes = {PARSING.index("right_eye"): slice(36, 42), PARSING.index("left_eye"): slice(42, 48)}
    for name, rows in eyes.items():  # sides are right in the mirror too
        for n in range(6):
            row, column = torch.nonzero(masks.parsing[n] == name, as_tuple=True)
            if len(row) > 8:
                place = torch.stack([column, row], dim=1).float().mean(dim=0) + 0.5
                assert (place - masks.landmarks[n, rows].mean(dim=0)).norm() < 4


def test_drawing_needs_to_know_what(folders, tmp_path):
    with pytest.raises(InputError, match="dataset.json"):
        segment.main(["--data", str(tmp_path), *arguments(folders, tmp_path / "run", "faces")[2:], "--draw", "1"])
