"""Networks: shapes, configurations, and that exported files give the module's own answers."""

import gzip
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from build_engines import onnx_export
from rtface.errors import ModelFileError
from rtface.nets.complete import CompletionNet, CompletionNetConfig
from rtface.nets.consensus import ConsensusNet
from rtface.nets.contour import ContourExport, ContourNet, ContourNetConfig
from rtface.nets.detector import Detector, DetectorNetConfig
from rtface.nets.landmarks import LandmarkNet, LandmarkNetConfig
from rtface.nets.mobilenet import MobileNetConfig, MobileNetV3, scaled
from rtface.nets.regressor import Regressor, RegressorConfig
from rtface.nets.resnet import ResNet, ResNetConfig
from rtface.nets.segment import SegmentExport, SegmentNetConfig, segment_net


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
        assert out.landmarks.shape == (2, 70, 2) and out.presence.shape == (2,) and out.visibility.shape == (2, 70)
        assert out.maps.shape == (2, 70, config.size // 4, config.size // 4)
        only = LandmarkNet(replace(config, irises=False)).eval()(torch.rand(1, 3, config.size, config.size))
        assert only.landmarks.shape == (1, 68, 2) and only.visibility.shape == (1, 68)
        side = RegressorConfig.profile(profile).size
        told = Regressor(RegressorConfig.profile(profile)).eval()
        assert told(torch.rand(2, 3, side, side), torch.zeros(2, 1, side, side)).shape == (2, 239)
        untold = Regressor(replace(RegressorConfig.profile(profile), mask=False)).eval()
        assert untold(torch.rand(2, 3, side, side)).shape == (2, 239)
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
              (3, 3, 192, 192), "net."),
             ("regressor", Regressor, RegressorConfig(), onnx_export.export_regressor, {"basis": "b"},
              (3, 3, 224, 224), ""),
             ("detector", Detector, DetectorNetConfig(), onnx_export.export_detector, {}, (1, 3, 128, 320), "net.")]
    for name, kind, config, export, extra, shape, prefix in cases:
        net = _random(kind(config)).eval()
        path = export(config, net.state_dict(), tmp_path, profile="compact", training={}, **extra)
        assert path.name == f"{name}.compact.onnx.gz" and (tmp_path / f"{name}.compact.json").exists()
        x = (torch.rand(*shape), (torch.rand(shape[0], 1, *shape[2:]) > 0.5).float())[:1 + (name == "regressor")]
        session = _session(path)
        got = session.run(None, {tensor.name: a.numpy() for tensor, a in zip(session.get_inputs(), x, strict=True)})
        with torch.no_grad():
            want = net(*x)
        if name == "detector":
            np.testing.assert_allclose(got[1], want.boxes.numpy(), rtol=1e-2, atol=0.1)
        else:
            wanted = want.numpy() if name == "regressor" else want.landmarks.numpy()
            np.testing.assert_allclose(got[0], wanted[:, :68] if name == "landmarks" else wanted, rtol=1e-2, atol=0.05)
            if name == "landmarks":
                np.testing.assert_allclose(got[3], wanted[:, 68:], rtol=1e-2, atol=0.05)
        restored = kind(config)
        onnx_export.load_weights(path, restored, prefix)
        for a, b in zip(net.state_dict().values(), restored.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_a_final_pixel_of_the_consensus_network_sees_121_px():
    net, x = ConsensusNet(3, width=4).eval(), torch.zeros(1, 3, 192, 192, requires_grad=True)
    out = net(x)
    for row, column in ((96, 96), (97, 99), (95, 98)):
        (gradient,) = torch.autograd.grad(out[0, :, row, column].sum(), x, retain_graph=True)
        reached = gradient.abs().sum(dim=(0, 1)).nonzero()
        assert (reached.max(dim=0).values - reached.min(dim=0).values + 1).tolist() == [121, 121]


@pytest.mark.parametrize("profile", ["compact", "paper"])
def test_networks_of_the_completion_chain_keep_the_crops_size(profile):
    x, one = torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64)
    contour, completion = (kind(None, 64) if profile == "paper" else kind() for kind in (ContourNetConfig,
                                                                                         CompletionNetConfig))
    with torch.no_grad():
        assert segment_net(SegmentNetConfig.profile(profile)).eval()(x).shape == (1, 3, 64, 64)
        assert ContourNet(contour).eval()(one, one, one).shape == (1, 1, 64, 64)
        assert CompletionNet(completion).eval()(x, one, one).shape == (1, 3, 64, 64)


