"""Losses on points, boxes and meshes; pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def focal_loss(logits: Tensor, targets: Tensor, *, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Sigmoid focal loss per element (Lin et al., ICCV 2017, eq. 5).

    logits and targets have the same shape, targets in {0, 1}; the result is not reduced.
    """
    probability = torch.sigmoid(logits)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    agreement = probability * targets + (1 - probability) * (1 - targets)
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return weight * (1 - agreement) ** gamma * cross_entropy


def giou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """1 − generalised IoU (Rezatofighi et al., CVPR 2019) of paired boxes (P, 4) xyxy → (P,)."""
    low, high = torch.maximum(boxes[:, :2], targets[:, :2]), torch.minimum(boxes[:, 2:], targets[:, 2:])
    intersection = (high - low).clamp(min=0).prod(dim=1)
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)
    area_t = (targets[:, 2:] - targets[:, :2]).clamp(min=0).prod(dim=1)
    union = (area + area_t - intersection).clamp(min=1e-6)
    hull = (torch.maximum(boxes[:, 2:], targets[:, 2:]) - torch.minimum(boxes[:, :2], targets[:, :2])).prod(dim=1)
    hull = hull.clamp(min=1e-6)
    return 1 - intersection / union + (hull - union) / hull


def point_loss(points: Tensor, targets: Tensor, weights: Tensor, *, beta: float) -> Tensor:
    """Weighted smooth-L1 distance of points: (N, P, D), (N, P, D), (N, P) → scalar, in the points' unit.

    Quadratic below ``beta`` (same unit), linear above: the papers' L2 (landmark §3.1) would let a few wrong points
    rule the gradient.
    """
    distance = F.smooth_l1_loss(points, targets, beta=beta, reduction="none").sum(dim=-1)
    return (distance * weights).sum() / weights.sum().clamp(min=1e-6)


def rotation_matrices(rotation: Tensor) -> Tensor:
    """Torch twin of :func:`rtface.geometry.rotation_matrices`: (N, 3) rad → (N, 3, 3)."""
    cx, cy, cz = torch.cos(rotation).unbind(1)
    sx, sy, sz = torch.sin(rotation).unbind(1)
    rows = [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx,
            sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx,
            -sy, cy * sx, cy * cx]
    return torch.stack(rows, dim=1).reshape(-1, 3, 3)


def pose_vertices(vertices: Tensor, pose: Tensor) -> Tensor:
    """Torch twin of :func:`rtface.geometry.pose_vertices`: (N, V, 3) mm and pose (N, 6) → (N, V, 3) px."""
    posed = torch.matmul(vertices, rotation_matrices(pose[:, :3]).transpose(1, 2)) * pose[:, 3, None, None]
    return posed + F.pad(pose[:, 4:6], (0, 1))[:, None]
