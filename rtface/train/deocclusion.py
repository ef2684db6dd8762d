"""The shipped chain mask → contour → completed face as torch modules: what the regressor will see at run time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from build_engines.onnx_export import load_weights
from rtface.config import OcclusionConfig
from rtface.contours import PARSING, outlines, sketch
from rtface.nets.complete import CompletionNet, CompletionNetConfig
from rtface.nets.contour import ContourExport, ContourNet, ContourNetConfig
from rtface.nets.segment import SegmentNetConfig, segment_net
from rtface.paths import WEIGHTS
from rtface.stages.occlude import OCCLUDER


class TorchDeoccluder:
    """Twin of :class:`rtface.stages.deocclude.Deoccluder` for whole batches on any device; nothing is learned here."""

    def __init__(self, device: torch.device, *, profile: str = "compact", folder: Path = WEIGHTS) -> None:
        """folder: of the exported networks segment, parse, contour and complete."""
        config = SegmentNetConfig.profile(profile)
        self.size = config.size
        """Side in px of the crops that the chain was made for; others are scaled for it and back."""
        self._segment = self._load(segment_net(config), folder / f"segment.{profile}.onnx.gz", device)
        self._parse = self._load(segment_net(replace(config, classes=len(PARSING))),
                                 folder / f"parse.{profile}.onnx.gz", device)
        contour = ContourNet(ContourNetConfig.profile(profile))
        self._contour = ContourExport(self._load(contour, folder / f"contour.{profile}.onnx.gz", device))  # type: ignore[arg-type]
        self._complete = self._load(CompletionNet(CompletionNetConfig.profile(profile)),
                                    folder / f"complete.{profile}.onnx.gz", device)

    @staticmethod
    def _load(net: nn.Module, path: Path, device: torch.device) -> nn.Module:
        load_weights(path, net, prefix="net.")
        return net.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]

    @torch.no_grad()
    def find(self, crops: Tensor) -> Tensor:
        """crops (N, 3, S, S) RGB 0..1 → (N, 1, S, S) of their dtype, 1 where something hides the face."""
        found = (self._segment(_scaled(crops, self.size)).argmax(dim=1, keepdim=True) == OCCLUDER).to(crops.dtype)
        return _scaled_mask(found, crops.shape[-1])

    @torch.no_grad()
    def complete(self, crops: Tensor, hidden: Tensor, landmarks: Tensor) -> Tensor:
        """The crops with what hides the faces drawn over; hidden from :meth:`find`, landmarks (N, 68, 2) px.

        Visible pixels stay as they are; faces with an empty mask come back unchanged.
        """
        side, grow = crops.shape[-1], round(OcclusionConfig().grow_share * self.size)
        rows = torch.nonzero(hidden.flatten(1).any(dim=1))[:, 0]
        if not len(rows):
            return crops
        some, mask = _scaled(crops[rows], self.size), _scaled_mask(hidden[rows], self.size)
        mask = F.max_pool2d(mask, 2 * grow + 1, 1, grow)
        lines = self.contours(some, mask, landmarks[rows] * (self.size / side))
        drawn = _scaled(self._complete(some, mask, lines).clamp(0, 1), side)
        out = crops.clone()
        out[rows] = torch.where(_scaled_mask(mask, side) > 0.5, drawn, crops[rows])
        return out

    @torch.no_grad()
    def contours(self, crops: Tensor, mask: Tensor, landmarks: Tensor) -> Tensor:
        """What guides completion: (N, 1, S, S) 0..1 for crops with the hole ``mask`` (N, 1, S, S)."""
        classes = self._parse(crops).argmax(dim=1).to(torch.uint8).cpu().numpy()
        seen = self._lines(outlines(classes), crops)
        guessed = self._lines(sketch(landmarks.float().cpu().numpy(), crops.shape[-1]), crops)
        drawn: Tensor = self._contour(crops, mask, seen)
        return torch.where((mask > 0.5) & (guessed > 0.5), torch.ones_like(mask), drawn)

    @staticmethod
    def _lines(lines: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], like: Tensor) -> Tensor:
        return torch.from_numpy(lines).to(like.device, like.dtype)[:, None]


def _scaled(pixels: Tensor, side: int) -> Tensor:
    """(N, C, S, S) → (N, C, side, side), without aliasing; itself when S is that."""
    if pixels.shape[-1] == side:
        return pixels
    return F.interpolate(pixels, (side, side), mode="bilinear", antialias=side < pixels.shape[-1])


def _scaled_mask(mask: Tensor, side: int) -> Tensor:
    """(N, 1, S, S) → (N, 1, side, side), the nearest pixel's value as :func:`rtface.stages.crop.resized_mask`."""
    return mask if mask.shape[-1] == side else F.interpolate(mask, (side, side), mode="nearest-exact")


def guessed_landmarks(landmarks: Tensor, visibility: Tensor, size: int = 128) -> Tensor:
    """(N, 68, 2) px of ``size`` px crops with the landmark network's usual errors.

    Of 128 px: 1 px where a point is seen, 3 px where it is hidden.
    """
    spread = (1.0 + 2.0 * (1 - visibility))[..., None] * (size / 128)
    return landmarks + torch.randn_like(landmarks) * spread
