from __future__ import annotations

import itertools
from math import log2
from typing import Any

import numpy as np
import pytest
import pytrec_eval
from contracts.recommender import catalog_of, histories_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from llmrg.data.catalog import Catalog
from llmrg.data.interactions import Histories
from llmrg.data.splits import Cases
from llmrg.errors import ConfigError, DataError
from llmrg.evaluation.audit import audit_metrics
from llmrg.evaluation.evaluator import Evaluation, Evaluator, monitor
from llmrg.recommenders.base import Monitor, Recommender, Scores

NEVER = -np.inf


class Given(Recommender):
    """Scores user "u0" by the first row of a table, "u1" by the second, and so on."""

    name = "given"

    def __init__(self, table: Any) -> None:
        self.table = np.array(table, dtype=np.float32)
        self.asked: list[int] = []

    def fit(self, train: Histories, catalog: Catalog, *, monitor: Monitor | None = None) -> None:
        raise NotImplementedError

    def score(self, histories: Histories) -> Scores:
        self.asked.append(len(histories))
        return self.table[[int(user_id[1:]) for user_id in histories.user_ids]]

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        raise NotImplementedError

    @classmethod
    def restore(cls, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> Given:
        raise NotImplementedError


def cases_of(*pairs: tuple[list[int], int]) -> Cases:
    """Users with a history and the item that came next."""
    targets = np.array([target for _, target in pairs], dtype=np.int32)
    return Cases(histories_of(*[history for history, _ in pairs]), targets)


def evaluate(table: Any, *pairs: tuple[list[int], int], **settings: Any) -> Evaluation:
    return Evaluator(cases_of(*pairs), **settings).evaluate(Given(table))


THREE = (
    [
        [NEVER, 9.0, 3.0, 2.0, 1.0],
        [NEVER, 1.0, 2.0, 3.0, 4.0],
        [NEVER, 4.0, 3.0, 2.0, 1.0],
    ],
    ([1], 3),  # Item 1 is seen; 2 is ahead: rank 2.
    ([3], 4),  # Best of all: rank 1.
    ([2], 4),  # 1 and 3 are ahead: rank 3.
)


def test_ranks_count_the_unseen_items_ahead_of_the_target() -> None:
    assert evaluate(*THREE).ranks.tolist() == [2, 1, 3]


def test_metrics_are_the_fractions_worked_by_hand() -> None:
    metrics = evaluate(*THREE, at=(1, 2)).metrics()
    assert metrics == pytest.approx(
        {
            "hit_rate@1": 1 / 3,
            "ndcg@1": 1 / 3,
            "mrr@1": 1 / 3,
            "coverage@1": 3 / 4,  # Items 2, 4 and 1 come first.
            "hit_rate@2": 2 / 3,
            "ndcg@2": (1 / log2(3) + 1) / 3,
            "mrr@2": (1 / 2 + 1) / 3,
            "coverage@2": 1.0,  # (2, 3), (4, 2) and (1, 3).
        }
    )
    assert list(metrics)[:4] == ["hit_rate@1", "ndcg@1", "mrr@1", "coverage@1"]


def test_the_default_cutoffs_are_5_10_and_20() -> None:
    names = itertools.product((5, 10, 20), ("hit_rate", "ndcg", "mrr", "coverage"))
    assert list(evaluate(*THREE).metrics()) == [f"{name}@{k}" for k, name in names]


def test_cutoffs_can_be_asked_for_afterwards() -> None:
    assert evaluate(*THREE).metrics((3,))["hit_rate@3"] == 1.0


def test_a_metric_can_be_had_per_user() -> None:
    evaluation = evaluate(*THREE)
    assert evaluation.per_user("mrr@2").tolist() == pytest.approx([1 / 2, 1, 0])
    with pytest.raises(ConfigError, match="no metric 'coverage@5' with a value per user"):
        evaluation.per_user("coverage@5")


def test_items_that_score_the_same_count_as_better_than_the_target() -> None:
    evaluation = evaluate([[NEVER, 1.0, 1.0, 1.0, 0.0]], ([4], 1), at=(1,), keep=4)
    assert evaluation.ranks.tolist() == [3]
    assert evaluation.items.tolist() == [[2, 3, 1, 0]]


def test_a_model_that_likes_everything_alike_gets_the_last_rank() -> None:
    assert evaluate(np.zeros((1, 101)), ([1, 2], 50)).ranks.tolist() == [98]


def test_a_repeated_target_stays_in_the_ranking() -> None:
    evaluation = evaluate([[NEVER, 3.0, 2.0, 1.0]], ([2, 1, 2], 2))
    assert evaluation.ranks.tolist() == [1]  # Item 1 is seen and gone, item 3 is behind.
    assert evaluation.items.tolist() == [[2, 3, 0]]


def test_a_target_that_is_ruled_out_is_a_miss_even_in_a_tiny_catalog() -> None:
    evaluation = evaluate([[NEVER, NEVER, 1.0]], ([], 1), at=(2,))
    assert evaluation.ranks.tolist() == [0]
    assert evaluation.metrics()["hit_rate@2"] == 0.0
    assert evaluation.items.tolist() == [[2, 0]]


def test_users_are_scored_in_tiles_that_change_nothing() -> None:
    rng = np.random.default_rng(0)
    recommender = Given(rng.normal(size=(7, 30)))
    pairs = [(list(rng.integers(1, 30, size=5)), int(rng.integers(1, 30))) for _ in range(7)]
    whole = Evaluator(cases_of(*pairs)).evaluate(recommender)
    tiled = Evaluator(cases_of(*pairs), tile=3).evaluate(recommender)
    assert recommender.asked == [7, 3, 3, 1]
    for field in ("user_ids", "targets", "ranks", "items", "scores"):
        np.testing.assert_array_equal(getattr(tiled, field), getattr(whole, field))


def test_no_more_than_keep_items_are_kept_but_enough_for_every_cutoff() -> None:
    assert evaluate(*THREE, at=(1,), keep=2).items.shape == (3, 2)
    assert evaluate(*THREE, at=(1, 3), keep=2).items.shape == (3, 3)
    few = evaluate(*THREE, at=(1,), keep=2)
    with pytest.raises(ValueError, match="coverage@3 needs 3 predictions"):
        few.metrics((3,))


def test_time_is_measured() -> None:
    assert 0.0 < evaluate(*THREE).seconds < 60.0


def test_nan_scores_name_the_recommender_the_user_and_the_item() -> None:
    table = [[NEVER, 1.0, 2.0], [NEVER, 1.0, np.nan]]
    message = "recommender 'given' gave 1 NaN scores, the first for user 'u1' and item index 2"
    with pytest.raises(DataError, match=message):
        evaluate(table, ([1], 2), ([2], 1))
    with pytest.raises(DataError, match=message):
        monitor(cases_of(([1], 2), ([2], 1)))(Given(table))


def test_a_recommender_of_another_catalog_is_refused() -> None:
    with pytest.raises(DataError, match=r"'given' scores 2 items, but a target has index 3"):
        evaluate([[NEVER, 1.0, 2.0]], ([1], 3))


@pytest.mark.parametrize("settings", [{"at": (0,)}, {"keep": 0}, {"tile": 0}])
def test_settings_below_1_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        Evaluator(cases_of(([1], 2)), **settings)


def test_evaluating_on_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="no cases to evaluate on"):
        Evaluator(cases_of())


