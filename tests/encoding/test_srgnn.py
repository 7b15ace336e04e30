"""SR-GNN gives what its authors' code gives, whatever else is in the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from llmrg.data.catalog import Catalog
from llmrg.data.interactions import Histories
from llmrg.encoding.srgnn import SRGNN
from llmrg.encoding.tensors import prefix_graphs
from llmrg.evaluation.controls import sequence_graph
from llmrg.types import Item, ItemId

# Outputs of github.com/CRIPAC-DIG/SR-GNN at e21cfa4; see make_reference.py beside it.
REFERENCE = Path(__file__).parents[1] / "reference" / "srgnn" / "reference.npz"

OURS_BY_THEIRS = {
    "gnn.linear_edge_in": "cell.along",
    "gnn.linear_edge_out": "cell.against",
    "gnn.w_ih": "cell.gru.weight_ih",
    "gnn.w_hh": "cell.gru.weight_hh",
    "gnn.b_ih": "cell.gru.bias_ih",
    "gnn.b_hh": "cell.gru.bias_hh",
    "gnn.b_iah": "cell.along_bias",
    "gnn.b_oah": "cell.against_bias",
    "linear_one": "attend_last",
    "linear_two": "attend_node",
    "linear_three": "attention",
    "linear_transform": "combine",
}


def histories_of(sessions: list[list[int]]) -> Histories:
    return Histories(
        np.array([f"u{row}" for row in range(len(sessions))], dtype=object),
        np.concatenate([[0], np.cumsum([len(s) for s in sessions])]).astype(np.int64),
        np.array([item for s in sessions for item in s], dtype=np.int32),
    )


def encode(model: SRGNN, item_table: Tensor, sessions: list[list[int]]) -> Tensor:
    catalog = Catalog(tuple(Item(ItemId(str(i)), str(i)) for i in range(1, len(item_table))))
    histories = histories_of(sessions)
    table = sequence_graph(histories, catalog, 50)
    rows = np.arange(len(sessions))
    graphs = prefix_graphs(
        table, np.arange(1, len(item_table)), rows, histories.lengths, "observed"
    )
    return model(item_table[graphs.x], graphs)


def reference(num_steps: int) -> tuple[SRGNN, Tensor, list[list[int]], Tensor]:
    with np.load(REFERENCE, allow_pickle=False) as file:
        mine = [name for name in file if name.startswith(f"{num_steps}/")]
        theirs = {name.split("/")[1]: torch.tensor(file[name]) for name in mine}
        sessions = [[int(item) for item in row if item] for row in file["sessions"]]
    item_table, scores = theirs.pop("embedding.weight"), theirs.pop("scores")
    weights = {}
    for name, tensor in theirs.items():
        if name.startswith("gnn.linear_edge_f"):
            continue  # the authors create this layer but never use it
        start = name.removesuffix(".weight").removesuffix(".bias")
        weights[OURS_BY_THEIRS[start] + name.removeprefix(start)] = tensor
    model = SRGNN(item_table.shape[1], num_steps=num_steps)
    model.load_state_dict(weights)
    return model, item_table, sessions, scores


@pytest.mark.parametrize("num_steps", [1, 2])
def test_scores_agree_with_the_authors_code_also_for_sessions_with_repeated_items(num_steps):
    model, item_table, sessions, expected = reference(num_steps)
    assert [5, 6, 5, 7, 5] in sessions
    with torch.no_grad():
        scores = encode(model, item_table, sessions) @ item_table[1:].T
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)


def test_a_graph_is_encoded_alike_alone_and_among_others():
    model, item_table, sessions, _ = reference(1)
    with torch.no_grad():
        together = encode(model, item_table, sessions)
        alone = torch.cat([encode(model, item_table, [session]) for session in sessions])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_the_direction_of_the_edges_matters():
    torch.manual_seed(0)
    model, item_table = SRGNN(4), torch.randn(4, 4)
    with torch.no_grad():
        forth, back = encode(model, item_table, [[1, 2, 1, 3], [2, 1, 3, 1]])
    assert not torch.allclose(forth, back, atol=1e-3)


def test_graphs_without_an_observed_item_are_zero_also_when_all_are():
    torch.manual_seed(0)
    model, item_table = SRGNN(4), torch.randn(4, 4)
    some = encode(model, item_table, [[], [1, 2]])
    assert not some[0].any()
    assert some[1].any()
    assert encode(model, item_table, [[], []]).tolist() == [[0.0] * 4] * 2


def test_every_weight_learns():
    torch.manual_seed(0)
    model, item_table = SRGNN(4), torch.randn(5, 4, requires_grad=True)
    encode(model, item_table, [[1, 2, 1, 3], [4, 2]]).square().sum().backward()
    for name, weight in [*model.named_parameters(), ("item_table", item_table)]:
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name
