"""Segmentation network: crop → background, visible face, something before the face.

The task and classes of the consensus paper (Masi et al., CVPR 2020): K = 3 logits at the crop's size. ``paper`` is its
network; ``compact`` trades the dense convolutions for MobileNetV3, which a CPU can afford on every frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor, nn

from rtface.nets.consensus import ConsensusNet
from rtface.nets.encoder import PIXEL_MEAN, PIXEL_SCALE
from rtface.nets.mobile_unet import WIDTHS, MobileUNet
from rtface.nets.mobilenet import MobileNetConfig

CLASSES: Final = 3


@dataclass(frozen=True, slots=True)
class SegmentNetConfig:
    """``compact``: MobileNetV3-small at 128 px; ``paper``: the consensus network at 128 px."""

    trunk: MobileNetConfig | None = field(default_factory=lambda: MobileNetConfig("small"))
    """None: the consensus network."""
    size: int = 128
    classes: int = CLASSES
    widths: tuple[int, int, int, int] = WIDTHS
    """Channels of the compact decoder at strides 16, 8, 4, 2."""

    @classmethod
    def profile(cls, name: str) -> SegmentNetConfig:
        """The configuration behind ``--profile``."""
        if name == "compact":
            return cls()
        if name == "paper":
            return cls(trunk=None)
        raise ValueError(f"profile: got {name!r}, expected 'compact' or 'paper'")


def segment_net(config: SegmentNetConfig) -> SegmentNet | ConsensusSegmentNet:
    """The network of a configuration."""
    return SegmentNet(config) if config.trunk is not None else ConsensusSegmentNet(config)


class SegmentNet(MobileUNet):
    """(N, 3, S, S) RGB 0..1 → (N, K, S, S) logits; S a multiple of 32."""

    def __init__(self, config: SegmentNetConfig) -> None:
        assert config.trunk is not None
        super().__init__(config.trunk, config.classes, config.widths)
        self.config = config

    def forward(self, crops: Tensor) -> Tensor:
        return super().forward((crops - PIXEL_MEAN) * PIXEL_SCALE)


class ConsensusSegmentNet(ConsensusNet):
    """(N, 3, S, S) RGB 0..1 → (N, K, S, S) logits; S a multiple of 4."""

    def __init__(self, config: SegmentNetConfig) -> None:
        super().__init__(config.classes)
        self.config = config

    def forward(self, crops: Tensor) -> Tensor:
        return super().forward((crops - PIXEL_MEAN) * PIXEL_SCALE)


class SegmentExport(nn.Module):
    """The engine's view: probabilities (N, K, S, S) that sum to 1.

    The soft maximum is written out: ONNX Runtime turns the picture round for the operator of that name, which took half
    of the time of a network of 19 classes (docs/backends.md).
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> Tensor:
        logits = self.net(crops)
        powers = torch.exp(logits - logits.amax(dim=1, keepdim=True))
        return powers / powers.sum(dim=1, keepdim=True)
