"""What every recommender promises; a test class inherits `RecommenderContract` and says `make`.

class TestPopular(RecommenderContract):
    @classmethod
    def make(cls) -> Recommender:
        return Popular()
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import numpy as np
import pytest

from llmrg.data.catalog import Catalog
from llmrg.data.interactions import Histories
from llmrg.errors import NotFittedError
from llmrg.recommenders.base import Recommender
from llmrg.recommenders.files import load
from llmrg.types import Item, ItemId


def histories_of(*sequences: list[int]) -> Histories:
    """Users "u0", "u1", … with these item indices, oldest first."""
    lengths = [len(sequence) for sequence in sequences]
    return Histories(
        user_ids=np.array([f"u{row}" for row in range(len(sequences))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        items=np.array([item for sequence in sequences for item in sequence], dtype=np.int32),
    )


def catalog_of(num_items: int) -> Catalog:
    """`num_items` - 1 items "i1", "i2", …: the item with index n is called "in"."""
    items = (Item(ItemId(f"i{index}"), f"Title {index}") for index in range(1, num_items))
    return Catalog(tuple(items))


def cycle(num_items: int, *, users: int = 24, length: int = 6) -> Histories:
    """Histories in which item i is always followed by i + 1, and the last item by item 1."""
    starts = range(users)
    return histories_of(
        *[
            [(start + step) % (num_items - 1) + 1 for step in range(length + start % 3)]
            for start in starts
        ]
    )


class RecommenderContract:
    """Tests that any recommender passes, on 10 items taken in a circle."""

    num_items = 11

    @classmethod
    @abstractmethod
    def make(cls) -> Recommender:
        """An unfitted recommender, always with the same settings and seed."""

    @classmethod
    def fit(cls, num_items: int) -> Recommender:
        recommender = cls.make()
        recommender.fit(cycle(num_items), catalog_of(num_items))
        return recommender

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls) -> Recommender:
        return cls.fit(cls.num_items)

    @pytest.fixture
    def asked(self) -> Histories:
        """Users who took two, one and five items."""
        return histories_of([3, 4], [9], [10, 1, 2, 3, 4])

    def test_scores_cannot_be_had_before_fit(self, asked: Histories, tmp_path: Path) -> None:
        with pytest.raises(NotFittedError, match="call fit"):
            self.make().score(asked)
        with pytest.raises(NotFittedError, match="call fit"):
            self.make().save(tmp_path / "unfitted")

    def test_scores_have_a_row_per_user_and_a_column_per_item(
        self, fitted: Recommender, asked: Histories
    ) -> None:
        scores = fitted.score(asked)
        assert scores.shape == (3, self.num_items)
        assert scores.dtype == np.float32
        assert np.all(scores[:, 0] == -np.inf)
        assert not np.isnan(scores).any()

    def test_scores_belong_to_the_caller_who_may_overwrite_them(
        self, fitted: Recommender, asked: Histories
    ) -> None:
        scores = fitted.score(asked)
        before = scores.copy()
        scores[:] = 0.0
        np.testing.assert_array_equal(fitted.score(asked), before)

    def test_the_scores_of_a_user_do_not_depend_on_who_else_is_asked(
        self, fitted: Recommender, asked: Histories
    ) -> None:
        together = fitted.score(asked)
        alone = [fitted.score(asked.select(np.array([row])))[0] for row in range(3)]
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)

    def test_padding_is_never_recommended(self, fitted: Recommender, asked: Histories) -> None:
        items, _ = fitted.recommend(asked, k=self.num_items + 5, exclude_seen=False)
        everything = np.arange(1, self.num_items)
        np.testing.assert_array_equal(np.sort(items, axis=1), np.tile(everything, (3, 1)))

    def test_seen_items_are_never_recommended_when_excluded(
        self, fitted: Recommender, asked: Histories
    ) -> None:
        items, scores = fitted.recommend(asked, k=5)
        for row in range(3):
            assert not set(items[row]) & set(asked.of(row))
        assert np.all(np.diff(scores, axis=1) <= 0)

    def test_saved_and_loaded_it_gives_the_same_scores(
        self, fitted: Recommender, asked: Histories, tmp_path: Path
    ) -> None:
        fitted.save(tmp_path / "model")
        loaded = load(tmp_path / "model")
        assert type(loaded) is type(fitted)
        np.testing.assert_array_equal(loaded.score(asked), fitted.score(asked))

    def test_saved_again_after_loading_it_leaves_the_same_files(
        self, fitted: Recommender, tmp_path: Path
    ) -> None:
        fitted.save(tmp_path / "first")
        load(tmp_path / "first").save(tmp_path / "second")
        for name in ("model.safetensors", "model.json"):
            first, second = tmp_path / "first" / name, tmp_path / "second" / name
            assert first.read_bytes() == second.read_bytes()

    def test_fitting_twice_starts_anew_even_with_another_catalog(
        self, fitted: Recommender, asked: Histories
    ) -> None:
        again = self.fit(self.num_items + 4)
        again.fit(cycle(self.num_items), catalog_of(self.num_items))
        np.testing.assert_array_equal(again.score(asked), fitted.score(asked))

    def test_the_same_seed_gives_the_same_scores(
        self, fitted: Recommender, asked: Histories
    ) -> None:
        again = self.fit(self.num_items)
        np.testing.assert_array_equal(again.score(asked), fitted.score(asked))
