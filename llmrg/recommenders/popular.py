"""Popular: everybody gets the items that were taken most often in training.

The floor of every table: a model that does not beat it has learned nothing about its users.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from llmrg.data.catalog import Catalog
from llmrg.data.interactions import Histories
from llmrg.recommenders.base import NEVER, Monitor, Recommender, Scores, require_fitted


class Popular(Recommender):
    """Scores an item by the number of training interactions with it, repeats included.

    Equal counts are ranked by item index, as in every recommender.
    """

    name: ClassVar[str] = "popular"

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] | None = None

    def fit(self, train: Histories, catalog: Catalog, *, monitor: Monitor | None = None) -> None:
        """Count the items of the training histories; `monitor` is not used."""
        self.counts = np.bincount(train.items, minlength=catalog.num_items).astype(np.int64)

    def score(self, histories: Histories) -> Scores:
        """Give every user the same counts. Shape (U, N), float32; exact up to 2**24."""
        require_fitted(self.counts, self.name)
        assert self.counts is not None
        row = self.counts.astype(np.float32)
        row[0] = NEVER
        return np.tile(row, (len(histories), 1))

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The counts; there are no settings."""
        require_fitted(self.counts, self.name)
        assert self.counts is not None
        return {"counts": self.counts}, {}

    @classmethod
    def restore(cls, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> Popular:
        """Rebuild from what `state` gave."""
        recommender = cls(**settings)
        recommender.counts = arrays["counts"]
        return recommender