def test_a_monitor_gives_the_mean_of_its_metric() -> None:
    table, *pairs = THREE
    figure = monitor(cases_of(*pairs), "ndcg@2", tile=2)
    assert figure(Given(table)) == pytest.approx((1 / log2(3) + 1) / 3)


def test_a_monitor_refuses_an_unknown_metric_before_training_starts() -> None:
    with pytest.raises(ConfigError, match="no metric 'auc@10'"):
        monitor(cases_of(([1], 2)), "auc@10")


def test_the_frame_tells_users_items_ranks_scores_and_targets() -> None:
    table = [[NEVER, 9.0, 3.0, 2.0], [NEVER, 5.0, 5.0, 4.0]]
    frame = evaluate(table, ([1], 3), ([], 1), at=(1,), keep=2).to_frame(catalog_of(4), seed=7)
    assert list(frame.columns) == ["user_id", "item_id", "rank", "score", "target", "seed"]
    assert frame.to_numpy().tolist() == [
        ["u0", "i2", 1, 3.0, "i3", 7],
        ["u0", "i3", 2, 2.0, "i3", 7],
        ["u1", "i2", 1, 5.0, "i1", 7],  # Ties: the target comes last, as its rank says.
        ["u1", "i1", 2, 5.0, "i1", 7],
    ]


def test_places_left_empty_make_no_rows() -> None:
    evaluation = evaluate([[NEVER, 2.0, 1.0, 3.0]], ([1, 2], 3))
    assert evaluation.to_frame(catalog_of(4), seed=0)["item_id"].tolist() == ["i3"]


@st.composite
def problems(draw: st.DrawFn) -> tuple[NDArray[np.float32], list[tuple[list[int], int]]]:
    """Score tables with many ties, repeats and ruled-out items, and cases to go with them."""
    users, num_items = draw(st.integers(1, 6)), draw(st.integers(2, 14))
    level = st.sampled_from([NEVER, 0.0, 0.5, 1.0, 2.0]) | st.floats(-1, 1, width=32)
    table = draw(arrays(np.float32, (users, num_items), elements=level))
    table[:, 0] = NEVER
    item = st.integers(1, num_items - 1)
    pairs = draw(st.lists(st.tuples(st.lists(item), item), min_size=users, max_size=users))
    return table, pairs


