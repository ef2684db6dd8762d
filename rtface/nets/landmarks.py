"""Landmark network N_L: MobileNetV3 → 68 points (landmark paper §3.1) and both irises, their visibility, presence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from rtface.irises import EYES, LIDS
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
    irises: bool = True
    """Whether the middle of each iris is found, too; the paper's network is not asked for it."""

    @property
    def points(self) -> int:
        """68, and two irises."""
        return LANDMARKS + EYES * self.irises

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
    """(N, P, 2) crop px: the 68, then the right and the left iris if the network finds them."""
    presence: Tensor
    """(N,) logit: a face is really in the crop."""
    visibility: Tensor
    """(N, P) logit: the point is not covered."""
    maps: Tensor
    """(N, P, S/4, S/4) logits of where each point is."""


class LandmarkNet(MobileEncoder):
    """(N, 3, S, S) RGB 0..1 → :class:`LandmarkOutput`."""

    def __init__(self, config: LandmarkNetConfig) -> None:
        super().__init__(config.trunk, config.size, HIDDEN)
        self.config = config
        self.maps = PointMaps(self.trunk.level_features[1:], config.points, config.maps)
        self.shift = nn.Linear(HIDDEN, config.points * 2)
        self.state = nn.Linear(HIDDEN, config.points + 1)
        for head in (self.shift, self.state):
            nn.init.normal_(head.weight, std=1e-3)
            nn.init.zeros_(head.bias)

    def forward(self, crops: Tensor) -> LandmarkOutput:  # type: ignore[override]
        levels = self.pyramid(crops)
        whole, maps = self.describe(levels), self.maps(levels[1:])
        # maps end at the crop's border, faces do not
        shift = self.shift(whole).float().reshape(-1, self.config.points, 2)
        landmarks = mean_positions(maps, self.config.size) + shift * (self.config.size / 16)
        state = self.state(whole).float()
        return LandmarkOutput(landmarks, state[:, -1], state[:, :-1], maps)

    def adapted(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state of a network that may not know irises, for this one: they are looked for between the lids."""
        own, known = self.state_dict(), len(state["maps.out.bias"])
        out = {name: value.reshape(own[name].shape) if value.numel() == own[name].numel() else value
               for name, value in state.items()}
        if known == LANDMARKS and self.config.irises:
            for kind in ("weight", "bias"):
                for name, each, last in (("maps.out", 1, 0), ("shift", 2, 0), ("state", 1, 1)):
                    value = state[f"{name}.{kind}"].reshape(-1, *own[f"{name}.{kind}"].shape[1:])
                    points = value[:LANDMARKS * each].unflatten(0, (LANDMARKS, each))
                    more = torch.stack([points[first:end].mean(dim=0) for first, end in LIDS])
                    rest = value[len(value) - last:]
                    out[f"{name}.{kind}"] = torch.cat([points.flatten(0, 1), more.flatten(0, 1), rest])
        return out


class LandmarkExport(nn.Module):
    """The engine's view of :class:`LandmarkNet`: probabilities instead of logits, irises apart from the landmarks."""

    def __init__(self, net: LandmarkNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        out = self.net(crops)
        seen = torch.sigmoid(out.visibility)
        first = out.landmarks[:, :LANDMARKS], torch.sigmoid(out.presence), seen[:, :LANDMARKS]
        return (*first, out.landmarks[:, LANDMARKS:], seen[:, LANDMARKS:]) if self.net.config.irises else first
