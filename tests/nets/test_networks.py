"""Networks: shapes, configurations, and that exported files give the module's own answers."""

import gzip

import numpy as np
import onnxruntime
import pytest
import torch

from build_engines import onnx_export
from rtface.errors import ModelFileError
from rtface.nets.detector import Detector, DetectorNetConfig
from rtface.nets.landmarks import LandmarkNet, LandmarkNetConfig
from rtface.nets.mobilenet import MobileNetConfig, MobileNetV3, scaled
from rtface.nets.regressor import Regressor, RegressorConfig
from rtface.nets.resnet import ResNet, ResNetConfig


def test_resnet50_has_the_published_number_of_trunk_parameters():
    # 25,557,032 of the ImageNet model less its 2048×1000 + 1000 classifier
    assert sum(p.numel() for p in ResNet(ResNetConfig((3, 4, 6, 3), 64, bottleneck=True)).parameters()) == 23_508_032


def test_mobilenet_v3_large_has_the_published_trunk():
    # 5,483,032 of the ImageNet model less its two fully connected layers (960→1280→1000)
    trunk = MobileNetV3(MobileNetConfig("large"))
    assert sum(p.numel() for p in trunk.parameters()) == 5_483_032 - (960 * 1280 + 1280) - (1280 * 1000 + 1000)


def test_channels_are_rounded_to_eights():
    assert [scaled(c, 0.75) for c in (16, 24, 40, 112)] == [16, 24, 32, 88]


@pytest.mark.parametrize("profile", ["compact", "paper"])
def test_output_shapes_of_both_profiles(profile):
    with torch.no_grad():
        config = LandmarkNetConfig.profile(profile)
        out = LandmarkNet(config).eval()(torch.rand(2, 3, config.size, config.size))
        assert out.landmarks.shape == (2, 68, 2) and out.presence.shape == (2,) and out.visibility.shape == (2, 68)
        side = RegressorConfig.profile(profile).size
        assert Regressor(RegressorConfig.profile(profile)).eval()(torch.rand(2, 3, side, side)).shape == (2, 239)
        found = Detector(DetectorNetConfig.profile(profile)).eval()(torch.rand(1, 3, 128, 192))
        cells = sum((128 // s) * (192 // s) for s in (8, 16, 32, 64))
        assert found.scores.shape == (1, cells) and found.boxes.shape == (1, cells, 4)


@pytest.mark.parametrize("config", [LandmarkNetConfig, RegressorConfig, DetectorNetConfig])
def test_unknown_profiles_are_named(config):
    with pytest.raises(ValueError, match="got 'huge', expected 'compact' or 'paper'"):
        config.profile("huge")


def test_detector_cells_lie_inside_their_own_boxes():
    with torch.no_grad():
        boxes = Detector(DetectorNetConfig()).eval()(torch.rand(1, 3, 128, 128)).boxes[0]
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    first = boxes[0]
    assert first[0] < 4 < first[2] and first[1] < 4 < first[3]  # the first cell's centre is (4, 4)


def _session(path):
    return onnxruntime.InferenceSession(gzip.decompress(path.read_bytes()), providers=["CPUExecutionProvider"])


def _random(module):
    torch.manual_seed(0)
    for buffer_name, buffer in module.named_buffers():
        if buffer_name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return module


def test_exported_networks_answer_like_their_modules_and_restore_them(tmp_path):
    cases = [("landmarks", LandmarkNet, LandmarkNetConfig(), onnx_export.export_landmarks, {},
              (3, 3, 128, 128), "net."),
             ("regressor", Regressor, RegressorConfig(), onnx_export.export_regressor, {"basis": "b"},
              (3, 3, 128, 128), ""),
             ("detector", Detector, DetectorNetConfig(), onnx_export.export_detector, {}, (1, 3, 128, 320), "net.")]
    for name, kind, config, export, extra, shape, prefix in cases:
        net = _random(kind(config)).eval()
        path = export(config, net.state_dict(), tmp_path, profile="compact", training={}, **extra)
        assert path.name == f"{name}.compact.onnx.gz" and (tmp_path / f"{name}.compact.json").exists()
        x = torch.rand(*shape)
        session = _session(path)
        got = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        with torch.no_grad():
            want = net(x)
        if name == "detector":
            np.testing.assert_allclose(got[1], want.boxes.numpy(), rtol=1e-2, atol=0.1)
        else:
            np.testing.assert_allclose(got[0], (want[0] if name == "landmarks" else want).numpy(), rtol=1e-2, atol=0.05)
        restored = kind(config)
        onnx_export.load_weights(path, restored, prefix)
        for a, b in zip(net.state_dict().values(), restored.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_weights_of_another_network_are_refused(tmp_path):
    net = Regressor(RegressorConfig())
    path = onnx_export.export_regressor(RegressorConfig(), net.state_dict(), tmp_path, profile="compact", basis="b",
                                        training={})
    with pytest.raises(ModelFileError, match="got no weight named"):
        onnx_export.load_weights(path, LandmarkNet(LandmarkNetConfig()), "net.")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelFileError, match="expected a file written by a trainer"):
        onnx_export.load_weights(path, net)
