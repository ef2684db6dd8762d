"""Buns are hair, collars are clothes, and neither hides the face."""

import numpy as np
import pytest

from rtface.synth import attire
from rtface.synth.generator import FaceFactory
from rtface.synth.hair import sample_style
from rtface.synth.head import CLOTHES, HAIR
from rtface.synth.people import sample_person
from rtface.synth.render import Lamp, sample_light


@pytest.fixture(scope="module")
def factory():
    return FaceFactory()


def _person(factory, seed, **style):
    person = sample_person(np.random.default_rng(seed), factory.model, texture_size=64)
    base = next(s for s in map(sample_style, map(np.random.default_rng, range(99))) if s is not None)
    plain = base._replace(length_mm=25.0, fringe=0.0, curl_mm=0.0, lift_mm=2.0, buns=0)
    return person._replace(hair=plain._replace(**style))


def _shot(factory, person, yaw=0.0):
    still = np.zeros(64, np.float32)
    pose = factory.framed_pose(person, still, np.array([0.0, yaw, 0.0]), 70.0, np.array([100.0, 100.0]))
    rng = np.random.default_rng(0)
    take = factory.stage(rng, person, still, ())
    return factory.shoot(rng, take, pose, sample_light(np.random.default_rng(1)), 200, 200)


def test_buns_add_hair_outside_of_the_face(factory):
    for buns in (1, 2):
        plain, tied = (_shot(factory, _person(factory, 3, buns=count), yaw=1.4) for count in (0, buns))
        more = (tied.drawing.kind == HAIR) & (plain.drawing.kind != HAIR)
        assert more.sum() > 60
        assert not more[70:130, 70:130].any()


def test_one_style_in_eight_is_tied_into_buns_and_stays_short():
    styles = [s for s in map(sample_style, map(np.random.default_rng, range(600))) if s is not None]
    tied = [s for s in styles if s.buns]
    assert 0.07 < len(tied) / len(styles) < 0.18 and {s.buns for s in tied} == {1, 2}
    assert max(s.length_mm for s in tied) < 50 and max(s.length_mm for s in styles) > 150


@pytest.mark.parametrize("kind", attire.COLLARS[1:])
def test_collars_are_clothes_around_the_neck(factory, monkeypatch, kind):
    monkeypatch.setattr(attire, "COLLAR_ODDS", (1.0, 0, 0, 0, 0))
    bare = _shot(factory, _person(factory, 4))
    monkeypatch.setattr(attire, "COLLAR_ODDS", tuple(float(k == kind) for k in attire.COLLARS))
    dressed = _shot(factory, _person(factory, 4))
    more = (dressed.drawing.kind == CLOTHES) & (bare.drawing.kind != CLOTHES)
    chin = int(bare.landmarks[8, 1])
    assert more.sum() > 40 and np.nonzero(more)[0].min() > chin - 20
    face = bare.drawing.kind == 0
    assert (dressed.drawing.kind[face] == 0).mean() > 0.98


def test_further_lamps_cast_shadows_of_their_own(factory):
    """A lamp from the right darkens what the nose keeps from it; without `direct` nothing is taken away."""
    person = _person(factory, 5)
    light = sample_light(np.random.default_rng(1))._replace(direct=0.0, others=())
    aside = np.array([0.95, -0.1, -0.3], np.float32)
    lamp = Lamp(aside / np.linalg.norm(aside), 0.6)
    still = np.zeros(64, np.float32)
    pose = factory.framed_pose(person, still, np.zeros(3), 70.0, np.array([100.0, 100.0]))
    rng = np.random.default_rng(0)
    take = factory.stage(rng, person, still, ())
    drawn = [factory.shoot(rng, take, pose, light._replace(others=others), 200, 200).drawing
             for others in ((), (lamp._replace(direct=0.0),), (lamp,))]
    face = drawn[0].kind == 0
    shine = drawn[1].color - drawn[0].color  # a lamp that is no part of the harmonics adds its highlight only
    assert shine.min() > -1e-5
    darker = ((drawn[2].color - drawn[0].color).mean(axis=-1) < -0.01) & face
    left, right = darker[:, :100].sum(), darker[:, 100:].sum()
    assert left > 3 * max(right, 1) and left > 100
