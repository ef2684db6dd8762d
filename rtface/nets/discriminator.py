"""Patch discriminator with spectral normalisation (Miyato et al., ICLR 2018), for D1 and D2 of the contour paper."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """(N, C, S, S) → logits (N, 1, S/8 − 2, S/8 − 2) of overlapping patches, and the features of every layer."""

    def __init__(self, inputs: int, width: int = 64) -> None:
        super().__init__()
        plan = ((inputs, width, 2), (width, 2 * width, 2), (2 * width, 4 * width, 2), (4 * width, 8 * width, 1))
        self.layers = nn.ModuleList(nn.Sequential(spectral_norm(nn.Conv2d(a, b, 4, stride, 1, bias=False)),
                                                  nn.LeakyReLU(0.2)) for a, b, stride in plan)
        self.head = spectral_norm(nn.Conv2d(8 * width, 1, 4, 1, 1, bias=False))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return self.head(x), features
