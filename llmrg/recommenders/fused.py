"""Fused: any sequential recommender that also reads reasoning graphs.

The graphs are not part of the model: they are attached, before `fit` those of the training
histories, after `load` or for later histories whichever belong to them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmrg.data.batches import Coverage, cut_windows, pad_histories
from llmrg.data.catalog import Catalog
from llmrg.data.interactions import Histories
from llmrg.encoding.leakage import check_against
from llmrg.encoding.tensors import GraphInputs, TextFeatures
from llmrg.errors import ConfigError, GraphError, NotFittedError
from llmrg.graph_store import GraphTable
from llmrg.recommenders.base import NEVER, Monitor, Recommender, Scores, require_fitted
from llmrg.recommenders.files import load
from llmrg.recommenders.fused_batches import choose_graphs, fused_epoch, graph_pair
from llmrg.recommenders.fused_model import FusedModel
from llmrg.recommenders.registry import create
from llmrg.recommenders.sequential.base import TILE_USERS, SequentialRecommender
from llmrg.training import History, TrainSettings, fit_model, pick_device
from llmrg.types import ItemId

IntArray = NDArray[np.int64]


class Fused(Recommender):
    """LLMRG: a sequential host, and two encoders for the graphs attached to its users.

    Args:
        host: registered name of a sequential recommender.
        host_settings: sizes of the host, such as {"hidden_size": 64}; the encoders take theirs
            from it.
        prefixes_per_user: prefixes of each user whose graphs are encoded in an epoch, drawn anew
            in each; 0 for all. Encoding them is most of the work of an epoch.
        host_loss: weight of the host's own loss, which covers every prefix. The paper states no
            loss; 0 leaves the fused prediction alone, and so does a frozen host.
        num_steps: message passing steps of the graph encoders.
        warm_start: folder of the same host, trained alone and saved: `fit` starts from its
            weights. None trains everything from the start.
        host_rate: share of the learning rate that the host is trained with, 0 to 1. A full rate
            throws away what a host learned alone; 0 freezes it, so that whatever changes in the
            ranking comes from the graphs. A frozen host needs a `warm_start`.
        training: how to train host and encoders together.
        coverage: whether all targets of a history are trained or those of its newest window.
        checkpoint: folder for interrupted training to go on from; None keeps nothing.

    Attributes:
        model: None before `fit`.
        history: what each epoch of the last `fit` gave.

    Raises:
        ConfigError: if the host is unknown or not sequential, a number is out of range, `coverage`
            is unknown, or the host is frozen without a `warm_start`.
    """

    name = "fused"

    def __init__(
        self,
        *,
        host: str = "sasrec",
        host_settings: Mapping[str, Any] | None = None,
        prefixes_per_user: int = 4,
        host_loss: float = 1.0,
        num_steps: int = 1,
        warm_start: Path | None = None,
        host_rate: float = 1.0,
        training: TrainSettings | None = None,
        coverage: Coverage = "all",
        checkpoint: Path | None = None,
    ) -> None:
        if prefixes_per_user < 0 or host_loss < 0 or num_steps < 1:
            raise ConfigError(
                "fused needs prefixes_per_user and host_loss of at least 0 and num_steps of at "
                f"least 1 (got {prefixes_per_user}, {host_loss} and {num_steps})"
            )
        if not 0 <= host_rate <= 1:
            raise ConfigError(f"fused needs a host_rate from 0 to 1 (got {host_rate})")
        if coverage not in get_args(Coverage):
            raise ConfigError(f"fused: coverage is one of {get_args(Coverage)} (got {coverage!r})")
        self.host = host
        self.host_settings = dict(host_settings or {})
        self._host_recommender = _create_host(host, self.host_settings)
        self.prefixes_per_user, self.host_loss = prefixes_per_user, host_loss
        self.num_steps = num_steps
        self.warm_start = warm_start
        self.host_rate = host_rate
        self.training = training or TrainSettings()
        self.coverage: Coverage = coverage
        self.checkpoint = checkpoint
        self.model: FusedModel | None = None
        self.history = History()
        self._attached: tuple[tuple[GraphTable, ...], TextFeatures] | None = None
        self._inputs: tuple[GraphInputs, ...] = ()
        self._item_ids: list[ItemId] = []
        self._probe = np.zeros(0, dtype=np.float32)
        self._refuse_frozen_noise()

    def attach(self, graphs: Sequence[GraphTable], text_features: TextFeatures) -> None:
        """Give it the graphs to read; they replace those attached before.

        Args:
            graphs: `fit` trains on the first. To score a user's history of n items, the first
                table whose graph of this user was shown at least n items is read as of n; if
                there is none, the newest graph of the user in the last table that has one. A user
                in no table is scored by the host and the learned bias.
            text_features: texts → rows of F numbers, such as `TextEncoder.encode`; the same
                encoder as in `fit`.

        Raises:
            GraphError: if there is no table, or the model was fitted with another catalog or
                another encoder.
        """
        if not graphs:
            raise GraphError("fused needs at least one table of graphs (got none)")
        if self.model is not None:
            self._check_encoder(text_features)
        self._attached = (tuple(graphs), text_features)
        if self.model is not None:
            self._prepare()

    def fit(self, train: Histories, catalog: Catalog, *, monitor: Monitor | None = None) -> None:
        """Train host and encoders together on the first table attached; torch is seeded.

        Raises:
            NotFittedError: if no graphs are attached.
            LeakageError: if a graph saw an item that the training histories do not have.
            GraphError: if the graphs belong to other data.
            ConfigError: if training fails, the checkpoint is of another run, or a model that was
                loaded with a frozen host has no `warm_start`.
            DataError: if no history has two items.
        """
        self._refuse_frozen_noise()
        tables, text_features = self._require_graphs()
        check_against(tables[0], train, catalog)
        self._item_ids = [item.item_id for item in catalog.items]
        self._probe = _probe(text_features)
        self.model = None
        self._prepare()
        torch.manual_seed(self.training.seed)
        model = self._build(catalog.num_items)
        if self.warm_start is not None:
            _start_from(model, self.warm_start)
        self.model = model
        try:
            windows = cut_windows(train, model.host.max_length, coverage=self.coverage)
            self.history = fit_model(
                model,
                partial(
                    fused_epoch,
                    windows,
                    self._inputs[0],
                    per_user=self.prefixes_per_user,
                    max_tokens=self.training.batch_tokens,
                ),
                self.training,
                monitor=None if monitor is None else partial(monitor, self),
                checkpoint=self.checkpoint,
                data=self._digest(train),
                label=f"{self.name} {self.host}",
            )
        except BaseException:
            self.model = None  # half-trained weights must not pass for a fitted model
            raise

    def score(self, histories: Histories) -> Scores:
        """Score every item as the next one; each history must be whole, from its first item.

        Raises:
            NotFittedError: before `fit` or `load`, or if no graphs are attached.
        """
        model = self._fitted()
        self._require_graphs()
        model.eval()
        table, row = choose_graphs(self._inputs, histories)
        scores = np.empty((len(histories), model.num_items), dtype=np.float32)
        # Users of similar length share a tile, so little padding is read.
        order = np.argsort(histories.lengths, kind="stable")
        with torch.inference_mode():
            for start in range(0, len(order), TILE_USERS):
                users = order[start : start + TILE_USERS]
                asked = histories.select(users)
                sequences = pad_histories(asked, model.host.max_length)
                base = model.host.encode(model.host.to_tensor(sequences))
                encoded = self._encode(model, table[users], row[users], asked.lengths)
                states = model.fuse(encoded, base)
                scores[users] = model.host.scores(states).cpu().numpy()
        scores[:, 0] = NEVER
        return scores

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        tensors = self._fitted().state_dict()
        arrays = {f"model.{name}": tensor.cpu().numpy() for name, tensor in tensors.items()}
        return arrays | {"text_probe": self._probe}, {
            "host": self.host,
            "host_settings": self.host_settings,
            "prefixes_per_user": self.prefixes_per_user,
            "host_loss": self.host_loss,
            "num_steps": self.num_steps,
            "host_rate": self.host_rate,
            "training": asdict(self.training),
            "coverage": self.coverage,
            "item_ids": self._item_ids,
        }

    @classmethod
    def restore(cls, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> Fused:
        """Rebuild it on the fastest device of this machine; graphs must be attached again."""
        settings = dict(settings)
        item_ids = settings.pop("item_ids")
        training = TrainSettings(**settings.pop("training"))
        host_rate = settings.pop("host_rate")
        restored = cls(training=training, **settings)
        # Only `fit` needs the folder that a frozen host came from; its weights are in the arrays.
        restored.host_rate = host_rate
        restored._item_ids, restored._probe = item_ids, arrays["text_probe"]
        model = restored._build(len(item_ids) + 1)
        model.load_state_dict(
            {
                name.removeprefix("model."): torch.tensor(array)
                for name, array in arrays.items()
                if name.startswith("model.")
            }
        )
        restored.model = model.to(pick_device("auto"))
        return restored

    def _build(self, num_items: int) -> FusedModel:
        host = self._host_recommender.build(num_items)
        return FusedModel(
            host,
            len(self._probe),
            num_steps=self.num_steps,
            host_loss=self.host_loss,
            host_rate=self.host_rate,
        )

    def _prepare(self) -> None:
        tables, text_features = self._require_graphs()
        index_of = {item_id: index for index, item_id in enumerate(self._item_ids, start=1)}
        self._inputs = tuple(GraphInputs.of(table, index_of, text_features) for table in tables)

    def _encode(
        self, model: FusedModel, table: IntArray, row: IntArray, lengths: IntArray
    ) -> Tensor:
        """Encode the chosen graph of each user as of the user's history. Shape (U, 2 D)."""
        size = 2 * model.host.item_table.shape[1]
        encoded = model.host.item_table.new_zeros(len(row), size)
        for number, inputs in enumerate(self._inputs):
            mine = np.flatnonzero((table == number) & (row >= 0))
            if len(mine):
                graphs = graph_pair(inputs, row[mine], lengths[mine])
                encoded[model.host.to_tensor(mine)] = model.encode_graphs(graphs)
        return encoded

    def _refuse_frozen_noise(self) -> None:
        if self.host_rate == 0 and self.warm_start is None:
            raise ConfigError(
                "fused: host_rate = 0 freezes the host, so it needs one that was trained; give its "
                "folder as warm_start, in a job by [fusion] warm_start = true, or raise host_rate"
            )

    def _fitted(self) -> FusedModel:
        require_fitted(self.model, self.name)
        assert self.model is not None
        return self.model

    def _require_graphs(self) -> tuple[tuple[GraphTable, ...], TextFeatures]:
        if self._attached is None:
            raise NotFittedError(f"{self.name} has no graphs; call attach() first")
        return self._attached

    def _check_encoder(self, text_features: TextFeatures) -> None:
        probe = _probe(text_features)
        if probe.shape != self._probe.shape or not np.allclose(probe, self._probe, atol=1e-3):
            raise GraphError(
                f"fused was fitted with another text encoder ({len(self._probe)} features, got "
                f"{len(probe)} that differ); attach the graphs with the one used in fit"
            )

    def _digest(self, train: Histories) -> str:
        """Name everything but the training settings that decides which weights come out."""
        settings = [self.host, self.host_settings, self.prefixes_per_user, self.host_loss]
        start = "" if self.warm_start is None else (self.warm_start / "model.json").read_text()
        named = [*settings, self.num_steps, self.host_rate, self.coverage, self._item_ids, start]
        hasher = hashlib.sha256(json.dumps(named, sort_keys=True).encode())
        inputs = self._inputs[0]
        table = inputs.table
        hasher.update("\0".join(table.user_ids).encode("utf-8", "surrogatepass"))
        for array in (train.offsets, train.items, inputs.ids[table.node], inputs.features,
                      table.offsets, table.parent, table.origin, table.position):  # fmt: skip
            hasher.update(array.tobytes())
        return hasher.hexdigest()[:16]


