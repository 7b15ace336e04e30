"""RecBole's atomic files: `.inter`, `.item` and `.user`, tab-separated, headed by `name:type`.

Source: recbole.io/docs/user_guide/data/atomic_files.html.
Differs: nothing is quoted, as in the data sets RecBole publishes; numbers (`float`, `float_seq`)
describe an item only if they are asked for by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from llmrg.data.attributes import (
    describing_columns,
    read_attributes,
    read_items,
    read_profiles,
)
from llmrg.data.bad_rows import BadRows, shown
from llmrg.data.delimited import Layout, read_delimited
from llmrg.data.raw import RawTable
from llmrg.data.source import Source, read_log
from llmrg.data.tables import Columns, column_of, listed
from llmrg.errors import DataError
from llmrg.types import Attributes, Item

TYPES = ("token", "token_seq", "float", "float_seq")
TITLES = ("title", "movie_title", "name", "item_name")
"""Names under which published item files keep the title."""

LAYOUT = Layout(delimiter="\t", quoted=False)
Types = Mapping[str, str]


def read_recbole(path: Path, columns: Columns, bad: BadRows) -> Source:
    """Read a folder of atomic files, or one `.inter` file with the files of its name beside it.

    Raises:
        DataError: if there is not exactly one `.inter` file, a header has no types, or a row
            cannot be used.
    """
    file = _interactions(path)
    raw, _ = _read(file, bad)
    log = read_log(
        raw,
        bad,
        user_id=str(column_of("user_id", columns, raw)),
        item_id=str(column_of("item_id", columns, raw)),
        timestamp=column_of("timestamp", columns, raw),
        position=column_of("position", columns, raw),
    )
    item_file, user_file = _beside(file, ".item"), _beside(file, ".user")
    items = _items(item_file, columns, bad) if item_file.is_file() else None
    profiles = _profiles(user_file, columns, bad) if user_file.is_file() else {}
    return Source(log, items, profiles)


def _interactions(path: Path) -> Path:
    if path.is_file():
        return path
    found = sorted([*path.glob("*.inter"), *path.glob("*.inter.gz")])
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise DataError(
            f"{path}: needs exactly one .inter file (found {names}); give the file as the path"
        )
    return found[0]


def _beside(file: Path, ending: str) -> Path:
    packed = ".gz" if file.suffix == ".gz" else ""
    stem = file.name.removesuffix(".gz").removesuffix(".inter")
    return file.parent / f"{stem}{ending}{packed}"


def _read(path: Path, bad: BadRows) -> tuple[RawTable, Types]:
    """Read one atomic file.

    Returns:
        The table under the bare names, and the type of each column.
    """
    raw = read_delimited(path, LAYOUT, bad)
    types = {}
    for heading in raw.columns:
        name, _, kind = heading.partition(":")
        if kind not in TYPES or not name:
            raise DataError(
                f"{raw.file}, row 1: column {shown(heading)} is not 'name:type' with a type of "
                f"{', '.join(TYPES)}; separate the columns with tabs"
            )
        types[name] = kind
    return replace(raw, table=raw.table.rename_columns(list(types))), types


def _items(path: Path, columns: Columns, bad: BadRows) -> dict[str, Item]:
    raw, types = _read(path, bad)
    item_id = str(column_of("item_id", columns, raw))
    title = column_of("title", columns, raw)
    if title is None and "title" not in columns:
        title = next((name for name in TITLES if name in types), None)
    return read_items(
        raw,
        bad,
        item_id=item_id,
        titles=raw.cells(title) if title else [""] * len(raw),
        attributes=_attributes(raw, types, listed("attributes", columns), {item_id, title}),
    )


def _profiles(path: Path, columns: Columns, bad: BadRows) -> dict[str, Attributes]:
    raw, types = _read(path, bad)
    user_id = str(column_of("user_id", columns, raw))
    attributes = _attributes(raw, types, listed("profile", columns), {user_id})
    return read_profiles(raw, bad, user_id=user_id, attributes=attributes)


def _attributes(
    raw: RawTable, types: Types, named: list[str], reserved: set[str | None]
) -> list[Attributes]:
    """Tokens as they are, token sequences cut at blanks."""
    numbers = {name for name, kind in types.items() if kind.startswith("float")}
    chosen = describing_columns(raw, named=named, reserved=reserved | numbers)
    rows: list[Attributes] = [()] * len(raw)
    for name in chosen:
        separator = " " if types[name].endswith("_seq") else "\t"
        column = read_attributes(raw, [name], named=bool(named), separator=separator)
        rows = [(*row, *pairs) for row, pairs in zip(rows, column, strict=True)]
    return rows
