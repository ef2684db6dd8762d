"""Labels of pictures on the device: the twins of what :class:`rtface.synth.generator.FaceFactory` says of a shot."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rtface.jaw import JAW, JawLine
from rtface.morphable import MorphableModel
from rtface.synth.device.paint import Drawings
from rtface.synth.device.solids import Poses
from rtface.synth.generator import FACE_CLASS, IN_OUTLINE, OCCLUSION, OF_FACE
from rtface.synth.head import HAIR, OCCLUDER
from rtface.synth.render import NOTHING

HULL: Final = 48
"""Most edges that the outline of 68 points is taken to have."""


class Points(NamedTuple):
    """Rows and directions of the face's mesh that labels need."""

    landmarks: Tensor
    """(68,) int64."""
    jaw_rows: Tensor
    """(17, ROW) int64, see :class:`rtface.jaw.JawLine`."""
    jaw_directions: Tensor
    """(17, 2)."""
    outline: Tensor
    """(P,) int64: the front of the face."""

    @classmethod
    def of(cls, model: MorphableModel, outline: np.ndarray, device: torch.device) -> Points:
        jaw = JawLine(model)
        arrays = (model.landmarks68.astype(np.int64), jaw.rows.astype(np.int64), jaw.directions, outline)
        return cls(*(torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in arrays))

    def landmarks_of(self, placed: Tensor, roll: Tensor) -> Tensor:
        """Placed faces (N, V, 3) px, rolls (N,) rad → (N, 68, 3); see :func:`rtface.jaw.project_landmarks`."""
        cos, sin = roll.cos()[:, None], roll.sin()[:, None]
        x, y = self.jaw_directions.unbind(dim=1)
        outward = torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)
        reach = torch.einsum("njrc,njc->njr", placed[:, self.jaw_rows, :2], outward)
        best = reach.argmax(dim=-1)
        chosen = self.jaw_rows.expand(len(placed), -1, -1).gather(2, best[..., None])[..., 0]
        jaw = placed.gather(1, chosen[..., None].expand(-1, -1, 3))
        return torch.cat([jaw, placed[:, self.landmarks[JAW:]]], dim=1)

    def boxes(self, placed: Tensor) -> Tensor:
        """(N, 4) xyxy around the faces without ears and neck."""
        points = placed[:, self.outline, :2]
        return torch.cat([points.amin(dim=1), points.amax(dim=1)], dim=1)

    def fitted(self, face: Tensor, placed: Tensor, poses: Poses) -> tuple[Tensor, Tensor, Tensor]:
        """The scaled orthographic scale (N,) and translation (N, 2) nearest to ``placed``; rms residual (N,) mm."""
        flat = face[:, self.outline] @ poses.rotation[:, :2].transpose(1, 2)  # (N, P, 2)
        seen = placed[:, self.outline, :2]
        flat_mean, seen_mean = flat.mean(dim=1, keepdim=True), seen.mean(dim=1, keepdim=True)
        apart, around = flat - flat_mean, seen - seen_mean
        scale = (apart * around).sum(dim=(1, 2)) / (apart * apart).sum(dim=(1, 2))
        offset = (seen_mean - scale[:, None, None] * flat_mean)[:, 0]
        left = apart - around / scale[:, None, None]
        return scale, offset, (left * left).sum(dim=2).mean(dim=1).sqrt()


def visibility(drawings: Drawings, landmarks: Tensor) -> Tensor:
    """(N, 68) 1 where nothing lies before a landmark (N, 68, 3) px; see ``generator.landmark_visibility``."""
    height, width = drawings.depth.shape[1:]
    scale = (landmarks[..., 1].amax(dim=1) - landmarks[..., 1].amin(dim=1)) / 110.0
    x, y = landmarks[..., 0], landmarks[..., 1]
    column, row = x.long().clamp(0, width - 1), y.long().clamp(0, height - 1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    number = torch.arange(len(x), device=x.device)[:, None]
    before = drawings.depth[number, row, column] < landmarks[..., 2] - 8.0 * scale[:, None]
    kind = drawings.kind[number, row, column]
    return (inside & ~(before | ((kind >= HAIR) & (kind != NOTHING)))).float()


def inside_hull(points: Tensor, at: Tensor) -> Tensor:
    """(N, S, S) bool: pixels at columns and rows ``at`` (S,) px within the convex hull of points (N, P, 2) px."""
    apart = points[:, None] - points[:, :, None]  # [n, i, j] = p_j − p_i
    side = apart[:, :, :, None, 0] * apart[:, :, None, :, 1] - apart[:, :, :, None, 1] * apart[:, :, None, :, 0]
    length = apart.norm(dim=-1)
    edge = (side >= -1e-3 * length[..., None].clamp(min=1e-6)).all(dim=-1) & (length > 1e-6)  # nothing to its right
    first = edge.flatten(1).to(torch.uint8).topk(HULL, dim=1).indices
    valid = edge.flatten(1).gather(1, first)
    count = points.shape[1]
    number = torch.arange(len(points), device=points.device)[:, None]
    start, along = points[number, first // count], apart.flatten(1, 2)[number, first]
    out = torch.ones(len(points), len(at), len(at), dtype=torch.bool, device=points.device)
    for k in range(HULL):
        (x, y), (dx, dy) = (values[:, k].unbind(dim=1) for values in (start, along))
        left = dx[:, None, None] * (at[:, None] - y[:, None, None]) - dy[:, None, None] * (at - x[:, None, None])
        border = 0.5 * torch.maximum(dx.abs(), dy.abs())[:, None, None]  # the outline's own pixels count
        out &= (left >= -border) | ~valid[:, k, None, None]
    return out


def masks(drawings: Drawings, clean_kind: Tensor, landmarks: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Class masks and kinds of occluders (N, size, size) uint8; see :func:`rtface.synth.generator.segment`."""
    side = clean_kind.shape[1]
    at = torch.floor(torch.arange(size, device=clean_kind.device) * (side / size)).long()

    def small(picture: Tensor) -> Tensor:
        return picture[:, at][:, :, at]

    def chosen(table: np.ndarray, kinds: Tensor) -> Tensor:
        return torch.from_numpy(table).to(kinds.device)[kinds.long()]

    clean, kind = small(clean_kind), small(drawings.kind)
    inside = inside_hull(landmarks[..., :2], at.float()) | chosen(OF_FACE, clean)
    face, seen = chosen(IN_OUTLINE, clean) & inside, chosen(OF_FACE, kind)
    mask = torch.where(face & seen, FACE_CLASS, torch.where(face, OCCLUSION, 0)).to(torch.uint8)
    number = torch.where((kind >= OCCLUDER) & (kind != NOTHING), kind - OCCLUDER + 1, 0)
    return mask, number.to(torch.uint8)