def _start_from(model: FusedModel, folder: Path) -> None:
    """Give the host of a fresh model the weights of one that was trained alone.

    Raises:
        ConfigError: if the saved model is of another kind or size.
    """
    trained = load(folder)
    if not isinstance(trained, SequentialRecommender) or trained.model is None:
        raise ConfigError(f"warm_start needs a sequential model; {folder} holds {trained.name!r}")
    try:
        model.host.load_state_dict(trained.model.state_dict())
    except RuntimeError as error:
        raise ConfigError(f"warm_start: {folder} holds a host of other sizes ({error})") from error


def _create_host(name: str, settings: Mapping[str, Any]) -> SequentialRecommender:
    for owned in ("training", "coverage", "checkpoint"):
        if owned in settings:
            raise ConfigError(f"fused trains its host; give {owned!r} to fused, not to {name!r}")
    host = create(name, settings)
    if not isinstance(host, SequentialRecommender):
        raise ConfigError(f"fused needs a sequential host (got {name!r}); choose one like 'sasrec'")
    return host


def _probe(text_features: TextFeatures) -> NDArray[np.float32]:
    """What an encoder makes of one fixed text: tells encoders apart. Shape (F,)."""
    probe: NDArray[np.float32] = np.asarray(text_features(["genres: Comedy"]), dtype=np.float32)
    return np.ravel(probe)
