"""Supervised loss of the regressor on synthetic faces: every coefficient is judged by what it moves.

Errors of single coefficients say little (the bases are far from uniform), so each group is pushed through the
morphable model and compared in millimetres, pixels or intensities. The papers' weakly supervised terms (photometric,
identity features) apply to pictures without ground truth; here the truth is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from rtface.losses.geometry import point_loss, pose_vertices
from rtface.morphable import MorphableModel
from rtface.types import ALBEDO_SIZE, EXPRESSION_SIZE, IDENTITY_SIZE, ILLUMINATION_SIZE


@dataclass(frozen=True, slots=True)
class CoefficientLossConfig:
    """Weights of the terms; units make them comparable (see :class:`CoefficientTerms`)."""

    identity: float = 1.0
    expression: float = 8.0
    action: float = 6.0
    posed: float = 0.5
    landmark: float = 1.5
    albedo: float = 10.0
    light: float = 3.0

    @classmethod
    def of_crops(cls, size: int) -> CoefficientLossConfig:
        """Px weigh less in larger crops (``size`` px), so that the balance is that of 128 px in all."""
        weights = cls()
        return replace(weights, posed=weights.posed * 128 / size, landmark=weights.landmark * 128 / size)


class CoefficientTerms(NamedTuple):
    """Unweighted terms, each a mean over the batch."""

    identity: Tensor
    """mm on the neutral face."""
    expression: Tensor
    """The expression's displacement, squared below :data:`EXPRESSION_MM`, eyes and lips weighted up
    (:data:`REGION_WEIGHTS`)."""
    action: Tensor
    """Mean squared error of the 64 expression coefficients, in units of :data:`ACTION_SPREAD`."""
    posed: Tensor
    """px of the placed mesh, depth included."""
    landmark: Tensor
    """px of the 68 projected landmarks."""
    albedo: Tensor
    """Linear RGB."""
    light: Tensor
    """Irradiance over directions of the front hemisphere."""


class AgreementTerms(NamedTuple):
    """Unweighted distances between two predictions, each a mean over the batch."""

    identity_mm: Tensor
    """Of the vertices of the neutral face."""
    expression_mm: Tensor
    """Of the vertices that the expression moves."""
    turn_rad: Tensor
    """Angle between both heads; pitch and yaw, since crops are rolled."""


ACTION_SPREAD: Final = 0.15
"""How much a drawn face's actions differ from another's (1 = full action), on the average of all actions."""
EXPRESSION_MM: Final = 3.0
"""Errors of vertices are squared up to here. Both terms of the expression have to be: an action is 0 on most faces,
so the guess that costs least in absolute errors is 0 for whatever is not quite sure. Regressors that were trained so
left gaze, brows and most of the mouth still."""
REGION_WEIGHTS: Final = {"eye": 3.0, "upper_lip": 3.0, "lower_lip": 3.0, "inner_mouth": 3.0, "brow": 2.0, "cheek": 0.7,
                         "forehead": 0.7, "ear": 0.2, "neck": 0.2, "scalp": 0.3}
"""How much a vertex's displacement counts in the expression term, before normalisation; 1 where nothing is said.
Blinks move few vertices: in a plain mean they are nearly free."""


class CoefficientLoss(nn.Module):
    """Compare predicted with true (N, 239) vectors through the morphable model."""

    def __init__(self, model: MorphableModel, config: CoefficientLossConfig, *, stride: int = 5) -> None:
        """``stride``: every how many vertices are compared (all landmarks always are)."""
        super().__init__()
        self.config = config
        inside = torch.arange(0, len(model.mean), stride)
        chosen = torch.cat([torch.from_numpy(model.landmarks68).long(), inside])
        self.mean: Tensor
        self.identity_basis: Tensor
        self.expression_basis: Tensor
        self.albedo_basis: Tensor
        self.directions: Tensor
        self.register_buffer("mean", torch.from_numpy(model.mean)[chosen].float())
        self.register_buffer("identity_basis", torch.from_numpy(model.identity_basis)[chosen].float())
        self.register_buffer("expression_basis", torch.from_numpy(model.expression_basis)[chosen].float())
        self.register_buffer("albedo_basis", torch.from_numpy(model.albedo_basis)[inside].float())
        names = [name.removesuffix("_right").removesuffix("_left") for name in model.region_names]
        weights = torch.tensor([REGION_WEIGHTS.get(name, 1.0) for name in names])[
            torch.from_numpy(model.regions).long()[chosen]]
        self.importance: Tensor
        self.register_buffer("importance", weights / weights.mean())
        normals = nn.functional.normalize(torch.randn(64, 3, generator=torch.Generator().manual_seed(0)), dim=1)
        normals[:, 2] = -normals[:, 2].abs()  # towards the camera
        x, y, z = normals.unbind(1)
        self.register_buffer("directions", torch.stack(
            [torch.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], dim=1))

    def split(self, vector: Tensor) -> tuple[Tensor, ...]:
        """(N, 239) → α, β, τ, γ, pose."""
        return vector.split([IDENTITY_SIZE, EXPRESSION_SIZE, ALBEDO_SIZE, ILLUMINATION_SIZE, 6], dim=1)

    def agreement(self, one: Tensor, other: Tensor) -> AgreementTerms:
        """How far two (N, 239) predictions of the same faces are apart, whatever their crops."""
        alpha, beta, _, _, pose = (a - b for a, b in zip(self.split(one), self.split(other), strict=True))

        def mean_length(vectors: Tensor) -> Tensor:
            return (vectors.square().sum(dim=-1) + 1e-6).sqrt().mean()

        return AgreementTerms(mean_length(torch.einsum("vck,nk->nvc", self.identity_basis, alpha)),
                              mean_length(torch.einsum("vck,nk->nvc", self.expression_basis, beta)),
                              mean_length(pose[:, :2]))

    def forward(self, predicted: Tensor, target: Tensor) -> tuple[Tensor, CoefficientTerms]:
        alpha, beta, tau, gamma, pose = self.split(predicted)
        alpha_t, beta_t, tau_t, gamma_t, pose_t = self.split(target)
        shape, shape_t = (torch.einsum("vck,nk->nvc", self.identity_basis, a) for a in (alpha, alpha_t))
        moved, moved_t = (torch.einsum("vck,nk->nvc", self.expression_basis, b) for b in (beta, beta_t))
        placed = pose_vertices(self.mean + shape + moved, pose)
        placed_t = pose_vertices(self.mean + shape_t + moved_t, pose_t)
        ones = torch.ones(placed.shape[:2], device=placed.device)
        terms = CoefficientTerms(
            identity=point_loss(shape, shape_t, ones, beta=0.5),
            expression=point_loss(moved, moved_t, self.importance.expand(len(moved), -1), beta=EXPRESSION_MM),
            action=((beta - beta_t) / ACTION_SPREAD).square().mean(),
            posed=point_loss(placed, placed_t, ones, beta=1.0),
            landmark=point_loss(placed[:, :68, :2], placed_t[:, :68, :2], ones[:, :68], beta=1.0),
            albedo=torch.einsum("vck,nk->nvc", self.albedo_basis, tau - tau_t).abs().mean(),
            light=((gamma - gamma_t) @ self.directions.T).abs().mean(),
        )
        weights = self.config
        total = sum((getattr(weights, name) * term for name, term in terms._asdict().items()),
                    start=torch.zeros((), device=predicted.device))
        return total, terms
