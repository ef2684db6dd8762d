"""Masks over time: trembling edges come to rest, clear changes are not late, moving crops carry their maps along."""

from __future__ import annotations

import numpy as np
import pytest

from rtface.config import OcclusionConfig
from rtface.geometry import FloatArray
from rtface.stages.steady import MaskSteadier
from rtface.types import FaceCrops

SIZE = 32


def crop(shift: float = 0.0, identifier: int = 0, zoom: float = 1.0) -> FaceCrops:
    transform = np.array([[[zoom, 0, shift], [0, zoom, 0]]], np.float32)
    return FaceCrops(np.zeros((1, 3, SIZE, SIZE), np.float32), transform, np.array([identifier], np.int32))


def maps(occluder: FloatArray | float) -> FloatArray:
    """(1, 3, S, S): the occluder's probability as given, the rest is face."""
    out = np.zeros((1, 3, SIZE, SIZE), np.float32)
    out[0, 2] = occluder
    out[0, 1] = 1 - out[0, 2]
    return out


def test_noise_around_one_half_flips_less_often() -> None:
    rng, steadier = np.random.default_rng(0), MaskSteadier()
    flips, steadied_flips, last, last_steady = 0, 0, None, None
    for k in range(30):
        now = maps(np.float32(0.5) + rng.normal(0, 0.08, (SIZE, SIZE)).astype(np.float32))
        steady = steadier.steady(now, crop(), k / 30)
        np.testing.assert_allclose(steady.sum(axis=1), 1, atol=1e-5)
        if last is not None and last_steady is not None:
            flips += int(((now[0, 2] > 0.5) != last).sum())
            steadied_flips += int(((steady[0, 2] > 0.5) != last_steady).sum())
        last, last_steady = now[0, 2] > 0.5, steady[0, 2] > 0.5
    assert steadied_flips < 0.75 * flips


def test_a_clear_change_passes_in_the_same_frame() -> None:
    steadier = MaskSteadier()
    for k in range(5):
        steadier.steady(maps(0.1), crop(), k / 30)
    assert np.array_equal(steadier.steady(maps(0.9), crop(), 5 / 30), maps(0.9))


def test_maps_move_with_the_crop() -> None:
    edge = np.zeros((SIZE, SIZE), np.float32)
    edge[:, 10:] = 1.0
    steadier = MaskSteadier()
    steadier.steady(maps(edge), crop(0), 0.0)
    moved = np.zeros_like(edge)
    moved[:, 14:] = 1.0
    now = maps(moved * 0.6 + 0.2)  # the same edge, four px further right in the new crop, and unsure
    got = steadier.steady(now, crop(4.0), 1 / 30)[0, 2]
    assert (got[:, 15:] > 0.8).all() and (got[:, 5:13] < 0.2).all()  # surer than now, by what was there before
    assert np.array_equal(got[:, :3], now[0, 2][:, :3])  # nothing was known there


def test_faces_do_not_mix_and_old_ones_are_forgotten() -> None:
    steadier = MaskSteadier()
    steadier.steady(maps(0.2), crop(identifier=1), 0.0)
    assert np.array_equal(steadier.steady(maps(0.4), crop(identifier=2), 0.1), maps(0.4))
    assert steadier.steady(maps(0.4), crop(identifier=1), 0.2)[0, 2, 0, 0] < 0.4
    assert np.array_equal(steadier.steady(maps(0.4), crop(identifier=1), 5.0), maps(0.4))


def test_it_can_be_switched_off() -> None:
    steadier = MaskSteadier(OcclusionConfig(steadiness=0.0))
    steadier.steady(maps(0.2), crop(), 0.0)
    assert np.array_equal(steadier.steady(maps(0.4), crop(), 0.1), maps(0.4))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_restored_one_goes_on_alike(count: int) -> None:
    first, second = MaskSteadier(), MaskSteadier()
    for identifier in range(count):
        first.steady(maps(0.3 + 0.1 * identifier), crop(identifier=identifier, zoom=1.1), 0.0)
    second.restore(first.snapshot())
    for identifier in range(2):
        now = (maps(0.35), crop(2.0, identifier), 0.1)
        assert np.array_equal(first.steady(*now), second.steady(*now))
