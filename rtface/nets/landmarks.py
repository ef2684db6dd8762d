"""Landmark network N_L: MobileNetV3 → 68 points (landmark paper §3.1), their visibility and face presence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from rtface.nets.mobilenet import MobileNetConfig, MobileNetV3
from rtface.types import LANDMARKS

PIXEL_MEAN: Final = 0.45
PIXEL_SCALE: Final = 4.0


@dataclass(frozen=True, slots=True)
class LandmarkNetConfig:
    """``compact`` is MobileNetV3-small at 128 px, ``paper`` MobileNetV3-large at 224 px."""

    trunk: MobileNetConfig = field(default_factory=lambda: MobileNetConfig("small"))
    size: int = 128

    @classmethod
    def profile(cls, name: str) -> LandmarkNetConfig:
        """The configuration behind ``--profile``."""
        if name == "compact":
            return cls()
        if name == "paper":
            return cls(MobileNetConfig("large"), 224)
        raise ValueError(f"profile: got {name!r}, expected 'compact' or 'paper'")


class LandmarkOutput(NamedTuple):
    """Network outputs; logits so that losses stay stable."""

    landmarks: Tensor
    """(N, 68, 2) crop px."""
    presence: Tensor
    """(N,) logit: a face is really in the crop."""
    visibility: Tensor
    """(N, 68) logit: the point is not covered."""


class LandmarkNet(nn.Module):
    """(N, 3, S, S) RGB 0..1 → :class:`LandmarkOutput`.

    Points are read from a pooled stride-32 descriptor joined with a 4×4 grid of stride-16 features, which keeps
    where things are (plain global pooling loses it).
    """

    def __init__(self, config: LandmarkNetConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = MobileNetV3(config.trunk)
        grid = config.size // 32
        self.local = nn.Sequential(nn.Conv2d(config.trunk.features, 64, 1, bias=False), nn.BatchNorm2d(64),
                                   nn.Hardswish(inplace=True))
        self.fine = nn.Sequential(nn.Conv2d(self.trunk.middle_features, 16, 1, bias=False), nn.BatchNorm2d(16),
                                  nn.Hardswish(inplace=True))
        size = config.trunk.features + 64 * grid**2 + 16 * (2 * grid) ** 2
        self.hidden = nn.Sequential(nn.Linear(size, 256), nn.Hardswish(inplace=True))
        self.head = nn.Linear(256, LANDMARKS * 3 + 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self.mean_shape: Tensor
        self.register_buffer("mean_shape", torch.full((LANDMARKS, 2), 0.5))

    def forward(self, crops: Tensor) -> LandmarkOutput:
        middle, late = self.trunk((crops - PIXEL_MEAN) * PIXEL_SCALE)
        joined = torch.cat([late.mean(dim=(2, 3)), self.local(late).flatten(1), self.fine(middle).flatten(1)], dim=1)
        out = self.head(self.hidden(joined)).float()
        offsets = out[:, :LANDMARKS * 2].reshape(-1, LANDMARKS, 2)
        landmarks = (self.mean_shape + offsets) * self.config.size
        return LandmarkOutput(landmarks, out[:, -1], out[:, LANDMARKS * 2:LANDMARKS * 3])


class LandmarkExport(nn.Module):
    """The engine's view of :class:`LandmarkNet`: probabilities instead of logits."""

    def __init__(self, net: LandmarkNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out = self.net(crops)
        return out.landmarks, torch.sigmoid(out.presence), torch.sigmoid(out.visibility)
