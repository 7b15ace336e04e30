"""What every recommender can do: learn from histories, score the whole catalogue, be saved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from llmrg.data.catalog import Catalog
from llmrg.data.interactions import Histories
from llmrg.errors import NotFittedError

Scores = NDArray[np.float32]
Monitor = Callable[["Recommender"], float]
"""Validation figure to choose by, higher is better; given to `fit` by whoever owns the split."""

NEVER = np.float32(-np.inf)


class Recommender(ABC):
    """Base of all recommenders.

    A subclass writes `fit`, `score`, `state` and `restore`; ranking, masking and files are
    written once, here and in `recommenders.files`.
    """

    name: ClassVar[str]

    @abstractmethod
    def fit(self, train: Histories, catalog: Catalog, *, monitor: Monitor | None = None) -> None:
        """Learn from training histories; calling it again starts anew.

        Args:
            train: the training part of a split, and nothing else.
            catalog: all items that can be recommended.
            monitor: validation figure for models that stop early; baselines ignore it.
        """

    @abstractmethod
    def score(self, histories: Histories) -> Scores:
        """Score every item as the next one.

        Returns:
            Higher is better. Shape (U, N), float32; column 0, the padding, is -inf.

        Raises:
            NotFittedError: before `fit` or `load`.
        """

    @abstractmethod
    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """What `save` writes: named arrays, and settings that fit into JSON."""

    @classmethod
    @abstractmethod
    def restore(cls, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> Recommender:
        """Rebuild a recommender from what `state` gave."""

    def recommend(
        self, histories: Histories, k: int, *, exclude_seen: bool = True
    ) -> tuple[NDArray[np.int32], Scores]:
        """Rank the `k` best items of each user; equal scores are ordered by item index.

        A user with fewer than `k` items left gets the rest filled with items scored -inf.

        Returns:
            Item indices and their scores, best first. Both of shape (U, min(k, N - 1)).
        """
        scores = self.score(histories)
        if exclude_seen:
            mask_seen(scores, histories)
        return top_k(scores, k)

    def save(self, path: Path) -> None:
        """Write `model.safetensors` and `model.json` into a folder; nothing is pickled."""
        from llmrg.recommenders.files import save

        save(self, path)


def mask_seen(scores: Scores, histories: Histories) -> None:
    """Set the score of every item in a user's own history to -inf, in place."""
    scores[histories.rows_of_users(), histories.items] = NEVER


def top_k(scores: Scores, k: int) -> tuple[NDArray[np.int32], Scores]:
    """Pick the `k` best columns of each row, best first, ties by column; column 0 never."""
    k = min(k, scores.shape[1] - 1)
    items = scores[:, 1:]
    worst = np.partition(items, -k, axis=1)[:, -k, None]
    keep = items >= worst
    # A partition picks arbitrarily among equal scores at the cut: keep the lowest columns of them.
    crowded = np.flatnonzero(np.count_nonzero(keep, axis=1) > k)
    tied = items[crowded] == worst[crowded]
    room = k - np.count_nonzero(keep[crowded] & ~tied, axis=1, keepdims=True)
    keep[crowded] &= ~tied | (np.cumsum(tied, axis=1, dtype=np.int32) <= room)
    candidates = np.nonzero(keep)[1].reshape(len(scores), k) + 1
    picked = np.take_along_axis(scores, candidates, axis=1)
    order = np.argsort(-picked, axis=1, kind="stable")
    ranked = np.take_along_axis(candidates, order, axis=1).astype(np.int32)
    return ranked, np.take_along_axis(picked, order, axis=1)


def require_fitted(value: object, name: str) -> None:
    """Raise NotFittedError when `value`, something `fit` makes, is still None."""
    if value is None:
        raise NotFittedError(f"{name} has not been fitted; call fit() or load() first")
