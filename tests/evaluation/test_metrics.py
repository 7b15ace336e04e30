from __future__ import annotations

from collections.abc import Callable
from math import log2

import numpy as np
import pytest

from llmrg.errors import ConfigError
from llmrg.evaluation.metrics import (
    PER_CASE,
    PerCase,
    Ranks,
    coverage_at_k,
    hit_rate_at_k,
    mrr_at_k,
    ndcg_at_k,
    per_case,
    recall_at_k,
)

RANKS = np.array([1, 2, 3, 4, 11, 0])


def test_hit_rate_counts_targets_among_the_first_k() -> None:
    assert hit_rate_at_k(RANKS, 3).tolist() == [1, 1, 1, 0, 0, 0]
    assert hit_rate_at_k(RANKS, 10).mean() == pytest.approx(4 / 6)


def test_recall_with_one_target_is_the_hit_rate() -> None:
    assert recall_at_k(RANKS, 3).tolist() == [1, 1, 1, 0, 0, 0]


def test_ndcg_discounts_by_the_logarithm_of_the_rank() -> None:
    assert ndcg_at_k(RANKS, 3).tolist() == pytest.approx([1, 1 / log2(3), 1 / 2, 0, 0, 0])
    assert ndcg_at_k(np.array([1, 3, 12, 0]), 3).mean() == pytest.approx(3 / 8)


def test_mrr_is_one_over_the_rank() -> None:
    assert mrr_at_k(RANKS, 3).tolist() == pytest.approx([1, 1 / 2, 1 / 3, 0, 0, 0])
    assert mrr_at_k(np.array([1, 3, 12, 0]), 3).mean() == pytest.approx(1 / 3)


@pytest.mark.parametrize("metric", PER_CASE.values())
def test_a_target_that_is_not_ranked_is_a_miss_at_every_cutoff(
    metric: Callable[[Ranks, int], PerCase],
) -> None:
    assert metric(np.array([0]), 10**9).tolist() == [0.0]
    assert metric(np.array([10**9]), 20).tolist() == [0.0]


@pytest.mark.parametrize("metric", PER_CASE.values())
def test_at_cutoff_1_all_metrics_are_the_share_ranked_first(
    metric: Callable[[Ranks, int], PerCase],
) -> None:
    assert metric(RANKS, 1).tolist() == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("k", [0, -1])
def test_a_cutoff_below_1_is_refused(k: int) -> None:
    for metric in PER_CASE.values():
        with pytest.raises(ValueError, match=rf"at least 1 \(got {k}\)"):
            metric(RANKS, k)
    with pytest.raises(ValueError, match=rf"at least 1 \(got {k}\)"):
        coverage_at_k(np.array([[1]]), k, num_items=3)


def test_coverage_is_the_share_of_items_anybody_is_shown() -> None:
    items = np.array([[1, 2], [1, 3]])
    assert coverage_at_k(items, 1, num_items=5) == 1 / 4
    assert coverage_at_k(items, 2, num_items=5) == 3 / 4


def test_coverage_does_not_count_places_left_empty() -> None:
    assert coverage_at_k(np.array([[2, 0], [0, 0]]), 2, num_items=5) == 1 / 4


def test_coverage_refuses_a_cutoff_beyond_what_was_kept() -> None:
    with pytest.raises(ValueError, match=r"coverage@3 needs 3 predictions .* only 2 were kept"):
        coverage_at_k(np.array([[1, 2]]), 3, num_items=5)
    # With 2 items in the catalog, 2 places are all there can be.
    assert coverage_at_k(np.array([[1, 2]]), 3, num_items=3) == 1.0


def test_a_metric_is_found_by_name_and_cutoff() -> None:
    np.testing.assert_array_equal(per_case("ndcg@3", RANKS), ndcg_at_k(RANKS, 3))
    np.testing.assert_array_equal(per_case("hit_rate@10", RANKS), hit_rate_at_k(RANKS, 10))


def test_an_unknown_metric_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"no metric 'ndgc@10'.*did you mean 'ndcg'"):
        per_case("ndgc@10", RANKS)
    with pytest.raises(ConfigError, match="choose from hit_rate, recall, ndcg, mrr"):
        per_case("coverage@10", RANKS)


@pytest.mark.parametrize("metric", ["ndcg", "ndcg@", "ndcg@ten", "ndcg@0", "ndcg@-5", "ndcg@²"])
def test_a_metric_without_a_proper_cutoff_is_refused(metric: str) -> None:
    with pytest.raises(ConfigError, match="needs a cut-off from 1 after '@', as in 'ndcg@10'"):
        per_case(metric, RANKS)
