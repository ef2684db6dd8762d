"""Training crops that are drawn while a network learns, on its device: ``--draw PROCESSES`` instead of stored shards.

``dataset.json`` in ``--data`` says what faces to draw, as `rtface synth write` left it there; its shards, if any, are
not read. Crops are placed as :mod:`rtface.train.data` places them; its further degradations are left out, as every
picture has a camera of its own here and none is seen twice.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rtface.contours import MIRRORED_PARSING
from rtface.errors import InputError
from rtface.geometry import apply_affine, invert_affine, transform_coefficients
from rtface.irises import EYES, Irises
from rtface.mirror import LANDMARKS_68, Mirror
from rtface.morphable import MorphableModel
from rtface.stages.occlude import OCCLUDER
from rtface.synth.config import SynthConfig
from rtface.synth.device import filters
from rtface.synth.device.studio import Pictures
from rtface.synth.device.supply import Order, Supply
from rtface.train.data import (
    CropSample,
    FloatArray,
    batches,
    find_shards,
    load_shard,
    negative_sample,
    place_beside,
    random_place,
    visible_irises,
)
from rtface.train.dense import DenseSample, DenseStream, hole
from rtface.train.pairs import PairSample
from rtface.train.session import Session
from rtface.types import Coefficients


def add_option(parser: argparse.ArgumentParser) -> None:
    """``--draw``."""
    parser.add_argument("--draw", type=int, default=0, metavar="PROCESSES",
                        help="draw faces like those of --data on --device while training, instead of reading them; so "
                             "many processes make the heads")


def open_supply(session: Session, *, clean: bool, dense: bool = False) -> Supply:
    """Pictures of the kind that ``--data`` describes, with or without twins and dense labels; a context."""
    options = session.options
    described = options.data / "dataset.json"
    if not described.is_file():
        raise InputError(f"--draw: got {options.data} without dataset.json, expected one that says what faces to draw; "
                         f"`rtface synth write {options.data} --count 1` writes it, with the options you want")
    settings: dict[str, Any] = json.loads(described.read_text())["config"]
    settings |= {k: tuple(v) for k, v in settings.items() if isinstance(v, list)}
    config = replace(SynthConfig(**settings), clean_twin=clean, dense=dense)
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

    def __init__(self, supply: Supply, seed: int, size: int, mirror: Mirror, *, close: bool = False,
                 eyes: Irises | None = None, negatives: float = 0.0, scenes: Sequence[Path] = ()) -> None:
        """size: of the crops, px. The rest is of :meth:`crops`; see :class:`rtface.train.data.CropStream`."""
        self.supply, self.size, self.mirror = supply, size, mirror
        self._close, self._eyes, self._negatives, self._scenes = close, eyes, negatives, tuple(scenes)
        self._rng = np.random.default_rng([seed, 9])

    def crops(self) -> Iterator[CropSample]:
        """Batches for what is trained on :class:`rtface.train.data.CropSample`, on the device."""
        for pictures in self.supply:
            count = len(pictures.pixels)
            chance = self._rng.random(count)
            beside = chance < self._negatives
            sample = self._crop(pictures, pictures.pixels, self._turned(count), beside)
            elsewhere = np.flatnonzero(chance < self._negatives / 2)
            if self._scenes and len(elsewhere):
                shard = load_shard(self._scenes[int(self._rng.integers(len(self._scenes)))])
                drawn = [negative_sample(self._rng, shard, self.size) for _ in elsewhere]
                mine: tuple[Any, ...] = sample
                for tensor, theirs in zip(mine, zip(*drawn, strict=True), strict=True):
                    tensor[elsewhere] = torch.from_numpy(np.stack(theirs)).to(tensor)
            yield sample

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

    def dense(self, *, fixed_holes: bool = False, from_clean: bool = False) -> Iterator[DenseSample]:
        """Batches with labels of every pixel, on the device; see :class:`rtface.train.dense.DenseStream`."""
        mirrored = torch.from_numpy(MIRRORED_PARSING)
        for pictures in self.supply:
            assert pictures.clean is not None and pictures.dense is not None
            there, turned = self._places(pictures), self._turned(len(pictures.pixels))
            device = pictures.pixels.device
            clean = cut(pictures.clean, there, self.size)
            crop = clean if from_clean else cut(pictures.pixels, there, self.size)
            contour = cut(pictures.dense.contour[:, None], there, self.size)
            labels = torch.stack([pictures.mask, pictures.dense.parsing], dim=1)
            classes, parsing = cut(labels, there, self.size, nearest=True).unbind(dim=1)
            holes = (classes == OCCLUDER).to(torch.uint8)
            if not fixed_holes:
                some = [hole(self._rng, mask) for mask in holes.cpu().numpy()]
                holes = torch.from_numpy(np.stack(some)).to(device)
            points = apply_affine(there, pictures.landmarks.cpu().numpy())
            shown = pictures.visibility.cpu().numpy()
            points[turned] = points[turned][:, LANDMARKS_68] * [-1, 1] + [self.size, 0]
            shown[turned] = shown[turned][:, LANDMARKS_68]
            flip = torch.from_numpy(turned).to(device)
            planes = [torch.where(flip[:, None, None, None], p.flip(-1), p)
                      for p in (crop, clean, holes[:, None], contour)]
            planes.append(torch.where(flip[:, None, None], mirrored.to(device)[parsing.flip(-1).long()], parsing))
            planes += [torch.from_numpy(a.astype(np.float32)).to(device) for a in (points, shown)]
            yield DenseSample(*planes)  # type: ignore[arg-type]

    def _turned(self, count: int) -> NDArray[np.bool_]:
        return self._rng.random(count) < 0.5

    def _places(self, pictures: Pictures, beside: NDArray[np.bool_] | None = None) -> FloatArray:
        """crop_from_picture (N, 2, 3) as tracking would place crops, or, where ``beside`` says so, as it would not."""
        landmarks = pictures.landmarks.cpu().numpy()
        side = pictures.pixels.shape[-1]
        away = np.zeros(len(landmarks), np.bool_) if beside is None else beside
        return np.stack([place_beside(self._rng, points, side, self.size) if far else
                         random_place(self._rng, points, self.size, close=self._close)
                         for points, far in zip(landmarks, away, strict=True)]).astype(np.float32)

    def _crop(self, pictures: Pictures, pixels: Tensor, turned: NDArray[np.bool_],
              beside: NDArray[np.bool_] | None = None) -> CropSample:
        there, device = self._places(pictures, beside), pixels.device
        crop = cut(pixels, there, self.size)
        if turned.any():
            crop = torch.where(torch.from_numpy(turned).to(device)[:, None, None, None], crop.flip(-1), crop)
        coefficients = Coefficients.from_vector(pictures.coefficients.cpu().numpy(), "")
        landmarks, shown = pictures.landmarks.cpu().numpy(), pictures.visibility.cpu().numpy()
        points = apply_affine(there, landmarks)
        shown = shown * ((points >= 0) & (points < self.size)).all(axis=2)
        irises, irises_shown = np.zeros((len(crop), EYES, 2), np.float32), np.zeros((len(crop), EYES), np.float32)
        if self._eyes is not None:
            found, irises_shown = visible_irises(self._eyes, coefficients, landmarks, shown)
            irises = apply_affine(there, found)
        vectors = transform_coefficients(coefficients, there).to_vector()
        vectors[turned] = self.mirror.coefficients(vectors[turned], self.size)
        across = np.array([-1, 1], np.float32), np.array([self.size, 0], np.float32)
        points[turned] = points[turned][:, LANDMARKS_68] * across[0] + across[1]
        irises[turned] = irises[turned][:, ::-1] * across[0] + across[1]
        shown[turned], irises_shown[turned] = shown[turned][:, LANDMARKS_68], irises_shown[turned][:, ::-1]
        present = np.ones(len(crop)) if beside is None else ~beside
        labels = [torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(device)
                  for a in (vectors, points, shown, present, irises, irises_shown)]
        return CropSample(crop, *labels)  # type: ignore[arg-type]


@contextmanager
def dense_batches(session: Session, size: int, *, fixed_holes: bool = False, from_clean: bool = False,
                  lines: bool = True) -> Iterator[Iterator[Any]]:
    """Endless batches of :class:`DenseSample` for a session: drawn with ``--draw``, else read from shards.

    size: of the crops, px; for the rest see :class:`rtface.train.dense.DenseStream`.
    """
    options = session.options
    if options.draw:
        with open_supply(session, clean=True, dense=True) as supply:
            drawn = Drawn(supply, session.seed, size, Mirror(MorphableModel.load(level=0)))
            yield drawn.dense(fixed_holes=fixed_holes, from_clean=from_clean)
    else:
        stream = DenseStream(find_shards(options.data, "faces"), session.seed, size, fixed_holes=fixed_holes,
                             from_clean=from_clean, lines=lines)
        yield batches(stream, options.batch, options.workers)


__all__ = ["Drawn", "add_option", "cut", "dense_batches", "open_supply"]
