"""What landmark network and regressor learn beside what all trainers share: irises, pairs, frozen encoders."""

import csv
import json

import numpy as np
import pytest
import torch

from build_engines import onnx_export
from rtface.errors import InputError, ModelFileError
from rtface.irises import Irises
from rtface.mirror import Mirror
from rtface.morphable import MorphableModel
from rtface.nets import landmarks as landmark_net
from rtface.train import average, common, data, landmarks, regressor
from tests.train.runs import arguments


def test_the_regressor_learns_from_pairs(folders, tmp_path):
    run = tmp_path / "run"
    regressor.main([*arguments(folders, run, "dense"), "--steps", "1", "--pairs", "2"])
    with (run / "log.csv").open() as file:
        row = next(csv.DictReader(file))
    assert all(float(row[f"apart_{name}"]) > 0 for name in ("identity_mm", "expression_mm", "turn_rad"))
    with pytest.raises(InputError, match="shards without clean twins"):
        regressor.main([*arguments(folders, tmp_path / "other", "faces"), "--steps", "1", "--pairs", "2"])


def test_kept_pairs_stay_together():
    """What was seen of a hidden face comes with what was seen of the same one, clean: the number tells whose it is."""
    faces = torch.arange(6.0)[:, None]
    seen = iter([(torch.cat([faces[:3], faces[:3] + 100]), torch.cat([faces[:3], faces[:3] + 200])),
                 (torch.cat([faces[3:], faces[3:] + 100]), torch.cat([faces[3:], faces[3:] + 200]))])
    kept = regressor.Kept.of(seen, torch.nn.Identity(), 6, crops=2)
    drawn = kept.batches(2, seed=0)
    whose = []
    for _ in range(3):
        features, targets = next(drawn)
        hidden, clean = features.chunk(2)
        torch.testing.assert_close(hidden + 100, clean)
        torch.testing.assert_close(torch.cat([hidden, hidden + 200]), targets)
        whose += hidden[:, 0].tolist()
    assert sorted(whose) == faces[:, 0].tolist() and features.dtype == torch.float32


@pytest.mark.parametrize("pairs", ["0", "1"])
def test_a_frozen_encoder_stays_and_the_layers_behind_it_learn(folders, tmp_path, pairs):
    landmarks.main([*arguments(folders, tmp_path / "l", "faces"), "--steps", "1"])
    known = common.load_checkpoint(tmp_path / "l" / "last.pt")["ema"]
    run, export = tmp_path / "run", ["--export", str(tmp_path / "w")] if pairs == "0" else []
    regressor.main([*arguments(folders, run, "dense"), "--steps", "3", "--frozen", "4", "--pairs", pairs,
                    "--encoder", str(tmp_path / "l" / "last.pt"), *export])
    learned = common.load_checkpoint(run / "last.pt")["module"]
    fresh = regressor.Regressor(regressor.RegressorConfig()).state_dict()
    for name, value in learned.items():
        if name.startswith("encoder."):
            torch.testing.assert_close(value, known[name.removeprefix("encoder.")], rtol=0, atol=0)
    assert float(learned["hidden.0.running_var"].std()) > float(fresh["hidden.0.running_var"].std())
    if export:
        described = json.loads((tmp_path / "w" / "regressor.compact.json").read_text())
        assert [tensor["name"] for tensor in described["inputs"]] == ["crops", "mask"]


def test_the_point_encoder_reads_what_lies_beneath_points():
    """A map that is sure of a cell, and features that say where they are: the answer is that place."""
    encoder = regressor.Regressor(regressor.RegressorConfig()).eval().encoder
    rows = torch.linspace(-1, 1, 56)[:, None].expand(56, 56)
    fine = torch.stack([rows, rows.T, *torch.zeros(62, 56, 56)])[None]
    logits = torch.full((1, 70, 56, 56), -50.0)
    logits[0, 48, 40, 10] = logits[0, 69, 20, 30] = 50.0
    encoder.maps.features, encoder.maps.out.forward = (lambda _: fine), (lambda _: logits)
    mask = torch.zeros(1, 1, 224, 224)
    mask[:, :, 160:] = 1
    with torch.no_grad():
        out = encoder(torch.rand(1, 3, 224, 224), mask)
    beneath = out[0, :70 * 65].reshape(65, 70)
    for point, row, column, hidden in ((48, 40, 10, 1), (69, 20, 30, 0)):
        torch.testing.assert_close(beneath[:2, point], torch.stack([rows[row, 0], rows[column, 0]]), rtol=0, atol=1e-4)
        assert float(beneath[64, point]) == hidden
        place = out[0, 70 * 65 + 576:70 * 65 + 576 + 140].reshape(70, 2)[point]
        torch.testing.assert_close(place, torch.tensor([column + 0.5, row + 0.5]) / 14 - 2)
        assert float(out[0, -70 + point]) == pytest.approx(8.0)


