"""Lettering, glare, other heads: what hides a face without being worn."""

import numpy as np
import pytest

from rtface.synth import flat
from rtface.synth.config import OCCLUDER_KINDS, SynthConfig
from rtface.synth.generator import FACE_CLASS, OCCLUSION, FaceFactory


@pytest.fixture(scope="module")
def factory():
    return FaceFactory()


def draw(factory, seed, **options):
    config = SynthConfig(size=128, supersample=1.0, camera=False, defocus_rate=0, **options)
    return factory.generate(np.random.default_rng(seed), config)


@pytest.mark.parametrize("kind", ["text", "head"])
def test_they_are_occluders_like_others(factory, kind):
    number, hidden = 1 + OCCLUDER_KINDS.index(kind), 0
    for seed in range(5):
        sample = draw(factory, seed, occluder_rate=1, occluder_kinds=(kind,), glare_rate=0)
        covered = sample.occluder == number
        assert sample.kinds == (kind,) and set(np.unique(sample.occluder)) <= {0, number}
        changed = (sample.pixels.astype(int) != sample.clean).any(axis=2)
        assert not (changed & ~covered).any()  # no shadow on the face from these
        assert not ((sample.mask == FACE_CLASS) & covered).any()
        hidden += int((sample.mask == OCCLUSION)[covered].sum())
    assert hidden > 100


def test_glare_and_outside_shadows_keep_labels_and_change_twins_alike(factory):
    touched = []
    for seed in range(4):
        plain, changed = (draw(factory, seed, occluder_rate=0, glare_rate=rate) for rate in (0, 0.5))
        for name in ("mask", "occluder", "landmarks", "coefficients", "visibility"):
            np.testing.assert_array_equal(getattr(plain, name), getattr(changed, name))
        np.testing.assert_array_equal(changed.pixels, changed.clean)
        touched.append((plain.pixels != changed.pixels).any(axis=2).mean())
    assert max(touched) > 0.2 and min(touched) > 0


def test_glare_adds_and_shadows_take_away():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        light = flat.glare(rng, 40, 60)
        assert light.shape == (40, 60, 3) and light.dtype == np.float32 and light.min() >= 0
        factor = flat.outside_shadow(rng, 40, 60)
        assert factor.shape == (40, 60) and 0.2 < factor.min() <= factor.max() <= 1
