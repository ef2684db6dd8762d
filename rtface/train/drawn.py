"""Training crops that are drawn while a network learns, on its device: ``--draw PROCESSES`` instead of stored shards.

``dataset.json`` in ``--data`` says what faces to draw, as `rtface synth write` left it there; its shards, if any, are
not read. Crops are placed as :mod:`rtface.train.data` places them; its further degradations are left out, as every
picture has a camera of its own here and none is seen twice.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rtface.errors import InputError
from rtface.geometry import apply_affine, invert_affine, transform_coefficients
from rtface.mirror import LANDMARKS_68, Mirror
from rtface.synth.config import SynthConfig
from rtface.synth.device import filters
from rtface.synth.device.studio import Pictures
from rtface.synth.device.supply import Order, Supply
from rtface.train.data import CropSample, FloatArray, random_place
from rtface.train.pairs import PairSample
from rtface.train.session import Session
from rtface.types import Coefficients


def add_option(parser: argparse.ArgumentParser) -> None:
    """``--draw``."""
    parser.add_argument("--draw", type=int, default=0, metavar="PROCESSES",
                        help="draw faces like those of --data on --device while training, instead of reading them; so "
                             "many processes make the heads")


def open_supply(session: Session, *, clean: bool) -> Supply:
    """Pictures of the kind that ``--data`` describes, with or without twins; a context."""
    options = session.options
    described = options.data / "dataset.json"
    if not described.is_file():
        raise InputError(f"--draw: got {options.data} without dataset.json, expected one that says what faces to draw; "
                         f"`rtface synth write {options.data} --count 1` writes it, with the options you want")
    settings: dict[str, Any] = json.loads(described.read_text())["config"]
    settings |= {k: tuple(v) for k, v in settings.items() if isinstance(v, list)}
    config = replace(SynthConfig(**settings), clean_twin=clean, dense=False)
    return Supply(config, session.device, Order(batch=options.batch, pool=4 * options.batch, scenery=2 * options.batch,
                                                processes=options.draw, seed=session.seed))


def cut(pictures: Tensor, crop_from_picture: FloatArray, size: int, *, nearest: bool = False) -> Tensor:
    """Crops (N, C, size, size) uint8 of pictures (N, C, S, S) uint8; the border is repeated outside.

    crop_from_picture: (N, 2, 3) similarities. nearest: labels, which are not mixed.
    """
    device = pictures.device
    planes = pictures.float()
    scale = np.sqrt(np.abs(np.linalg.det(crop_from_picture[:, :, :2])))
    if len(shrunk := np.flatnonzero(scale < 0.6)) and not nearest:
        rows, sigma = (torch.from_numpy(a).to(device) for a in (shrunk, (0.35 / scale[shrunk]).astype(np.float32)))
        planes[rows] = filters.gaussian(planes[rows], sigma)
    back = torch.from_numpy(invert_affine(crop_from_picture).astype(np.float32)).to(device)
    along = torch.arange(size, device=device) + 0.5
    places = torch.stack([along.expand(size, size), along[:, None].expand(size, size)], dim=-1)
    sides = torch.tensor(pictures.shape[:1:-1], device=device)
    grid = (torch.einsum("nij,hwj->nhwi", back[:, :, :2], places) + back[:, None, None, :, 2]) * (2 / sides) - 1
    crops = F.grid_sample(planes, grid, mode="nearest" if nearest else "bilinear", padding_mode="border",
                          align_corners=False)
    return torch.round(crops).to(torch.uint8)


class Drawn:
    """Crops of drawn pictures; half of them are turned left to right."""

    def __init__(self, supply: Supply, seed: int, size: int, mirror: Mirror | None) -> None:
        """size: of the crops, px. mirror: None leaves all as they are."""
        self.supply, self.size, self.mirror = supply, size, mirror
        self._rng = np.random.default_rng([seed, 9])

    def crops(self) -> Iterator[CropSample]:
        """Batches for what is trained on :class:`rtface.train.data.CropSample`, on the device."""
        for pictures in self.supply:
            yield self._crop(pictures, pictures.pixels, self._turned(len(pictures.pixels)))

    def pairs(self, twins: float = 0.2) -> Iterator[PairSample]:
        """Batches of faces hidden and clean; twins: see :class:`rtface.train.pairs.PairStream`."""
        for pictures in self.supply:
            assert pictures.clean is not None
            turned = self._turned(len(pictures.pixels))
            twin = torch.from_numpy(self._rng.random(len(turned)) < twins).to(pictures.pixels.device)
            first = torch.where(twin[:, None, None, None], pictures.clean, pictures.pixels)
            hidden = self._crop(pictures, first, turned)
            clean = self._crop(pictures, pictures.clean, turned)
            shown = torch.where(twin[:, None], 1.0, torch.as_tensor(hidden.visibility))
            yield PairSample(hidden.crop, hidden.coefficients, hidden.landmarks, shown,  # type: ignore[arg-type]
                             clean.crop, clean.coefficients)

    def masks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Crops (N, 3, S, S) and class masks (N, S, S), uint8."""
        for pictures in self.supply:
            there = self._places(pictures)
            crops = cut(pictures.pixels, there, self.size)
            masks = cut(pictures.mask[:, None], there, self.size, nearest=True)[:, 0]
            turned = torch.from_numpy(self._turned(len(crops))).to(crops.device)
            yield (torch.where(turned[:, None, None, None], crops.flip(-1), crops),
                   torch.where(turned[:, None, None], masks.flip(-1), masks))

    def _turned(self, count: int) -> np.ndarray:
        return self._rng.random(count) < (0.5 if self.mirror else 0.0)

    def _places(self, pictures: Pictures) -> FloatArray:
        landmarks = pictures.landmarks.cpu().numpy()
        return np.stack([random_place(self._rng, points, self.size) for points in landmarks]).astype(np.float32)

    def _crop(self, pictures: Pictures, pixels: Tensor, turned: np.ndarray) -> CropSample:
        there, device = self._places(pictures), pixels.device
        crop = cut(pixels, there, self.size)
        vectors = transform_coefficients(Coefficients.from_vector(pictures.coefficients.cpu().numpy(), ""),
                                         there).to_vector()
        points = apply_affine(there, pictures.landmarks.cpu().numpy())
        shown = pictures.visibility.cpu().numpy() * ((points >= 0) & (points < self.size)).all(axis=2)
        if self.mirror is not None:
            vectors[turned] = self.mirror.coefficients(vectors[turned], self.size)
            points[turned] = points[turned][:, LANDMARKS_68] * [-1, 1] + [self.size, 0]
            shown[turned] = shown[turned][:, LANDMARKS_68]
            flip = torch.from_numpy(turned).to(device)[:, None, None, None]
            crop = torch.where(flip, crop.flip(-1), crop)
        labels = [torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(device) for a in (vectors, points, shown)]
        return CropSample(crop, labels[0], labels[1], labels[2],  # type: ignore[arg-type]
                          torch.ones(len(crop), device=device))  # type: ignore[arg-type]


__all__ = ["Drawn", "add_option", "cut", "open_supply"]
