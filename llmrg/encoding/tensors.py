"""Graphs as they stood after n items, laid out as one torch_geometric batch.

All of it is index arithmetic on the arrays of a `GraphTable`: no loop per graph, so every training
prefix can have a graph of its own and none ever holds what came later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from llmrg.encoding.geometric import Graphs
from llmrg.encoding.leakage import ITEM, item_indices
from llmrg.errors import GraphError
from llmrg.graph_store import OBSERVED, GraphTable
from llmrg.types import ItemId

IntArray = NDArray[np.int64]
TextFeatures = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts → one row of F numbers each, such as `TextEncoder.encode`."""

Variant = Literal["observed", "extended"]
"""Observed steps only, or with the imagined steps of the tips alive at the prefix."""


@dataclass(frozen=True, eq=False)
class GraphInputs:
    """A table of graphs whose nodes are numbered as a model reads them.

    Attributes:
        table: the graphs.
        ids: of each node of the table: an item index, or N + a row of `features`. Shape (M,).
        features: one row per distinct text of the other nodes. Shape (T, F), float32.
    """

    table: GraphTable
    ids: IntArray
    features: NDArray[np.float32]

    @classmethod
    def of(
        cls, table: GraphTable, index_of: Mapping[ItemId, int], text_features: TextFeatures
    ) -> GraphInputs:
        """Number the nodes of a table and encode their texts, each distinct text once.

        Raises:
            GraphError: if an item node is not in the catalog, or `text_features` does not give
                one row per text.
        """
        items = item_indices(table, dict(index_of))
        other = items == 0
        rows, texts = pd.factorize(table.texts[other])
        features = np.asarray(text_features(texts.tolist()), dtype=np.float32)
        if features.ndim != 2 or len(features) != len(texts):
            raise GraphError(
                f"expected text features of shape ({len(texts)}, F) (got {features.shape})"
            )
        ids = items.copy()
        ids[other] = len(index_of) + 1 + rows
        return cls(table, ids, features)

    def batch(self, rows: IntArray, prefixes: IntArray, variant: Variant) -> Graphs:
        """Lay out the graphs of B queries as `prefix_graphs` does, with model ids as `x`."""
        return prefix_graphs(self.table, self.ids, rows, prefixes, variant)


def prefix_graphs(
    table: GraphTable, ids: IntArray, rows: IntArray, prefixes: IntArray, variant: Variant
) -> Graphs:
    """Lay out graphs as they stood after their first items: `until(n)` of each query.

    Args:
        table: the graphs.
        ids: what to call each node of the table. Shape (M,).
        rows: the graph row of each query, -1 for a query without a graph. Shape (B,).
        prefixes: n of each query; more than a graph's `observed_until` counts as that. Shape (B,).
        variant: which steps to keep.

    Returns:
        A torch_geometric batch of B graphs with V nodes and E edges in all:
        `x` (V,) ids; `edge_index` (2, E), parent → child, each pair once; `batch` (V,) and `ptr`
        (B + 1,) as torch_geometric has them; `count` (V,) float32, the steps that stand on the
        node; `last` (B,) the node of the newest observed item, -1 where there is none.
    """
    step, query = _kept_steps(table, rows, prefixes, variant)
    # The nodes of one graph are the distinct nodes of its steps, ordered by their row in the table.
    width = max(len(ids), 1)
    nodes, node_of_step, count = np.unique(
        query * width + table.node[step], return_inverse=True, return_counts=True
    )
    query_of_node, table_node = np.divmod(nodes, width)
    parents = table.offsets[rows[query]] + table.parent[step]
    child = table.parent[step] >= 0
    # The parent of a kept step is kept too, so its node is among the nodes.
    above = np.searchsorted(nodes, query[child] * width + table.node[parents[child]])
    height = max(len(nodes), 1)
    edges = np.unique(above * height + node_of_step[child])
    sizes = np.bincount(query_of_node, minlength=len(rows))
    return Graphs(
        x=torch.from_numpy(ids[table_node]),
        edge_index=torch.from_numpy(np.stack(np.divmod(edges, height))),
        batch=torch.from_numpy(query_of_node),
        ptr=torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)])),
        count=torch.from_numpy(count.astype(np.float32)),
        last=torch.from_numpy(_last_items(table, step, query, node_of_step, len(rows))),
    )


def _kept_steps(
    table: GraphTable, rows: IntArray, prefixes: IntArray, variant: Variant
) -> tuple[IntArray, IntArray]:
    """Pick the steps of each query's graph: rows of the table, and the query of each."""
    exists = rows >= 0
    starts = np.where(exists, table.offsets[rows], 0)
    sizes = np.where(exists, table.offsets[rows + 1] - starts, 0)
    query = np.repeat(np.arange(len(rows)), sizes)
    step = np.arange(len(query)) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    known = np.minimum(prefixes, table.observed_until[rows])[query] if len(table) else query
    keep = (table.position[step] < known) & (known <= table.alive_until[step])
    if variant == "observed":
        keep &= table.origin[step] == OBSERVED
    return step[keep], query[keep]


def _last_items(
    table: GraphTable, step: IntArray, query: IntArray, node_of_step: IntArray, num_queries: int
) -> IntArray:
    """Find the node of the newest observed item of each query, -1 where there is none."""
    taken = np.flatnonzero(
        (table.origin[step] == OBSERVED) & (table.kinds[table.node[step]] == ITEM)
    )
    newest = np.full(num_queries, -1, dtype=np.int64)
    np.maximum.at(newest, query[taken], table.position[step[taken]] * len(step) + taken)
    found = newest >= 0
    last = np.full(num_queries, -1, dtype=np.int64)
    last[found] = node_of_step[newest[found] % max(len(step), 1)]
    return last
