"""Feature extractors for style and perceptual losses: pictures (N, 3, S, S) RGB 0..1 → a list of feature maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from rtface.errors import InputError
from rtface.nets.encoder import PIXEL_MEAN, PIXEL_SCALE
from rtface.nets.mobile_unet import MobileUNet
from rtface.nets.segment import SegmentNet

Extractor = Callable[[Tensor], list[Tensor]]


class TrunkFeatures(nn.Module):
    """Features at strides 2, 4, 8, 16 of a segmentation network trained here; frozen, without a download."""

    def __init__(self, net: SegmentNet) -> None:
        super().__init__()
        self.net: MobileUNet = net.eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        features, _ = self.net.features((pictures - PIXEL_MEAN) * PIXEL_SCALE)
        return features


def vgg19(weights: Path) -> nn.Module:
    """VGG-19's relu1_1 to relu4_1, as most completion papers use; ``weights``: a state file that the user has.

    InputError where torchvision is not installed.
    """
    try:
        from torchvision.models import vgg19 as build  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as exc:
        raise InputError("features: got vgg19 without torchvision, expected it to be installed; pip install "
                         "torchvision, or leave --features at its default") from exc
    import torch

    net = build()
    net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return _Vgg(net.features.eval().requires_grad_(False))


class _Vgg(nn.Module):
    TAPS = (1, 6, 11, 20)

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, pictures: Tensor) -> list[Tensor]:
        mean = pictures.new_tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
        scale = pictures.new_tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
        x, out = (pictures - mean) / scale, []
        for number, layer in enumerate(self.layers.children()):
            x = layer(x)
            if number in self.TAPS:
                out.append(x)
            if number == self.TAPS[-1]:
                break
        return out
