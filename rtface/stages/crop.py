"""Cut faces out of a frame as networks take them."""

from __future__ import annotations

from functools import cache

import numpy as np

from rtface import ops
from rtface.errors import ModelFileError
from rtface.geometry import FloatArray, crops_from_landmarks, invert_affine
from rtface.inference import Engine
from rtface.types import Array, FaceCrops, FaceTracks, Frame


def crop_faces(frame: Frame, tracks: FaceTracks, size: int) -> FaceCrops:
    """One upright square crop of ``size`` px around each face's landmarks; new arrays."""
    return sample(frame, crops_from_landmarks(tracks.landmarks, size), tracks.ids, size)


def same_faces(frame: Frame, tracks: FaceTracks, crops: FaceCrops, size: int | None) -> FaceCrops:
    """The faces of ``crops`` in crops of ``size`` px, for another network; ``crops`` itself when that is their size.

    None: a network that wants none.
    """
    return crops if size is None or size == crops.size else crop_faces(frame, tracks, size)


def sample(frame: Frame, crop_from_frame: FloatArray, track_ids: Array, size: int) -> FaceCrops:
    """Crops by their transforms (N, 2, 3) frame px → crop px, ids (N,) int32; beyond the frame its edge repeats."""
    crop_from_frame = np.ascontiguousarray(crop_from_frame, np.float32)
    if not len(crop_from_frame):
        return FaceCrops(np.zeros((0, 3, size, size), np.float32), np.zeros((0, 2, 3), np.float32),
                         np.zeros(0, np.int32))
    pixels = ops.sample_crops(np.ascontiguousarray(frame.pixels), invert_affine(crop_from_frame), size)
    return FaceCrops(pixels, crop_from_frame, track_ids)


def resized_mask(mask: FloatArray, size: int) -> FloatArray:
    """Masks (N, 1, S, S) of the same crops at side ``size``: the nearest pixel's value; themselves when S is that."""
    side = mask.shape[-1]
    if side == size:
        return mask
    nearest = ((np.arange(size) + 0.5) * side / size).astype(np.int64)
    return np.ascontiguousarray(mask[:, :, nearest[:, None], nearest])


def resized_pixels(pixels: FloatArray, size: int) -> FloatArray:
    """Crops (N, 3, S, S) at a larger side ``size``: bilinear, the border repeats."""
    weights = _bilinear(pixels.shape[-1], size)
    out: FloatArray = np.matmul(np.matmul(weights, pixels), weights.T)
    return out


@cache
def _bilinear(side: int, size: int) -> FloatArray:
    """(size, side) float32: row k mixes the pixels beside the k-th of ``size`` pixel centres."""
    place = np.clip((np.arange(size) + 0.5) * side / size - 0.5, 0, side - 1)
    low = np.minimum(place.astype(np.int64), side - 2)
    weights = np.zeros((size, side), np.float32)
    weights[np.arange(size), low] = 1 - (place - low)
    weights[np.arange(size), low + 1] = place - low
    return weights


def crop_side(engine: Engine) -> int:
    """Side S of the crops (N, 3, S, S) that a network takes; ModelFileError when it is not a fixed number."""
    side = engine.spec.inputs[0].shape[-1]
    if not isinstance(side, int):
        raise ModelFileError(f"{engine.spec.name}: got an input of free size, {engine.spec.inputs[0]}, "
                             f"expected fixed crops such as (N, 3, 128, 128); export the network again")
    return side
