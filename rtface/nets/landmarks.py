"""Landmark network N_L: MobileNetV3 → 68 points (landmark paper §3.1), their visibility and face presence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from rtface.nets.encoder import MobileEncoder
from rtface.nets.mobilenet import MobileNetConfig
from rtface.types import LANDMARKS

HIDDEN: Final = 256


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


class LandmarkNet(MobileEncoder):
    """(N, 3, S, S) RGB 0..1 → :class:`LandmarkOutput`."""

    def __init__(self, config: LandmarkNetConfig) -> None:
        super().__init__(config.trunk, config.size, HIDDEN)
        self.config = config
        self.head = nn.Linear(HIDDEN, LANDMARKS * 3 + 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self.mean_shape: Tensor
        self.register_buffer("mean_shape", torch.full((LANDMARKS, 2), 0.5))

    def forward(self, crops: Tensor) -> LandmarkOutput:  # type: ignore[override]
        out = self.head(super().forward(crops)).float()
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
