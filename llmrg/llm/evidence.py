"""What a catalogue reasoner may know: attributes of items, and what other users did."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from llmrg.data.catalog import Catalog
from llmrg.data.interactions import Histories
from llmrg.data.profiles import count_profiles
from llmrg.data.transitions import count_transitions
from llmrg.text import attribute_text
from llmrg.types import Attributes

Row = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a catalogue reasoner may know about behavior: counts over a chosen set of users.

    Attributes:
        transitions: distance-weighted counts of ordered pairs. Shape (N, N).
        pairs: the same pairs counted once each; only quoted in reasons. Shape (N, N).
        profile_texts: P profile entries as "name: value".
        profile_items: how many users of each entry took each item. Shape (P, N).
    """

    transitions: sparse.csr_array
    pairs: sparse.csr_array
    profile_texts: list[str]
    profile_items: sparse.csr_array


def gather_evidence(
    histories: Histories, profiles: Sequence[Attributes], num_items: int
) -> Evidence:
    """Count what the users of `histories` did."""
    texts, items = count_profiles(histories, profiles, num_items)
    return Evidence(
        transitions=count_transitions(histories, num_items),
        pairs=count_transitions(histories, num_items, weighted=False),
        profile_texts=texts,
        profile_items=items,
    )


def attribute_matrix(catalog: Catalog) -> tuple[list[str], sparse.csr_array, Row]:
    """Attribute texts, the (N, K) matrix of unit rows weighted by rarity, and the rarity (K,)."""
    texts: dict[str, int] = {}
    rows, columns = [], []
    for index, item in enumerate(catalog.items, start=1):
        for name, value in item.attributes:
            rows.append(index)
            columns.append(texts.setdefault(attribute_text(name, value), len(texts)))
    frequency = np.maximum(np.bincount(columns, minlength=len(texts)), 1)
    rarity = np.log(len(catalog.items) / frequency + 1.0).astype(np.float32)
    shape = (catalog.num_items, len(texts))
    values = rarity[columns] if columns else np.zeros(0, dtype=np.float32)
    matrix = sparse.csr_array((values, (rows, columns)), shape=shape, dtype=np.float32)
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = sparse.dia_array((1.0 / np.maximum(norms, 1e-9), 0), shape=(shape[0], shape[0]))
    return list(texts), sparse.csr_array((scale @ matrix).astype(np.float32)), rarity


def profile_lifts(evidence: Evidence) -> dict[str, Row]:
    """For each profile entry, how much more often its users take each item than others do. (N,)."""
    taken = evidence.profile_items.toarray()
    if not len(taken):
        return {}
    share = (taken + 1.0) / (taken.sum(axis=1, keepdims=True) + taken.shape[1])
    total = _totals_by_name(evidence.profile_texts, taken)
    overall = (total + 1.0) / (total.sum(axis=1, keepdims=True) + taken.shape[1])
    lifts = (share / overall).astype(np.float32)
    return dict(zip(evidence.profile_texts, lifts, strict=True))


def _totals_by_name(texts: list[str], taken: Row) -> Row:
    """Counts over all entries of the same name, so that unknown profiles do not count. (P, N)."""
    names, name_of_entry = np.unique(
        [text.partition(": ")[0] for text in texts], return_inverse=True
    )
    totals = np.zeros((len(names), taken.shape[1]), dtype=taken.dtype)
    np.add.at(totals, name_of_entry, taken)
    return np.asarray(totals[name_of_entry])


def evidence_digest(catalog: Catalog, evidence: Evidence) -> str:
    """Eight characters that change with anything a reasoner knows."""
    hasher = hashlib.sha256()
    for item in catalog.items:
        hasher.update(json.dumps([item.item_id, item.title, item.attributes]).encode())
    hasher.update(json.dumps(evidence.profile_texts).encode())
    for matrix in (evidence.transitions, evidence.profile_items):
        for part in (matrix.indptr, matrix.indices, matrix.data):
            hasher.update(part.tobytes())
    return hasher.hexdigest()[:8]
