"""The consensus paper's network (Masi et al., CVPR 2020, §3.2): Conv–ELU–BatchNorm blocks, two encoders, one decoder.

The paper gives the sizes at the seams (256×32×32 after the first encoder, the second one's maps joined to it, two
sub-pixel steps of two) and the receptive field of a final pixel, 121 px. How many blocks lie between the seams is
chosen here so that the receptive field comes out exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DILATIONS = (4, 3)
"""Of the second encoder's two blocks."""


class ConsensusNet(nn.Module):
    """(N, 3, S, S) of about −2..2 → (N, K, S, S) logits; S a multiple of 4.

    width: channels at full resolution (64 in the paper: 4 × 64 = 256 at the seam). dropout: the paper's 0.2, before
    the last two convolutions (+reg.).
    """

    def __init__(self, outputs: int, width: int = 64, dropout: float = 0.2) -> None:
        super().__init__()
        w = width
        self.first = nn.Sequential(_block(3, w), _block(w, 2 * w, stride=2), _block(2 * w, 2 * w),
                                   _block(2 * w, 4 * w, stride=2), _block(4 * w, 4 * w), _block(4 * w, 4 * w))
        self.second = nn.Sequential(*(layer for dilation in DILATIONS
                                      for layer in (_block(4 * w, 4 * w, dilation=dilation), _block(4 * w, 4 * w))))
        self.decoder = nn.Sequential(_block(8 * w, 8 * w), nn.PixelShuffle(2), _block(2 * w, 2 * w),
                                     _block(2 * w, 4 * w), nn.PixelShuffle(2), nn.Dropout2d(dropout), _block(w, w),
                                     nn.Conv2d(w, outputs, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        near = self.first(x)
        return self.decoder(torch.cat([near, self.second(near)], dim=1)).float()


def _block(inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation), nn.ELU(inplace=True),
                         nn.BatchNorm2d(outputs))
