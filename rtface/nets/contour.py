"""Contour generator N_cont (contour paper, §3.2): what can be seen of a face → the contours of the whole of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from rtface.nets.encoder import PIXEL_MEAN, PIXEL_SCALE
from rtface.nets.generator import DilatedGenerator
from rtface.nets.mobile_unet import MobileUNet
from rtface.nets.mobilenet import MobileNetConfig

INPUTS = 3
"""Gray picture without the hole, mask, contours without the hole."""


@dataclass(frozen=True, slots=True)
class ContourNetConfig:
    """``compact``: MobileNetV3-small at 128 px; ``paper``: the dilated generator at 256 px."""

    trunk: MobileNetConfig | None = field(default_factory=lambda: MobileNetConfig("small", inputs=INPUTS))
    """None: the dilated generator."""
    size: int = 128

    @classmethod
    def profile(cls, name: str) -> ContourNetConfig:
        """The configuration behind ``--profile``."""
        if name == "compact":
            return cls()
        if name == "paper":
            return cls(None, 256)
        raise ValueError(f"profile: got {name!r}, expected 'compact' or 'paper'")


class ContourNet(nn.Module):
    """gray, mask, contour, all (N, 1, S, S) 0..1 → (N, 1, S, S) logits of contour lines, everywhere.

    What lies under the mask (1 = hidden) is not looked at: the network itself multiplies it away, as the paper writes
    (Î_gray = I_gray ⊙ (1 − I_mask), Ĉ = C ⊙ (1 − I_mask)).
    """

    def __init__(self, config: ContourNetConfig) -> None:
        super().__init__()
        self.config = config
        self.body = (MobileUNet(config.trunk, 1) if config.trunk is not None
                     else DilatedGenerator(INPUTS, 1, attention=False))

    def forward(self, gray: Tensor, mask: Tensor, contour: Tensor) -> Tensor:
        seen = 1 - mask
        return self.body(torch.cat([(gray - PIXEL_MEAN) * PIXEL_SCALE * seen, mask, contour * seen], dim=1))


class ContourExport(nn.Module):
    """The engine's view: C_goal = C ⊙ (1 − I_mask) + C_syn ⊙ I_mask, from RGB crops."""

    def __init__(self, net: ContourNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor, mask: Tensor, contour: Tensor) -> Tensor:
        drawn = torch.sigmoid(self.net(luminance(crops), mask, contour))
        return contour * (1 - mask) + drawn * mask


def luminance(crops: Tensor) -> Tensor:
    """(N, 3, S, S) RGB 0..1 → (N, 1, S, S) gray by Rec. 601."""
    red, green, blue = crops.split(1, dim=1)
    return 0.299 * red + 0.587 * green + 0.114 * blue
