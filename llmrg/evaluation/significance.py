"""How sure a figure is: intervals over users and seeds, and paired tests between two recommenders.

Interval:  percentile bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993,
           chapter 13) that draws users and seeds independently, with replacement, and crosses them:
           the pigeonhole bootstrap of Owen, Annals of Applied Statistics 1(2), 2007.
P value:   randomization test over users. If two recommenders were equally good, each user's
           difference could as well have had the other sign; p is the share of random sign
           patterns that give a mean difference at least as large. Smucker, Allan and Carterette,
           "A Comparison of Statistical Significance Tests for Information Retrieval Evaluation",
           CIKM 2007, recommend it; the 1 added to both counts, so that p is never 0, is from
           Phipson and Smyth, SAGMB 9(1), 2010.

A bootstrap of few seeds cannot see the whole spread between them: with S seeds it shows about
(S - 1) / S of their variance, and with one seed only the spread between users.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

BLOCK_CELLS = 1 << 20
"""Draws held in memory at once."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the bounds that `level` of the resampled means lie within."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of a - b over users, its bounds, and a two-sided p value."""

    mean: float
    low: float
    high: float
    p_value: float


def interval(
    per_seed_per_user: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Mean of a metric over users and seeds, with its percentile bootstrap interval.

    Args:
        per_seed_per_user: one value per seed and user, the users in the same order for each seed.
            Shape (S, C), or (C,) for one seed.
        level: share of resampled means between the bounds, above 0 and below 1.
        resamples: number of bootstrap samples.
        seed: of the draws; the same seed gives the same bounds.

    Raises:
        ValueError: if there are no values, one is not finite, or a setting is out of range.
    """
    values = _checked("per_seed_per_user", per_seed_per_user)
    _check_settings(level, resamples)
    means = _resampled_means(values, resamples, np.random.default_rng(seed))
    low, high = _bounds(means, level)
    return Interval(float(values.mean()), low, high)


def paired_difference(
    a: ArrayLike, b: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Difference:
    """Compare two recommenders on the same users: how much better is `a` than `b`?

    Values are first averaged over seeds, so the interval and the p value say how the difference
    would vary with other users, for these trained models. The smallest p value that can come out
    is 1 / (resamples + 1).

    Args:
        a: values of the first recommender. Shape (S, C), or (C,) for one seed.
        b: values of the second for the same users in the same order; it may have other seeds.
        level: share of resampled differences between the bounds, above 0 and below 1.
        resamples: number of bootstrap samples, and of random sign patterns.
        seed: of the draws; the same seed gives the same result.

    Raises:
        ValueError: if the users do not match, or as in `interval`.
    """
    first, second = _checked("a", a), _checked("b", b)
    _check_settings(level, resamples)
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"a has {first.shape[1]} users and b has {second.shape[1]}; "
            "a paired comparison needs the same users in the same order"
        )
    differences = first.mean(axis=0) - second.mean(axis=0)
    rng = np.random.default_rng(seed)
    low, high = _bounds(_resampled_means(differences[None, :], resamples, rng), level)
    p_value = _randomization_p(differences, resamples, rng)
    return Difference(float(differences.mean()), low, high, p_value)


def _resampled_means(values: FloatArray, resamples: int, rng: np.random.Generator) -> FloatArray:
    """Means over seeds and users, both drawn with replacement. Shape (resamples,)."""
    seeds, users = values.shape
    means = []
    for count in _blocks(resamples, users):
        weights = rng.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=count) / seeds
        drawn = rng.integers(users, size=(count, users), dtype=np.int32)
        means.append(np.take_along_axis(weights @ values, drawn, axis=1).mean(axis=1))
    return np.concatenate(means)


def _randomization_p(differences: FloatArray, resamples: int, rng: np.random.Generator) -> float:
    """Two-sided p value of the mean difference under random signs."""
    changed = differences[differences != 0.0]  # The sign of a zero changes nothing.
    if len(changed) == 0:
        return 1.0
    observed = abs(changed.sum())
    # Sign patterns that tie with the observed sum must count despite rounding.
    observed -= 1e-12 * np.abs(changed).sum()
    extreme = 0
    for count in _blocks(resamples, len(changed)):
        flipped = rng.integers(2, size=(count, len(changed)), dtype=np.int8).astype(np.float32)
        sums = changed.sum() - 2.0 * (flipped @ changed)
        extreme += int(np.count_nonzero(np.abs(sums) >= observed))
    return (extreme + 1) / (resamples + 1)


def _blocks(resamples: int, users: int) -> Iterator[int]:
    """Split the resamples so that one block draws about BLOCK_CELLS numbers."""
    size = max(1, BLOCK_CELLS // users)
    for start in range(0, resamples, size):
        yield min(size, resamples - start)


def _bounds(means: FloatArray, level: float) -> tuple[float, float]:
    low, high = np.quantile(means, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def _checked(name: str, values: ArrayLike) -> FloatArray:
    """The values as a float array of shape (S, C)."""
    array = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must have shape (S, C), both at least 1 (got {array.shape})")
    if not np.isfinite(array).all():
        seed, user = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(f"{name} must be finite (got {array[seed, user]} at ({seed}, {user}))")
    return array


def _check_settings(level: float, resamples: int) -> None:
    if not 0.0 < level < 1.0 or resamples < 1:
        raise ValueError(
            f"level must be between 0 and 1 and resamples at least 1 (got {level}, {resamples})"
        )
