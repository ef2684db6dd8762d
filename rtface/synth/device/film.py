"""Backgrounds, lenses and cameras on the device: the twins of :mod:`rtface.synth.compose` and ``camera.develop``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rtface.synth.camera import LUMA, Settings, motion_kernel
from rtface.synth.compose import HELD, ROUGH, Softening
from rtface.synth.config import OCCLUDER_KINDS
from rtface.synth.device import filters
from rtface.synth.device.paint import Drawings
from rtface.synth.head import OCCLUDER
from rtface.synth.render import NOTHING

H264_QUALITY: Final = (110.0, -2.2)
"""JPEG's quality that leaves about what H.264 leaves at a quantiser: offset and slope. The device has JPEG only."""


class Cameras(NamedTuple):
    """Settings of N cameras; see :class:`rtface.synth.camera.Settings`."""

    settings: tuple[Settings, ...]

    def column(self, name: str, device: torch.device) -> Tensor:
        """(N,) or (N, K) float32 of one setting."""
        values = np.array([getattr(s, name) for s in self.settings], np.float32)
        return torch.from_numpy(values).to(device)

    def rows(self, device: torch.device, *names: str) -> Tensor:
        """(M,) int64: the pictures for which one of the settings is not 0."""
        chosen = [n for n, s in enumerate(self.settings) if any(np.any(getattr(s, name)) for name in names)]
        return torch.tensor(chosen, dtype=torch.int64).to(device)


def over_background(drawings: Drawings, behind: Tensor, grain: Tensor) -> Tensor:
    """(N, 3, R, R) sRGB: drawings over ``behind`` (N, 3, R, R); grain (N, R, R) factor on rough surfaces."""
    rough = torch.from_numpy(ROUGH).to(grain.device)[drawings.kind.long()]
    linear = (drawings.color * torch.where(rough, grain, 1.0)[..., None]).clamp(0, 1)
    shown = linear.permute(0, 3, 1, 2) ** (1 / 2.2)
    return torch.where((drawings.kind == NOTHING)[:, None], behind, shown)


def veil(front: Tensor, back: Tensor, kind: Tensor, soft: Sequence[Softening]) -> Tensor:
    """Blur what is held before the face over what is behind it; see :func:`rtface.synth.compose.veil`.

    front, back: (N, 3, R, R); kind (N, R, R) labels of the front.
    """
    chosen = [n for n, s in enumerate(soft) if s.near or s.motion]
    if not chosen:
        return front
    side, device = max(front.shape[-2:]), front.device
    rows = torch.tensor(chosen, device=device)
    table = torch.zeros(256, device=device)
    table[[OCCLUDER + OCCLUDER_KINDS.index(name) for name in HELD]] = 1
    share = table[kind[rows].long()][:, None]
    layer = torch.cat([front[rows] * share, share], dim=1)
    near = [k for k, n in enumerate(chosen) if soft[n].near * side > 0.3]
    if near:
        sigma = torch.tensor([soft[chosen[k]].near * side for k in near], device=device)
        layer[near] = filters.gaussian(layer[near], sigma)
    moving = [k for k, n in enumerate(chosen) if soft[n].motion * side > 1.5]
    if moving:
        kernels = _kernels([(soft[chosen[k]].motion * side, soft[chosen[k]].direction_rad) for k in moving], device)
        layer[moving] = filters.correlate(layer[moving], kernels)
    rest = torch.where(share > 0, back[rows], front[rows])
    out = front.clone()
    out[rows] = layer[:, :3] + (1 - layer[:, 3:]) * rest
    return out


def defocus(behind: Tensor, soft: Sequence[Softening]) -> Tensor:
    """Backgrounds (N, 3, S, S) out of focus."""
    side = max(behind.shape[-2:])
    chosen = [n for n, s in enumerate(soft) if s.background * side > 0.3]
    if not chosen:
        return behind
    out = behind.clone()
    sigma = torch.tensor([soft[n].background * side for n in chosen], device=behind.device)
    out[chosen] = filters.gaussian(behind[chosen], sigma)
    return out


def _kernels(lines: Sequence[tuple[float, float]], device: torch.device) -> Tensor:
    """(N, K, K) kernels of lines of some length, px, at some angle, rad, in the middle of one size."""
    drawn = [motion_kernel(*line) for line in lines]
    side = max(len(k) for k in drawn)
    out = np.zeros((len(drawn), side, side), np.float32)
    for kernel, place in zip(drawn, out, strict=True):
        at = (side - len(kernel)) // 2
        place[at:at + len(kernel), at:at + len(kernel)] = kernel
    return torch.from_numpy(out).to(device)


