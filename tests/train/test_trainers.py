"""Trainers run on a CPU for a few steps, stop and go on, and write what the run time loads."""

import csv
import importlib
import json
import re
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from rtface import paths
from rtface.config import OcclusionConfig
from rtface.contours import MIRRORED_PARSING, PARSING
from rtface.errors import InputError, ModelFileError
from rtface.geometry import pose_vertices
from rtface.inference import open_engine
from rtface.jaw import JawLine, project_landmarks
from rtface.mirror import Mirror
from rtface.morphable import MorphableModel
from rtface.stages.deocclude import NETWORKS, Deoccluder, completed
from rtface.synth import shards
from rtface.synth.config import SynthConfig
from rtface.train import (
    average,
    common,
    complete,
    contour,
    data,
    dense,
    detector,
    landmarks,
    pairs,
    parse,
    regressor,
    segment,
)
from rtface.train.deocclusion import TorchDeoccluder
from rtface.types import FaceCrops
from tests.train.runs import arguments

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(("module", "kind", "extra"), [(landmarks, "faces", ()), (regressor, "faces", ()),
                                                       (segment, "faces", ()),
                                                       (segment, "faces", ("--loss", "consensus")),
                                                       (segment, "faces", ("--loss", "blob")), (parse, "dense", ()),
                                                       (contour, "dense", ("--d-start", "1")),
                                                       (complete, "dense", ("--d-start", "1", "--drawn", "0.5")),
                                                       (detector, "scenes", ("--size", "128"))])
def test_a_run_stops_and_goes_on(folders, tmp_path, module, kind, extra):
    module.main([*arguments(folders, tmp_path, kind, *extra), "--steps", "1"])
    first = common.load_checkpoint(tmp_path / "last.pt")
    module.main([*arguments(folders, tmp_path, kind, *extra), "--steps", "3", "--resume"])
    second = common.load_checkpoint(tmp_path / "last.pt")
    assert (first["step"], second["step"]) == (1, 3)
    assert any(not torch.equal(a, b) for a, b in zip(first["module"].values(), second["module"].values(), strict=True))
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "3"] and all(float(row["loss"]) > 0 for row in rows)


def test_completion_starts_from_a_segmentation_network_and_is_judged_by_its_features(folders, tmp_path):
    segment.main([*arguments(folders, tmp_path / "segment", "faces"), "--steps", "1"])
    encoder = tmp_path / "segment" / "last.pt"
    complete.main([*arguments(folders, tmp_path / "run", "dense"), "--steps", "1", "--encoder", str(encoder),
                   "--export", str(tmp_path / "weights")])
    known, got = common.load_checkpoint(encoder)["ema"], common.load_checkpoint(tmp_path / "run" / "last.pt")["module"]
    stem = got["body.trunk.stem.0.weight"]
    assert stem.shape[1] == complete.CompletionNetConfig().trunk.inputs == 5
    torch.testing.assert_close(stem[:, :3], known["trunk.stem.0.weight"], rtol=0, atol=0.02)  # one step away
    assert float(stem[:, 3:].abs().max()) < 0.02
    with (tmp_path / "run" / "log.csv").open() as file:
        row = next(csv.DictReader(file))
    assert float(row["style"]) > 0 and float(row["perceptual"]) > 0
    assert (tmp_path / "weights" / "complete.compact.onnx.gz").exists()


def test_pairs_are_one_face_seen_twice(folders):
    stream = pairs.PairStream(data.find_shards(folders / "dense", "faces"), 3, 64, Mirror(MorphableModel.load(level=0)),
                              twins=0.5)
    shard, twins = data.load_shard(stream.paths[0]), 0
    for seed in range(12):
        one = stream.sample(np.random.default_rng(seed), shard, seed % 6)
        assert one.hidden.shape == one.clean.shape == (3, 64, 64)
        np.testing.assert_allclose(one.hidden_coefficients[:224], one.clean_coefficients[:224])  # but for roll, f, t
        assert not np.allclose(one.hidden_coefficients[-3:], one.clean_coefficients[-3:])  # placed anew
        twins += bool(one.visibility.all())
    assert 0 < twins < 12


