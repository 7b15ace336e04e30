"""Fused recommenders read the graph of a prefix, never of what came after, and nothing twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contracts.recommender import RecommenderContract, catalog_of, cycle, histories_of
from torch import Tensor, nn

from llmrg.data.batches import cut_windows
from llmrg.data.catalog import Catalog
from llmrg.data.interactions import Histories
from llmrg.encoding.tensors import GraphInputs
from llmrg.errors import ConfigError, GraphError, LeakageError, NotFittedError
from llmrg.evaluation.controls import sequence_graph
from llmrg.graph_store import GraphTable
from llmrg.recommenders.base import Monitor, Recommender
from llmrg.recommenders.files import load
from llmrg.recommenders.fused import Fused
from llmrg.recommenders.fused_batches import choose_graphs, draw_targets, fused_epoch, graph_pair
from llmrg.recommenders.fused_model import FusedModel
from llmrg.recommenders.sequential.base import SequentialModel
from llmrg.recommenders.sequential.sasrec import SASRec, SASRecModel
from llmrg.text import HashingEncoder
from llmrg.training import TrainSettings
from llmrg.types import Node, ReasoningGraph, Step, UserId

TEXT = HashingEncoder(8).encode
SHORT = TrainSettings(epochs=2, learning_rate=1e-2, batch_tokens=64, device="cpu")
HOST = {"hidden_size": 16, "max_length": 8, "num_layers": 1, "dropout": 0.0}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def reasoned(histories: Histories, *, imagine: int = 3) -> list[ReasoningGraph]:
    """Chains each item to the one before through a genre, and imagines an item from each."""
    made = []
    for row, user in enumerate(histories.user_ids):
        steps: list[Step] = []
        tip = -1
        items = histories.of(row).tolist()
        for position, n in enumerate(items):
            if tip >= 0:
                genre = f"genre {n % 3}"
                steps.append(Step(Node("attribute", genre, genre), "", "observed", position, tip))
                tip = len(steps) - 1
            steps.append(Step(Node("item", f"i{n}", f"T{n}"), "", "observed", position, tip))
            tip = len(steps) - 1
            thought = (n + imagine) % 10 + 1
            steps.append(
                Step(Node("item", f"i{thought}", f"T{thought}"), "", "imagined", position, tip)
            )
        made.append(ReasoningGraph(UserId(user), tuple(steps), 0, len(items), "test"))
    return made


def fitted_on(graphs: list[GraphTable], train: Histories, **settings: Any) -> Fused:
    fused = Fused(**{"host_settings": HOST, "training": SHORT, **settings})
    fused.attach(graphs, TEXT)
    fused.fit(train, catalog_of(11))
    return fused


TRAIN = cycle(11)


@pytest.fixture(scope="module")
def fused() -> Fused:
    return fitted_on([GraphTable.of(reasoned(TRAIN))], TRAIN)


class SelfMade(Fused):
    """Chains each training history before it is trained on, whatever the catalog."""

    def fit(self, train: Histories, catalog: Catalog, *, monitor: Monitor | None = None) -> None:
        self.attach([sequence_graph(train, catalog, 8)], TEXT)
        super().fit(train, catalog, monitor=monitor)


class TestFused(RecommenderContract):
    @classmethod
    def make(cls) -> Recommender:
        return SelfMade(host_settings=HOST, training=SHORT)

    @classmethod
    def load(cls, path: Path) -> Fused:
        loaded = load(path)
        assert type(loaded) is Fused
        loaded.attach([sequence_graph(cycle(cls.num_items), catalog_of(cls.num_items), 8)], TEXT)
        return loaded

    def test_saved_and_loaded_it_gives_the_same_scores(
        self, fitted: Recommender, asked: Histories, tmp_path: Path
    ) -> None:
        fitted.save(tmp_path / "model")
        loaded = self.load(tmp_path / "model")
        np.testing.assert_array_equal(loaded.score(asked), fitted.score(asked))


def test_it_learns_the_cycle_from_host_and_graphs_together():
    training = replace(SHORT, epochs=30)
    graphs = [sequence_graph(TRAIN, catalog_of(11), 8)]
    fused = fitted_on(graphs, TRAIN, training=training, host_loss=0.0, prefixes_per_user=0)
    items, _ = fused.recommend(TRAIN, k=1, exclude_seen=False)
    newest = TRAIN.items[TRAIN.offsets[1:] - 1]
    assert (items[:, 0] == newest % 10 + 1).mean() == 1.0


def test_the_graphs_change_the_scores(fused: Fused):
    with_graphs = fused.score(TRAIN)
    nobody = replace(TRAIN, user_ids=np.array([f"x{i}" for i in range(len(TRAIN))], dtype=object))
    without = fused.score(nobody)
    assert np.abs(with_graphs[:, 1:] - without[:, 1:]).max() > 1e-3


def test_imagined_steps_reach_the_scores_through_the_second_encoder_alone(fused: Fused):
    model, inputs = fused.model, fused._inputs[0]
    assert model is not None
    rows, prefixes = np.array([0]), np.array([3])
    other = GraphInputs.of(
        GraphTable.of(reasoned(TRAIN, imagine=5)),
        {item.item_id: i for i, item in enumerate(catalog_of(11).items, start=1)},
        TEXT,
    )
    with torch.no_grad():
        first, second = (
            model.encode_graphs(graph_pair(i, rows, prefixes))[0] for i in (inputs, other)
        )
    torch.testing.assert_close(first[:16], second[:16])
    assert not torch.allclose(first[16:], second[16:], atol=1e-4)


def test_the_scores_of_a_prefix_do_not_depend_on_what_its_graph_saw_later(fused: Fused):
    """A user's first three items, scored with the graph of three, of six, and of another six."""
    three, six, other = [1, 2, 3], [1, 2, 3, 4, 5, 6], [1, 2, 3, 9, 7, 8]
    asked = histories_of(three)
    scores = []
    for known in (three, six, other):
        fused.attach([GraphTable.of(reasoned(histories_of(known)))], TEXT)
        scores.append(fused.score(asked)[0])
    fused.attach([GraphTable.of(reasoned(TRAIN))], TEXT)
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scores[2], scores[0], rtol=1e-5, atol=1e-6)


