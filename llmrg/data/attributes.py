"""What a table says about items and users: which columns describe them, and cells as values.

A column becomes an attribute if it is asked for by name. If none is, every column does that holds
short values which several rows share:

- a column with more than 1 in 20 cells over 60 characters is prose, and is left out;
- in tables of 20 rows or more, a column where most cells share no value with another row is an
  identifier (an address, a second id), and is left out;
- places where people live (zip codes) are always left out.

Text is split at `|`: "Comedy|Drama" is two values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from llmrg.data.bad_rows import BadRows
from llmrg.data.raw import RawTable
from llmrg.types import Attributes, Item, ItemId

LONGEST_VALUE = 60
MOST_LONG_CELLS = 1 / 20
FEWEST_ROWS = 20
PLACES = {"zip", "zipcode", "zip_code", "zip-code", "postcode", "postal_code"}


def values_of(cell: object, separator: str = "|") -> list[str]:
    """The values in one cell, each once, in order; none for a missing cell."""
    if cell is None or cell != cell:
        return []
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    parts = (part.strip() for part in str(cell).split(separator))
    return list(dict.fromkeys(part for part in parts if part))


def describing_columns(
    raw: RawTable, *, named: Sequence[str] = (), reserved: Iterable[str | None] = ()
) -> list[str]:
    """Choose the columns that become attributes, in the order of the table.

    Args:
        named: columns asked for; if there are any, exactly these.
        reserved: columns that mean something else, such as ids and titles.

    Raises:
        DataError: if a named column is missing.
    """
    if named:
        raw.require(*named, remedy="name existing columns in columns.attributes or columns.profile")
        return [column for column in raw.columns if column in named]
    taken = set(reserved)
    return [
        column
        for column in raw.columns
        if column not in taken
        and column.lower() not in PLACES
        and _describes([values for cell in raw.cells(column) if (values := values_of(cell))])
    ]


def _describes(filled: list[list[str]]) -> bool:
    if not filled:
        return False
    long = sum(any(len(value) > LONGEST_VALUE for value in values) for values in filled)
    if long > MOST_LONG_CELLS * len(filled):
        return False
    if len(filled) < FEWEST_ROWS:
        return True
    counts = Counter(value for values in filled for value in values)
    shared = sum(any(counts[value] > 1 for value in values) for values in filled)
    return shared * 2 >= len(filled)


def read_attributes(
    raw: RawTable, columns: Sequence[str], *, named: bool = False, separator: str = "|"
) -> list[Attributes]:
    """Read the attributes of every row.

    Args:
        named: the columns were asked for, so values of any length are taken.
        separator: what divides the values in a cell.
    """
    pairs: list[list[tuple[str, str]]] = [[] for _ in range(len(raw))]
    for column in columns:
        for of_row, cell in zip(pairs, raw.cells(column), strict=True):
            of_row.extend(
                (column, value)
                for value in values_of(cell, separator)
                if named or len(value) <= LONGEST_VALUE
            )
    return [tuple(of_row) for of_row in pairs]


def read_items(
    raw: RawTable,
    bad: BadRows,
    *,
    item_id: str,
    titles: Sequence[str],
    attributes: Sequence[Attributes],
) -> dict[str, Item]:
    """Put titles and attributes beside the item_ids of a table; white space around titles goes.

    Raises:
        DataError: for an empty item_id, or one that was described before.
    """
    return {
        identity: Item(ItemId(identity), titles[index].strip(), attributes[index])
        for index, identity in _first_rows(raw, item_id, bad)
    }


def read_profiles(
    raw: RawTable, bad: BadRows, *, user_id: str, attributes: Sequence[Attributes]
) -> dict[str, Attributes]:
    """Put attributes beside the user_ids of a table.

    Raises:
        DataError: for an empty user_id, or one that was described before.
    """
    return {identity: attributes[index] for index, identity in _first_rows(raw, user_id, bad)}


def _first_rows(raw: RawTable, column: str, bad: BadRows) -> Iterable[tuple[int, str]]:
    first: dict[str, int] = {}
    for index, identity in enumerate(raw.text(column).to_pylist()):
        row = int(raw.rows[index])
        if not identity:
            bad.add(raw.file, row, f"{column!r} is empty")
        elif identity in first:
            bad.add(raw.file, row, f"{column} {identity!r} was described in row {first[identity]}")
        else:
            first[identity] = row
            yield index, identity
