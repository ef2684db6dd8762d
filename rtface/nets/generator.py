"""The papers' generator family: encoder, dilated residual blocks, attention, decoder.

Landmark paper, §3.2.2: three encoding blocks, seven residual blocks with dilated convolutions, a long–short-term
attention block, and a decoder back to the input's size. The contour paper's N_cont and N_syn are of the same family.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

RESIDUAL_BLOCKS = 7
DILATION = 2


class DilatedGenerator(nn.Module):
    """(N, C, S, S) of about −2..2 → (N, K, S, S); S a multiple of 4.

    width: channels at full resolution; attention: the long–short-term block, which completion has and contours have
    not.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 64, *, attention: bool) -> None:
        super().__init__()
        w = width
        self.encoder = nn.Sequential(nn.ReflectionPad2d(3), *_block(inputs, w, 7), *_block(w, 2 * w, 4, 2, 1),
                                     *_block(2 * w, 4 * w, 4, 2, 1))
        self.middle = nn.Sequential(*(_Residual(4 * w) for _ in range(RESIDUAL_BLOCKS)))
        self.attention = LongShortAttention(4 * w) if attention else None
        self.decoder = nn.Sequential(*_up(4 * w, 2 * w), *_up(2 * w, w), nn.ReflectionPad2d(3),
                                     nn.Conv2d(w, outputs, 7))

    def forward(self, x: Tensor) -> Tensor:
        early = self.encoder(x)
        late = self.middle(early)
        if self.attention is not None:
            late = self.attention(late, early)
        return self.decoder(late).float()


class LongShortAttention(nn.Module):
    """Every place looks for similar places in its own features (short) and in the encoder's (long).

    After Zheng et al., CVPR 2019 (pluralistic image completion): one similarity of the late features serves both; two
    learned gains, 0 at the start, say how much is added.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 4, 1, bias=False)
        self.short_gain = nn.Parameter(torch.zeros(1))
        self.long_gain = nn.Parameter(torch.zeros(1))
        self.mix = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, late: Tensor, early: Tensor) -> Tensor:
        """late, early (N, C, H, W) → (N, C, H, W)."""
        query = self.query(late).flatten(2)
        weights = torch.softmax(torch.matmul(query.transpose(1, 2), query), dim=-1).transpose(1, 2)
        shape = late.shape
        short = torch.matmul(late.flatten(2), weights).reshape(shape)
        long = torch.matmul(early.flatten(2), weights).reshape(shape)
        return late + self.mix(torch.cat([self.short_gain * short, self.long_gain * long], dim=1))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.ReflectionPad2d(DILATION), *_block(channels, channels, 3, dilation=DILATION),
                                  nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3),
                                  nn.InstanceNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _block(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, *,
           dilation: int = 1) -> tuple[nn.Module, ...]:
    return (nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation), nn.InstanceNorm2d(outputs),
            nn.ReLU(inplace=True))


def _up(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (nn.Conv2d(inputs, 4 * outputs, 3, 1, 1), nn.PixelShuffle(2), nn.InstanceNorm2d(outputs),
            nn.ReLU(inplace=True))