def _completed(crops, points):
    chain = TorchDeoccluder(torch.device("cpu"))
    return chain.complete(crops, chain.find(crops), points)


@pytest.mark.parametrize("size", [128, 224])
def test_torch_and_the_run_time_complete_alike(folders, size):
    """The chain as torch modules against the stages over the exported networks, which take 128 px."""
    drawn = iter(data.CropStream(data.find_shards(folders / "dense", "faces"), 1, size, negatives=0.0))
    samples = [next(drawn) for _ in range(6)]
    crops = torch.from_numpy(np.stack([s.crop for s in samples])).float() / 255
    points = np.stack([s.landmarks for s in samples])
    got = _completed(crops, torch.from_numpy(points)).numpy()
    names = NETWORKS["contour"]
    with ExitStack() as stack:
        engines = {name: stack.enter_context(open_engine(name, "compact", backend="onnx", threads=1)) for name in names}
        small = functional.interpolate(crops, (128, 128), mode="bilinear", antialias=True)
        places = np.repeat(np.eye(2, 3, dtype=np.float32)[None], 6, axis=0), np.arange(6, dtype=np.int32)
        faces = FaceCrops(crops.numpy(), *places)
        stage = Deoccluder(engines, OcclusionConfig(recipe="contour", least_share=0.0))
        want = completed(faces, stage.apply(FaceCrops(small.numpy(), *places), points * 128 / size)[1]).pixels
    changed = np.abs(want - faces.pixels).max(axis=1) > 0
    assert changed.any() and np.abs(got - want).mean() < 2e-3
    assert ((np.abs(got - faces.pixels).max(axis=1) > 0) != changed).mean() < 2e-3


def test_dense_crops_agree_with_one_another(folders):
    """Outside of the hole the crop is the clean one (but for shadows), and the hole covers the occluder."""
    stream = dense.DenseStream(data.find_shards(folders / "dense", "faces"), 3, 96)
    drawn = iter(stream)
    differing, sides = [], list[tuple[str, set[str]]]()
    for _ in range(16):
        sample = next(drawn)
        assert sample.crop.shape == sample.clean.shape == (3, 96, 96) and sample.mask.shape == (1, 96, 96)
        for name, points in (("right_eye", slice(36, 42)), ("left_eye", slice(42, 48))):
            if sample.visibility[points].all():
                x, y = sample.landmarks[points].mean(axis=0).astype(int)
                sides.append((name, {PARSING[k] for k in np.unique(sample.parsing[y - 1:y + 2, x - 1:x + 2])}))
        assert set(np.unique(sample.mask)) <= {0, 1} and sample.mask.any() and sample.parsing.max() < 19
        apart = np.abs(sample.crop.astype(int) - sample.clean).max(axis=0)
        differing.append((np.median(apart[sample.mask[0] == 0]), np.median(apart[sample.mask[0] == 1])))
    seen, hidden = np.array(differing).T
    assert np.median(seen) <= 3 and hidden.max() > 20
    own = [name in found for name, found in sides]
    other = [{"left_eye": "right_eye", "right_eye": "left_eye"}[name] in found for name, found in sides]
    assert len(own) > 4 and np.mean(own) > 0.6 and not any(other)  # landmarks are mirrored as their classes are


def test_classes_change_sides_in_a_mirror():
    number = {name: k for k, name in enumerate(PARSING)}
    assert MIRRORED_PARSING[number["left_eye"]] == number["right_eye"]
    assert MIRRORED_PARSING[number["nose"]] == number["nose"]
    assert np.array_equal(MIRRORED_PARSING[MIRRORED_PARSING], np.arange(19))


def test_shards_without_dense_labels_are_refused(folders):
    faces = data.find_shards(folders / "faces", "faces")
    with pytest.raises(InputError, match="got shards without clean, contour, parsing in .*--clean --dense`"):
        dense.DenseStream(faces, 0, 96)
    with pytest.raises(InputError, match="got shards without clean in .*--clean`"):
        dense.DenseStream(faces, 0, 96, lines=False)


