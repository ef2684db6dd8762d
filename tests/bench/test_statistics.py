"""Quantiles, intervals and whether they hold what they promise."""

import numpy as np
import pytest
from scipy import stats

from rtface.bench.statistics import Distribution, paired_ratio, t_quantile, unpaired_difference
from rtface.errors import InputError


def test_a_distribution_says_what_was_measured() -> None:
    times = Distribution.of([[1.0, 2.0, 4.0], [], [10.0]])
    found = times.document(samples=True)
    assert (found["count"], found["min"], found["p50"], found["max"], found["mean"]) == (4, 1.0, 3.0, 10.0, 4.25)
    assert found["jitter"] == pytest.approx(1.5)  # |2-1|, |4-2|; nothing from one round to another
    assert found["rounds_p50"] == [2.0, 10.0] and found["samples"] == [[1.0, 2.0, 4.0], [10.0]]
    assert found["p99"] == pytest.approx(np.percentile([1, 2, 4, 10], 99))
    assert "samples" not in times.document(samples=False)
    assert Distribution.of([[3.0]]).jitter == 0
    with pytest.raises(InputError, match="got no times"):
        Distribution.of([[], []])


@pytest.mark.parametrize("freedom", [1, 2, 2.5, 3, 4, 7, 9, 14, 18.3, 60, 1000])
@pytest.mark.parametrize("probability", [0.6, 0.9, 0.95, 0.975, 0.995, 0.9995])
def test_t_quantiles_are_those_of_scipy(probability: float, freedom: float) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=2e-3)


def test_a_paired_ratio_sees_through_what_disturbs_both() -> None:
    rng = np.random.default_rng(1)
    disturbed = np.exp(rng.normal(0, 0.5, 8))
    a = {k: 10 * d for k, d in enumerate(disturbed)}
    b = {k: 12 * d * np.exp(rng.normal(0, 0.01)) for k, d in enumerate(disturbed)}
    ratio = paired_ratio(a, b)
    assert 1.17 < ratio.low < ratio.value < ratio.high < 1.23 and ratio.low < 1.2 < ratio.high
    with pytest.raises(InputError, match="got 2 rounds"):
        paired_ratio({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0, 2: 1.0})


@pytest.mark.parametrize("rounds", [5, 8, 12])
def test_the_ratio_s_interval_holds_the_truth_as_often_as_it_says(rounds: int) -> None:
    rng = np.random.default_rng(rounds)
    held = 0
    for _ in range(300):
        a, b = (dict(enumerate(np.exp(rng.normal(0, 0.1, rounds)).tolist())) for _ in range(2))
        found = paired_ratio(a, b)
        held += found.low <= 1 <= found.high
    assert held / 300 > 0.89


def test_a_difference_of_two_runs_has_bounds_on_either_side() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(400):
        a, b = rng.normal(1, 0.2, 8), rng.normal(1.5, 0.05, 6)
        found = unpaired_difference(a.tolist(), b.tolist(), 0.95)
        held += found.low <= 0.5
        expected = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.9)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=2e-3)
    assert 0.92 < held / 400 < 0.98
    same = unpaired_difference([1.0] * 3, [2.0] * 3, 0.99)
    assert (same.value, same.low, same.high) == (1, 1, 1)
    with pytest.raises(InputError, match="got 2 and 8 rounds"):
        unpaired_difference([1.0, 2.0], [1.0] * 8, 0.95)
