"""What a fused model reads: windows, and the graphs of some of their prefixes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmrg.data.batches import Batch, Windows
from llmrg.data.interactions import Histories
from llmrg.encoding.geometric import Graphs
from llmrg.encoding.tensors import GraphInputs

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class GraphPair:
    """The two graphs of C queries.

    Attributes:
        observed, extended: laid out by `encoding.tensors`; ids below N are items, the others
            N + a row of `features`.
        features: frozen text features of the nodes that are no items. Shape (T, F), float32.
    """

    observed: Graphs
    extended: Graphs
    features: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FusedBatch:
    """Windows for the host, and the graphs of the cells that were drawn from them.

    Attributes:
        windows: of B users, at most L items each.
        cells: places of the drawn cells, counted row by row; each has a target. Shape (C,), int64.
        graphs: of every drawn cell as of its prefix. C queries.
    """

    windows: Batch
    cells: NDArray[np.int64]
    graphs: GraphPair


def graph_pair(inputs: GraphInputs, rows: IntArray, prefixes: IntArray) -> GraphPair:
    """Lay out both graphs of each query; see `encoding.tensors.prefix_graphs`."""
    observed = inputs.batch(rows, prefixes, "observed")
    return GraphPair(observed, inputs.batch(rows, prefixes, "extended"), inputs.features)


def fused_epoch(
    windows: Windows,
    inputs: GraphInputs,
    rng: np.random.Generator,
    *,
    per_user: int,
    max_tokens: int,
) -> Iterator[FusedBatch]:
    """Yield all windows once, each with the graphs of the prefixes drawn from it.

    Args:
        windows: of the training histories.
        inputs: their graphs; no prefix of a user without one is drawn.
        rng: decides which windows meet and which prefixes are drawn.
        per_user: prefixes drawn of each user, among those with a graph; 0 for all.
        max_tokens: most cells of a batch, padding included.
    """
    train = windows.histories
    rows = inputs.table.row_of(train.user_ids)
    drawn = draw_targets(windows, per_user, rng, _first_prefixes(inputs, rows))
    for batch in windows.epoch(rng, max_tokens=max_tokens):
        prefixes = batch.prefixes.ravel()[batch.cells]
        users = batch.rows[batch.cells // batch.sequences.shape[1]]
        kept = drawn[train.offsets[users] + prefixes]
        graphs = graph_pair(inputs, rows[users[kept]], prefixes[kept])
        yield FusedBatch(batch, batch.cells[kept], graphs)


def _first_prefixes(inputs: GraphInputs, rows: IntArray) -> IntArray:
    """The shortest prefix of each user whose graph holds an item; huge for users without one."""
    starts = np.append(inputs.table.observed_from + 1, np.iinfo(np.int64).max)
    return np.asarray(starts[rows])


def draw_targets(
    windows: Windows, per_user: int, rng: np.random.Generator, first_prefixes: IntArray
) -> NDArray[np.bool_]:
    """Draw targets of each user among those its windows cover and a graph leads to.

    Args:
        first_prefixes: the shortest prefix of each user that has a graph. Shape (U,).

    Returns:
        For every interaction of the histories, whether it is a drawn target. Shape (M,).
    """
    histories = windows.histories
    covered = np.zeros(histories.num_interactions + 1, dtype=np.int64)
    first = histories.offsets[windows.rows] + windows.firsts + 1
    np.add.at(covered, first, 1)
    np.add.at(covered, first + windows.lengths, -1)
    users = histories.rows_of_users()
    prefixes = np.arange(histories.num_interactions) - histories.offsets[users]
    drawn = (np.cumsum(covered)[:-1] > 0) & (prefixes >= first_prefixes[users])
    if per_user:
        targets = np.flatnonzero(drawn)
        user = users[targets]
        shuffled = np.lexsort((rng.random(len(targets)), user))
        count = np.bincount(user, minlength=len(histories))
        nth = np.arange(len(targets)) - np.repeat(np.cumsum(count) - count, count)
        drawn[targets[shuffled[nth >= per_user]]] = False
    return drawn


def choose_graphs(inputs: Sequence[GraphInputs], histories: Histories) -> tuple[IntArray, IntArray]:
    """Choose a graph for each history: its table's number and its row there, -1 for none."""
    rows = np.stack([i.table.row_of(histories.user_ids) for i in inputs])
    seen = np.stack(
        [np.append(i.table.observed_until, -1)[r] for i, r in zip(inputs, rows, strict=True)]
    )
    covers = (rows >= 0) & (seen >= histories.lengths)
    newest = len(rows) - 1 - np.argmax(rows[::-1] >= 0, axis=0)
    table = np.where(covers.any(0), np.argmax(covers, axis=0), newest)
    return table, np.asarray(rows[table, np.arange(len(histories))])
