"""Whole-frame face detector: one-stage, anchor-free (after FCOS, Tian et al., ICCV 2019), four levels.

Every cell of the stride 8, 16, 32 and 64 grids predicts a face score and the distances to the four sides of a box.
Boxes run from the hair line to the chin and from ear to ear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtface.nets.encoder import PIXEL_MEAN, PIXEL_SCALE
from rtface.nets.resnet import conv_bn

STRIDES: Final = (8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class DetectorNetConfig:
    """Channels per stride 2, 4, 8, 16, 32, 64 and of the shared head."""

    channels: tuple[int, int, int, int, int, int] = (16, 24, 48, 64, 96, 96)
    head: int = 48

    @classmethod
    def profile(cls, name: str) -> DetectorNetConfig:
        """The configuration behind ``--profile``."""
        if name == "compact":
            return cls()
        if name == "paper":
            return cls((32, 48, 96, 128, 192, 192), 96)
        raise ValueError(f"profile: got {name!r}, expected 'compact' or 'paper'")


class DetectorOutput(NamedTuple):
    """All cells of all levels, finest level first, row by row."""

    scores: Tensor
    """(N, P) logits."""
    boxes: Tensor
    """(N, P, 4) xyxy in input px."""


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(conv_bn(inputs, outputs, 3, stride), nn.ReLU(inplace=True))


class Detector(nn.Module):
    """(N, 3, H, W) RGB 0..1, H and W multiples of 64 → :class:`DetectorOutput`."""

    def __init__(self, config: DetectorNetConfig) -> None:
        super().__init__()
        self.config = config
        c2, c4, c8, c16, c32, c64 = config.channels
        self.stem = nn.Sequential(_block(3, c2, 2), _block(c2, c4, 2))
        self.levels = nn.ModuleList([
            nn.Sequential(_block(c4, c8, 2), _block(c8, c8, 1)),
            nn.Sequential(_block(c8, c16, 2), _block(c16, c16, 1)),
            nn.Sequential(_block(c16, c32, 2), _block(c32, c32, 1)),
            nn.Sequential(_block(c32, c64, 2), _block(c64, c64, 1)),
        ])
        self.lateral = nn.ModuleList([nn.Conv2d(c, config.head, 1) for c in (c8, c16, c32, c64)])
        self.smooth = nn.ModuleList([_block(config.head, config.head, 1) for _ in STRIDES])
        self.tower = _block(config.head, config.head, 1)
        self.score = nn.Conv2d(config.head, 1, 1)
        self.sides = nn.Conv2d(config.head, 4, 1)
        nn.init.constant_(self.score.bias, -4.6)  # type: ignore[arg-type]  # prior of 1 % for the focal loss

    def forward(self, image: Tensor) -> DetectorOutput:
        x = self.stem((image - PIXEL_MEAN) * PIXEL_SCALE)
        maps = []
        for level, lateral in zip(self.levels, self.lateral, strict=True):
            x = level(x)
            maps.append(lateral(x))
        for index in range(len(maps) - 2, -1, -1):  # top-down: context for small faces
            maps[index] = maps[index] + F.interpolate(maps[index + 1], scale_factor=2.0, mode="nearest")
        scores, boxes = [], []
        for feature, smooth, stride in zip(maps, self.smooth, STRIDES, strict=True):
            feature = self.tower(smooth(feature))
            score, sides = self.score(feature).float(), self.sides(feature).float()
            height, width = feature.shape[2], feature.shape[3]
            # distances in units of twice the stride, through exp, bounded so that FP16 stays finite
            sides = torch.exp(torch.clamp(sides, -4.0, 4.0)) * (2.0 * stride)
            xs = (torch.arange(width, device=image.device, dtype=torch.float32) + 0.5) * stride
            ys = (torch.arange(height, device=image.device, dtype=torch.float32) + 0.5) * stride
            left, top = xs[None, None, :] - sides[:, 0], ys[None, :, None] - sides[:, 1]
            right, bottom = xs[None, None, :] + sides[:, 2], ys[None, :, None] + sides[:, 3]
            boxes.append(torch.stack([left, top, right, bottom], dim=-1).flatten(1, 2))
            scores.append(score.flatten(1))
        return DetectorOutput(torch.cat(scores, 1), torch.cat(boxes, 1))


class DetectorExport(nn.Module):
    """The engine's view of :class:`Detector`: probabilities instead of logits."""

    def __init__(self, net: Detector) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        out = self.net(image)
        return torch.sigmoid(out.scores), out.boxes