def test_a_changed_future_changes_no_training_input_of_the_prefixes_before_it():
    index_of = {item.item_id: i for i, item in enumerate(catalog_of(11).items, start=1)}
    seen = []
    for items in ([1, 2, 3, 4, 5], [1, 2, 3, 9, 9]):
        train = histories_of(items)
        inputs = GraphInputs.of(GraphTable.of(reasoned(train)), index_of, TEXT)
        windows = cut_windows(train, 8)
        rng = np.random.default_rng(0)
        (batch,) = fused_epoch(windows, inputs, rng, per_user=0, max_tokens=64)
        assert batch.cells.tolist() == [0, 1, 2, 3]
        torch.manual_seed(0)
        model = FusedModel(SASRecModel(11, **HOST), 8).eval()
        with torch.no_grad():
            encoded = model.encode_graphs(batch.graphs)
            states = model.host.states(torch.from_numpy(batch.windows.sequences))[0]
            seen.append(model.fuse(encoded, states)[:3])
    torch.testing.assert_close(seen[0], seen[1], rtol=1e-5, atol=1e-6)


def test_the_scores_of_a_user_are_the_same_alone_and_among_others(fused: Fused):
    together = fused.score(TRAIN)
    alone = np.concatenate([fused.score(TRAIN.select(np.array([row]))) for row in range(5)])
    np.testing.assert_allclose(together[:5], alone, rtol=1e-4, atol=1e-5)


def test_a_graph_that_saw_a_held_out_item_stops_training_before_it_starts():
    later = histories_of(*[[*TRAIN.of(row), 1] for row in range(len(TRAIN))])
    fused = Fused(host_settings=HOST, training=SHORT)
    fused.attach([GraphTable.of(reasoned(later))], TEXT)
    with pytest.raises(LeakageError, match=r"user 'u0': .* position 6"):
        fused.fit(TRAIN, catalog_of(11))
    assert fused.model is None