def test_without_lines_crops_are_the_same_and_labels_are_empty(folders):
    """For contours that the shipped networks draw; the twins of pairs are then enough."""
    paths = data.find_shards(folders / "dense", "faces")
    whole, bare = (next(iter(dense.DenseStream(paths, 3, 96, lines=lines))) for lines in (True, False))
    for name in ("crop", "clean", "mask", "landmarks", "visibility"):
        assert np.array_equal(getattr(bare, name), getattr(whole, name))
    assert bare.contour.shape == (1, 96, 96) and bare.parsing.shape == (96, 96)
    assert not bare.contour.any() and not bare.parsing.any() and whole.contour.any()


def test_export_writes_weights_with_their_recipe(folders, tmp_path):
    detector.main([*arguments(folders, tmp_path / "run", "scenes", "--size", "128"), "--steps", "1", "--export",
                   str(tmp_path / "weights")])
    described = json.loads((tmp_path / "weights" / "detector.compact.json").read_text())
    training = described["training"]
    assert training["samples_seen"] == 4 and [p["data"]["kind"] for p in training["phases"]] == ["scenes"]
    assert (tmp_path / "weights" / "detector.compact.onnx.gz").stat().st_size > 100_000


def test_weights_tell_every_phase_of_their_training(folders, tmp_path):
    size = ("--size", "128")
    detector.main([*arguments(folders, tmp_path / "a", "scenes", *size), "--steps", "2"])
    detector.main([*arguments(folders, tmp_path / "b", "scenes", *size), "--steps", "1", "--lr", "1e-4", "--init",
                   str(tmp_path / "a" / "last.pt"), "--export", str(tmp_path / "b")])
    detector.main([*arguments(folders, tmp_path / "c", "scenes", *size), "--steps", "1", "--init",
                   str(tmp_path / "b" / "detector.compact.onnx.gz"), "--export", str(tmp_path / "c")])
    training = json.loads((tmp_path / "c" / "detector.compact.json").read_text())["training"]
    assert [p["steps"] for p in training["phases"]] == [2, 1, 1] and training["samples_seen"] == 16
    assert training["phases"][1]["lr"] == 1e-4 and all(p["commit"] for p in training["phases"])


def test_a_resumed_run_remembers_the_phases_before_it(folders, tmp_path):
    size = ("--size", "128")
    detector.main([*arguments(folders, tmp_path / "a", "scenes", *size), "--steps", "2"])
    started = arguments(folders, tmp_path / "b", "scenes", *size)
    detector.main([*started, "--steps", "1", "--init", str(tmp_path / "a" / "last.pt")])
    detector.main([*started, "--steps", "3", "--resume", "--export", str(tmp_path / "b")])
    training = json.loads((tmp_path / "b" / "detector.compact.json").read_text())["training"]
    assert [p["steps"] for p in training["phases"]] == [2, 3] and training["samples_seen"] == 20


def test_resume_without_a_checkpoint_says_what_to_do(folders, tmp_path):
    with pytest.raises(ModelFileError, match="start without --resume"):
        landmarks.main([*arguments(folders, tmp_path, "faces"), "--steps", "1", "--resume"])


def test_data_of_the_wrong_kind_is_named(folders, tmp_path):
    with pytest.raises(InputError, match="without scenes_"):
        detector.main([*arguments(folders, tmp_path, "faces"), "--steps", "1"])


def test_labels_follow_their_crop(folders):
    shard = data.load_shard(data.find_shards(folders / "faces", "faces")[0])
    rng = np.random.default_rng(0)
    for index in range(4):
        sample = data.crop_sample(rng, shard, index, 128, negatives=0.0)
        assert sample.crop.shape == (3, 128, 128) and sample.presence == 1
        middle = sample.landmarks.mean(axis=0)
        assert (np.abs(middle - 64) < 40).all()
        assert 30 < np.ptp(sample.landmarks, axis=0).max() < 128


