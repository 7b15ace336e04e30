"""Refuses graphs that saw what training must not see, or that belong to other data."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmrg.data.catalog import Catalog
from llmrg.data.interactions import Histories
from llmrg.errors import GraphError, LeakageError
from llmrg.graph_store import KINDS, OBSERVED, GraphTable
from llmrg.types import ItemId

ITEM = KINDS.index("item")


def check_against(table: GraphTable, train: Histories, catalog: Catalog) -> None:
    """Check that graphs are made of the training histories and of nothing later.

    Args:
        table: graphs to train on.
        train: training histories; users may lack a graph, but not the other way round.
        catalog: every item node must be in it, imagined ones included.

    Raises:
        LeakageError: if a step was attached at a held-out position, or a builder was shown more
            items than the training history has; it names user, position and item.
        GraphError: if a graph contradicts the training data: an unknown user or item, or an
            observed item that is not the one at its position.
    """
    known_users = pd.Index(train.user_ids, dtype=object)
    rows = np.asarray(known_users.get_indexer(pd.Index(table.user_ids, dtype=object)))
    if (rows < 0).any():
        user = table.user_ids[np.argmax(rows < 0)]
        raise GraphError(f"user {user!r} has a graph but no training history; wrong data set?")
    graph = table.graph_of_steps()
    _refuse_late(table, graph, train.lengths[rows])
    _refuse_other_items(table, graph, train, rows, catalog)


def item_indices(table: GraphTable, index_of: dict[ItemId, int]) -> NDArray[np.int64]:
    """Item index of every node of a table, 0 for nodes that are no item. Shape (M,).

    Raises:
        GraphError: if an item node is not in the catalog.
    """
    indices = np.zeros(len(table.keys), dtype=np.int64)
    is_item = table.kinds == ITEM
    indices[is_item] = [index_of.get(key, 0) for key in table.keys[is_item]]
    unknown = is_item & (indices == 0)
    if unknown.any():
        node = int(np.argmax(unknown))
        step = int(np.argmax(table.node == node))
        user = table.user_ids[table.graph_of_steps()[step]]
        raise GraphError(
            f"user {user!r}: item {table.keys[node]!r} of the graph is not in the catalog; "
            "were the graphs built with another one?"
        )
    return indices


def _refuse_late(table: GraphTable, graph: NDArray[np.int64], known: NDArray[np.int64]) -> None:
    late = table.position >= known[graph]
    if late.any():
        step = int(np.argmax(late))
        raise LeakageError(
            f"user {table.user_ids[graph[step]]!r}: {table.keys[table.node[step]]!r} was attached "
            f"at position {table.position[step]}, which is held out (the training history has "
            f"{known[graph[step]]} items); build graphs from the training part of the split"
        )
    shown = table.observed_until > known
    if shown.any():
        row = int(np.argmax(shown))
        raise LeakageError(
            f"user {table.user_ids[row]!r}: the builder was shown {table.observed_until[row]} "
            f"items, but position {known[row]} and later are held out; "
            "build graphs from the training part of the split"
        )


def _refuse_other_items(
    table: GraphTable,
    graph: NDArray[np.int64],
    train: Histories,
    rows: NDArray[np.int64],
    catalog: Catalog,
) -> None:
    taken = item_indices(table, dict(catalog.index_of))[table.node]
    observed = np.flatnonzero((table.origin == OBSERVED) & (taken > 0))
    places = train.offsets[rows[graph[observed]]] + table.position[observed]
    wrong = taken[observed] != train.items[places]
    if wrong.any():
        step, place = observed[np.argmax(wrong)], places[np.argmax(wrong)]
        raise GraphError(
            f"user {table.user_ids[graph[step]]!r}, position {table.position[step]}: the graph "
            f"observed {table.keys[table.node[step]]!r}, but the training history has "
            f"{catalog.item(int(train.items[place])).item_id!r}; were the graphs built from "
            "other data?"
        )