def test_the_first_table_that_covers_a_history_is_read_else_the_newest_graph():
    def table(**until: int) -> GraphInputs:
        graphs = [ReasoningGraph(UserId(u), (), 0, n, "test") for u, n in until.items()]
        return GraphInputs.of(GraphTable.of(graphs), {}, TEXT)

    asked = Histories(
        np.array(["a", "b", "c", "d", "e"], dtype=object),
        np.array([0, 3, 6, 9, 12, 15]),
        np.ones(15, np.int32),
    )  # everybody took three items
    tables = (table(a=3, b=2, c=2, e=1), table(a=5, b=3, c=2), table(x=9, c=1))
    number, row = choose_graphs(tables, asked)
    assert number.tolist()[:3] == [0, 1, 2]  # covered by the first; by the second; by none
    assert row.tolist() == [0, 1, 1, -1, 3]  # d is in no table, e only in the first
    assert number[4] == 0


def test_a_warm_start_begins_with_the_ranking_of_the_host_trained_alone(tmp_path: Path):
    host = SASRec(training=SHORT, **HOST)
    host.fit(TRAIN, catalog_of(11))
    host.save(tmp_path)
    started: list[np.ndarray] = []

    def watch(recommender: Recommender) -> float:
        started.append(recommender.score(TRAIN))
        return 0.0

    almost_still = TrainSettings(epochs=1, learning_rate=1e-12, batch_tokens=64, device="cpu")
    fused = Fused(host_settings=HOST, training=almost_still, warm_start=tmp_path)
    fused.attach([GraphTable.of(reasoned(TRAIN))], TEXT)
    fused.fit(TRAIN, catalog_of(11), monitor=watch)
    np.testing.assert_allclose(started[0], host.score(TRAIN), rtol=1e-4, atol=1e-4)


def test_a_warm_start_from_another_size_is_refused(tmp_path: Path):
    host = SASRec(training=SHORT, **{**HOST, "hidden_size": 8})
    host.fit(TRAIN, catalog_of(11))
    host.save(tmp_path)
    fused = Fused(host_settings=HOST, training=SHORT, warm_start=tmp_path)
    fused.attach([GraphTable.of(reasoned(TRAIN))], TEXT)
    with pytest.raises(ConfigError, match="host of other sizes"):
        fused.fit(TRAIN, catalog_of(11))


FROZEN = {"host_rate": 0.0, "host_loss": 0.0}


