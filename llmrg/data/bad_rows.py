"""Rows that cannot be used: the first one stops the loading, or all are left out and listed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmrg.errors import DataError

REMEDY = "correct the row, or leave such rows out with skip_bad_rows = true"
LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out.

    Attributes:
        file: name of the file, without its folder.
        row: place in the file from 1, header included; of a Parquet file, place in the table.
        problem: what is wrong with it, with the offending value.
    """

    file: str
    row: int
    problem: str


class BadRows:
    """The one place that decides between stopping and leaving out.

    Args:
        skip: keep a list in `found` instead of raising at the first bad row.
    """

    def __init__(self, *, skip: bool) -> None:
        self.skip = skip
        self.found: list[BadRow] = []

    def add(self, file: str, row: int, problem: str, remedy: str = REMEDY) -> None:
        """Report one bad row.

        Raises:
            DataError: unless bad rows are left out.
        """
        if not self.skip:
            raise DataError(f"{file}, row {row}: {problem}; {remedy}")
        self.found.append(BadRow(file, row, problem))

    def add_where(
        self,
        bad: NDArray[np.bool_],
        file: str,
        rows: NDArray[np.int64],
        problem_of: Callable[[int], str],
        remedy: str = REMEDY,
    ) -> None:
        """Report every row whose mask is True; `problem_of` words the problem of one of them."""
        for index in np.flatnonzero(bad).tolist():
            self.add(file, int(rows[index]), problem_of(index), remedy)

    def in_order(self) -> tuple[BadRow, ...]:
        """What was left out, by file and row."""
        return tuple(sorted(self.found, key=lambda bad: (bad.file, bad.row)))


def shown(value: object) -> str:
    """A value as a message quotes it: on one line and not longer than 60 characters."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"
