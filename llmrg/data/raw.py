"""A table as it was read, before anything in it is interpreted, and the bytes it comes from.

Text cells stay text, so that a bad value can be quoted in an error with the row it stands in.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from llmrg.data.bad_rows import BadRows, shown
from llmrg.data.interactions import IntArray
from llmrg.errors import DataError, ResourceError


@dataclass(frozen=True, eq=False)
class RawTable:
    """A table as it was read.

    Attributes:
        file: name for messages.
        table: cells are text, numbers, dates or missing; never lists.
        rows: place of each row in the file, from 1. Shape (M,), int64.
    """

    file: str
    table: Any
    rows: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def columns(self) -> list[str]:
        """Column names, in the order of the file."""
        return list(self.table.column_names)

    def require(self, *names: str, remedy: str) -> None:
        """Raise DataError unless all these columns are there."""
        for name in names:
            if name not in self.columns:
                found = ", ".join(shown(column) for column in self.columns)
                raise DataError(f"{self.file}, row 1: no column {name!r} (found {found}); {remedy}")

    def where(self, keep: NDArray[np.bool_]) -> RawTable:
        """Keep the rows whose mask is True."""
        return RawTable(self.file, self.table.filter(pa.array(keep)), self.rows[keep])

    def cells(self, column: str) -> list[Any]:
        """One column as Python values; a missing cell is None."""
        cells: list[Any] = self.table.column(column).to_pylist()
        return cells

    def text(self, column: str) -> Any:
        """One column as an Arrow array of text; a missing cell is empty text."""
        return self.table.column(column).cast(pa.string()).fill_null("")

    def numbers(self, column: str) -> NDArray[np.float64]:
        """One column as numbers; NaN where a cell is missing or is no number.

        Dates become Unix seconds.
        """
        cells = self.table.column(column)
        if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
            milliseconds = cells.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
            return np.asarray(_floats(milliseconds) / 1000)
        try:
            return _floats(cells)
        except pa.ArrowException:
            text = self.text(column).to_pandas()
            return np.asarray(pd.to_numeric(text, errors="coerce"), dtype=np.float64)


def _floats(cells: Any) -> NDArray[np.float64]:
    floats = cells.cast(pa.float64(), safe=False).to_numpy()
    return np.asarray(floats, dtype=np.float64)


def without_nul(raw: RawTable, bad: BadRows) -> RawTable:
    """Leave out rows with a NUL character: no file name, database or prompt can hold one."""
    kept = np.ones(len(raw), dtype=bool)
    for name in raw.columns:
        if pa.types.is_string(raw.table.column(name).type):
            found = np.asarray(pc.match_substring(raw.text(name), "\0")) & kept
            for row in raw.rows[found].tolist():
                bad.add(raw.file, row, f"column {name!r} holds a NUL byte")
            kept &= ~found
    return raw if kept.all() else raw.where(kept)


def as_utf8(data: bytes, encoding: str, file: str, bad: BadRows) -> bytes:
    """Text as UTF-8; a line that is not in that encoding is emptied, so rows keep count."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise DataError(f"{file}: is empty; check that it was written or downloaded completely")
    try:
        return data.decode(encoding).encode()
    except UnicodeDecodeError:
        lines = data.split(b"\n")
    for index, line in enumerate(lines):
        try:
            line.decode(encoding)
        except UnicodeDecodeError as error:
            problem = f"byte 0x{line[error.start]:02x} is not {encoding.upper()} text"
            bad.add(file, index + 1, problem, "save the file as UTF-8")
            lines[index] = b""
    return b"\n".join(lines)


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in `.gz`."""
    if existing(path).suffix != ".gz":
        return path.read_bytes()
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path.name}: is not a complete gzip file ({error})") from None


def existing(path: Path) -> Path:
    """Return the path, or raise ResourceError if no file is there."""
    if not path.is_file():
        raise ResourceError(f"no file {path}; check the path, or unpack the archive it is in")
    return path
