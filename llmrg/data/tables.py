"""Any table: CSV, TSV, Parquet or JSON lines, alone or with tables of items and users beside it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

from llmrg.data.attributes import (
    describing_columns,
    read_attributes,
    read_items,
    read_profiles,
)
from llmrg.data.bad_rows import BadRows
from llmrg.data.files import ENDINGS, read_table
from llmrg.data.raw import RawTable
from llmrg.data.source import Source, read_log
from llmrg.errors import ConfigError, DataError
from llmrg.types import Attributes, Item

Role = Literal[
    "user_id", "item_id", "timestamp", "position", "rating", "title", "attributes", "profile"
]
Columns = Mapping[str, str]
"""Role → name of the column; an absent role has its own name, "" leaves a column out.

"attributes" and "profile" hold several names, with commas between.
"""

NEEDED: tuple[Role, ...] = ("user_id", "item_id")


def check_columns(columns: Columns) -> Columns:
    """Return column names whose roles all exist.

    Raises:
        ConfigError: for an unknown role, with the nearest known one.
    """
    roles = get_args(Role)
    for role in columns:
        if role not in roles:
            near = get_close_matches(role, roles, n=1)
            hint = f"did you mean {near[0]!r}" if near else f"known are {', '.join(roles)}"
            raise ConfigError(f"columns: unknown key {role!r}; {hint}")
    return columns


def column_of(role: Role, columns: Columns, raw: RawTable) -> str | None:
    """Find the column of a role; None where it is left out, or not asked for and not there.

    Raises:
        DataError: if it was asked for, or is needed, and is not there.
    """
    name = columns.get(role, role) or (role if role in NEEDED else "")
    if name and (role in columns or role in NEEDED):
        raw.require(
            name,
            remedy="a .csv file needs ',' between columns and a .tsv file a tab; another name is "
            f'given with columns = {{{role} = "NAME"}}',
        )
    return name if name in raw.columns else None


def listed(role: Role, columns: Columns) -> list[str]:
    """The columns named for a role that holds several."""
    return [name.strip() for name in columns.get(role, "").split(",") if name.strip()]


def read_tables(path: Path, columns: Columns, bad: BadRows) -> Source:
    """Read a table of interactions, and `items.*` and `users.*` where they lie beside it.

    Args:
        path: a folder with `interactions.*`, or one file; only a file named `interactions.*` is
            completed by the tables beside it.

    Raises:
        DataError: if the table cannot be found or used.
    """
    file = path if path.is_file() else find_table(path, "interactions")
    if file is None:
        endings = ", ".join(ENDINGS)
        raise DataError(f"{path}: no table of interactions; looked for interactions with {endings}")
    raw = read_table(file, bad)
    user_id, item_id = (str(column_of(role, columns, raw)) for role in NEEDED)
    log = read_log(
        raw,
        bad,
        user_id=user_id,
        item_id=item_id,
        timestamp=column_of("timestamp", columns, raw),
        position=column_of("position", columns, raw),
    )
    column_of("rating", columns, raw)  # every row counts as an interaction, whatever its rating
    beside = file.name.startswith("interactions.")
    item_file = find_table(file.parent, "items") if beside else None
    user_file = find_table(file.parent, "users") if beside else None
    items = _item_table(item_file, columns, bad) if item_file else _items_within(raw, columns, bad)
    profiles = _profiles(read_table(user_file, bad), columns, bad) if user_file else {}
    return Source(log, items, profiles)


def find_table(folder: Path, stem: str) -> Path | None:
    """Find the one table of this name in a folder, whatever its format; None if there is none.

    Raises:
        DataError: if there are several.
    """
    found = [path for end in ENDINGS if (path := folder / f"{stem}{end}").is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise DataError(f"{folder}: holds {names}; keep one, or give the file itself as the path")
    return found[0] if found else None


def _item_table(path: Path, columns: Columns, bad: BadRows) -> dict[str, Item]:
    raw = read_table(path, bad)
    reserved = (column_of("item_id", columns, raw), column_of("title", columns, raw))
    named = listed("attributes", columns)
    return _items(raw, columns, describing_columns(raw, named=named, reserved=reserved), bad)


def _items_within(raw: RawTable, columns: Columns, bad: BadRows) -> dict[str, Item] | None:
    """Titles and named attributes that stand in the interactions; an item's first row counts."""
    named = listed("attributes", columns)
    if not named and column_of("title", columns, raw) is None:
        return None
    ids = raw.text(str(column_of("item_id", columns, raw))).to_pandas()
    first = ~ids.duplicated().to_numpy() & (ids != "").to_numpy()
    chosen = describing_columns(raw, named=named) if named else []
    return _items(raw.where(first), columns, chosen, bad)


def _items(raw: RawTable, columns: Columns, chosen: list[str], bad: BadRows) -> dict[str, Item]:
    title = column_of("title", columns, raw)
    named = bool(listed("attributes", columns))
    return read_items(
        raw,
        bad,
        item_id=str(column_of("item_id", columns, raw)),
        titles=raw.text(title).to_pylist() if title else [""] * len(raw),
        attributes=read_attributes(raw, chosen, named=named),
    )


def _profiles(raw: RawTable, columns: Columns, bad: BadRows) -> dict[str, Attributes]:
    user_id, named = str(column_of("user_id", columns, raw)), listed("profile", columns)
    chosen = describing_columns(raw, named=named, reserved=(user_id,))
    attributes = read_attributes(raw, chosen, named=bool(named))
    return read_profiles(raw, bad, user_id=user_id, attributes=attributes)