def test_mirrored_crops_keep_their_labels(folders):
    model = MorphableModel.load()
    mirror, jaw = Mirror(model), JawLine(model)
    shard = data.load_shard(data.find_shards(folders / "faces", "faces")[0])
    for index in range(4):
        sample = data.crop_sample(np.random.default_rng(index), shard, index, 128, negatives=0.0)
        turned = data.mirrored(sample, mirror)
        assert np.array_equal(turned.crop, sample.crop[..., ::-1]) and turned.presence == 1
        # the mirrored coefficients put the mesh's landmarks where the mirrored labels are
        vector = turned.coefficients[None]
        placed = pose_vertices(model.vertices(vector[:, :80], vector[:, 80:144]), vector[:, 233:236], vector[:, 236],
                               vector[:, 237:])
        points = project_landmarks(model, jaw, placed, vector[:, 235])[0, :, :2]
        assert np.abs(points - turned.landmarks)[17:].max() < 0.05
        assert np.median(np.abs(points - turned.landmarks)[:17]) < 0.5  # the jaw's candidates need not be symmetric
        again = data.mirrored(turned, mirror)
        assert np.allclose(again.landmarks, sample.landmarks, atol=1e-4)
        assert np.allclose(again.coefficients, sample.coefficients, atol=1e-4)
        assert np.array_equal(again.visibility, sample.visibility)


def test_negatives_from_scenes_show_no_face(folders):
    shard = data.load_shard(data.find_shards(folders / "scenes", "scenes")[0])
    rng = np.random.default_rng(0)
    for _ in range(20):
        sample = data.negative_sample(rng, shard, 64)
        assert sample.crop.shape == (3, 64, 64) and sample.crop.dtype == np.uint8
        assert sample.presence == 0 and not sample.visibility.any()
    stream = data.CropStream(data.find_shards(folders / "faces", "faces"), 0, 64, negatives=0.6,
                             scenes=data.find_shards(folders / "scenes", "scenes"))
    drawn = [s.presence for s, _ in zip(stream, range(60), strict=False)]
    assert 0.2 < np.mean(drawn) < 0.7


def test_training_goes_on_from_shipped_weights(folders, tmp_path):
    from rtface.paths import WEIGHTS
    landmarks.main([*arguments(folders, tmp_path, "faces", "--scenes", str(folders / "scenes")), "--steps", "1",
                    "--lr", "0", "--init", str(WEIGHTS / "landmarks.compact.onnx.gz")])
    net = landmarks.LandmarkNet(landmarks.LandmarkNetConfig())
    common.initialise(net, WEIGHTS / "landmarks.compact.onnx.gz", prefix="net.")
    trained = common.load_checkpoint(tmp_path / "last.pt")["module"]
    assert torch.equal(trained["maps.out.weight"], net.maps.out.weight)
    with pytest.raises(ModelFileError, match="belongs to another network"):
        common.initialise(net, WEIGHTS / "regressor.compact.onnx.gz", prefix="net.")


def test_shards_are_kept_and_other_settings_refused(folders, tmp_path):
    config = SynthConfig(size=64, clean_twin=True)
    assert list(shards.write(tmp_path, 3, config=config))[-1] == (1, 1)
    written = (tmp_path / "faces_00000.npz").stat().st_mtime_ns
    list(shards.write(tmp_path, 3, config=config))
    assert (tmp_path / "faces_00000.npz").stat().st_mtime_ns == written
    with pytest.raises(InputError, match="other settings .config."):
        list(shards.write(tmp_path, 3, config=SynthConfig(size=96)))
    shard = data.load_shard(tmp_path / "faces_00000.npz")
    assert shards.decode(shard.blob("clean", 2)).shape == (64, 64, 3)
    assert set(np.unique(shards.decode(shard.blob("mask", 1)))) <= {0, 1, 2}


def test_learning_rate_warms_up_and_decays():
    rates = [common.learning_rate(s, total=100, peak=1.0, warmup=10) for s in range(101)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0) and rates[100] == pytest.approx(0.01)


