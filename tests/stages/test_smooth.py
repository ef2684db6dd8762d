"""One-Euro filters and the identity lock."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtface.config import SmoothConfig
from rtface.stages.smooth import Smoother
from rtface.types import VECTOR_SIZE, Coefficients

IDS = np.zeros(1, np.int32)
SURE = np.ones(1, np.float32)


def person(**values: float) -> Coefficients:
    """One face; scalars fill their field."""
    c = Coefficients.from_vector(np.zeros((1, VECTOR_SIZE), np.float32), "b")
    c.scale[:] = 1.0
    for name, value in values.items():
        getattr(c, name)[...] = value
    c.to_vector().flags.writeable = False
    return c


def algorithm_1(samples: list[tuple[float, float]], cutoff: float, beta: float, speed_cutoff: float) -> list[float]:
    """The paper's algorithm for one signal of (time, value), word for word."""
    def alpha(elapsed: float, fc: float) -> float:
        return 1 / (1 + 1 / (2 * math.pi * fc) / elapsed)

    (before, value), speed, out = samples[0], 0.0, [samples[0][1]]
    for now, x in samples[1:]:
        elapsed = now - before
        share = alpha(elapsed, speed_cutoff)
        speed = share * ((x - value) / elapsed) + (1 - share) * speed
        share = alpha(elapsed, cutoff + beta * abs(speed))
        value = share * x + (1 - share) * value
        out.append(value)
        before = now
    return out


def test_expression_follows_algorithm_1_at_variable_frame_rate() -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.01, 0.08, 40))
    values = np.sin(times * 4) + rng.normal(0, 0.05, 40)
    config = SmoothConfig()
    smoother = Smoother(config)
    got = [float(smoother.smooth(IDS, person(expression=v), SURE, t).expression[0, 5])
           for t, v in zip(times, values, strict=True)]
    want = algorithm_1(list(zip(times, values, strict=True)), config.expression_cutoff_hz, config.expression_beta,
                       config.speed_cutoff_hz)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_noise_on_a_still_face_shrinks_and_a_fast_turn_passes() -> None:
    rng = np.random.default_rng(1)
    smoother = Smoother()
    noisy = rng.normal(0, 0.01, 200)
    still = np.array([smoother.smooth(IDS, person(rotation=v), SURE, k / 30).rotation[0] for k, v in enumerate(noisy)])
    assert still[50:].std() < 0.6 * noisy.std()
    smoother.reset()
    turn = [smoother.smooth(IDS, person(rotation=0.1 * k), SURE, k / 30).rotation[0, 1] for k in range(10)]  # 3 rad/s
    assert turn[-1] > 0.9 - 0.1  # at most one frame behind


def test_roll_goes_the_short_way_round() -> None:
    smoother = Smoother()
    smoother.smooth(IDS, person(rotation=math.pi - 0.05), SURE, 0.0)
    rolled = smoother.smooth(IDS, person(rotation=-math.pi + 0.05), SURE, 0.04).rotation[0, 2]
    assert abs(rolled) > math.pi - 0.06


def test_identity_is_the_mean_weighted_by_confidence() -> None:
    smoother = Smoother()
    smoother.smooth(IDS, person(identity=1.0, albedo=-1.0), np.array([0.9], np.float32), 0.0)
    last = smoother.smooth(IDS, person(identity=2.0, albedo=1.0), np.array([0.3], np.float32), 0.04)
    np.testing.assert_allclose(last.identity, 1.25, rtol=1e-6)
    np.testing.assert_allclose(last.albedo, -0.5, rtol=1e-6)


