"""Coefficient regressor (all four papers, §4 of each): face crop, and what was hidden in it → 239 numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import torch
from torch import Tensor, nn

from rtface.nets.encoder import PIXEL_MEAN, MobileEncoder, ResNetEncoder, widened
from rtface.nets.mobilenet import MobileNetConfig
from rtface.nets.resnet import ResNetConfig
from rtface.types import ALBEDO_SIZE, EXPRESSION_SIZE, IDENTITY_SIZE, ILLUMINATION_SIZE, VECTOR_SIZE

HIDDEN: Final = 512


@dataclass(frozen=True, slots=True)
class RegressorConfig:
    """``paper`` is ResNet-50 at 224 px; ``compact`` MobileNetV3-small at 128 px, the landmark network's encoder."""

    trunk: MobileNetConfig | ResNetConfig = field(default_factory=lambda: MobileNetConfig("small"))
    size: int = 128
    mask: bool = True
    """Whether the network is told which pixels something hides, as a fourth channel; the papers' is not."""

    @classmethod
    def profile(cls, name: str) -> RegressorConfig:
        """The configuration behind ``--profile``."""
        if name == "compact":
            return cls()
        if name == "paper":
            return cls(ResNetConfig((3, 4, 6, 3), 64, bottleneck=True), 224)
        raise ValueError(f"profile: got {name!r}, expected 'compact' or 'paper'")


def output_scale(size: int) -> tuple[Tensor, Tensor]:
    """Typical (offset, spread) of the 239 outputs for a crop of ``size`` px, so that the last layer has unit values."""
    offset, spread = torch.zeros(VECTOR_SIZE), torch.ones(VECTOR_SIZE)
    start = IDENTITY_SIZE
    offset[start:start + EXPRESSION_SIZE] = 0.05
    spread[start:start + EXPRESSION_SIZE] = 0.2
    start += EXPRESSION_SIZE + ALBEDO_SIZE
    offset[start] = 1.0
    spread[start:start + ILLUMINATION_SIZE] = 0.3
    start += ILLUMINATION_SIZE
    offset[start + 3:] = torch.tensor([0.9 / 224, 0.5, 0.5]) * size
    spread[start:start + 3] = torch.tensor([0.35, 0.6, 0.3])
    spread[start + 3:] = torch.tensor([0.12, 12.0, 12.0]) * (size / 224)
    return offset, spread


class Regressor(nn.Module):
    """(N, 3, S, S) RGB 0..1 → (N, 239) float32 y = (α, β, τ, γ, pitch, yaw, roll, f, t_x, t_y) in crop px.

    With ``config.mask`` also (N, 1, S, S) float32, 1 where something hides the face, whether or not the crop was
    completed there.
    """

    def __init__(self, config: RegressorConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder: nn.Module
        trunk = replace(config.trunk, inputs=3 + config.mask)
        if isinstance(trunk, ResNetConfig):
            self.encoder, features = ResNetEncoder(trunk), trunk.features
        else:
            self.encoder, features = MobileEncoder(trunk, config.size, HIDDEN), HIDDEN
        self.head = nn.Linear(features, VECTOR_SIZE)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        offset, spread = output_scale(config.size)
        self.offset: Tensor
        self.spread: Tensor
        self.register_buffer("offset", offset)
        self.register_buffer("spread", spread)

    def adapted(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state of a regressor that may not know the mask yet, or takes crops of another size, for this one."""
        own, weight = self.state_dict(), "encoder.hidden.0.weight"
        out = {name: widened(value, own[name]) if name in own else value for name, value in state.items()}
        if weight in own and out[weight].shape != own[weight].shape:
            assert isinstance(self.encoder, MobileEncoder)
            out |= {weight: self.encoder.resampled(out[weight]), "offset": self.offset, "spread": self.spread}
        return out

    def forward(self, crops: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.config.mask:
            assert mask is not None, "this network wants the mask of what hides the face"
            crops = torch.cat([crops, mask + PIXEL_MEAN], dim=1)  # 0 is "nothing hides it" behind the normalisation
        return self.offset + self.spread * self.head(self.encoder(crops)).float()
