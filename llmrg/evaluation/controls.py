"""Graphs without reasoning, to tell what the reasoning adds.

In LLMRG's own ablation (arXiv 2308.10835, Tables 3 and 7) the plain sequence graph, put through
the same encoder, already gives about half of the published gain. A gain is owed to reasoning only
as far as it exceeds this control's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llmrg.data.catalog import Catalog
from llmrg.data.interactions import Histories
from llmrg.graph_store import OBSERVED, GraphTable, alive_until


def sequence_graph(
    histories: Histories,
    catalog: Catalog,
    max_length: int,
    *,
    starts: NDArray[np.int64] | None = None,
) -> GraphTable:
    """Chain every user's newest items one after the other: the graph SR-GNN makes of a session.

    Nothing is imagined, so its observed and its extended graph are the same.

    Args:
        histories: one graph is made for each user, an empty one for an empty history.
        max_length: newest items that make the graph; positions still count from the first item.
        starts: position at which each user's graph starts instead, 0 to the user's number of
            items, so that it covers what another graph covers. Shape (U,).
    """
    first = np.maximum(histories.lengths - max_length, 0) if starts is None else starts
    sizes = histories.lengths - first
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes)
    parent = place - 1
    position = place + np.repeat(first, sizes)
    items = histories.items[np.repeat(histories.offsets[:-1], sizes) + position]
    origin = np.full(len(place), OBSERVED, dtype=np.int8)
    return GraphTable(
        user_ids=histories.user_ids,
        offsets=offsets,
        parent=parent,
        node=items.astype(np.int64) - 1,
        origin=origin,
        position=position,
        alive_until=alive_until(offsets, parent, origin, position, histories.lengths),
        score=np.full(len(place), np.nan, dtype=np.float32),
        observed_from=first,
        observed_until=histories.lengths,
        kinds=np.zeros(len(catalog.items), dtype=np.int8),
        keys=np.array([item.item_id for item in catalog.items], dtype=object),
        texts=np.array([item.title for item in catalog.items], dtype=object),
    )
