"""Which item follows which, counted over the training histories of a chosen set of users."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from llmrg.data.interactions import Histories


def count_transitions(
    histories: Histories, num_items: int, *, window: int = 3, weighted: bool = True
) -> sparse.csr_array:
    """Count ordered pairs of items at most `window` interactions apart, weighted by 1 / distance.

    Returns:
        Entry (x, y) is how often, weighted if asked for, y came after x. Shape (N, N), float32,
        columns of each row in order.
    """
    total = sparse.csr_array((num_items, num_items), dtype=np.float32)
    users = histories.rows_of_users()
    for distance in range(1, window + 1):
        same = users[:-distance] == users[distance:]
        before = histories.items[:-distance][same]
        after = histories.items[distance:][same]
        weight = np.full(len(before), 1.0 / distance if weighted else 1.0, dtype=np.float32)
        total = total + sparse.csr_array((weight, (before, after)), shape=total.shape)
    total = sparse.csr_array(total)
    total.sum_duplicates()
    return total


def folds_of(user_ids: NDArray[np.object_], folds: int) -> NDArray[np.int64]:
    """Assign every user to one of `folds` groups by a hash of the user_id alone. Shape (U,).

    The group of a user must not depend on anybody's behavior, or it could tell of the future.
    """
    digests = (hashlib.sha256(str(u).encode("utf-8", "surrogatepass")).digest() for u in user_ids)
    return np.array([int.from_bytes(d[:4], "big") % folds for d in digests], dtype=np.int64)
