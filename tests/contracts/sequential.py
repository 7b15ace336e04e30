"""What every sequential recommender promises besides `contracts/recommender.py`.

class TestSASRec(SequentialContract):
    @classmethod
    def make(cls, **changes: Any) -> SequentialRecommender:
        return SASRec(**{"hidden_size": 16, "training": CYCLE_TRAINING, **changes})
"""

from __future__ import annotations

import signal
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from contracts.recommender import RecommenderContract, catalog_of, cycle, histories_of
from torch import Tensor

from llmrg.data.batches import cut_windows
from llmrg.recommenders.base import Recommender
from llmrg.recommenders.sequential.base import SequentialModel, SequentialRecommender
from llmrg.training import TrainSettings

CYCLE_TRAINING = TrainSettings(epochs=40, learning_rate=1e-2, batch_tokens=64, device="cpu")
"""Enough for a model of 16 hidden values to learn a circle of 10 items; under a second."""


class SequentialContract(RecommenderContract):
    """Tests that any sequential recommender passes, on 10 items taken in a circle.

    Attributes:
        causal: whether a state may only depend on what came before it.
    """

    causal: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def make(cls, **changes: Any) -> SequentialRecommender:
        """An unfitted recommender, always with the same settings but for `changes`."""

    @pytest.fixture
    def model(self, fitted: Recommender) -> SequentialModel:
        assert isinstance(fitted, SequentialRecommender)
        assert fitted.model is not None
        return fitted.model.eval()

    def test_on_the_cycle_the_right_item_comes_first(self, fitted: Recommender) -> None:
        every_item = histories_of(*[[(i + 7) % 10 + 1, (i + 8) % 10 + 1, i] for i in range(1, 11)])
        items, _ = fitted.recommend(every_item, k=1, exclude_seen=False)
        assert items[:, 0].tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 10, 1]

    def test_padding_changes_no_state_and_no_summary(self, model: SequentialModel) -> None:
        alone, padded = torch.tensor([[3, 4, 5]]), torch.tensor([[3, 4, 5, 0, 0], [1, 2, 3, 4, 5]])
        with torch.inference_mode():
            _close(model.states(alone), model.states(padded)[:1, :3])
            _close(model.encode(alone), model.encode(padded)[:1])

    def test_padding_does_not_change_the_loss(self, model: SequentialModel) -> None:
        windows = cut_windows(histories_of([1, 2, 3, 4, 5, 6], [7, 8]), model.max_length)
        with torch.inference_mode():
            both, count = model.loss(windows.batch(np.array([0, 1])))
            long, long_count = model.loss(windows.batch(np.array([0])))
            short, short_count = model.loss(windows.batch(np.array([1])))
        assert (count, long_count, short_count) == (6, 5, 1)
        _close(both * 6, long * 5 + short)

    def test_the_future_does_not_leak_into_the_past(self, model: SequentialModel) -> None:
        if not self.causal:
            pytest.skip("this model reads histories in both directions on purpose")
        early, late = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[1, 2, 3, 9, 8]])
        with torch.inference_mode():
            _close(model.states(early)[:, :3], model.states(late)[:, :3])

    def test_items_older_than_the_longest_sequence_are_not_read(
        self, fitted: Recommender, model: SequentialModel
    ) -> None:
        newest = [(i % 10) + 1 for i in range(model.max_length)]
        scores = fitted.score(histories_of([5, 5, 5, *newest], newest))
        np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5)

    def test_a_user_without_history_finds_all_items_alike(self, fitted: Recommender) -> None:
        scores = fitted.score(histories_of([], [1, 2]))
        assert np.ptp(scores[0, 1:]) == 0
        assert np.ptp(scores[1, 1:]) > 0

    def test_the_padding_row_of_the_item_table_is_never_trained(
        self, model: SequentialModel
    ) -> None:
        assert not model.item_table[0].any()

    def test_interrupted_training_goes_on_to_the_very_same_weights(self, tmp_path: Path) -> None:
        train, catalog = cycle(self.num_items), catalog_of(self.num_items)
        training = TrainSettings(epochs=4, batch_tokens=64, device="cpu")
        unbroken = self.make(training=training)
        unbroken.fit(train, catalog, monitor=_rising())
        broken = self.make(training=training, checkpoint=tmp_path / "run")
        with pytest.raises(KeyboardInterrupt):
            broken.fit(train, catalog, monitor=_rising(interrupted_at=3))
        resumed = self.make(training=training, checkpoint=tmp_path / "run")
        resumed.fit(train, catalog, monitor=_rising(start=2))
        assert [epoch.number for epoch in resumed.history.epochs] == [1, 2, 3, 4]
        expected, _ = unbroken.state()
        for name, array in resumed.state()[0].items():
            np.testing.assert_array_equal(array, expected[name], err_msg=name)


def _close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def _rising(start: int = 0, interrupted_at: int = 0) -> Any:
    """A validation figure that grows with every call, or is stopped by Ctrl-C in one of them."""
    calls = start

    def monitor(recommender: Recommender) -> float:
        nonlocal calls
        calls += 1
        if calls == interrupted_at:
            signal.raise_signal(signal.SIGINT)
        return float(calls)

    return monitor
