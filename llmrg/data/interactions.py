"""Histories of all users as three arrays: no Python object per interaction."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Histories:
    """Interactions of U users, each user's oldest first.

    Attributes:
        user_ids: one per user. Shape (U,), dtype object (str).
        offsets: user u owns rows offsets[u]:offsets[u + 1]. Shape (U + 1,), int64.
        items: item indices, never 0. Shape (M,), int32.
        timestamps: Unix seconds, never decreasing inside a user, or None where only the order is
            known. Shape (M,), int64.
    """

    user_ids: NDArray[np.object_]
    offsets: IntArray
    items: NDArray[np.int32]
    timestamps: IntArray | None = None

    def __len__(self) -> int:
        return len(self.user_ids)

    @property
    def lengths(self) -> IntArray:
        """Number of interactions of each user. Shape (U,)."""
        return np.diff(self.offsets)

    @property
    def num_interactions(self) -> int:
        """M, over all users."""
        return int(self.offsets[-1] - self.offsets[0])

    def of(self, row: int) -> NDArray[np.int32]:
        """Item indices of one user, oldest first."""
        return self.items[self.offsets[row] : self.offsets[row + 1]]

    def times_of(self, row: int) -> IntArray | None:
        """Timestamps of one user, oldest first, or None where there are none."""
        if self.timestamps is None:
            return None
        return self.timestamps[self.offsets[row] : self.offsets[row + 1]]

    def head(self, lengths: IntArray) -> Histories:
        """Keep only the first `lengths[u]` interactions of each user. Shape (U,)."""
        return self._gather(self.offsets[:-1], np.minimum(lengths, self.lengths))

    def tail(self, length: int) -> Histories:
        """Keep only the last `length` interactions of each user."""
        kept = np.minimum(self.lengths, length)
        return self._gather(self.offsets[1:] - kept, kept)

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Histories:
        """Keep some users, in the order given."""
        index = np.arange(len(self))[rows]
        chosen = replace(self, user_ids=self.user_ids[index])
        return chosen._gather(self.offsets[:-1][index], self.lengths[index])

    def _gather(self, starts: IntArray, lengths: IntArray) -> Histories:
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        times = None if self.timestamps is None else self.timestamps[rows]
        return Histories(self.user_ids, offsets, self.items[rows], times)

    def rows_of_users(self) -> IntArray:
        """The user row of every interaction. Shape (M,)."""
        return np.repeat(np.arange(len(self)), self.lengths)
