from __future__ import annotations

import time
from math import sqrt
from typing import Any

import numpy as np
import pytest
from scipy import stats

from llmrg.evaluation.significance import interval, paired_difference


def test_values_that_are_all_alike_leave_no_doubt() -> None:
    result = interval(np.full((3, 5), 0.25))
    assert (result.mean, result.low, result.high) == (0.25, 0.25, 0.25)


# Drawing two of {0, 1} gives a mean of 0, 1/2 or 1 with probability 1/4, 1/2 and 1/4, so the
# quantiles at 0.3 and 0.7 are both 1/2, and those at 0.2 and 0.8 are 0 and 1.
@pytest.mark.parametrize(
    "values",
    [
        pytest.param([[0.0, 1.0]], id="two users"),
        pytest.param([[0.0] * 7, [1.0] * 7], id="two seeds"),
    ],
)
def test_bounds_are_quantiles_of_means_over_drawn_users_and_seeds(
    values: list[list[float]],
) -> None:
    narrow, wide = interval(values, level=0.4), interval(values, level=0.6)
    assert (narrow.mean, narrow.low, narrow.high) == (0.5, 0.5, 0.5)
    assert (wide.mean, wide.low, wide.high) == (0.5, 0.0, 1.0)


def test_for_many_users_the_bounds_are_two_standard_errors_away() -> None:
    hits = np.repeat([1.0, 0.0], [1812, 4228])  # A hit rate of 0.3 over 6,040 users.
    result = interval(hits)
    assert result.mean == pytest.approx(0.3)
    error = 1.96 * sqrt(0.3 * 0.7 / 6040)
    assert result.high - result.mean == pytest.approx(error, rel=0.06)
    assert result.mean - result.low == pytest.approx(error, rel=0.06)


def test_the_bounds_agree_with_the_bootstrap_of_scipy() -> None:
    values = np.random.default_rng(1).exponential(size=300)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    ours = interval(values, resamples=4000)
    # Two runs of 4,000 draws differ by about a twentieth of the interval's half width.
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    results = [interval(rng.random(80), level=0.9, resamples=300, seed=n) for n in range(200)]
    covered = np.mean([result.low <= 0.5 <= result.high for result in results])
    # 200 repeats of a 90 % chance: standard deviation 2.1 %.
    assert 0.82 < covered < 0.97


def test_a_difference_is_the_mean_over_users_of_the_averages_over_seeds() -> None:
    a = [[1.0, 0.0], [0.0, 0.0], [0.5, 0.3]]
    b = [[0.25, 0.5]]
    # User 1: 0.5 - 0.25; user 2: 0.1 - 0.5.
    assert paired_difference(a, b).mean == pytest.approx((0.25 - 0.4) / 2)


def test_pairing_sees_what_two_separate_intervals_do_not() -> None:
    rng = np.random.default_rng(4)
    b = rng.random((1, 400))
    a = b + rng.normal(0.02, 0.05, size=b.shape)
    assert interval(a).low < interval(b).high
    result = paired_difference(a, b)
    assert 0.0 < result.low < 0.02 < result.high < 0.04
    assert result.p_value < 0.001


def test_the_p_value_is_the_share_of_sign_patterns_at_least_as_extreme() -> None:
    # 8 differences of the same sign: only 2 of the 256 patterns give as large a sum.
    same = paired_difference(np.ones(8), np.zeros(8), resamples=50_000)
    assert same.p_value == pytest.approx(2 / 256, abs=0.0015)
    # Differences 1, 1, -1: sums of ±1 or ±3, all at least as large as 1.
    assert paired_difference([1, 1, 0], [0, 0, 1]).p_value == 1.0


def test_the_p_value_agrees_with_the_exact_permutation_test_of_scipy() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.random(12), rng.random(12) - 0.25
    exact = stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    ours = paired_difference(a, b, resamples=50_000)
    assert 0.01 < exact.pvalue < 0.5
    assert ours.p_value == pytest.approx(exact.pvalue, abs=0.01)


def test_equally_good_recommenders_are_rarely_told_apart() -> None:
    rng = np.random.default_rng(7)
    p_values = [
        paired_difference(rng.random(60), rng.random(60), resamples=199, seed=n).p_value
        for n in range(300)
    ]
    # 300 repeats of a 5 % chance: standard deviation 1.3 %.
    assert 0.01 < np.mean(np.array(p_values) <= 0.05) < 0.10


def test_no_difference_at_all_gives_p_1() -> None:
    result = paired_difference(np.ones((2, 9)), np.ones((1, 9)))
    assert (result.mean, result.low, result.high, result.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_swapping_the_two_flips_the_difference_and_keeps_p() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.random((2, 50)), rng.random((2, 50))
    one, other = paired_difference(a, b), paired_difference(b, a)
    assert (other.mean, other.low, other.high) == pytest.approx((-one.mean, -one.high, -one.low))
    assert other.p_value == one.p_value


def test_the_same_seed_gives_the_same_bounds_and_another_seed_others() -> None:
    values = np.random.default_rng(9).random((3, 40))
    assert interval(values, seed=1) == interval(values, seed=1)
    assert interval(values, seed=1) != interval(values, seed=2)
    zeros = np.zeros(40)
    assert paired_difference(values, zeros, seed=1) == paired_difference(values, zeros, seed=1)


def test_1000_resamples_of_6040_users_take_less_than_a_second() -> None:
    rng = np.random.default_rng(10)
    a, b = rng.random((3, 6040)), rng.random((3, 6040))
    start = time.process_time()
    interval(a, resamples=1000)
    paired_difference(a, b, resamples=1000)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"shape \(S, C\), both at least 1 \(got \(1, 0\)\)"),
        (np.zeros((2, 2, 2)), r"got \(2, 2, 2\)"),
        ([[0.1, np.nan]], r"must be finite \(got nan at \(0, 1\)\)"),
    ],
)
def test_values_that_are_no_table_of_numbers_are_refused(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        interval(values)
    with pytest.raises(ValueError, match=message):
        paired_difference([[0.1, 0.2]], values)


@pytest.mark.parametrize("settings", [{"level": 0.0}, {"level": 1.0}, {"resamples": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        interval([[0.1, 0.2]], **settings)


def test_recommenders_judged_by_different_users_are_not_compared() -> None:
    with pytest.raises(ValueError, match="a has 2 users and b has 3"):
        paired_difference([[0.1, 0.2]], [[0.1, 0.2, 0.3]])
