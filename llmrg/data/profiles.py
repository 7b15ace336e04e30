"""Which items the users of one profile entry take more often than others do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from llmrg.data.interactions import Histories
from llmrg.text import attribute_text
from llmrg.types import Attributes


def count_profiles(
    histories: Histories, profiles: Sequence[Attributes], num_items: int
) -> tuple[list[str], sparse.csr_array]:
    """Count how many users of each profile entry took each item.

    Args:
        profiles: one per user of `histories`.

    Returns:
        The entries as "name: value", P of them, and the counts. Shape (P, N), float32.
    """
    texts: dict[str, int] = {}
    users, entries = [], []
    for row, profile in enumerate(profiles):
        for name, value in profile:
            users.append(row)
            entries.append(texts.setdefault(attribute_text(name, value), len(texts)))
    ones = np.ones(len(users), dtype=np.float32)
    membership = sparse.csr_array((ones, (entries, users)), shape=(len(texts), len(histories)))
    taken = sparse.csr_array(
        (
            np.ones(histories.num_interactions, dtype=np.float32),
            (histories.rows_of_users(), histories.items),
        ),
        shape=(len(histories), num_items),
    )
    return list(texts), sparse.csr_array(membership @ taken)
