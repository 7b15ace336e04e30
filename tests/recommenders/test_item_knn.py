from __future__ import annotations

import time
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from contracts.recommender import RecommenderContract, catalog_of, cycle, histories_of

from llmrg.data.interactions import Histories
from llmrg.data.splits import leave_one_out
from llmrg.evaluation.evaluator import Evaluator
from llmrg.recommenders.base import Recommender
from llmrg.recommenders.item_knn import ItemKNN
from llmrg.recommenders.popular import Popular

# Item 1 was taken by users 0, 1, 2; item 2 by 0, 1; item 3 by 1, 2; item 4 by 2; item 5 by nobody.
TRAIN = histories_of([1, 2, 1], [1, 2, 3], [3, 4, 1])
SIM_12 = 2 / sqrt(3 * 2)
SIM_13 = 2 / sqrt(3 * 2)
SIM_14 = 1 / sqrt(3 * 1)
SIM_23 = 1 / sqrt(2 * 2)
SIM_34 = 1 / sqrt(2 * 1)


class TestItemKNN(RecommenderContract):
    @classmethod
    def make(cls) -> Recommender:
        return ItemKNN(neighbors=4, max_length=3)


def fitted(**settings: Any) -> ItemKNN:
    recommender = ItemKNN(**settings)
    recommender.fit(TRAIN, catalog_of(6))
    return recommender


def test_one_item_scores_others_by_the_cosine_of_their_users() -> None:
    scores = fitted().score(histories_of([1], [3]))
    assert scores[0].tolist() == pytest.approx([-np.inf, 0, SIM_12, SIM_13, SIM_14, 0])
    assert scores[1].tolist() == pytest.approx([-np.inf, SIM_13, SIM_23, 0, SIM_34, 0])


def test_an_interaction_half_a_life_older_counts_half() -> None:
    scores = fitted(half_life=1).score(histories_of([4, 2, 3]))
    # Ages: item 4 is 2 old, item 2 is 1 old, item 3 is the newest.
    assert scores[0, 1] == pytest.approx(SIM_14 / 4 + SIM_12 / 2 + SIM_13)
    slower = fitted(half_life=2).score(histories_of([4, 2, 3]))
    assert slower[0, 1] == pytest.approx(SIM_14 / 2 + SIM_12 / sqrt(2) + SIM_13)


def test_a_repeated_item_counts_each_time() -> None:
    scores = fitted(half_life=1).score(histories_of([2, 2]))
    assert scores[0, 1] == pytest.approx(SIM_12 * 1.5)


def test_only_the_latest_interactions_count() -> None:
    short = fitted(max_length=1).score(histories_of([4, 2, 3]))
    np.testing.assert_array_equal(short, fitted().score(histories_of([3])))


def test_only_the_nearest_neighbors_of_an_item_count_ties_by_index() -> None:
    scores = fitted(neighbors=1).score(histories_of([1], [3]))
    assert scores[0].tolist() == pytest.approx([-np.inf, 0, SIM_12, 0, 0, 0])
    assert scores[1].tolist() == pytest.approx([-np.inf, SIM_13, 0, 0, 0, 0])


def test_a_user_without_history_has_no_preference() -> None:
    assert fitted().score(histories_of([])).tolist() == [[-np.inf, 0, 0, 0, 0, 0]]


def test_small_blocks_give_the_same_similarities(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted().score(histories_of([1, 2, 3, 4]))
    monkeypatch.setattr("llmrg.recommenders.item_knn.BLOCK_CELLS", 1)
    np.testing.assert_allclose(fitted().score(histories_of([1, 2, 3, 4])), whole, rtol=1e-6)


def test_on_the_cycle_the_item_next_in_the_circle_is_recommended() -> None:
    recommender = ItemKNN(neighbors=10)
    recommender.fit(cycle(31, users=30, length=3), catalog_of(31))
    items, _ = recommender.recommend(histories_of([6, 7, 8], [28, 29, 30]), k=1)
    assert items.tolist() == [[9], [1]]


def test_fitting_does_not_touch_the_training_histories() -> None:
    train = histories_of([3, 1, 3], [2, 1])
    ItemKNN().fit(train, catalog_of(4))
    assert train.items.tolist() == [3, 1, 3, 2, 1]
    assert train.offsets.tolist() == [0, 3, 5]


@pytest.mark.parametrize(
    "settings", [{"neighbors": 0}, {"max_length": 0}, {"half_life": 0.0}, {"half_life": -1.0}]
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="item_knn needs neighbors >= 1"):
        ItemKNN(**settings)


@pytest.mark.shared_data
@pytest.mark.slow
def test_on_movielens_1m_it_takes_seconds_and_beats_popularity_fourfold(shared_data: Path) -> None:
    table = pd.read_parquet(
        shared_data / "ml-1m" / "interactions.parquet", columns=["user_id", "item_id", "position"]
    ).sort_values(["user_id", "position"], kind="stable")
    codes, item_ids = pd.factorize(table["item_id"])
    users = table["user_id"].to_numpy(dtype=object)
    starts = np.flatnonzero(np.concatenate([[True], users[1:] != users[:-1]]))
    offsets = np.append(starts, len(users)).astype(np.int64)
    split = leave_one_out(Histories(users[starts], offsets, (codes + 1).astype(np.int32)))
    catalog = catalog_of(len(item_ids) + 1)
    evaluator = Evaluator(split.test, at=(10,), keep=10)
    popular, item_knn = Popular(), ItemKNN()
    popular.fit(split.train, catalog)
    start = time.perf_counter()
    item_knn.fit(split.train, catalog)
    evaluation = evaluator.evaluate(item_knn)
    assert time.perf_counter() - start < 60
    floor = evaluator.evaluate(popular).metrics()["ndcg@10"]
    assert evaluation.metrics()["ndcg@10"] > 4 * floor
