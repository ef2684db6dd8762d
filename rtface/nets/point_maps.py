"""Feature maps → one heat map per point, and where its mass lies.

Coarse and fine features are joined as in a feature pyramid (Lin et al., CVPR 2017); a point is the mean position under
the softmax of its map (integral regression: Sun et al., ECCV 2018), which keeps fractions of a cell and has a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SPREAD_CELLS: Final = 1.0
"""Standard deviation of the map that a point asks for."""


class PointMaps(nn.Module):
    """Feature maps, finest first, each half the side of the one before → logits (N, points, H, W) of the finest."""

    def __init__(self, channels: Sequence[int], points: int, width: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, width, 1, bias=False), nn.BatchNorm2d(width)) for c in channels)
        self.blend = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 5, padding=2, groups=width, bias=False), nn.BatchNorm2d(width),
                          nn.Hardswish(inplace=True), nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width),
                          nn.Hardswish(inplace=True)) for _ in channels[1:])
        self.out = nn.Conv2d(width, points, 1)
        nn.init.normal_(self.out.weight, std=0.01)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        return self.out(self.features(levels))

    def features(self, levels: Sequence[Tensor]) -> Tensor:
        """What the heat maps are made from: (N, width, H, W) of the finest level."""
        maps = [lateral(level) for lateral, level in zip(self.laterals, levels, strict=True)]
        x = maps[-1]
        for finer, blend in zip(reversed(maps[:-1]), reversed(list(self.blend)), strict=True):
            x = blend(finer + F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return x


def mean_positions(logits: Tensor, size: int) -> Tensor:
    """(N, P, H, W) → (N, P, 2) px x right, y down of the picture of side ``size`` that the maps cover."""
    height, width = logits.shape[-2:]
    shares = torch.softmax(logits.float().flatten(2), dim=-1).unflatten(2, (height, width))
    x = (torch.arange(width, device=logits.device) + 0.5) * (size / width)
    y = (torch.arange(height, device=logits.device) + 0.5) * (size / height)
    return torch.stack([(shares.sum(dim=2) * x).sum(dim=-1), (shares.sum(dim=3) * y).sum(dim=-1)], dim=-1)


def map_loss(logits: Tensor, points: Tensor, weights: Tensor, size: int) -> Tensor:
    """Cross-entropy of each map with a Gaussian around its point, of which the least possible value is taken off.

    logits (N, P, H, W), points (N, P, 2) px of a picture of side ``size``, weights (N, P). Points that lie outside of
    the picture do not count. Without it the mean of a flat map could be right by chance, and hidden points' maps
    would stay flat.
    """
    height, width = logits.shape[-2:]
    cells = points * (torch.tensor([width, height], device=points.device) / size)
    x, y = (torch.arange(n, device=points.device) + 0.5 for n in (width, height))
    falls_x = torch.exp(-0.5 * ((x - cells[..., :1]) / SPREAD_CELLS) ** 2)
    falls_y = torch.exp(-0.5 * ((y - cells[..., 1:]) / SPREAD_CELLS) ** 2)
    target = (falls_y[..., :, None] * falls_x[..., None, :]).flatten(2)
    target = target / target.sum(dim=-1, keepdim=True).clamp(min=1e-12)
    inside = ((points >= 0) & (points < size)).all(dim=-1)
    given = torch.log_softmax(logits.float().flatten(2), dim=-1)
    loss = (target * (target.clamp(min=1e-12).log() - given)).sum(dim=-1)
    weights = weights * inside
    return (loss * weights).sum() / weights.sum().clamp(min=1e-6)
