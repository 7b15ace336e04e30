from __future__ import annotations

import numpy as np
from contracts.recommender import RecommenderContract, catalog_of, histories_of

from llmrg.recommenders.base import Recommender
from llmrg.recommenders.popular import Popular


class TestPopular(RecommenderContract):
    @classmethod
    def make(cls) -> Recommender:
        return Popular()


def fitted_on(*sequences: list[int], num_items: int) -> Popular:
    popular = Popular()
    popular.fit(histories_of(*sequences), catalog_of(num_items))
    return popular


def test_scores_are_counts_of_training_interactions_repeats_included() -> None:
    popular = fitted_on([1, 2, 2], [2, 3], num_items=6)
    scores = popular.score(histories_of([5], []))
    assert scores.tolist() == [[-np.inf, 1.0, 3.0, 1.0, 0.0, 0.0]] * 2


def test_equally_popular_items_are_ranked_by_index() -> None:
    popular = fitted_on([4, 3], [4, 1], num_items=5)
    items, _ = popular.recommend(histories_of([]), k=4)
    assert items.tolist() == [[4, 1, 3, 2]]


def test_only_training_histories_are_counted_not_those_asked_about() -> None:
    popular = fitted_on([1, 2], num_items=4)
    before = popular.score(histories_of([3]))
    popular.score(histories_of([3, 3, 3, 3]))
    np.testing.assert_array_equal(popular.score(histories_of([3])), before)
    assert before[0, 3] == 0.0