def test_faces_are_filtered_by_their_ids() -> None:
    smoother = Smoother()
    one, two = person(expression=0.0), person(expression=1.0)
    both = Coefficients.from_vector(np.concatenate([one.to_vector(), two.to_vector()]), "b")
    ids = np.array([7, 9], np.int32)
    smoother.smooth(ids, both, np.ones(2, np.float32), 0.0)
    out = smoother.smooth(ids[::-1].copy(), Coefficients.from_vector(both.to_vector()[::-1].copy(), "b"),
                          np.ones(2, np.float32), 0.04)
    np.testing.assert_allclose(out.expression[:, 0], [1, 0])


@pytest.mark.parametrize("field", ["identity", "expression", "albedo", "illumination", "rotation", "scale",
                                   "translation"])
def test_nan_gives_the_last_value_and_leaves_no_trace(field: str) -> None:
    smoother, clean = Smoother(), Smoother()
    for s in (smoother, clean):
        s.smooth(IDS, person(**{field: 0.5}), SURE, 0.0)
    with np.errstate(invalid="raise"):
        held = smoother.smooth(IDS, person(**{field: math.nan}), SURE, 0.04)
    np.testing.assert_allclose(getattr(held, field), 0.5, rtol=1e-6)
    assert np.isfinite(smoother.smooth(IDS, person(**{field: 0.5}), SURE, 0.08).to_vector()).all()


def test_nan_in_the_first_frame_is_zero() -> None:
    out = Smoother().smooth(IDS, person(expression=math.nan, identity=math.nan), SURE, 0.0)
    assert not out.expression.any() and not out.identity.any()


def test_a_gap_restarts_the_filters_but_not_the_identity() -> None:
    smoother = Smoother(SmoothConfig(restart_s=0.5))
    smoother.smooth(IDS, person(expression=0.0, identity=1.0), SURE, 0.0)
    out = smoother.smooth(IDS, person(expression=1.0, identity=3.0), SURE, 0.7)
    np.testing.assert_allclose(out.expression, 1.0)
    np.testing.assert_allclose(out.identity, 2.0)


def test_a_repeated_time_stamp_changes_nothing() -> None:
    smoother = Smoother()
    smoother.smooth(IDS, person(expression=0.0), SURE, 1.0)
    np.testing.assert_allclose(smoother.smooth(IDS, person(expression=1.0), SURE, 1.0).expression, 0.0)


def test_switched_off_it_returns_what_it_got() -> None:
    smoother = Smoother(SmoothConfig(enabled=False))
    for k in range(3):
        coefficients = person(expression=float(k))
        assert smoother.smooth(IDS, coefficients, SURE, k / 25) is coefficients


def test_no_face_works_and_inputs_stay() -> None:
    empty = Coefficients.from_vector(np.zeros((0, VECTOR_SIZE), np.float32), "b")
    assert len(Smoother().smooth(np.zeros(0, np.int32), empty, np.zeros(0, np.float32), 0.0)) == 0
    vector = np.random.default_rng(2).normal(size=(1, VECTOR_SIZE)).astype(np.float32)
    vector.flags.writeable = False
    smoother, before = Smoother(), vector.copy()
    for k in range(3):
        smoother.smooth(IDS, Coefficients.from_vector(vector, "b"), SURE, k / 25)
    np.testing.assert_array_equal(vector, before)


def test_a_snapshot_goes_on_exactly_where_it_was_taken() -> None:
    rng = np.random.default_rng(3)
    frames = [Coefficients.from_vector(np.abs(rng.normal(size=(2, VECTOR_SIZE))).astype(np.float32), "b")
              for _ in range(12)]
    ids, sure = np.array([3, 5], np.int32), np.array([0.5, 0.9], np.float32)
    whole, first, second = Smoother(), Smoother(), Smoother()
    expected = [whole.smooth(ids, c, sure, k / 25).to_vector() for k, c in enumerate(frames)]
    for k, c in enumerate(frames[:7]):
        first.smooth(ids, c, sure, k / 25)
    second.restore(first.snapshot())
    for k in range(7, 12):
        np.testing.assert_array_equal(second.smooth(ids, frames[k], sure, k / 25).to_vector(), expected[k])
