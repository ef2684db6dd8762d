"""The same face twice, hidden and clean, for networks that occluders shall not move (shards with ``--clean``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.geometry import apply_affine, transform_coefficients
from rtface.mirror import Mirror
from rtface.synth.shards import decode
from rtface.train.data import (
    LEAST_VISIBLE,
    ByteArray,
    CropSample,
    FloatArray,
    Shard,
    ShardStream,
    degrade,
    load_shard,
    mirrored,
    random_crop,
)
from rtface.types import Coefficients


class PairSample(NamedTuple):
    """Two crops of one face, each as tracking might place it; px are each crop's own."""

    hidden: ByteArray
    """(3, S, S) with what is before the face; in ``twins`` of the pairs the clean picture, too."""
    hidden_coefficients: FloatArray
    """(239,)."""
    landmarks: FloatArray
    """(68, 2) of the hidden crop."""
    visibility: FloatArray
    """(68,) of the hidden crop."""
    clean: ByteArray
    """(3, S, S) without anything before the face."""
    clean_coefficients: FloatArray
    """(239,)."""


class PairStream(ShardStream):
    """Pairs; half of them mirrored. twins: share with nothing hidden at all, so that a crop's place matters less."""

    def __init__(self, paths: list[Path], seed: int, size: int, mirror: Mirror, *, twins: float = 0.2) -> None:
        super().__init__(paths, seed)
        self.size, self.mirror, self.twins = size, mirror, twins
        if "clean" not in load_shard(paths[0]).arrays:
            raise InputError(f"--data: got shards without clean twins in {paths[0].parent}, expected them; write them "
                             f"with `rtface synth write DIR --clean --occluded 0.9`")

    def sample(self, rng: np.random.Generator, shard: Shard, index: int) -> PairSample:
        if shard.arrays["visible_fraction"][index] < LEAST_VISIBLE:
            others = np.flatnonzero(shard.arrays["visible_fraction"] >= LEAST_VISIBLE)
            index = int(rng.choice(others)) if len(others) else index
        twin, turned = rng.random() < self.twins, rng.random() < 0.5
        names = ("clean" if twin else "pixels", "clean")
        hidden, clean = (self._crop(rng, shard, index, name, turned) for name in names)
        return PairSample(hidden.crop, hidden.coefficients, hidden.landmarks,
                          np.ones_like(hidden.visibility) if twin else hidden.visibility, clean.crop,
                          clean.coefficients)

    def _crop(self, rng: np.random.Generator, shard: Shard, index: int, name: str, turned: bool) -> CropSample:
        points = shard.arrays["landmarks"][index]
        crop, crop_from_picture = random_crop(rng, decode(shard.blob(name, index)), points, self.size)
        transform = crop_from_picture[None].astype(np.float32)
        vector = transform_coefficients(Coefficients.from_vector(shard.arrays["coefficients"][index][None], ""),
                                        transform).to_vector()[0].astype(np.float32)
        placed: NDArray[Any] = apply_affine(transform, points[None])[0].astype(np.float32)
        sample = CropSample(np.ascontiguousarray(degrade(rng, crop, patches=False).transpose(2, 0, 1)), vector, placed,
                            shard.arrays["visibility"][index].astype(np.float32), np.float32(1))
        return mirrored(sample, self.mirror) if turned else sample


__all__ = ["PairSample", "PairStream"]