def develop(pictures: Tensor, cameras: Cameras, grain: Tensor) -> Tensor:
    """Take (N, 3, S, S) float32 sRGB as the cameras do → (N, 3, S, S) uint8.

    grain: (N, 3, S, S) standard normal noise.
    """
    device, size = pictures.device, max(pictures.shape[-2:])

    def column(name: str) -> Tensor:
        return cameras.column(name, device)

    def change(names: tuple[str, ...], function: Any) -> None:
        """Replace those pictures for which a setting is not 0."""
        nonlocal pictures
        rows = cameras.rows(device, *names)
        if len(rows):
            changed = pictures.clone()
            changed[rows] = function(pictures[rows], rows)
            pictures = changed

    low_resolution, blur = column("low_resolution"), column("blur")
    kernels = [(s.motion * size, s.motion_rad) for s in cameras.settings if s.motion]

    def enlarged(some: Tensor, rows: Tensor) -> Tensor:
        fewer = torch.floor(size * low_resolution[rows]).clamp(min=8)
        small = filters.area_matrix(fewer, size)
        large = filters.enlarging_matrix(fewer, size, column("cubic")[rows] > 0, most=small.shape[1])
        return filters.resize(some, torch.bmm(large, small))

    change(("low_resolution",), enlarged)
    change(("motion",), lambda some, rows: filters.correlate(some, _kernels(kernels, device)))
    change(("blur",), lambda some, rows: filters.gaussian(some, size * blur[rows]))
    change(("sharpening",), lambda some, rows: some + column("sharpening")[rows][:, None, None, None] * (
        some - filters.gaussian(some, torch.full((len(rows),), 1.2, device=device))))
    pictures = (pictures.clamp(min=0) * column("gain")[:, :, None, None]) ** column("gamma")[:, None, None, None]
    contrast, offset = (column(name)[:, None, None, None] for name in ("contrast", "offset"))
    lamp = column("infrared")
    toned = _toned(pictures, column("saturation"), contrast) + offset
    dark = cameras.rows(device, "infrared")
    if len(dark):
        toned[dark] = _infrared((pictures * contrast + offset)[dark], lamp[dark])
    pictures = toned
    y = torch.linspace(-1, 1, pictures.shape[-2], device=device)[:, None]
    x = torch.linspace(-1, 1, pictures.shape[-1], device=device)
    pictures = pictures * (1 - column("vignette")[:, None, None, None] * (x * x + y * y))
    tones = column("tones")[:, None, None, None]
    change(("tones",), lambda some, rows: torch.round(some.clamp(0, 1) * tones[rows]) / tones[rows])
    bands = column("bands")[:, :, None, None, None]
    pictures = pictures * (1 - bands[:, 2] * (0.5 + 0.5 * torch.sin(
        torch.arange(pictures.shape[-2], device=device, dtype=torch.float32)[:, None]
        * (2 * np.pi / pictures.shape[-2]) * bands[:, 0] + bands[:, 1])))
    noise = column("noise")[:, None, None, None]
    coarse = cameras.rows(device, "coarse")
    if len(coarse):
        grain = grain.clone()
        grain[coarse] = filters.gaussian(grain[coarse], torch.full((len(coarse),), 0.7, device=device)) * 2
    pictures = pictures + noise * (pictures.clamp(0, 1).sqrt() + 0.5) * grain
    pictures = torch.round(pictures.clamp(0, 1) * 255)
    quality, qp = column("quality"), column("qp")
    quality = torch.where(qp > 0, (H264_QUALITY[0] + H264_QUALITY[1] * qp).clamp(12, 95), quality)
    halved = (column("halved") > 0) | (qp > 0)
    change(("quality", "qp"), lambda some, rows: filters.jpeg(some, quality[rows], halved[rows]))
    return pictures.to(torch.uint8)


def _toned(pictures: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    gray = (pictures * torch.tensor(LUMA, device=pictures.device)[:, None, None]).sum(dim=1, keepdim=True)
    share = saturation[:, None, None, None]
    return contrast * (share * pictures + (1 - share) * gray)


def _infrared(pictures: Tensor, lamp: Tensor) -> Tensor:
    """See :func:`rtface.synth.camera.infrared`; lamp (N, 3)."""
    height, width = pictures.shape[-2:]
    gray = (pictures * torch.tensor([0.75, 0.2, 0.05], device=pictures.device)[:, None, None]).sum(dim=1, keepdim=True)
    y = torch.linspace(-1, 1, height, device=pictures.device)[:, None]
    x = torch.linspace(-1, 1, width, device=pictures.device)
    fall, gamma, strength = (lamp[:, k, None, None, None] for k in range(3))
    gray = gray.clamp(min=0) ** gamma * torch.exp(-(x * x + y * y) * fall) * strength
    sigma = torch.full((len(gray),), 0.4 + max(height, width) / 400, device=pictures.device)
    return filters.gaussian(gray, sigma).expand(-1, 3, -1, -1)