def ranked_by_hand(row: NDArray[np.float32], history: list[int], target: int) -> list[int]:
    """Every recommendable item, best first, the target behind its equals, ties by index."""
    candidates = [
        item
        for item in range(1, len(row))
        if (item not in history or item == target) and row[item] != NEVER
    ]
    return sorted(candidates, key=lambda item: (-row[item], item == target, item))


@given(problems(), st.integers(1, 16))
def test_ranks_and_lists_are_what_sorting_by_hand_gives(
    problem: tuple[NDArray[np.float32], list[tuple[list[int], int]]], keep: int
) -> None:
    table, pairs = problem
    evaluation = evaluate(table, *pairs, at=(1,), keep=keep, tile=2)
    for row, (history, target) in enumerate(pairs):
        expected = ranked_by_hand(table[row], history, target)
        rank = expected.index(target) + 1 if target in expected else 0
        assert evaluation.ranks[row] == rank
        shown = [item for item in evaluation.items[row].tolist() if item]
        assert shown == expected[:keep]
        np.testing.assert_array_equal(evaluation.scores[row, : len(shown)], table[row, shown])


@given(problems())
def test_metrics_of_any_evaluation_pass_the_audit(
    problem: tuple[NDArray[np.float32], list[tuple[list[int], int]]],
) -> None:
    table, pairs = problem
    assert audit_metrics(evaluate(table, *pairs, at=(1, 2, 3, 5, 8, 13)).metrics()) == []


def test_every_ranking_of_four_items_is_scored_right() -> None:
    permutations = list(itertools.permutations([1.0, 2.0, 3.0, 4.0]))
    table = [[NEVER, *scores] for scores in permutations]
    metrics = evaluate(table, *[([], 1)] * 24, at=(1, 2, 3, 4)).metrics()
    # The target has each of the four ranks in 6 of the 24 rankings.
    gains = [1, 1 / log2(3), 1 / 2, 1 / log2(5)]
    for k in (1, 2, 3, 4):
        assert metrics[f"hit_rate@{k}"] == pytest.approx(k / 4)
        assert metrics[f"ndcg@{k}"] == pytest.approx(sum(gains[:k]) / 4)
        assert metrics[f"mrr@{k}"] == pytest.approx(sum(1 / r for r in range(1, k + 1)) / 4)


def test_trec_eval_computes_the_same_figures_from_the_exported_predictions() -> None:
    rng = np.random.default_rng(5)
    users, num_items, cutoffs = 200, 40, (1, 5, 10)
    table = rng.integers(0, 12, size=(users, num_items)).astype(np.float32)
    pairs = [
        (list(rng.integers(1, num_items, size=6)), int(rng.integers(1, num_items)))
        for _ in range(users)
    ]
    evaluation = evaluate(table, *pairs, at=cutoffs, keep=10)
    frame = evaluation.to_frame(catalog_of(num_items), seed=0)
    # trec_eval breaks ties in its own way, so it is given the ranks as scores.
    run = {
        user: {row.item_id: -float(row.rank) for row in rows.itertuples()}
        for user, rows in frame.groupby("user_id")
    }
    relevant = {user: {target: 1} for user, target in zip(frame.user_id, frame.target, strict=True)}
    at = ",".join(str(k) for k in cutoffs)
    judged = pytrec_eval.RelevanceEvaluator(relevant, {f"success.{at}", f"ndcg_cut.{at}"})
    theirs = judged.evaluate(run)
    metrics = evaluation.metrics()
    assert len(theirs) == users
    for k in cutoffs:
        success = np.mean([figures[f"success_{k}"] for figures in theirs.values()])
        ndcg = np.mean([figures[f"ndcg_cut_{k}"] for figures in theirs.values()])
        assert metrics[f"hit_rate@{k}"] == pytest.approx(success, abs=1e-9)
        assert metrics[f"ndcg@{k}"] == pytest.approx(ndcg, abs=1e-9)
        first = {
            user: {item: score for item, score in items.items() if -score <= k}
            for user, items in run.items()
        }
        cut = pytrec_eval.RelevanceEvaluator(relevant, {"recip_rank"}).evaluate(first)
        reciprocal = np.mean([figures["recip_rank"] for figures in cut.values()])
        assert metrics[f"mrr@{k}"] == pytest.approx(reciprocal, abs=1e-9)
    assert 0.1 < metrics["hit_rate@10"] < 0.9