def test_readme_names_real_options_of_the_trainers(capsys):
    text = (REPOSITORY / "README.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^python -m rtface\.train\.(\w+) (.*)$", text, re.M)
    assert [name for name, _ in commands] == ["detector", "landmarks", "regressor"]
    for name, options in commands:
        with pytest.raises(SystemExit):
            importlib.import_module(f"rtface.train.{name}").main(["--help"])
        told = capsys.readouterr().out
        assert all(option in told for option in re.findall(r"--[a-z-]+", options))


def test_masks_follow_their_crops(folders):
    stream = segment.MaskStream(data.find_shards(folders / "faces", "faces"), 3, 64)
    shard = data.load_shard(stream.paths[0])
    hidden = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        sample = stream.sample(rng, shard, seed)
        assert sample.crop.shape == (3, 64, 64) and sample.mask.shape == (64, 64)
        assert set(np.unique(sample.mask)) <= {0, 1, 2} and (sample.mask == 1).mean() > 0.02
        hidden += int((sample.mask == 2).sum())
        rows, columns = np.nonzero(sample.mask)
        assert 12 < rows.mean() < 52 and 12 < columns.mean() < 52  # the face is in the middle of its crop
    assert hidden > 50


def test_masks_are_moved_and_mirrored_with_their_pictures(folders):
    stream = segment.MaskStream(data.find_shards(folders / "faces", "faces"), 3, 64)
    arrays = dict(data.load_shard(stream.paths[0]).arrays)
    lopsided = np.zeros((96, 96), np.uint8)
    lopsided[:, :40], lopsided[60:, 40:] = 1, 2
    for name, picture in (("pixels", np.repeat(lopsided[..., None] * 120, 3, axis=2)), ("mask", lopsided)):
        blob = shards.encode(picture)
        arrays[name], arrays[f"{name}_offsets"] = np.frombuffer(blob, np.uint8), np.array([0, len(blob)])
    mirrored = 0
    for seed in range(16):
        sample = stream.sample(np.random.default_rng(seed), data.Shard(arrays), 0)
        together = np.corrcoef(sample.crop.mean(axis=0).ravel(), sample.mask.ravel())[0, 1]
        assert together > 0.75
        mirrored += (sample.mask == 1)[:, :8].mean() < (sample.mask == 1)[:, -8:].mean()
    assert 0 < mirrored < 16


def test_averages_lie_between_their_checkpoints(folders, tmp_path):
    runs = [tmp_path / "a", tmp_path / "b"]
    landmarks.main([*arguments(folders, runs[0], "faces"), "--steps", "1"])
    landmarks.main([*arguments(folders, runs[1], "faces"), "--steps", "2", "--init", str(runs[0] / "last.pt")])
    average.main(["landmarks", *(str(run / "last.pt") for run in runs), "--export", str(tmp_path / "weights")])
    described = json.loads((tmp_path / "weights" / "landmarks.compact.json").read_text())
    phases = described["training"]["phases"]
    assert [p["steps"] for p in phases] == [1, 2] and "mean of 2 checkpoints" in phases[-1]["note"]
    states = [common.load_checkpoint(run / "last.pt")["ema"] for run in runs]
    mean = average.mean_weights(states)
    for name, value in mean.items():
        if value.dtype.is_floating_point:
            torch.testing.assert_close(value, (states[0][name] + states[1][name]) / 2, atol=1e-6, rtol=1e-5)
        else:
            assert torch.equal(value, states[1][name])
    with pytest.raises(ModelFileError, match="expected checkpoints of one network"):
        average.mean_weights([states[0], {"other": torch.zeros(1)}])
    exported = tmp_path / "weights" / "landmarks.compact.onnx.gz"
    stored, last = average.states_of([exported, runs[1] / "last.pt"])
    for name, value in mean.items():
        torch.testing.assert_close(stored[name], value, atol=1e-4, rtol=2e-3)  # stored in float16
    assert last.keys() == stored.keys()
    with pytest.raises(ModelFileError, match=r"expected a checkpoint \(.pt\) as the last one"):
        average.states_of([runs[1] / "last.pt", exported])
    with pytest.raises(ModelFileError, match="expected one network"):
        average.states_of([paths.WEIGHTS / "segment.compact.onnx.gz", runs[1] / "last.pt"])
