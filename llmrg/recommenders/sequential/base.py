"""What every sequential model is, and the recommender that trains one and ranks with it."""

from __future__ import annotations

import hashlib
import inspect
import json
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmrg.data.batches import Batch, Coverage, cut_windows, pad_histories
from llmrg.data.catalog import Catalog
from llmrg.data.interactions import Histories
from llmrg.errors import ConfigError
from llmrg.recommenders.base import NEVER, Monitor, Recommender, Scores, require_fitted
from llmrg.recommenders.sequential.losses import full_softmax
from llmrg.training import History, Trainable, TrainSettings, fit_model, pick_device

TILE_USERS = 256
"""Users scored at once: enough to keep the processor busy, few enough to stay small in memory."""


class SequentialModel(Trainable):
    """Base of all models that read a sequence and score what comes next.

    A subclass writes `states` and `item_table`, and `loss` if it learns otherwise than by
    predicting the next item at every place.

    Args:
        max_length: longest sequence it reads.

    Raises:
        ConfigError: if `max_length` is less than 1.
    """

    def __init__(self, max_length: int) -> None:
        super().__init__()
        if max_length < 1:
            raise ConfigError(f"max_length must be at least 1 (got {max_length})")
        self.max_length = max_length

    @property
    @abstractmethod
    def item_table(self) -> Tensor:
        """One vector per item; row 0 is padding. Shape (N, D)."""

    @abstractmethod
    def states(self, sequences: Tensor) -> Tensor:
        """Say what is known at every place.

        Args:
            sequences: item indices, oldest first, right-padded with 0. Shape (B, L), int64.

        Returns:
            The state after each item; without meaning where there is padding. Shape (B, L, D).
        """

    def encode(self, sequences: Tensor) -> Tensor:
        """Summarize each history as one vector.

        Returns:
            The state after the newest item; zeros for an empty history, which likes all items
            equally. Shape (B, D).
        """
        lengths = (sequences != 0).sum(1)
        rows = torch.arange(len(sequences), device=sequences.device)
        newest = self.states(sequences)[rows, (lengths - 1).clamp_min(0)]
        return newest.where(lengths[:, None] > 0, 0.0)

    def scores(self, states: Tensor) -> Tensor:
        """Score every item against states of shape (B, D). Shape (B, N)."""
        return states @ self.item_table.T

    def loss(self, batch: Batch) -> tuple[Tensor, int]:
        """Cross-entropy of every next item against the whole catalog, and how many there are."""
        states = self.states(self.to_tensor(batch.sequences)).flatten(0, 1)
        known = states.index_select(0, self.to_tensor(batch.cells))
        targets = self.to_tensor(batch.targets.ravel()[batch.cells])
        return full_softmax(known, self.item_table, targets), len(batch.cells)

    def to_tensor(self, array: NDArray[Any]) -> Tensor:
        """Put an array on the device of the model."""
        return torch.from_numpy(array).to(self.item_table.device)


class SequentialRecommender(Recommender):
    """A sequential model as a recommender; a subclass names the model and says nothing else.

    Args:
        training: how to train.
        coverage: whether all targets of a history are trained or those of its newest window.
        checkpoint: folder for interrupted training to go on from; None keeps nothing.
        sizes: arguments of the model other than `num_items`.

    Attributes:
        model: None before `fit`.
        history: what each epoch of the last `fit` gave.

    Raises:
        ConfigError: if the model has no such argument, or `coverage` is unknown.
    """

    model_type: ClassVar[Callable[..., SequentialModel]]

    def __init__(
        self,
        *,
        training: TrainSettings | None = None,
        coverage: Coverage = "all",
        checkpoint: Path | None = None,
        **sizes: Any,
    ) -> None:
        self.training = training or TrainSettings()
        self.coverage: Coverage = coverage
        self.checkpoint = checkpoint
        self.sizes = sizes
        self.model: SequentialModel | None = None
        self.history = History()
        self._refuse_unknown_settings()

    def build(self, num_items: int) -> SequentialModel:
        """Make a model with fresh weights, drawn from torch's generator."""
        return type(self).model_type(num_items, **self.sizes)

    def fit(self, train: Histories, catalog: Catalog, *, monitor: Monitor | None = None) -> None:
        """Train a fresh model, or go on from a checkpoint; torch is seeded on the way.

        Raises:
            ConfigError: if training fails, or the checkpoint is of another run.
            DataError: if no history has two items.
        """
        torch.manual_seed(self.training.seed)
        model = self.model = self.build(catalog.num_items)
        try:
            windows = cut_windows(train, model.max_length, coverage=self.coverage)
            self.history = fit_model(
                model,
                partial(windows.epoch, max_tokens=self.training.batch_tokens),
                self.training,
                monitor=None if monitor is None else partial(monitor, self),
                checkpoint=self.checkpoint,
                data=self._digest(train, catalog),
                label=self.name,
            )
        except BaseException:
            self.model = None  # half-trained weights must not pass for a fitted model
            raise

    def score(self, histories: Histories) -> Scores:
        """Score every item as the next one; all alike for a user without a history."""
        model = self._fitted()
        model.eval()
        scores = np.empty((len(histories), len(model.item_table)), dtype=np.float32)
        # Users of similar length share a tile, so little padding is read.
        order = np.argsort(histories.lengths, kind="stable")
        with torch.inference_mode():
            for start in range(0, len(order), TILE_USERS):
                rows = order[start : start + TILE_USERS]
                sequences = pad_histories(histories.select(rows), model.max_length)
                states = model.encode(model.to_tensor(sequences))
                scores[rows] = model.scores(states).cpu().numpy()
        scores[:, 0] = NEVER
        return scores

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        tensors = self._fitted().state_dict()
        arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        return arrays, {
            "num_items": len(self._fitted().item_table),
            "sizes": self.sizes,
            "coverage": self.coverage,
            "training": asdict(self.training),
        }

    @classmethod
    def restore(
        cls, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]
    ) -> SequentialRecommender:
        """Rebuild it on the fastest device of this machine, wherever it was trained."""
        training = TrainSettings(**settings["training"])
        restored = cls(training=training, coverage=settings["coverage"], **settings["sizes"])
        model = restored.build(settings["num_items"])
        model.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
        restored.model = model.to(pick_device("auto"))
        return restored

    def _fitted(self) -> SequentialModel:
        require_fitted(self.model, self.name)
        assert self.model is not None
        return self.model

    def _digest(self, train: Histories, catalog: Catalog) -> str:
        """Name everything but the training settings that decides which weights come out."""
        model = [self.name, self.sizes, self.coverage, catalog.num_items]
        hasher = hashlib.sha256(json.dumps(model, sort_keys=True).encode())
        hasher.update(train.offsets.tobytes())
        hasher.update(train.items.tobytes())
        return hasher.hexdigest()[:16]

    def _refuse_unknown_settings(self) -> None:
        if self.coverage not in get_args(Coverage):
            raise ConfigError(
                f"{self.name}: coverage is one of {get_args(Coverage)} (got {self.coverage!r})"
            )
        known = set(inspect.signature(type(self).model_type).parameters) - {"num_items"}
        for name in self.sizes.keys() - known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known are {sorted(known)}"
            raise ConfigError(f"{self.name} has no setting '{name}'; {hint}")