def test_the_landmark_network_learns_irises_from_weights_that_knew_none(folders, tmp_path):
    before = landmark_net.LandmarkNet(landmark_net.LandmarkNetConfig(irises=False)).eval()
    with torch.no_grad():
        before.maps.out.weight.normal_(std=0.1)
        before.state.weight.normal_(std=0.1)
    after = landmark_net.LandmarkNet(landmark_net.LandmarkNetConfig()).eval()
    after.load_state_dict(after.adapted(before.state_dict()))
    crops = torch.rand(2, 3, 192, 192)
    with torch.no_grad():
        old, new = before(crops), after(crops)
    torch.testing.assert_close(new.landmarks[:, :68], old.landmarks)
    torch.testing.assert_close(new.presence, old.presence)
    torch.testing.assert_close(new.visibility[:, :68], old.visibility)
    lids = torch.stack([old.maps[:, 36:42].mean(dim=1), old.maps[:, 42:48].mean(dim=1)], dim=1)
    torch.testing.assert_close(new.maps[:, 68:], lids)
    landmarks.main([*arguments(folders, tmp_path / "run", "faces"), "--steps", "1", "--export", str(tmp_path / "w")])
    described = json.loads((tmp_path / "w" / "landmarks.compact.json").read_text())
    assert [tensor["name"] for tensor in described["outputs"]] == ["landmarks", "presence", "visibility", "irises",
                                                                   "iris_visibility"]


def test_crops_know_their_irises_also_in_the_mirror(folders):
    model = MorphableModel.load(level=0)
    shard = data.load_shard(data.find_shards(folders / "faces", "faces")[0])
    sample = data.crop_sample(np.random.default_rng(0), shard, 0, 128, negatives=0.0, eyes=Irises(model))
    lids = sample.landmarks[36:48].reshape(2, 6, 2)
    reach = np.ptp(lids[..., 0], axis=1)
    assert (np.abs(sample.irises - lids.mean(axis=1)) < reach[:, None]).all()
    turned = data.mirrored(sample, Mirror(model))
    np.testing.assert_allclose(turned.irises, [[128, 0], [128, 0]] + sample.irises[::-1] * [-1, 1], atol=1e-4)
    assert turned.iris_visibility.tolist() == sample.iris_visibility[::-1].tolist()


def test_the_regressor_starts_from_a_landmark_network(folders, tmp_path):
    landmarks.main([*arguments(folders, tmp_path / "l", "faces"), "--steps", "1", "--export", str(tmp_path / "w")])
    source = common.load_checkpoint(tmp_path / "l" / "last.pt")["ema"]
    for path, off in ((tmp_path / "l" / "last.pt", 0.0), (tmp_path / "w" / "landmarks.compact.onnx.gz", 1e-2)):
        net = regressor.Regressor(regressor.RegressorConfig())
        regressor.load_encoder(net, path)
        torch.testing.assert_close(net.encoder.state_dict()["maps.out.weight"], source["maps.out.weight"], rtol=off,
                                   atol=off)
    with pytest.raises(ModelFileError, match="expected a landmark network"):
        paper = regressor.RegressorConfig.profile("paper")
        regressor.load_encoder(regressor.Regressor(paper), tmp_path / "l" / "last.pt")


def test_identities_are_exported_nearer_to_the_mean_face(folders, tmp_path):
    checkpoint = tmp_path / "run" / "last.pt"
    regressor.main([*arguments(folders, tmp_path / "run", "faces"), "--steps", "1"])
    average.main(["regressor", str(checkpoint), "--identity", "0.5", "--export", str(tmp_path)])
    nets = [regressor.Regressor(regressor.RegressorConfig()).eval() for _ in range(2)]
    nets[0].load_state_dict({name: value.half().float() if value.numel() >= onnx_export.HALF_FROM else value
                             for name, value in common.load_checkpoint(checkpoint)["ema"].items()})
    common.initialise(nets[1], tmp_path / "regressor.compact.onnx.gz")
    with torch.no_grad():
        whole, half = (net(torch.full((1, 3, 224, 224), 0.4), torch.zeros(1, 1, 224, 224)) for net in nets)
    torch.testing.assert_close(half[:, :80], whole[:, :80] / 2, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(half[:, 80:], whole[:, 80:])
    assert float(whole[:, :80].abs().max()) > 0
    with pytest.raises(SystemExit):
        average.main(["detector", str(tmp_path / "run" / "last.pt"), "--identity", "0.5", "--export", str(tmp_path)])
