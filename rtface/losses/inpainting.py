"""Losses of the contour and the landmark paper for drawing what is hidden; pure functions of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def adversarial_discriminator(real: Tensor, fake: Tensor, hole: Tensor | None = None) -> Tensor:
    """−(E log D(real) + E log[1 − D(fake)]) from logits, for the discriminator (contour paper, eqs 1 and 4).

    real, fake (N, 1, h, w), of patches. hole (N, 1, H, W), 1 = drawn: the second mean is over patches that show what
    was drawn, for elsewhere a completed picture is a real one (after Suvorov et al., WACV 2022, who mask alike).
    """
    return F.softplus(-real).mean() + _over_hole(F.softplus(fake), hole)


def adversarial_generator(fake: Tensor, hole: Tensor | None = None) -> Tensor:
    """−E log D(fake) from logits: the non-saturating form of the same game (Goodfellow et al., 2014); hole as above."""
    return _over_hole(F.softplus(-fake), hole)


def _over_hole(values: Tensor, hole: Tensor | None) -> Tensor:
    """Mean of patches' values (N, 1, h, w); with a hole (N, 1, H, W) of those of which it takes half or more."""
    if hole is None:
        return values.mean()
    shown = (F.adaptive_avg_pool2d(hole, (values.shape[-2], values.shape[-1])) >= 0.5).to(values.dtype)
    return (values * shown).sum() / shown.sum().clamp(min=1)


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Σ_i 1/N_i ‖D⁽ⁱ⁾(real) − D⁽ⁱ⁾(fake)‖₁ over a discriminator's layers (contour paper, eq. 2); real is fixed."""
    total = torch.zeros((), device=fake[0].device)
    for a, b in zip(real, fake, strict=True):
        total = total + F.l1_loss(b, a.detach())
    return total


def hole_l1(drawn: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """1/S_m ‖(drawn − truth) ⊙ mask‖₁ (contour paper, eq. 5): mean absolute difference over the hidden pixels.

    drawn, truth (N, C, H, W), mask (N, 1, H, W) 1 = hidden; pictures without a hole add nothing.
    """
    return ((drawn - truth).abs() * mask).sum() / (mask.sum() * drawn.shape[1]).clamp(min=1)


def gram(features: Tensor) -> Tensor:
    """φᵀφ over places: (N, Q, H, W) → (N, Q, Q), divided by Q·H·W."""
    flat = features.flatten(2)
    return torch.matmul(flat, flat.transpose(1, 2)) / (flat.shape[1] * flat.shape[2])


def style(drawn: Sequence[Tensor], truth: Sequence[Tensor]) -> Tensor:
    """Σ_n 1/Q_n² ‖G_n(drawn) − G_n(truth)‖₁ over an extractor's layers (contour paper, eq. 6), mean over pictures."""
    total = torch.zeros((), device=drawn[0].device)
    for a, b in zip(drawn, truth, strict=True):
        total = total + (gram(a) - gram(b)).abs().mean()
    return total


def perceptual(drawn: Sequence[Tensor], truth: Sequence[Tensor]) -> Tensor:
    """Σ_n mean |φ_n(drawn) − φ_n(truth)| over an extractor's layers (Johnson et al., ECCV 2016)."""
    total = torch.zeros((), device=drawn[0].device)
    for a, b in zip(drawn, truth, strict=True):
        total = total + F.l1_loss(a, b)
    return total


def total_variation(drawn: Tensor) -> Tensor:
    """1/P ‖∇ drawn‖ (landmark paper): mean absolute difference of neighbours, along rows plus along columns."""
    return ((drawn[..., 1:] - drawn[..., :-1]).abs().mean() + (drawn[..., 1:, :] - drawn[..., :-1, :]).abs().mean())
