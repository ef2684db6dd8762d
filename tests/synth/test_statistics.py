"""What the factory draws over many samples follows its settings."""

import numpy as np
import pytest

from rtface.geometry import spherical_harmonics
from rtface.synth import compose
from rtface.synth.config import OCCLUDER_KINDS, SynthConfig
from rtface.synth.generator import FaceFactory
from rtface.synth.people import sample_rotation
from rtface.synth.render import sample_light

MANY = 4000


@pytest.fixture(scope="module")
def samples():
    factory = FaceFactory()
    config = SynthConfig(size=64, supersample=1.0, clean_twin=False, occluder_rate=0.8)
    return [factory.generate(np.random.default_rng([9, i]), config) for i in range(160)]


def test_turns_of_the_head_follow_the_settings():
    config = SynthConfig(yaw_deg=20, pitch_deg=10, roll_deg=8, profile_share=0.25)
    drawn = np.rad2deg([sample_rotation(np.random.default_rng(i), config) for i in range(MANY)])
    pitch, yaw, roll = drawn.T
    assert abs(pitch.mean()) < 1 and pitch.std() == pytest.approx(10, rel=0.08)
    assert roll.std() == pytest.approx(8, rel=0.08) and abs(yaw.mean()) < 2
    beyond = np.mean(np.abs(yaw) > 53)  # 2.6 standard deviations: only the uniform share reaches there
    assert beyond == pytest.approx(0.25 * (95 - 53) / 95, abs=0.02) and np.abs(yaw).max() <= 95


def test_lights_come_from_all_sides_and_expose_the_face():
    lights = [sample_light(np.random.default_rng(i)) for i in range(1000)]
    front = np.array([float(spherical_harmonics(np.array([0.0, 0.0, -1.0])) @ light.harmonics) for light in lights])
    assert 0.6 < np.median(front) < 1.6 and np.quantile(front, 0.02) > 0.3 and front.max() < 4
    from_left = np.mean([light.direction[0] < 0 for light in lights])
    assert from_left == pytest.approx(0.5, abs=0.06)
    assert np.mean([light.direction[1] < 0 for light in lights]) > 0.6  # mostly from above
    direct = np.array([light.direct for light in lights])
    assert direct.min() >= 0 and np.quantile(direct, 0.9) > 3 * np.quantile(direct, 0.1)


def test_open_lenses_and_moving_things_occur_at_their_rate():
    drawn = [compose.sample_softening(np.random.default_rng(i), 0.3) for i in range(MANY)]
    assert np.mean([s.background > 0 for s in drawn]) == pytest.approx(0.3, abs=0.025)
    assert np.mean([s.motion > 0 for s in drawn]) == pytest.approx(0.15, abs=0.02)
    assert compose.sample_softening(np.random.default_rng(0), 0.0)[:3] == (0.0, 0.0, 0.0)


def test_faces_are_hidden_to_all_degrees(samples):
    hidden = np.array([1 - s.visible_fraction for s in samples])
    shares = np.histogram(hidden, [0, 0.1, 0.3, 0.5, 1.0])[0] / len(hidden)
    assert (shares > [0.05, 0.05, 0.05, 0.025]).all() and hidden.max() > 0.6, shares


def test_every_kind_is_drawn_and_found_in_the_labels(samples):
    named = {kind for s in samples for kind in s.kinds}
    assert named == set(OCCLUDER_KINDS)
    for kind in ("hand", "mask", "headset"):
        label = 1 + OCCLUDER_KINDS.index(kind)
        assert all((s.occluder == label).any() for s in samples if s.kinds == (kind,)), kind


def test_cameras_stand_at_all_distances(samples):
    distance = np.log([s.camera.distance_mm for s in samples])
    low, high = np.log(SynthConfig().distance_mm)
    assert low <= distance.min() < low + 0.2 and high - 0.2 < distance.max() <= high
    assert distance.mean() == pytest.approx((low + high) / 2, abs=0.15)


def test_a_veil_blurs_what_is_held_and_nothing_else():
    back, front = np.zeros((64, 64, 3), np.float32), np.zeros((64, 64, 3), np.float32)
    share = np.zeros((64, 64), np.float32)
    share[20:44, 20:44] = 1
    front[20:44, 20:44] = 1
    sharp = compose.Softening(0.0, 0.0, 0.0, 0.0)
    np.testing.assert_array_equal(compose.veil(front, back, share, sharp), front)
    soft = compose.veil(front, back, share, sharp._replace(near=0.03))
    assert soft[32, 32, 0] == pytest.approx(1, abs=0.01) and 0.3 < soft[20, 32, 0] < 0.7 and soft[2, 2, 0] == 0
    moved = compose.veil(front, back, share, sharp._replace(motion=0.2))
    assert moved[32, 17, 0] > 0.2 and abs(moved[17, 32, 0]) < 1e-6  # sideways only
    np.testing.assert_allclose(moved.sum(), front.sum(), rtol=1e-4)
