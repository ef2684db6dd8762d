"""Shards to batches: random crops with matching labels, and what cameras may do beyond the factory's own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from rtface.errors import InputError
from rtface.geometry import (
    apply_affine,
    box_iou,
    compose_affine,
    crop_transforms,
    crops_from_landmarks,
    opencv_affine,
    transform_coefficients,
)
from rtface.irises import EYES, LIDS, OPEN_MM, Irises
from rtface.mirror import LANDMARKS_68, Mirror
from rtface.synth.shards import decode
from rtface.types import VECTOR_SIZE, Coefficients

FloatArray = NDArray[Any]
ByteArray = NDArray[Any]
"""uint8; OpenCV's stubs do not follow dtypes."""


class Shard(NamedTuple):
    """One file in memory."""

    arrays: dict[str, Any]

    def blob(self, name: str, index: int) -> ByteArray:
        """Encoded bytes of sample ``index``."""
        start, end = self.arrays[f"{name}_offsets"][index:index + 2]
        return self.arrays[name][start:end]

    def __len__(self) -> int:
        return len(self.arrays["pixels_offsets"]) - 1


def find_shards(folder: Path, kind: str) -> list[Path]:
    """Shard files of a folder, sorted."""
    paths = sorted(folder.glob(f"{kind}_*.npz"))
    if not paths:
        raise InputError(f"--data: got {folder} without {kind}_*.npz, expected a folder written by "
                         f"`rtface synth write {folder} --kind {kind}`")
    return paths


def load_shard(path: Path) -> Shard:
    """Read one shard; no pickled objects."""
    with np.load(path, allow_pickle=False) as stored:
        return Shard({name: stored[name] for name in stored.files})


