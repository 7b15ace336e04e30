"""From a source to a data set: order, duplicates, k-core, and indices instead of ids."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmrg.data.bad_rows import BadRows, shown
from llmrg.data.catalog import Catalog, with_unique_titles
from llmrg.data.dataset import Dataset
from llmrg.data.interactions import Histories, IntArray
from llmrg.data.source import Log, Source
from llmrg.errors import ConfigError, DataError
from llmrg.types import Item


def prepare(
    source: Source, bad: BadRows, *, name: str, note: str = "", min_interactions: int = 5
) -> Dataset:
    """Make the histories and the catalogue of a source.

    Users come in the order in which they first appear, items in the order of the item table, or
    by id where there is none. Of interactions of one user with one item the first counts. Then
    users and items with fewer than `min_interactions` are removed until none is left.

    Args:
        min_interactions: 0 and 1 remove nobody.

    Raises:
        ConfigError: if `min_interactions` is negative.
        DataError: for an item that is missing from the item table, for positions that contradict
            timestamps, and if no interaction is left.
    """
    if min_interactions < 0:
        raise ConfigError(f"min_interactions must be 0 or more (got {min_interactions})")
    log = source.log
    users, user_ids = pd.factorize(log.user_ids.to_pandas())
    items, item_ids = pd.factorize(log.item_ids.to_pandas())
    rows = np.arange(len(log))
    if source.items is not None:
        rows = rows[_are_described(log, items, item_ids.tolist(), source.items, bad)]
    rows = _in_order(log, users, rows)
    repeated = pd.Series(users[rows] * len(item_ids) + items[rows]).duplicated().to_numpy()
    rows = _in_core(log, users, items, rows[~repeated], min_interactions)
    catalog, index_of_code = _catalog(item_ids.tolist(), np.unique(items[rows]), source.items)
    histories = _histories(log, users, user_ids.tolist(), index_of_code[items], rows)
    profiles = tuple(source.profiles.get(user_id, ()) for user_id in histories.user_ids.tolist())
    duplicates = int(repeated.sum())
    return Dataset(name, histories, catalog, profiles, note, bad.in_order(), duplicates)


def _are_described(
    log: Log, items: IntArray, item_ids: list[str], table: dict[str, Item], bad: BadRows
) -> NDArray[np.bool_]:
    described = np.array([item_id in table for item_id in item_ids], dtype=bool)[items]
    bad.add_where(
        ~described,
        log.file,
        log.rows,
        lambda index: f"unknown item {shown(item_ids[items[index]])}",
        "add it to the item table, or leave such rows out with skip_bad_rows = true",
    )
    return described


def _in_order(log: Log, users: IntArray, rows: IntArray) -> IntArray:
    """Rows by user and time; a given position decides, then the timestamp, then the file."""
    order = log.positions if log.positions is not None else log.timestamps
    if order is None:
        return rows[np.argsort(users[rows], kind="stable")]
    # lexsort is stable: rows with equal timestamps keep file order, or the held-out item changes.
    rows = rows[np.lexsort((order[rows], users[rows]))]
    if log.positions is not None and log.timestamps is not None:
        _check_agreement(log, users, log.timestamps, rows)
    return rows


def _check_agreement(
    log: Log, users: IntArray, timestamps: NDArray[np.float64], rows: IntArray
) -> None:
    same_user = users[rows][1:] == users[rows][:-1]
    backward = np.flatnonzero(same_user & (np.diff(timestamps[rows]) < 0))
    if len(backward):
        later = rows[backward[0] + 1]
        raise DataError(
            f"{log.file}, row {log.rows[later]}: its position puts it after row "
            f"{log.rows[rows[backward[0]]]}, its timestamp before; correct one of the two columns, "
            'or leave one out with columns = {position = ""} or columns = {timestamp = ""}'
        )


def _in_core(log: Log, users: IntArray, items: IntArray, rows: IntArray, minimum: int) -> IntArray:
    if not len(rows):
        raise DataError(f"{log.file}: holds no interaction that can be used; see its bad rows")
    kept = rows[k_core(users[rows], items[rows], minimum)]
    if not len(kept):
        raise DataError(
            f"{log.file}: no interaction is left of {len(rows)} when users and items need "
            f"{minimum}; lower min_interactions"
        )
    return kept


def k_core(users: IntArray, items: IntArray, minimum: int) -> NDArray[np.bool_]:
    """Find the largest part in which every user and every item has `minimum` interactions.

    Args:
        users, items: codes from 0 of each interaction. Shape (M,).

    Returns:
        Whether each interaction stays. Shape (M,).
    """
    kept = np.ones(len(users), dtype=bool)
    while True:
        enough_of_user = np.bincount(users[kept], minlength=_size(users)) >= minimum
        enough_of_item = np.bincount(items[kept], minlength=_size(items)) >= minimum
        still = kept & enough_of_user[users] & enough_of_item[items]
        if still.sum() == kept.sum():
            return kept
        kept = still


def _size(codes: IntArray) -> int:
    return int(codes.max(initial=-1)) + 1


def _catalog(
    item_ids: list[str], codes: IntArray, table: dict[str, Item] | None
) -> tuple[Catalog, NDArray[np.int32]]:
    """Build the catalogue of some item codes, and the item index of every code."""
    code_of = {item_ids[code]: code for code in codes.tolist()}
    order = _sorted_ids(code_of) if table is None else [i for i in table if i in code_of]
    titles = [table[i].title if table else "" for i in order]
    attributes = [table[i].attributes if table else () for i in order]
    index_of_code = np.zeros(len(item_ids), dtype=np.int32)
    index_of_code[[code_of[item_id] for item_id in order]] = np.arange(1, len(order) + 1)
    return with_unique_titles(order, titles, attributes), index_of_code


def _sorted_ids(item_ids: Iterable[str]) -> list[str]:
    """Whole numbers by size, anything else as text."""
    listed = sorted(item_ids)
    if all(item_id.isdecimal() for item_id in listed):
        listed.sort(key=len)
    return listed


def _histories(
    log: Log, users: IntArray, user_ids: list[str], items: NDArray[np.int32], rows: IntArray
) -> Histories:
    """Histories of the rows that stay, which are in order of user and time."""
    kept, lengths = np.unique(users[rows], return_counts=True)
    times = None if log.timestamps is None else np.floor(log.timestamps[rows]).astype(np.int64)
    return Histories(
        user_ids=np.array([str(user_ids[user]) for user in kept], dtype=object),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        items=items[rows],
        timestamps=times,
    )
