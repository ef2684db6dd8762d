"""Landmark network N_L: MobileNetV3 → 68 points (landmark paper §3.1), their visibility and face presence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from rtface.nets.encoder import MobileEncoder
from rtface.nets.mobilenet import MobileNetConfig
from rtface.nets.point_maps import PointMaps, mean_positions
from rtface.types import LANDMARKS

HIDDEN: Final = 256


@dataclass(frozen=True, slots=True)
class LandmarkNetConfig:
    """``compact`` is MobileNetV3-small at 192 px, ``paper`` MobileNetV3-large at 224 px."""

    trunk: MobileNetConfig = field(default_factory=lambda: MobileNetConfig("small"))
    size: int = 192
    maps: int = 64
    """Channels of the features that heat maps are made from, at a quarter of the crop's side."""

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
    maps: Tensor
    """(N, 68, S/4, S/4) logits of where each point is."""


class LandmarkNet(MobileEncoder):
    """(N, 3, S, S) RGB 0..1 → :class:`LandmarkOutput`."""

    def __init__(self, config: LandmarkNetConfig) -> None:
        super().__init__(config.trunk, config.size, HIDDEN)
        self.config = config
        self.maps = PointMaps(self.trunk.level_features[1:], LANDMARKS, config.maps)
        self.shift = nn.Linear(HIDDEN, LANDMARKS * 2)
        self.state = nn.Linear(HIDDEN, LANDMARKS + 1)
        for head in (self.shift, self.state):
            nn.init.normal_(head.weight, std=1e-3)
            nn.init.zeros_(head.bias)

    def forward(self, crops: Tensor) -> LandmarkOutput:  # type: ignore[override]
        levels = self.pyramid(crops)
        whole, maps = self.describe(levels), self.maps(levels[1:])
        shift = self.shift(whole).float().reshape(-1, LANDMARKS, 2)  # maps end at the crop's border, faces do not
        landmarks = mean_positions(maps, self.config.size) + shift * (self.config.size / 16)
        state = self.state(whole).float()
        return LandmarkOutput(landmarks, state[:, -1], state[:, :LANDMARKS], maps)


class LandmarkExport(nn.Module):
    """The engine's view of :class:`LandmarkNet`: probabilities instead of logits."""

    def __init__(self, net: LandmarkNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out = self.net(crops)
        return out.landmarks, torch.sigmoid(out.presence), torch.sigmoid(out.visibility)