def degrade(rng: np.random.Generator, pixels: ByteArray, *, patches: bool = True) -> ByteArray:
    """Colour, blur, noise and patches on (S, S, 3) uint8: cheap variety on top of the factory's camera."""
    size = pixels.shape[0]
    if rng.random() < 0.35:
        table = np.arange(256, dtype=np.float32)[:, None] / 255
        gain, gamma = np.exp(rng.normal(0, 0.15, 3) + rng.normal(0, 0.2)), np.exp(rng.normal(0, 0.2))
        table = np.clip((table ** gamma) * gain + rng.normal(0, 0.03), 0, 1)
        lookup = (table * 255 + 0.5).astype(np.uint8).reshape(1, 256, 3)
        pixels = cv2.LUT(pixels, lookup)
    if rng.random() < 0.08:
        pixels = np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if rng.random() < 0.2:
        pixels = cv2.GaussianBlur(pixels, (0, 0), float(rng.uniform(0.3, 0.012 * size)))
    if rng.random() < 0.25:  # faces far away are a dozen px high
        small = max(12, int(size * np.exp(rng.uniform(np.log(0.08), np.log(0.7)))))
        pixels = cv2.resize(cv2.resize(pixels, (small, small), interpolation=cv2.INTER_AREA), (size, size),
                            interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.25:
        grain = rng.normal(0, rng.uniform(2, 14), (size, size, 1 if rng.random() < 0.5 else 3))
        pixels = np.clip(pixels + grain, 0, 255).astype(np.uint8)
    if patches and rng.random() < 0.12:  # a patch of another place covers something
        side_x, side_y = (int(s) for s in rng.uniform(0.05, 0.35, 2) * size)
        (x, y), (u, v) = rng.integers(0, size - max(side_x, side_y), (2, 2))
        pixels = pixels.copy()
        pixels[y:y + side_y, x:x + side_x] = pixels[v:v + side_y, u:u + side_x, ::-1 if rng.random() < 0.5 else 1]
    return pixels


class CropSample(NamedTuple):
    """One training crop; px are the crop's."""

    crop: ByteArray
    """(3, S, S)."""
    coefficients: FloatArray
    """(239,)."""
    landmarks: FloatArray
    """(68, 2)."""
    visibility: FloatArray
    """(68,)."""
    presence: np.float32
    """() 1 = the crop is on a face as tracking would place it."""
    irises: FloatArray = np.zeros((EYES, 2), np.float32)
    """(2, 2), where the stream was asked for them."""
    iris_visibility: FloatArray = np.zeros(EYES, np.float32)
    """(2,)."""


CLOSE_JITTER = 1.3
"""Errors of tracking are larger beside a close crop."""


def random_place(rng: np.random.Generator, landmarks: FloatArray, size: int, *, jitter: float = 1.0,
                 close: bool = False) -> FloatArray:
    """crop_from_picture (2, 3) for a face with landmarks (68, 2) px, moved as tracking errors move crops."""
    exact = crops_from_landmarks(landmarks[None], size, close=close)
    jitter *= CLOSE_JITTER if close else 1.0
    moved = crop_transforms(np.full((1, 2), size / 2) + rng.normal(0, 0.045 * jitter, (1, 2)) * size,
                            np.array([size * np.exp(rng.normal(0, 0.10 * jitter))]),
                            np.array([rng.normal(0, 0.12 * jitter) if rng.random() < 0.8
                                      else rng.normal(0, 0.5 * jitter)]), size)
    return compose_affine(moved, exact)[0]


def random_crop(rng: np.random.Generator, pixels: ByteArray, landmarks: FloatArray, size: int, *,
                jitter: float = 1.0, close: bool = False) -> tuple[ByteArray, FloatArray]:
    """Cut a crop as :func:`rtface.geometry.crops_from_landmarks` would, moved as tracking errors move it.

    Returns (S, S, 3) uint8 and crop_from_picture (2, 3).
    """
    crop_from_picture = random_place(rng, landmarks, size, jitter=jitter, close=close)
    scale = float(np.sqrt(np.abs(np.linalg.det(crop_from_picture[:, :2]))))
    matrix = opencv_affine(crop_from_picture)
    if scale < 0.6:
        pixels = cv2.GaussianBlur(pixels, (0, 0), 0.35 / scale)
    crop = cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return crop, crop_from_picture.astype(np.float32)


def crop_sample(rng: np.random.Generator, shard: Shard, index: int, size: int, *, negatives: float,
                close: bool = False, eyes: Irises | None = None) -> CropSample:
    """One augmented crop of one stored sample; ``negatives``: share of crops placed away from the face.

    eyes: where irises are wanted.
    """
    pixels = decode(shard.blob("pixels", index))
    landmarks = shard.arrays["landmarks"][index]
    presence = 1.0
    if rng.random() < negatives:
        presence = 0.0
        crop_from_picture = place_beside(rng, landmarks, pixels.shape[0], size)
        matrix = opencv_affine(crop_from_picture)
        crop = cv2.warpAffine(pixels, matrix, (size, size), borderMode=cv2.BORDER_REFLECT)
    else:
        crop, crop_from_picture = random_crop(rng, pixels, landmarks, size, close=close)
    transform = crop_from_picture[None].astype(np.float32)
    coefficients = Coefficients.from_vector(shard.arrays["coefficients"][index][None], "")
    vector = transform_coefficients(coefficients, transform).to_vector()[0]
    points = apply_affine(transform, landmarks[None])[0]
    visibility = shard.arrays["visibility"][index] * ((points >= 0) & (points < size)).all(axis=1)
    sample = CropSample(np.ascontiguousarray(degrade(rng, crop).transpose(2, 0, 1)), vector.astype(np.float32),
                        points.astype(np.float32), visibility.astype(np.float32), np.float32(presence))
    if eyes is None:
        return sample
    irises, seen = visible_irises(eyes, coefficients, landmarks[None], visibility[None])
    return sample._replace(irises=apply_affine(transform, irises)[0].astype(np.float32), iris_visibility=seen[0])


def place_beside(rng: np.random.Generator, landmarks: FloatArray, side_px: int, size: int) -> FloatArray:
    """crop_from_picture (2, 3) for a crop that does not hold the face with landmarks (68, 2) as tracking would."""
    side = float(np.ptp(landmarks, axis=0).max()) * float(np.exp(rng.uniform(np.log(0.15), np.log(0.6))))
    center = rng.uniform(0.1, 0.9, 2) * side_px
    if rng.random() < 0.6:  # beside the face; else anywhere, then with a very wrong scale
        angle = rng.uniform(0, 2 * np.pi)
        center = landmarks.mean(axis=0) + np.array([np.cos(angle), np.sin(angle)]) * np.ptp(landmarks) * 0.45
        side *= 2.2
    return crop_transforms(center[None], np.array([side * 1.6]), np.zeros(1), size)[0]


def visible_irises(eyes: Irises, coefficients: Coefficients, landmarks: FloatArray,
                   visibility: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Irises (N, 2, 2) px of heads with landmarks (N, 68, 2) px, and how well they are seen (N, 2) float32."""
    irises, gaps = eyes.project(coefficients, landmarks)
    seen = np.stack([visibility[:, first:end].mean(axis=1) for first, end in LIDS], axis=1) * (gaps >= OPEN_MM)
    return irises, seen.astype(np.float32)


class ShardStream(IterableDataset):
    """Endless stream of samples; every worker walks its own random order, a few shards mixed at a time."""

    def __init__(self, paths: list[Path], seed: int, *, mixed: int = 4) -> None:
        self.paths, self.seed, self.mixed = paths, seed, mixed

    @abstractmethod
    def sample(self, rng: np.random.Generator, shard: Shard, index: int) -> Any:
        """One training sample of a stored one."""

    def __iter__(self) -> Iterator[Any]:
        cv2.setNumThreads(1)
        info = get_worker_info()
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        while True:
            chosen = rng.permutation(len(self.paths))
            for start in range(0, len(chosen), self.mixed):
                shards = [load_shard(self.paths[i]) for i in chosen[start:start + self.mixed]]
                order = rng.permutation([(s, i) for s, shard in enumerate(shards) for i in range(len(shard))])
                for s, i in order:
                    yield self.sample(rng, shards[s], int(i))


def negative_sample(rng: np.random.Generator, scenes: Shard, size: int) -> CropSample:
    """A crop of a scene without a face in it: half of them on a decoy where the scene has one."""
    index = int(rng.integers(len(scenes)))
    pixels = decode(scenes.blob("pixels", index))
    start, end = scenes.arrays["box_offsets"][index:index + 2]
    faces = scenes.arrays["boxes_xyxy"][start:end]
    first, last = scenes.arrays["decoy_offsets"][index:index + 2]
    decoys = scenes.arrays["decoys_xyxy"][first:last]
    height = min(pixels.shape[:2])
    box = np.zeros(4, np.float32)
    for _ in range(8):
        if len(decoys) and rng.random() < 0.7:
            target = decoys[rng.integers(len(decoys))]
            side = float(target[2] - target[0]) * float(np.exp(rng.normal(-0.2, 0.35)))
            center = (target[:2] + target[2:]) / 2 + rng.normal(0, 0.2, 2) * side
        else:
            side = height * float(np.exp(rng.uniform(np.log(0.1), np.log(0.8))))
            center = rng.uniform(0, 1, 2) * pixels.shape[1::-1]
        box = np.concatenate([center - side / 2, center + side / 2]).astype(np.float32)
        if not len(faces) or box_iou(box[None], faces).max() < 0.05:
            break
    else:  # a crowd: a corner of the frame, much too small for its faces
        box = np.array([0, 0, height * 0.1, height * 0.1], np.float32)
    matrix = opencv_affine(crop_transforms(((box[:2] + box[2:]) / 2)[None], (box[2:] - box[:2])[:1],
                                           rng.normal(0, 0.4, 1), size)[0])
    crop = cv2.warpAffine(pixels, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
    return CropSample(np.ascontiguousarray(degrade(rng, crop).transpose(2, 0, 1)), np.zeros(VECTOR_SIZE, np.float32),
                      np.full((68, 2), size / 2, np.float32), np.zeros(68, np.float32), np.float32(0))


def mirrored(sample: CropSample, mirror: Mirror) -> CropSample:
    """The crop seen in a mirror, with its labels."""
    width = sample.crop.shape[2]
    points = sample.landmarks[LANDMARKS_68] * np.array([-1, 1], np.float32)
    points[:, 0] += width
    irises = sample.irises[::-1] * np.array([-1, 1], np.float32) + np.array([width, 0], np.float32)
    return CropSample(np.ascontiguousarray(sample.crop[:, :, ::-1]),
                      mirror.coefficients(sample.coefficients[None], width)[0], points,
                      sample.visibility[LANDMARKS_68], sample.presence, irises, sample.iris_visibility[::-1].copy())


LEAST_VISIBLE = 0.08
"""Faces of which a smaller share of the pixels can be seen are not trained on."""


class CropStream(ShardStream):
    """Face crops for the landmark network and the regressor.

    negatives: share of crops away from the face; half of them come from ``scenes`` shards where there are any.
    mirror: turns half of the crops left to right; None: none. close: crops as the landmark network sees them.
    eyes: where irises are wanted.
    """

    def __init__(self, paths: list[Path], seed: int, size: int, *, negatives: float, mirror: Mirror | None = None,
                 scenes: Sequence[Path] = (), close: bool = False, eyes: Irises | None = None) -> None:
        super().__init__(paths, seed)
        self.eyes = eyes
        self.size, self.negatives, self.mirror, self.scenes = size, negatives, mirror, tuple(scenes)
        self.close = close
        self._scenes: Shard | None = None

    def sample(self, rng: np.random.Generator, shard: Shard, index: int) -> CropSample:
        if self.scenes and rng.random() < self.negatives / 2:
            if self._scenes is None or rng.random() < 1 / len(self._scenes):
                self._scenes = load_shard(self.scenes[int(rng.integers(len(self.scenes)))])
            return negative_sample(rng, self._scenes, self.size)
        if shard.arrays["visible_fraction"][index] < LEAST_VISIBLE:
            others = np.flatnonzero(shard.arrays["visible_fraction"] >= LEAST_VISIBLE)
            index = int(rng.choice(others)) if len(others) else index
        drawn = crop_sample(rng, shard, index, self.size, negatives=self.negatives, close=self.close,
                            eyes=self.eyes)
        return mirrored(drawn, self.mirror) if self.mirror is not None and rng.random() < 0.5 else drawn


class SceneSample(NamedTuple):
    """One frame for the detector; rows of ``boxes`` beyond the faces are NaN."""

    image: ByteArray
    """(3, S, S)."""
    boxes: FloatArray
    """(M, 4) px."""
    visible: FloatArray
    """(M,) share."""


MOST_FACES = 8


class SceneStream(ShardStream):
    """Scenes, zoomed and shifted at random so that stored frames give many sizes."""

    def __init__(self, paths: list[Path], seed: int, size: int) -> None:
        super().__init__(paths, seed)
        self.size = size

    def sample(self, rng: np.random.Generator, shard: Shard, index: int) -> SceneSample:
        pixels = decode(shard.blob("pixels", index))
        start, end = shard.arrays["box_offsets"][index:index + 2]
        boxes = shard.arrays["boxes_xyxy"][start:end].reshape(-1, 2, 2)
        height = pixels.shape[0]
        zoom = float(np.exp(rng.uniform(np.log(0.55), np.log(2.6))))
        center = rng.uniform(0, 1, 2) * max(height - height / zoom, 0) + height / zoom / 2 if zoom > 1 else (
            height / 2 + rng.uniform(-0.5, 0.5, 2) * (height / zoom - height))
        roll = rng.normal(0, 0.08)
        transform = crop_transforms(np.asarray(center)[None], np.array([height / zoom]), np.array([roll]), self.size)
        matrix = opencv_affine(transform[0])
        scale = zoom * self.size / height
        if scale < 0.6:
            pixels = cv2.GaussianBlur(pixels, (0, 0), 0.35 / scale)
        border = int(rng.choice([cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE]))
        image = cv2.warpAffine(pixels, matrix, (self.size, self.size), flags=cv2.INTER_LINEAR, borderMode=border)
        whole = apply_affine(np.repeat(transform, len(boxes), axis=0), boxes).reshape(-1, 4)
        if rng.random() < 0.5:
            image = image[:, ::-1]
            whole = np.stack([self.size - whole[:, 2], whole[:, 1], self.size - whole[:, 0], whole[:, 3]], axis=1)
        clipped = np.clip(whole, 0, self.size)
        area = np.prod(np.maximum(whole[:, 2:] - whole[:, :2], 1e-3), axis=1)
        share = np.prod(clipped[:, 2:] - clipped[:, :2], axis=1) / area
        keep = share > 0.05
        out, visible = np.full((MOST_FACES, 4), np.nan, np.float32), np.zeros(MOST_FACES, np.float32)
        count = min(int(keep.sum()), MOST_FACES)
        out[:count] = clipped[keep][:count]
        visible[:count] = (shard.arrays["visible"][start:end] * share)[keep][:count]
        return SceneSample(np.ascontiguousarray(degrade(rng, image).transpose(2, 0, 1)), out, visible)


def batches(stream: ShardStream, batch: int, workers: int) -> Iterator[Any]:
    """Endless batches: the stream's named tuple, its arrays stacked to tensors."""
    loader: DataLoader[Any] = DataLoader(stream, batch, num_workers=workers, drop_last=True,
                                         persistent_workers=workers > 0, worker_init_fn=_one_thread)
    yield from loader


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


def as_input(pixels: Tensor, device: torch.device) -> Tensor:
    """(N, 3, S, S) uint8 → float32 0..1 on the device, channels last."""
    return pixels.to(device, non_blocking=True).float().div_(255).contiguous(memory_format=torch.channels_last)


__all__ = ["CropSample", "CropStream", "SceneSample", "SceneStream", "as_input", "batches", "crop_sample",
           "find_shards", "load_shard", "mirrored", "negative_sample", "random_crop"]
