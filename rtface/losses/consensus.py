"""The consensus loss (Masi, Mathai, AbdAlmageed, CVPR 2020): all pixels of one thing should agree on what it is."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

ALPHA: Final = 10.0
BETA: Final = 5.0
"""α and β as the authors' README gives them (the paper's scan prints "{10.5}")."""


class _Blobs(NamedTuple):
    """Every blob of a batch as one row, empty rows included."""

    row: Tensor
    """(N·H·W,) row of every pixel."""
    size: Tensor
    """(N·B,) pixels, 0 where a picture has fewer blobs than others."""
    label: Tensor
    """(N·B,) class."""
    weight: Tensor
    """(N·B,) 1/|C| of the picture over N: weights of all blobs sum to 1."""


def _rows(truth: Tensor, blobs: Tensor) -> _Blobs:
    count, most = truth.shape[0], int(blobs.max()) + 1
    first = torch.arange(count, device=blobs.device)[:, None, None] * most
    index = (blobs + first).flatten()
    size = torch.bincount(index, minlength=count * most)
    label = torch.zeros_like(size).scatter_(0, index, truth.flatten())
    there = (size > 0).float()
    per_picture = there.reshape(count, most).sum(dim=1, keepdim=True).expand(count, most).flatten()
    return _Blobs(index, size, label, there / per_picture / count)


def consensus_loss(logits: Tensor, truth: Tensor, blobs: Tensor, *, alpha: float = ALPHA, beta: float = BETA) -> Tensor:
    """Equations 6 to 8: L = 1/|C| Σ_c [α · CE(y, p̂_c) + β/|c| Σ_{s∈c} KL(p̂_c ‖ p(s))], mean over pictures.

    logits (N, K, H, W); truth (N, H, W) int64 classes; blobs (N, H, W) int64, the connected component of each pixel,
    numbered from 0 in every picture (a component has one class). p̂_c is the mean of the softmax over the blob; CE is
    the negative log-likelihood of the blob's label under it. With blobs of one pixel and α = 1 it is the cross-entropy.
    """
    classes = logits.shape[1]
    log_p = F.log_softmax(logits, dim=1).movedim(1, -1).reshape(-1, classes)
    rows = _rows(truth, blobs)
    size = rows.size.clamp(min=1).to(log_p.dtype)[:, None]

    def mean(values: Tensor) -> Tensor:
        return torch.zeros(len(rows.size), classes, dtype=values.dtype, device=values.device).index_add(
            0, rows.row, values) / size

    consensus = mean(log_p.exp()).clamp(min=1e-8)
    surprise = -consensus.log().gather(1, rows.label[:, None])[:, 0]
    disagreement = (consensus * (consensus.log() - mean(log_p))).sum(dim=1)
    return (rows.weight * (alpha * surprise + beta * disagreement)).sum()


def blob_cross_entropy(logits: Tensor, truth: Tensor, blobs: Tensor) -> Tensor:
    """Equation 5, the ablation's baseline: 1/|C| Σ_c 1/|c| Σ_{s∈c} CE(y, p(s)), mean over pictures; shapes as above."""
    rows = _rows(truth, blobs)
    each = F.cross_entropy(logits.float(), truth, reduction="none").flatten()
    share = rows.weight / rows.size.clamp(min=1)
    return (each * share[rows.row]).sum()