def test_generators_do_not_look_under_the_mask():
    torch.manual_seed(0)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:40, 20:40] = 1
    x, contour = torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64)
    other, other_contour = torch.where(mask > 0, 1 - x, x), torch.where(mask > 0, 1 - contour, contour)
    with torch.no_grad():
        net = _random(CompletionNet(CompletionNetConfig())).eval()
        torch.testing.assert_close(net(x, mask, contour), net(other, mask, contour))
        lines = _random(ContourNet(ContourNetConfig())).eval()
        torch.testing.assert_close(lines(x[:, :1], mask, contour), lines(other[:, :1], mask, other_contour))


def test_exported_generators_answer_like_their_modules(tmp_path):
    mask = (torch.rand(3, 1, 128, 128) > 0.5).float()
    crops, contour = torch.rand(3, 3, 128, 128), torch.rand(3, 1, 128, 128)
    given = {"crops": crops.numpy(), "mask": mask.numpy(), "contour": contour.numpy()}
    completion = _random(CompletionNet(CompletionNetConfig())).eval()
    lines = _random(ContourNet(ContourNetConfig())).eval()
    segment = _random(segment_net(SegmentNetConfig())).eval()
    with torch.no_grad():
        wanted = {"complete": completion(crops, mask, contour).clamp(0, 1),
                  "contour": ContourExport(lines)(crops, mask, contour),
                  "segment": torch.softmax(segment(crops), dim=1)}
    paths = [onnx_export.export_complete(CompletionNetConfig(), completion.state_dict(), tmp_path, profile="compact",
                                         training={}),
             onnx_export.export_contour(ContourNetConfig(), lines.state_dict(), tmp_path, profile="compact",
                                        training={}),
             onnx_export.export_segment(SegmentNetConfig(), segment.state_dict(), tmp_path, profile="compact",
                                        training={})]
    for path in paths:
        session, want = _session(path), wanted[path.name.partition(".")[0]]
        names = [tensor.name for tensor in session.get_inputs()]
        (got,) = session.run(None, {name: given[name] for name in names})
        np.testing.assert_allclose(got, want.numpy(), atol=0.02)
    visible = wanted["contour"].numpy()[mask.numpy() == 0]
    assert np.array_equal(visible, contour.numpy()[mask.numpy() == 0])


def test_weights_of_another_network_are_refused(tmp_path):
    net = Regressor(RegressorConfig())
    path = onnx_export.export_regressor(RegressorConfig(), net.state_dict(), tmp_path, profile="compact", basis="b",
                                        training={})
    with pytest.raises(ModelFileError, match="got no weight named"):
        onnx_export.load_weights(path, LandmarkNet(LandmarkNetConfig()), "net.")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelFileError, match="expected a file written by a trainer"):
        onnx_export.load_weights(path, net)


def test_the_written_out_softmax_of_exported_segmentation_is_one_for_any_logits():
    given = torch.randn(2, 19, 8, 8) * 5
    given[0, 0] = 3e4
    given[1] = -3e4
    given[1, 4, 0, 0] = 2e4

    class Constant(torch.nn.Module):
        def forward(self, crops):
            return given.to(crops.dtype)

    got = SegmentExport(Constant())(torch.zeros(2, 3, 8, 8))
    torch.testing.assert_close(got, torch.softmax(given, dim=1))
    assert torch.isfinite(SegmentExport(Constant())(torch.zeros(2, 3, 8, 8, dtype=torch.float16))).all()
