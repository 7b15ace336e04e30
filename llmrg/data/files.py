"""JSON lines and Parquet files, and the choice of a reader by the end of a file's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from llmrg.data.bad_rows import BadRows
from llmrg.data.delimited import Layout, read_delimited
from llmrg.data.raw import RawTable, as_utf8, existing, read_bytes, without_nul
from llmrg.errors import DataError

ENDINGS = (
    ".parquet",
    ".csv",
    ".csv.gz",
    ".tsv",
    ".tsv.gz",
    ".jsonl",
    ".jsonl.gz",
    ".json",
    ".json.gz",
)
"""Ends of the file names `read_table` knows."""


def read_table(path: Path, bad: BadRows) -> RawTable:
    """Read a table in the format its name ends in.

    Raises:
        DataError: if the name ends in none of `ENDINGS`, or the file cannot be read.
    """
    kind = next((end for end in ENDINGS if path.name.endswith(end)), None)
    match kind and kind.removesuffix(".gz"):
        case ".parquet":
            return read_parquet(path, bad)
        case ".csv":
            return read_delimited(path, Layout(), bad)
        case ".tsv":
            return read_delimited(path, Layout(delimiter="\t"), bad)
        case ".jsonl" | ".json":
            return read_json_lines(path, bad)
    raise DataError(f"{path.name}: not a table; its name must end in one of {', '.join(ENDINGS)}")


def read_json_lines(path: Path, bad: BadRows) -> RawTable:
    """Read one JSON object per line; lists become `|`-separated text.

    Raises:
        DataError: if the file is empty or damaged, or a line is not a JSON object.
    """
    lines = as_utf8(read_bytes(path), "utf-8", path.name, bad).split(b"\n")
    records, rows = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError(f"expected a JSON object (got {type(record).__name__})")
            records.append({str(key): _cell(value) for key, value in record.items()})
            rows.append(number)
        except (ValueError, RecursionError) as error:
            bad.add(path.name, number, f"not one JSON object per line: {error}")
    names = list(dict.fromkeys(name for record in records for name in record))
    table = pa.table(
        {name: pa.array([r.get(name) for r in records], pa.string()) for name in names}
    )
    return without_nul(RawTable(path.name, table, np.array(rows, dtype=np.int64)), bad)


def _cell(value: object) -> str | None:
    """A JSON value as text; objects are nothing a table can hold.

    Raises:
        ValueError: for half a surrogate pair, which no text file can hold.
    """
    if isinstance(value, str):
        value.encode()
        return value
    if value is None or isinstance(value, dict):
        return None
    if isinstance(value, list):
        return "|".join(cell for cell in map(_cell, value) if cell)
    return json.dumps(value)


def read_parquet(path: Path, bad: BadRows) -> RawTable:
    """Read a Parquet file; lists become `|`-separated text, nested columns are passed over.

    Raises:
        DataError: if it is not a Parquet file.
    """
    try:
        table = pyarrow.parquet.read_table(existing(path), partitioning=None)
        plain = {name: _plain(table.column(name)) for name in table.column_names}
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path.name}: cannot be read as Parquet ({error})") from None
    table = pa.table({name: cells for name, cells in plain.items() if cells is not None})
    rows = np.arange(1, len(table) + 1, dtype=np.int64)
    return without_nul(RawTable(path.name, table, rows), bad)


def _plain(cells: Any) -> Any:
    """A column as text, numbers or dates, or None for what a table has no place for."""
    kind = cells.type
    if pa.types.is_dictionary(kind):
        return _plain(cells.cast(kind.value_type))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        if pa.types.is_nested(kind.value_type):
            return None
        return pc.binary_join(cells.cast(pa.list_(pa.string())), "|")
    if pa.types.is_nested(kind):
        return None
    is_text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return cells.cast(pa.string()) if is_text or pa.types.is_binary(kind) else cells
