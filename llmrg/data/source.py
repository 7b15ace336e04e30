"""What every reader hands over, whatever it read: interactions, items and profiles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrg.data.bad_rows import BadRows, shown
from llmrg.data.interactions import IntArray
from llmrg.data.raw import RawTable
from llmrg.types import Attributes, Item

FloatArray = NDArray[np.float64]

LATEST_SECOND = 1e11
"""The year 5138: larger timestamps count milli-, micro- or nanoseconds."""


@dataclass(frozen=True, eq=False)
class Log:
    """Interactions in the order of their file. M of them.

    Attributes:
        file: name for messages.
        rows: place of each in the file, from 1. Shape (M,), int64.
        user_ids, item_ids: Arrow arrays of text, never empty. Shape (M,).
        timestamps: Unix seconds, or None where the source has none. Shape (M,).
        positions: rank inside the user where the source fixes the order, else None. Shape (M,).
    """

    file: str
    rows: IntArray
    user_ids: Any
    item_ids: Any
    timestamps: FloatArray | None = None
    positions: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Source:
    """One data set as its files tell it.

    Attributes:
        items: described items by item_id, in the order of the item table; None without a table.
            Titles may be empty and need not be unique.
        profiles: what is known about users, by user_id.
    """

    log: Log
    items: dict[str, Item] | None = None
    profiles: dict[str, Attributes] = field(default_factory=dict)


def read_log(
    raw: RawTable,
    bad: BadRows,
    *,
    user_id: str,
    item_id: str,
    timestamp: str | None = None,
    position: str | None = None,
) -> Log:
    """Take the interactions out of a raw table; the arguments name its columns.

    Raises:
        DataError: for an empty id, or a timestamp or position that is no number.
    """
    raw = _with_text(_with_text(raw, user_id, bad), item_id, bad)
    if timestamp:
        raw = _with_numbers(raw, timestamp, "a number of seconds since 1970", bad)
    if position:
        raw = _with_numbers(raw, position, "a number", bad)
    return Log(
        raw.file,
        raw.rows,
        raw.text(user_id),
        raw.text(item_id),
        _in_seconds(raw.numbers(timestamp)) if timestamp else None,
        raw.numbers(position) if position else None,
    )


def _with_text(raw: RawTable, column: str, bad: BadRows) -> RawTable:
    empty = np.asarray(raw.text(column)) == ""
    bad.add_where(empty, raw.file, raw.rows, lambda _: f"{column!r} is empty")
    return raw.where(~empty) if empty.any() else raw


def _with_numbers(raw: RawTable, column: str, wanted: str, bad: BadRows) -> RawTable:
    wrong = ~np.isfinite(raw.numbers(column))
    if not wrong.any():
        return raw
    cells = raw.text(column).to_pylist()
    bad.add_where(
        wrong, raw.file, raw.rows, lambda i: f"{column} {shown(cells[i])} is not {wanted}"
    )
    return raw.where(~wrong)


def _in_seconds(timestamps: FloatArray) -> FloatArray:
    """Recognise milli-, micro- and nanoseconds by the size of the median; fractions are kept."""
    if not len(timestamps):
        return timestamps
    middle = float(np.median(np.abs(timestamps)))
    scale = 1.0
    while middle / scale > LATEST_SECOND:
        scale *= 1000.0
    return timestamps / scale
