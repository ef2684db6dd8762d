"""Crops with the labels of every pixel, for the networks that complete faces (shards with ``--clean --dense``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from torch import Tensor

from rtface.contours import MIRRORED_PARSING
from rtface.errors import InputError
from rtface.geometry import apply_affine, opencv_affine
from rtface.mirror import LANDMARKS_68
from rtface.stages.occlude import OCCLUDER
from rtface.synth.shards import decode
from rtface.train.data import ByteArray, FloatArray, Shard, ShardStream, degrade, load_shard, random_crop


class DenseSample(NamedTuple):
    """One training crop."""

    crop: ByteArray
    """(3, S, S) as the camera sees it."""
    clean: ByteArray
    """(3, S, S) the same without anything before the face."""
    mask: ByteArray
    """(1, S, S) 1 = to be completed."""
    contour: ByteArray
    """(1, S, S) 0..255 contours of the whole face."""
    parsing: ByteArray
    """(S, S) CelebAMask-HQ classes of what is seen."""
    landmarks: FloatArray
    """(68, 2) px of the crop."""
    visibility: FloatArray
    """(68,) 1 = nothing of the picture hides it."""


class DenseStream(ShardStream):
    """Holes are the factory's occluders, grown by a few pixels as at run time, or drawn at random.

    fixed_holes: leave the factory's masks as they are (for parsing). from_clean: the clean twin is also the picture
    that the hole is cut into; then no shadow of the occluder lies around it. lines: whether contours and classes are
    needed; without, both are 0 and shards need not be dense.
    """

    def __init__(self, paths: list[Path], seed: int, size: int, *, fixed_holes: bool = False,
                 from_clean: bool = False, lines: bool = True) -> None:
        super().__init__(paths, seed)
        self.size, self.fixed_holes, self.from_clean, self.lines = size, fixed_holes, from_clean, lines
        needed = {"clean", "contour", "parsing"} if lines else {"clean"}
        needed -= load_shard(paths[0]).arrays.keys()
        if needed:
            raise InputError(f"--data: got shards without {', '.join(sorted(needed))} in {paths[0].parent}, expected "
                             f"some with them; write them with `rtface synth write DIR --clean{' --dense' * lines}`")

    def sample(self, rng: np.random.Generator, shard: Shard, index: int) -> DenseSample:
        seen = "clean" if self.from_clean else "pixels"
        points, visibility = shard.arrays["landmarks"][index], shard.arrays["visibility"][index]
        crop, crop_from_picture = random_crop(rng, decode(shard.blob(seen, index)), points, self.size)
        points = apply_affine(crop_from_picture[None], points[None])[0]
        matrix = opencv_affine(crop_from_picture)

        def cut(name: str, flags: int) -> ByteArray:
            return np.asarray(cv2.warpAffine(decode(shard.blob(name, index)), matrix, (self.size, self.size),
                                             flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)

        clean = crop if self.from_clean else cut("clean", cv2.INTER_LINEAR)
        classes = cut("mask", cv2.INTER_NEAREST)
        contour, parsing = ((cut("contour", cv2.INTER_LINEAR), cut("parsing", cv2.INTER_NEAREST)) if self.lines
                            else (np.zeros_like(classes), np.zeros_like(classes)))
        mask = np.asarray(classes == OCCLUDER, np.uint8)
        if not self.fixed_holes:
            mask = hole(rng, mask)
        camera = int(rng.integers(2**32))  # the same one for both
        crop, clean = (degrade(np.random.default_rng(camera), picture, patches=False) for picture in (crop, clean))
        if rng.random() < 0.5:
            crop, clean, mask, contour = (a[:, ::-1] for a in (crop, clean, mask, contour))
            parsing = MIRRORED_PARSING[parsing[:, ::-1]]
            points = (points * [-1, 1] + [self.size, 0])[LANDMARKS_68]
            visibility = visibility[LANDMARKS_68]
        planes = [np.ascontiguousarray(a.transpose(2, 0, 1)) for a in (crop, clean)]
        planes += [np.ascontiguousarray(a[None]) for a in (mask, contour)]
        return DenseSample(planes[0], planes[1], planes[2], planes[3], np.ascontiguousarray(parsing),
                           points.astype(np.float32), visibility.astype(np.float32))


def hole(rng: np.random.Generator, mask: ByteArray) -> ByteArray:
    """What is to be completed of a crop (S, S): mostly what the factory put before the face, else something at random.

    mask: (S, S) uint8, 1 where something hides the face.
    """
    return grown(rng, mask) if rng.random() < 0.75 and mask.mean() > 0.005 else strokes(rng, mask.shape[0])


def grown(rng: np.random.Generator, mask: ByteArray) -> ByteArray:
    """A mask as a network may find it: dilated by 1 to 6 % of the side, its holes closed."""
    side = 2 * int(rng.uniform(0.01, 0.06) * mask.shape[0] / 2) + 3
    return np.asarray(cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))), np.uint8)


def strokes(rng: np.random.Generator, size: int) -> ByteArray:
    """(size, size) uint8 0/1: a few thick lines and ellipses at random, as in irregular-mask inpainting."""
    mask = np.zeros((size, size), np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        center = rng.uniform(0.15, 0.85, 2) * size
        if rng.random() < 0.5:
            axes = rng.uniform(0.06, 0.28, 2) * size
            cv2.ellipse(mask, [int(c) for c in center], [int(a) for a in axes], float(rng.uniform(0, 180)), 0, 360,
                        (1,), -1)
        else:
            points = center + np.cumsum(rng.normal(0, 0.18, (4, 2)), axis=0) * size
            cv2.polylines(mask, [points.astype(np.int32)], False, (1,), int(rng.uniform(0.05, 0.16) * size))
    return mask


def unit(labels: Tensor) -> Tensor:
    """(N, 1, S, S) uint8 0..255 → float32 0..1."""
    return labels.float() / 255


__all__: Sequence[str] = ["DenseSample", "DenseStream", "grown", "hole", "strokes", "unit"]
