"""Ranks the whole catalog for every held-out case and keeps what the figures are made of.

The protocol: the items of a user's own history are taken out of the ranking, all others compete
(no sampled negatives), and an item that scores the same as the target counts as better than it, so
a model that scores everything alike gets no credit. Two rules for the odd cases:

* A target that is also in the history (a repeat) stays in the ranking, or it could never be found.
* A target scored -inf is one the recommender rules out: its rank is 0, a miss at every cut-off.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmrg.data.catalog import Catalog
from llmrg.data.splits import Cases
from llmrg.errors import DataError
from llmrg.evaluation.metrics import (
    PerCase,
    coverage_at_k,
    hit_rate_at_k,
    mrr_at_k,
    ndcg_at_k,
    per_case,
)
from llmrg.recommenders.base import NEVER, Monitor, Recommender, Scores, mask_seen, top_k

TILE = 1024
"""Users scored at once: bounds memory at TILE x N scores."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one recommender did with C cases.

    Attributes:
        user_ids: one per case. Shape (C,), dtype object (str).
        targets: the held-out item indices. Shape (C,), int32.
        ranks: rank of each target among all items, from 1; 0 if ruled out. Shape (C,), int64.
        items: the best item indices of each user, best first, the target last among those that
            score the same; 0 where nothing was left to recommend. Shape (C, keep), int32.
        scores: their scores. Shape (C, keep), float32.
        num_items: N, padding included.
        at: the cut-offs that `metrics` reports.
        seconds: time spent on scoring and ranking.
    """

    user_ids: NDArray[np.object_]
    targets: NDArray[np.int32]
    ranks: NDArray[np.int64]
    items: NDArray[np.int32]
    scores: Scores
    num_items: int
    at: tuple[int, ...]
    seconds: float

    def metrics(self, at: Sequence[int] | None = None) -> dict[str, float]:
        """Average over users: "hit_rate@5", "ndcg@5", "mrr@5", "coverage@5", and so on.

        Args:
            at: cut-offs to use instead of the evaluator's.

        Raises:
            ValueError: if a cut-off is smaller than 1, or larger than the predictions kept.
        """
        values: dict[str, float] = {}
        for k in self.at if at is None else at:
            values[f"hit_rate@{k}"] = float(hit_rate_at_k(self.ranks, k).mean())
            values[f"ndcg@{k}"] = float(ndcg_at_k(self.ranks, k).mean())
            values[f"mrr@{k}"] = float(mrr_at_k(self.ranks, k).mean())
            values[f"coverage@{k}"] = coverage_at_k(self.items, k, self.num_items)
        return values

    def per_user(self, metric: str) -> PerCase:
        """One metric, such as "ndcg@10", for each user, for tests of significance. Shape (C,).

        Raises:
            ConfigError: if there is no such metric with a value per user.
        """
        return per_case(metric, self.ranks)

    def to_frame(self, catalog: Catalog, seed: int) -> pd.DataFrame:
        """The predictions as a table from which anyone can recompute the figures.

        Returns:
            user_id, item_id, rank (from 1), score, target (the held-out item_id, repeated on each
            row of the user) and seed; users in the order of the cases, best items first. Users
            for whom every item was ruled out have no rows.
        """
        item_ids = np.array(["", *(item.item_id for item in catalog.items)], dtype=object)
        row, column = np.nonzero(self.items)
        return pd.DataFrame(
            {
                "user_id": self.user_ids[row],
                "item_id": item_ids[self.items[row, column]],
                "rank": (column + 1).astype(np.int32),
                "score": self.scores[row, column],
                "target": item_ids[self.targets[row]],
                "seed": np.int64(seed),
            }
        )


class Evaluator:
    """Puts recommenders to the same cases.

    Args:
        cases: histories and the item that came next in each.
        at: cut-offs to report.
        keep: predictions kept per user; raised to the largest cut-off if that is larger.
        tile: users scored at once.

    Raises:
        ValueError: if there are no cases, or a number is smaller than 1.
    """

    def __init__(
        self, cases: Cases, *, at: Sequence[int] = (5, 10, 20), keep: int = 100, tile: int = TILE
    ) -> None:
        if len(cases) == 0:
            raise ValueError("there are no cases to evaluate on")
        if min((keep, tile, *at)) < 1:
            raise ValueError(
                f"at, keep and tile must be at least 1 (got {tuple(at)}, {keep}, {tile})"
            )
        self.cases = cases
        self.at = tuple(at)
        self.keep = max((keep, *at))
        self.tile = tile

    def evaluate(self, recommender: Recommender) -> Evaluation:
        """Rank the whole catalog for every user.

        Raises:
            DataError: if a score is NaN, or the recommender knows fewer items than the cases.
        """
        start = time.perf_counter()
        ranks, items, kept = [], [], []
        num_items = 0
        for scores, targets in _scored_tiles(recommender, self.cases, self.tile):
            num_items = scores.shape[1]
            ranks.append(_ranks(scores, targets))
            best, best_scores = _top_with_target_last(scores, targets, ranks[-1], self.keep)
            items.append(best)
            kept.append(best_scores)
        return Evaluation(
            user_ids=self.cases.histories.user_ids,
            targets=self.cases.targets,
            ranks=np.concatenate(ranks),
            items=np.concatenate(items),
            scores=np.concatenate(kept),
            num_items=num_items,
            at=self.at,
            seconds=time.perf_counter() - start,
        )


def monitor(cases: Cases, metric: str = "ndcg@10", *, tile: int = TILE) -> Monitor:
    """Make the validation figure that `fit` stops early by: only ranks, no lists of items.

    Raises:
        ConfigError: if there is no such metric with a value per user.
    """
    per_case(metric, np.zeros(0, dtype=np.int64))  # A misspelled name fails here, not mid-training.

    def figure(recommender: Recommender) -> float:
        tiles = _scored_tiles(recommender, cases, tile)
        ranks = np.concatenate([_ranks(scores, targets) for scores, targets in tiles])
        return float(per_case(metric, ranks).mean())

    return figure


def _scored_tiles(
    recommender: Recommender, cases: Cases, tile: int
) -> Iterator[tuple[Scores, NDArray[np.int32]]]:
    """Score some users at a time, with all they have seen but the target masked."""
    for start in range(0, len(cases), tile):
        rows = np.arange(start, min(start + tile, len(cases)))
        histories, targets = cases.histories.select(rows), cases.targets[rows]
        scores = recommender.score(histories)
        _check(scores, targets, histories.user_ids, recommender.name)
        of_target = scores[np.arange(len(rows)), targets]
        mask_seen(scores, histories)
        scores[np.arange(len(rows)), targets] = of_target
        yield scores, targets


def _check(
    scores: Scores, targets: NDArray[np.int32], user_ids: NDArray[np.object_], name: str
) -> None:
    if targets.max() >= scores.shape[1]:
        raise DataError(
            f"recommender {name!r} scores {scores.shape[1] - 1} items, but a target has index "
            f"{targets.max()}: it was fitted on another catalog; fit it again"
        )
    wrong = np.isnan(scores)
    if wrong.any():
        user, item = np.argwhere(wrong)[0]
        raise DataError(
            f"recommender {name!r} gave {np.count_nonzero(wrong)} NaN scores, the first for user "
            f"{user_ids[user]!r} and item index {item}; if it was trained, training diverged: "
            "try a smaller learning rate"
        )


def _ranks(scores: Scores, targets: NDArray[np.int32]) -> NDArray[np.int64]:
    """Number of items that score at least as high as the target, itself included. Shape (U,)."""
    of_target = scores[np.arange(len(scores)), targets]
    ranks = np.count_nonzero(scores[:, 1:] >= of_target[:, None], axis=1)
    return np.where(of_target == NEVER, 0, ranks).astype(np.int64)


def _top_with_target_last(
    scores: Scores, targets: NDArray[np.int32], ranks: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int32], Scores]:
    """The best `k` items with the target at its rank, so that the lists tell the same figures."""
    users = np.arange(len(scores))
    of_target = scores[users, targets]
    scores[users, targets] = NEVER
    others, other_scores = top_k(scores, k)
    place = np.where(ranks > 0, ranks - 1, others.shape[1])[:, None]
    column = np.arange(others.shape[1])[None, :]
    # Behind the target everything moves back by one place.
    source = np.where(column > place, column - 1, column)
    items = np.take_along_axis(others, source, axis=1)
    best = np.take_along_axis(other_scores, source, axis=1)
    items = np.where(column == place, targets[:, None], items)
    best = np.where(column == place, of_target[:, None], best)
    return np.where(best == NEVER, 0, items).astype(np.int32), best