@pytest.fixture(scope="module")
def host_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host, trained alone and saved."""
    folder = tmp_path_factory.mktemp("host")
    host = SASRec(training=SHORT, **HOST)
    host.fit(TRAIN, catalog_of(11))
    host.save(folder)
    return folder


def frozen_on(host_folder: Path, **settings: Any) -> Fused:
    graphs = [GraphTable.of(reasoned(TRAIN))]
    return fitted_on(graphs, TRAIN, warm_start=host_folder, **{**FROZEN, **settings})


def test_a_frozen_host_keeps_every_bit_while_what_reads_the_graphs_moves(host_folder: Path):
    fused = frozen_on(host_folder)
    saved = load(host_folder)
    assert fused.model is not None
    assert isinstance(saved, SASRec)
    assert saved.model is not None
    trained = fused.model.host.state_dict()
    for name, tensor in saved.model.state_dict().items():
        torch.testing.assert_close(trained[name], tensor, rtol=0, atol=0)
    of_graphs = fused.model.fusion.weight[:, :32]  # starts at zero
    assert of_graphs.abs().max() > 1e-3
    assert all(parameter.grad is None for parameter in fused.model.host.parameters())


def test_a_frozen_host_is_not_in_the_optimizer():
    model = FusedModel(SASRecModel(11, **HOST), 8, host_rate=0.0)
    ((others, share),) = model.rates()
    assert share == 1.0
    of_host = {id(parameter) for parameter in model.host.parameters()}
    assert {id(p) for p in others} == {id(p) for p in model.parameters()} - of_host
    assert [p.requires_grad for p in model.host.parameters()] == [False] * len(of_host)
    (_, slow), (_, full) = FusedModel(SASRecModel(11, **HOST), 8, host_rate=0.5).rates()
    assert (slow, full) == (0.5, 1.0)


def test_another_users_graphs_change_the_scores_of_a_frozen_host(host_folder: Path):
    fused = frozen_on(host_folder)
    before = fused.score(TRAIN)
    graphs = reasoned(TRAIN)
    moved = [replace(graphs[row - 1], user_id=graph.user_id) for row, graph in enumerate(graphs)]
    fused.attach([GraphTable.of(moved)], TEXT)
    assert np.abs(fused.score(TRAIN)[:, 1:] - before[:, 1:]).max() > 1e-3


def test_a_frozen_host_resumes_to_the_same_weights(host_folder: Path, tmp_path: Path):
    four = replace(SHORT, epochs=4, clip_norm=0.1)
    straight = frozen_on(host_folder, training=four)
    frozen_on(host_folder, training=replace(four, epochs=2), checkpoint=tmp_path)
    resumed = frozen_on(host_folder, training=four, checkpoint=tmp_path)
    assert straight.model is not None
    assert resumed.model is not None
    ours, theirs = straight.model.state_dict(), resumed.model.state_dict()
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=0, atol=0)


def test_a_batch_without_drawn_targets_moves_nothing_of_a_frozen_model():
    index_of = {item.item_id: i for i, item in enumerate(catalog_of(11).items, start=1)}
    train = histories_of([1, 2, 3], [4, 5])
    nobody = replace(train, user_ids=np.array(["x", "y"], dtype=object))
    inputs = GraphInputs.of(GraphTable.of(reasoned(nobody)), index_of, TEXT)
    rng = np.random.default_rng(0)
    (batch,) = fused_epoch(cut_windows(train, 8), inputs, rng, per_user=1, max_tokens=64)
    model = FusedModel(SASRecModel(11, **HOST), 8, host_rate=0.0)
    loss, count = model.loss(batch)
    loss.backward()  # type: ignore[no-untyped-call]
    assert (loss.item(), count) == (0.0, 0)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_frozen_host_needs_a_warm_start_to_train_and_none_to_be_loaded(
    host_folder: Path, tmp_path: Path
):
    with pytest.raises(ConfigError, match="warm_start"):
        Fused(host_settings=HOST, **FROZEN)
    fused = frozen_on(host_folder)
    fused.save(tmp_path)
    loaded = load(tmp_path)
    assert isinstance(loaded, Fused)
    assert loaded.host_rate == 0.0
    loaded.attach([GraphTable.of(reasoned(TRAIN))], TEXT)
    np.testing.assert_array_equal(loaded.score(TRAIN), fused.score(TRAIN))
    with pytest.raises(ConfigError, match="warm_start"):
        loaded.fit(TRAIN, catalog_of(11))


def test_each_user_gets_as_many_drawn_prefixes_as_asked_and_other_ones_each_time():
    histories = histories_of([1] * 9, [2] * 3, [3], [4] * 30)
    windows = cut_windows(histories, 8)
    rng = np.random.default_rng(0)
    from_the_start = np.ones(4, dtype=np.int64)
    first, second = (draw_targets(windows, 4, rng, from_the_start) for _ in range(2))
    user = histories.rows_of_users()
    assert np.bincount(user[first], minlength=4).tolist() == [4, 2, 0, 4]
    assert (first != second).any()
    assert not first[histories.offsets[:-1]].any()  # a first item has no prefix
    everything = draw_targets(windows, 0, rng, from_the_start)
    assert np.bincount(user[everything], minlength=4).tolist() == [8, 2, 0, 29]
    last = draw_targets(cut_windows(histories, 8, coverage="last"), 0, rng, from_the_start)
    assert np.bincount(user[last], minlength=4).tolist() == [8, 2, 0, 8]


def test_only_prefixes_that_have_a_graph_are_drawn():
    histories = histories_of([1] * 9, [2] * 5)
    late = np.array([6, 100])  # user 0's graph starts at its sixth item, user 1 has none
    drawn = draw_targets(cut_windows(histories, 8), 0, np.random.default_rng(0), late)
    assert np.flatnonzero(drawn).tolist() == [6, 7, 8]


class LooksAhead(SequentialModel):
    """Every state is the mean of the whole sequence: it must be given prefixes one by one."""

    def __init__(self) -> None:
        super().__init__(8)
        self.items = nn.Embedding(11, 4, padding_idx=0)

    @property
    def item_table(self) -> Tensor:
        return self.items.weight

    def states(self, sequences: Tensor) -> Tensor:
        lengths = (sequences != 0).sum(1).clamp_min(1)[:, None]
        mean = self.items(sequences).sum(1) / lengths
        return mean[:, None].expand(-1, sequences.shape[1], -1)


def test_a_host_that_looks_ahead_is_encoded_one_prefix_at_a_time():
    model = FusedModel(LooksAhead(), 8)
    assert not model.states_are_encodings
    assert FusedModel(SASRecModel(11, **HOST), 8).states_are_encodings
    sequences = torch.tensor([[1, 2, 3, 0], [4, 5, 6, 7]])
    encoded = model._encode_prefixes(sequences, None, np.array([1, 4, 7]))
    table = model.host.item_table
    expected = [table[[1, 2]].mean(0), table[4], table[[4, 5, 6, 7]].mean(0)]
    torch.testing.assert_close(encoded, torch.stack(expected))


def test_the_loss_is_the_fused_loss_plus_the_weighted_loss_of_the_host():
    index_of = {item.item_id: i for i, item in enumerate(catalog_of(11).items, start=1)}
    train = histories_of([1, 2, 3, 4], [5, 6])
    inputs = GraphInputs.of(GraphTable.of(reasoned(train)), index_of, TEXT)
    rng = np.random.default_rng(0)
    (batch,) = fused_epoch(cut_windows(train, 8), inputs, rng, per_user=1, max_tokens=64)
    torch.manual_seed(0)
    model = FusedModel(SASRecModel(11, **HOST), 8).eval()
    losses = {}
    for weight in (0.0, 1.0, 0.5):
        model.host_loss = weight
        losses[weight], count = model.loss(batch)
        assert count == (4 if weight else 2)  # 4 targets in all, one drawn of each user
    host, _ = model.host.loss(batch.windows)
    torch.testing.assert_close(losses[1.0], losses[0.0] + host)
    torch.testing.assert_close(losses[0.5], losses[0.0] + 0.5 * host)


def test_before_training_it_ranks_like_its_host_for_users_without_a_graph():
    torch.manual_seed(0)
    model = FusedModel(SASRecModel(11, **HOST), 8)
    with torch.no_grad():
        base = torch.randn(3, 16)
        torch.testing.assert_close(model.fuse(torch.zeros(3, 32), base), base)


def test_without_graphs_it_says_what_to_call(fused: Fused, tmp_path: Path):
    with pytest.raises(NotFittedError, match=r"no graphs; call attach\(\)"):
        Fused(host_settings=HOST).fit(TRAIN, catalog_of(11))
    fused.save(tmp_path / "model")
    with pytest.raises(NotFittedError, match=r"no graphs; call attach\(\)"):
        load(tmp_path / "model").score(TRAIN)
    with pytest.raises(GraphError, match="at least one table"):
        fused.attach([], TEXT)


def test_another_text_encoder_than_the_one_trained_with_is_refused(fused: Fused, tmp_path: Path):
    fused.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert isinstance(loaded, Fused)
    graphs = [GraphTable.of(reasoned(TRAIN))]
    for other in (HashingEncoder(4).encode, lambda texts: TEXT(texts)[:, ::-1].copy()):
        with pytest.raises(GraphError, match="another text encoder"):
            loaded.attach(graphs, other)
    loaded.attach(graphs, TEXT)
    np.testing.assert_array_equal(loaded.score(TRAIN), fused.score(TRAIN))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"host": "popular"}, "needs a sequential host .*'popular'"),
        ({"host": "sasrecc"}, "did you mean 'sasrec'"),
        ({"host_settings": {"hiden_size": 4}}, "did you mean 'hidden_size'"),
        ({"host_settings": {"training": {}}}, "give 'training' to fused, not to 'sasrec'"),
        ({"prefixes_per_user": -1}, r"prefixes_per_user .*\(got -1"),
        ({"coverage": "newest"}, r"coverage is one of .*\(got 'newest'"),
        ({"host_rate": 1.5}, r"host_rate from 0 to 1 \(got 1.5"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name(settings: dict[str, Any], problem: str):
    with pytest.raises(ConfigError, match=problem):
        Fused(**settings)
