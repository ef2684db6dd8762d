"""Masks that do not flicker: what the network was unsure of is settled by the frame before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from rtface import ops
from rtface.config import OcclusionConfig
from rtface.geometry import FloatArray, compose_affine, invert_affine
from rtface.types import Array, FaceCrops

FORGET_S: Final = 1.0
"""A face that was away for longer starts anew."""


class MaskSteadier:
    """Probability maps per face, carried from crop to crop; call :meth:`steady` frame by frame, in order.

    p = p_now + k · (p_before − p_now) with k = ``steadiness`` · (1 − |p_now − p_before| / ``clear_change``)₊: the
    nearer both are, the more they are averaged, and a pixel that changes clearly does so in the very frame. So an edge
    that trembles comes to rest, and a hand that comes up is not late.
    """

    def __init__(self, config: OcclusionConfig | None = None) -> None:
        self._config = config or OcclusionConfig()
        self.reset()

    def reset(self) -> None:
        """Forget all faces."""
        self._before: dict[int, tuple[float, FloatArray, FloatArray]] = {}

    def steady(self, probability: FloatArray, crops: FaceCrops, pts_s: float) -> FloatArray:
        """probability (N, 3, S, S) float32 of some crops → steadied ones, new array; they sum to 1 again."""
        if not self._config.steadiness or not len(crops):
            return probability
        out = np.empty_like(probability)
        for row, identifier in enumerate(crops.track_ids.tolist()):
            out[row] = probability[row]
            known = self._before.get(identifier)
            if known is not None and 0 <= pts_s - known[0] <= FORGET_S:
                out[row] = self._joined(probability[row], known[1], known[2], crops.crop_from_frame[row])
            self._before[identifier] = (pts_s, out[row].copy(), crops.crop_from_frame[row].copy())
        self._before = {i: known for i, known in self._before.items() if pts_s - known[0] <= FORGET_S}
        return out

    def _joined(self, now: FloatArray, before: FloatArray, before_from_frame: FloatArray,
                crop_from_frame: FloatArray) -> FloatArray:
        before_from_crop = compose_affine(before_from_frame[None], invert_affine(crop_from_frame[None]))[0]
        moved, there = _resampled(before, before_from_crop)
        apart = np.abs(now - moved).max(axis=0)
        share = self._config.steadiness * np.clip(1 - apart / self._config.clear_change, 0, 1) * there
        joined: FloatArray = now + share.astype(np.float32) * (moved - now)
        return joined

    def snapshot(self) -> dict[str, Array]:
        """All state as arrays, for :meth:`restore`."""
        known = self._before
        return {"ids": np.array(list(known), np.int64), "time_s": np.array([k[0] for k in known.values()]),
                **{f"map{i}": known[i][1] for i in known}, **{f"crop{i}": known[i][2] for i in known}}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on after the frame at which :meth:`snapshot` was taken."""
        self._before = {int(i): (float(t), np.array(state[f"map{i}"]), np.array(state[f"crop{i}"]))
                        for i, t in zip(state["ids"], state["time_s"], strict=True)}


def _resampled(maps: FloatArray, source_from_target: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Maps (C, S, S) at the places of another grid of S px (bilinear), and (S, S) 1 where they have a value."""
    size = maps.shape[-1]
    centres = np.arange(size, dtype=np.float32) + np.float32(0.5)
    places = np.empty((size, size, 2), np.float32)
    there = np.ones((size, size), np.bool_)
    for axis, (along, down, shift) in enumerate(source_from_target.astype(np.float32)):
        place = (along * centres + shift) + (down * centres)[:, None]
        there &= (place >= 0.5) & (place <= size - 0.5)
        places[..., axis] = place * np.float32(1 / size)
    moved = ops.sample_texture(np.ascontiguousarray(maps.transpose(1, 2, 0)), places)
    return np.ascontiguousarray(moved.transpose(2, 0, 1)), there.astype(np.float32)
