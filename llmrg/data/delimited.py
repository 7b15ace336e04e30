"""Text tables: fields between delimiters, with or without quotes and a header."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from llmrg.data.bad_rows import BadRows, shown
from llmrg.data.raw import RawTable, as_utf8, read_bytes, without_nul
from llmrg.errors import DataError

UNIT_SEPARATOR = "\x1f"
BLOCK_BYTES = 1 << 24  # the longest row that can be read


@dataclass(frozen=True, slots=True)
class Layout:
    """How a text table is written.

    Attributes:
        delimiter: what separates fields; more than one character is allowed where `quoted` is not.
        quoted: whether a field may stand in double quotes, and may then hold the delimiter.
        columns: names of the columns, or None where the first row names them.
    """

    delimiter: str = ","
    quoted: bool = True
    encoding: str = "utf-8"
    columns: tuple[str, ...] | None = None


def read_delimited(path: Path, layout: Layout, bad: BadRows) -> RawTable:
    """Read a text table; `.gz` files are unpacked on the way. Blank lines are passed over.

    Raises:
        DataError: if the file is empty or damaged, or a row has the wrong number of fields.
    """
    data = as_utf8(read_bytes(path), layout.encoding, path.name, bad)
    columns, first_row = layout.columns, 1
    if columns is None:
        columns, data = _split_header(data, layout, path.name)
        first_row = 2
    delimiter = layout.delimiter
    if len(delimiter) > 1:
        data = data.replace(delimiter.encode(), UNIT_SEPARATOR.encode())
        delimiter = UNIT_SEPARATOR
    table, wrong = _parse(data, columns, delimiter, layout.quoted, path.name)
    if wrong and len(columns) == 1:
        raise DataError(
            f"{path.name}, row 1: one column {shown(columns[0])}, but later rows have more; "
            f"separate the columns with {layout.delimiter!r}"
        )
    for number, fields, text in wrong:
        if layout.quoted and text.count('"') % 2:
            raise DataError(
                f"{path.name}, row {number + first_row - 1}: a quotation mark is opened and never "
                'closed; write a quotation mark inside quotes as ""'
            )
        bad.add(
            path.name,
            number + first_row - 1,
            f"expected {len(columns)} fields separated by {layout.delimiter!r} (got {fields})",
        )
    numbers = np.arange(1, len(table) + len(wrong) + 1)
    rows = np.delete(numbers, [number - 1 for number, _, _ in wrong]) + first_row - 1
    raw = RawTable(path.name, table, rows.astype(np.int64))
    return without_nul(raw.where(~_blank(table)), bad)


def _parse(
    data: bytes, columns: tuple[str, ...], delimiter: str, quoted: bool, file: str
) -> tuple[Any, list[tuple[int, int, str]]]:
    """Parse a text table whose first row is data.

    Returns:
        The table, and the row number, number of fields and text of every row that does not fit.
    """
    if not data.strip():
        raise DataError(f"{file}: holds no rows; give a file with at least one interaction or item")
    wrong: list[tuple[int, int, str]] = []

    def leave_out(row: Any) -> str:
        wrong.append((row.number, row.actual_columns, row.text))
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            # Row numbers are only known to a single thread.
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, column_names=list(columns), block_size=BLOCK_BYTES
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter,
                quote_char='"' if quoted else False,
                newlines_in_values=quoted,
                ignore_empty_lines=False,
                invalid_row_handler=leave_out,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{file}: cannot be read as a table ({error}); check its quotes") from None
    return table, wrong


def _split_header(data: bytes, layout: Layout, file: str) -> tuple[tuple[str, ...], bytes]:
    end = re.search(rb"\r\n?|\n", data)
    first, body = (data[: end.start()], data[end.end() :]) if end else (data, b"")
    text = first.decode()
    if not text.strip():
        raise DataError(f"{file}, row 1: is blank; the first row must name the columns")
    try:
        quoted = next(csv.reader([text], delimiter=layout.delimiter), [])
        columns = quoted if layout.quoted else text.split(layout.delimiter)
    except csv.Error as error:
        raise DataError(f"{file}, row 1: cannot be read as column names ({error})") from None
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise DataError(f"{file}, row 1: two columns are named {repeated[0]!r}; rename one")
    return tuple(columns), body


def _blank(table: Any) -> NDArray[np.bool_]:
    blank = np.ones(len(table), dtype=bool)
    for column in table.columns:
        if not blank.any():
            break
        blank &= np.asarray(pc.equal(column, ""))
    return blank
