from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from contracts.recommender import catalog_of, histories_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from llmrg.data.catalog import Catalog
from llmrg.data.interactions import Histories
from llmrg.errors import NotFittedError
from llmrg.recommenders.base import (
    Monitor,
    Recommender,
    Scores,
    mask_seen,
    require_fitted,
    top_k,
)

NEVER = -np.inf


class Alike(Recommender):
    """Likes all items equally, so only ties, masking and padding decide."""

    name = "alike"

    def fit(self, train: Histories, catalog: Catalog, *, monitor: Monitor | None = None) -> None:
        self.num_items = catalog.num_items

    def score(self, histories: Histories) -> Scores:
        scores = np.ones((len(histories), self.num_items), dtype=np.float32)
        scores[:, 0] = NEVER
        return scores

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        raise NotImplementedError

    @classmethod
    def restore(cls, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> Alike:
        raise NotImplementedError


def row(*scores: float) -> Scores:
    return np.array([scores], dtype=np.float32)


def test_the_best_columns_come_first() -> None:
    items, scores = top_k(row(NEVER, 0.5, 2.0, -1.0, 1.0), k=3)
    assert items.tolist() == [[2, 4, 1]]
    assert scores.tolist() == [[2.0, 1.0, 0.5]]
    assert items.dtype == np.int32


def test_equal_scores_are_ordered_by_column() -> None:
    items, _ = top_k(row(NEVER, 1.0, 2.0, 1.0, 2.0, 0.0), k=4)
    assert items.tolist() == [[2, 4, 1, 3]]


def test_equal_scores_at_the_cut_keep_the_lowest_columns() -> None:
    scores = np.zeros((2, 1000), dtype=np.float32)
    scores[1, 500:] = 1.0
    items, _ = top_k(scores, k=10)
    assert items.tolist() == [list(range(1, 11)), list(range(500, 510))]


def test_column_0_is_never_picked_even_with_the_best_score() -> None:
    items, _ = top_k(row(9.0, 1.0, 2.0), k=2)
    assert items.tolist() == [[2, 1]]


def test_asking_for_more_than_there_are_gives_all() -> None:
    items, scores = top_k(row(NEVER, 1.0, 2.0), k=10)
    assert items.tolist() == [[2, 1]]
    assert scores.shape == (1, 2)


@given(
    scores=arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(2, 30)),
        elements=st.sampled_from([NEVER, -1.0, 0.0, 1.0, 2.0]),
    ),
    k=st.integers(1, 40),
)
def test_top_k_is_a_stable_sort_of_the_whole_row(scores: Scores, k: int) -> None:
    order = np.argsort(-scores[:, 1:], axis=1, kind="stable")[:, :k] + 1
    items, picked = top_k(scores, k)
    np.testing.assert_array_equal(items, order)
    np.testing.assert_array_equal(picked, np.take_along_axis(scores, order, axis=1))


def test_only_the_items_of_the_own_history_are_masked() -> None:
    scores = np.zeros((2, 4), dtype=np.float32)
    mask_seen(scores, histories_of([3, 1, 3], [2]))
    assert scores.tolist() == [[0.0, NEVER, 0.0, NEVER], [0.0, 0.0, NEVER, 0.0]]


def test_seen_items_are_left_out_unless_asked_for() -> None:
    recommender = Alike()
    recommender.fit(histories_of([1]), catalog_of(6))
    users = histories_of([1, 2], [4])
    without, _ = recommender.recommend(users, k=3)
    assert without.tolist() == [[3, 4, 5], [1, 2, 3]]
    with_seen, _ = recommender.recommend(users, k=3, exclude_seen=False)
    assert with_seen.tolist() == [[1, 2, 3], [1, 2, 3]]


def test_places_left_over_by_masking_are_scored_minus_infinity() -> None:
    recommender = Alike()
    recommender.fit(histories_of([1]), catalog_of(4))
    items, scores = recommender.recommend(histories_of([1, 3]), k=3)
    assert items[0, 0] == 2
    assert scores.tolist() == [[1.0, NEVER, NEVER]]


def test_what_is_not_fitted_is_named_with_the_way_out() -> None:
    require_fitted(0, "sasrec")  # Only None means unfitted.
    with pytest.raises(NotFittedError, match=r"sasrec has not been fitted; call fit\(\) or load"):
        require_fitted(None, "sasrec")
