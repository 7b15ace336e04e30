"""Training histories cut into windows and padded into batches, by index arithmetic alone.

Rows are padded with 0 on the right. A causal model then needs no mask: no item stands before
padding, so padding can change no state that matters, and its cells carry no target.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from llmrg.data.interactions import Histories, IntArray
from llmrg.errors import DataError

Coverage = Literal["last", "all"]
"""Which targets of a long history are trained: those of its newest window, or every one once."""

LENGTH_JITTER = 0.1
"""Windows whose lengths differ by less than this share may meet in a batch."""


@dataclass(frozen=True, eq=False)
class Batch:
    """B windows of at most L inputs each, and the item that came after each input.

    Attributes:
        sequences: item indices, oldest first, right-padded with 0. Shape (B, L), int64.
        targets: the item after each input; 0 where there is none. Shape (B, L), int64.
        rows: which user of the histories each window belongs to. Shape (B,), int64.
        prefixes: how many items of the user's whole history were known in each cell, its input
            included: the *n* of `ReasoningGraph.until(n)`. 0 in padding. Shape (B, L), int64.
    """

    sequences: IntArray
    targets: IntArray
    rows: IntArray
    prefixes: IntArray

    @cached_property
    def cells(self) -> IntArray:
        """Places, counted row by row, of the cells that have a target. Shape (targets,)."""
        return np.flatnonzero(self.targets)


@dataclass(frozen=True, eq=False)
class Windows:
    """W stretches of training histories; each has as many inputs as targets, at least one.

    Attributes:
        histories: what the windows look into.
        rows: the user of each window. Shape (W,).
        firsts: position in the user's history of each window's first input. Shape (W,).
        lengths: number of inputs. Shape (W,).
    """

    histories: Histories
    rows: IntArray
    firsts: IntArray
    lengths: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def num_targets(self) -> int:
        """Targets in one epoch."""
        return int(self.lengths.sum())

    def batch(self, chosen: IntArray) -> Batch:
        """Pad some windows to the longest of them."""
        lengths, firsts, rows = self.lengths[chosen], self.firsts[chosen], self.rows[chosen]
        steps = np.arange(lengths.max())
        known = steps < lengths[:, None]
        places = np.where(known, (self.histories.offsets[rows] + firsts)[:, None] + steps, 0)
        items = self.histories.items
        return Batch(
            sequences=np.where(known, items[places], 0).astype(np.int64),
            targets=np.where(known, items[places + 1], 0).astype(np.int64),
            rows=rows,
            prefixes=np.where(known, firsts[:, None] + steps + 1, 0),
        )

    def epoch(self, rng: np.random.Generator, *, max_tokens: int) -> Iterator[Batch]:
        """Yield every window once, in batches of similar lengths and in random order.

        Args:
            rng: decides which windows meet and when; the same state gives the same batches.
            max_tokens: most cells of a batch, padding included; a longer window comes alone.
        """
        longest = np.ceil(self.lengths * (1 + LENGTH_JITTER * rng.random(len(self))))
        order = np.argsort(-longest, kind="stable")
        sizes = np.maximum(max_tokens // longest[order].astype(np.int64), 1)
        starts = []
        start = 0
        while start < len(order):
            starts.append(start)
            start += int(sizes[start])
        groups = np.split(order, starts[1:])
        for group in rng.permutation(len(groups)):
            yield self.batch(groups[group])


def cut_windows(histories: Histories, max_length: int, *, coverage: Coverage = "all") -> Windows:
    """Cut each history into windows of at most `max_length` inputs, the newest one full.

    A history of n items has n - 1 targets. With "all", they fall into windows that share no
    target, so only a user's oldest window can be short; users with one item have none.

    Raises:
        DataError: if no history has two items.
    """
    targets = np.maximum(histories.lengths - 1, 0)
    if not targets.any():
        raise DataError("no history has two items: there is nothing to train on")
    counts = -(-targets // max_length)
    if coverage == "last":
        counts = np.minimum(counts, 1)
    rows = np.repeat(np.arange(len(histories)), counts)
    nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    ends = targets[rows] - nth * max_length
    firsts = np.maximum(ends - max_length, 0)
    return Windows(histories, rows, firsts, ends - firsts)


def pad_histories(histories: Histories, max_length: int) -> IntArray:
    """Lay out the newest `max_length` items of each user for inference.

    Returns:
        Item indices, oldest first, right-padded with 0; an empty history is a row of zeros.
        Shape (U, L), where L is the longest kept history, and at least 1; int64.
    """
    kept = np.minimum(histories.lengths, max_length)
    steps = np.arange(max(int(kept.max(initial=0)), 1))
    known = steps < kept[:, None]
    padded = np.zeros(known.shape, dtype=np.int64)
    padded[known] = histories.tail(max_length).items
    return padded
