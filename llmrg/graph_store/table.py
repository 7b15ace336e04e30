"""The steps of many graphs as numpy arrays: what the learning half reads, without a loop per graph.

Reasons and the words of verdicts stay on disk: nothing that learns reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from llmrg.errors import GraphError
from llmrg.graph_store.checks import NO_STEPS, numbers, starts_of
from llmrg.graph_store.rows import to_table
from llmrg.graph_store.steps import read_table, shards_of
from llmrg.types import NodeKind, ReasoningGraph

KINDS: Final[tuple[NodeKind, ...]] = get_args(NodeKind)
"""Node kinds; the code of a kind is its place here. "item" is 0."""
OBSERVED: Final = 0
IMAGINED: Final = 1

IntArray = NDArray[np.int64]
_COLUMNS = ["user_id", "observed_from", "observed_until", "step", "parent", "kind", "key", "text",
            "origin", "position", "score"]  # fmt: skip


@dataclass(frozen=True, eq=False)
class GraphTable:
    """G graphs with S steps over M distinct nodes.

    Attributes:
        user_ids: one per graph. Shape (G,), dtype object (str).
        offsets: graph g owns steps offsets[g]:offsets[g + 1]. Shape (G + 1,).
        parent: index inside the same graph of the step it follows; -1 for a root. Shape (S,).
        node: row of the step's node among the M nodes. Shape (S,).
        origin: OBSERVED or IMAGINED. Shape (S,).
        position: index into the history, from 0. Shape (S,).
        alive_until: the longest prefix that still contains the step. Shape (S,).
        score: of the step's verdict, 0 to 100; NaN without one. Shape (S,).
        observed_from: position of the first item each graph covers. Shape (G,).
        observed_until: number of items each graph's builder was shown. Shape (G,).
        kinds: code of each node's kind, a place in KINDS. Shape (M,).
        keys: item_id, or the key of another kind of node. Shape (M,), dtype object (str).
        texts: what a text encoder reads. Shape (M,), dtype object (str).
    """

    user_ids: NDArray[np.object_]
    offsets: IntArray
    parent: IntArray
    node: IntArray
    origin: NDArray[np.int8]
    position: IntArray
    alive_until: IntArray
    score: NDArray[np.float32]
    observed_from: IntArray
    observed_until: IntArray
    kinds: NDArray[np.int8]
    keys: NDArray[np.object_]
    texts: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.user_ids)

    @property
    def num_steps(self) -> int:
        """S, over all graphs."""
        return len(self.parent)

    @property
    def kind(self) -> NDArray[np.int8]:
        """Code of the kind of each step's node. Shape (S,)."""
        return np.asarray(self.kinds[self.node])

    def graph_of_steps(self) -> IntArray:
        """The graph row of every step. Shape (S,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def row_of(self, user_ids: NDArray[np.object_] | Sequence[str]) -> IntArray:
        """The graph row of each user, -1 for users without a graph. Shape (len(user_ids),)."""
        wanted = pd.Index(np.asarray(user_ids, dtype=object), dtype=object)
        own = pd.Index(self.user_ids, dtype=object)
        return np.asarray(own.get_indexer(wanted), dtype=np.int64)

    @classmethod
    def load(cls, path: Path) -> GraphTable:
        """Read a shard or a folder of shards.

        Raises:
            ResourceError: if there is no such shard.
            GraphError: if a shard is malformed, or two graphs belong to one user.
        """
        tables = [read_table(shard).select(_COLUMNS) for shard in shards_of(path)]
        return _from_rows(pa.concat_tables(tables), str(path))

    @classmethod
    def of(cls, graphs: Iterable[ReasoningGraph]) -> GraphTable:
        """Lay out graphs held in memory. Raises GraphError as `write_shard` does."""
        return _from_rows(to_table(list(graphs), "GraphTable.of").select(_COLUMNS), "GraphTable.of")


def alive_until(
    offsets: IntArray,
    parent: IntArray,
    origin: NDArray[np.int8],
    position: IntArray,
    observed_until: IntArray,
) -> IntArray:
    """`ReasoningGraph.alive_until` for all graphs at once; arguments as in `GraphTable`.

    Returns:
        For each step, the longest prefix that still contains it. Shape (S,).
    """
    sizes = np.diff(offsets)
    forever = np.repeat(observed_until, sizes)
    above = np.where(parent >= 0, np.repeat(offsets[:-1], sizes) + parent, -1)
    observed = origin == OBSERVED
    continued = forever.copy()
    follows = observed & (above >= 0)
    np.minimum.at(continued, above[follows], position[follows])
    # The observed tip each imagined step hangs on; every round doubles how far up it looks.
    tip = np.where(observed, np.arange(len(parent)), above)
    while not observed[tip].all():
        tip = tip[tip]
    return np.where(observed, forever, continued[tip])


def _from_rows(table: pa.Table, source: str) -> GraphTable:
    starts = starts_of(table)
    users = table["user_id"].take(pa.array(starts)).to_pandas().to_numpy(dtype=object)
    repeated = pd.Index(users, dtype=object).duplicated()
    if repeated.any():
        raise GraphError(f"{source}: user {users[repeated][0]!r} has more than one graph")
    real = numbers(table, "step") != NO_STEPS
    owned = np.add.reduceat(real, starts, dtype=np.int64) if len(starts) else np.zeros(0, np.int64)
    offsets = np.concatenate([[0], np.cumsum(owned)]).astype(np.int64)
    observed_from = numbers(table, "observed_from")[starts].astype(np.int64)
    observed_until = numbers(table, "observed_until")[starts].astype(np.int64)
    table = table.filter(pa.array(real))
    parent = numbers(table, "parent").astype(np.int64)
    position = numbers(table, "position").astype(np.int64)
    origin = np.asarray(pa.compute.equal(table["origin"], "imagined").to_numpy()).astype(np.int8)
    node, kinds, keys, texts = _unique_nodes(table)
    return GraphTable(
        user_ids=users,
        offsets=offsets,
        parent=parent,
        node=node,
        origin=origin,
        position=position,
        alive_until=alive_until(offsets, parent, origin, position, observed_until),
        score=numbers(table, "score", np.nan).astype(np.float32),
        observed_from=observed_from,
        observed_until=observed_until,
        kinds=kinds,
        keys=keys,
        texts=texts,
    )


def _unique_nodes(table: pa.Table) -> tuple[IntArray, NDArray[np.int8], Any, Any]:
    """Number the distinct (kind, key, text) of a table: node per step, then the nodes' columns."""
    kind = pa.compute.index_in(table["kind"], pa.array(KINDS)).combine_chunks().to_numpy()
    keys = table["key"].combine_chunks().dictionary_encode()
    texts = table["text"].combine_chunks().dictionary_encode()
    key, text = keys.indices.to_numpy().astype(np.int64), texts.indices.to_numpy()
    codes = (kind * max(len(keys.dictionary), 1) + key) * max(len(texts.dictionary), 1) + text
    _, first, node = np.unique(codes, return_index=True, return_inverse=True)
    return (
        node.astype(np.int64),
        kind[first].astype(np.int8),
        np.array(keys.dictionary.to_pylist(), dtype=object)[key[first]],
        np.array(texts.dictionary.to_pylist(), dtype=object)[text[first]],
    )
