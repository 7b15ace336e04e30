"""The one door to data: a bundled data set by name, or files by path, in any known format.

A new format is a function that returns a `Source`, one entry in `READERS` and one line in
`detect_format`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from llmrg.data.bad_rows import BadRows
from llmrg.data.dataset import Dataset, check_name
from llmrg.data.delimited import Layout, read_delimited
from llmrg.data.files import ENDINGS
from llmrg.data.movielens import RATINGS, read_movielens
from llmrg.data.prepare import prepare
from llmrg.data.recbole import read_recbole
from llmrg.data.source import Source, read_log
from llmrg.data.tables import Columns, check_columns, find_table, read_tables
from llmrg.errors import ConfigError, DataError, ResourceError

BUNDLED = {"ml-latest-small": "development set, not a benchmark"}
"""Data sets that ship with llmrg, and the note that goes with each."""

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")


def load_dataset(
    *,
    name: str | None = None,
    path: Path | None = None,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    min_interactions: int = 5,
    skip_bad_rows: bool = False,
) -> Dataset:
    """Read and prepare a data set.

    Args:
        name: a bundled data set or an existing path; beside `path`, what to call the data.
        path: a folder or a file; its name becomes the name of the data set.
        format: one of `READERS`, if the files do not tell.
        columns: role → column name, see `docs/data_formats.md`.
        min_interactions: users and items with fewer are removed; 0 or 1 keeps all.
        skip_bad_rows: list bad rows in `Dataset.bad_rows` instead of stopping at the first.

    Raises:
        ConfigError: for an unknown name, format or role.
        ResourceError: if nothing is at the path.
        DataError: if the files cannot be used.
    """
    name, path, note = _resolve(name, path)
    bad = BadRows(skip=skip_bad_rows)
    chosen = format or detect_format(path)
    if chosen not in READERS:
        raise ConfigError(f"unknown data format {chosen!r}; known are {', '.join(READERS)}")
    source = READERS[chosen](path, check_columns(columns or {}), bad)
    return prepare(source, bad, name=name, note=note, min_interactions=min_interactions)


def _resolve(name: str | None, path: Path | None) -> tuple[str, Path, str]:
    if path is None:
        if name is None:
            raise ConfigError(f"no data set given; give a path, or a name of {', '.join(BUNDLED)}")
        if name in BUNDLED:
            return name, Path(__file__).parents[1] / "_bundled" / name, BUNDLED[name]
        if not Path(name).exists():
            raise ConfigError(
                f"unknown data set {name!r}; bundled are {', '.join(BUNDLED)}; for your own files "
                "give their path"
            )
        path, name = Path(name), None
    if not path.exists():
        raise ResourceError(f"no file or folder {path}; check the path")
    return check_name(name) if name is not None else _name_of(path), path, ""


def _name_of(path: Path) -> str:
    """The path's own name without endings, with "-" for what may not stand in a name."""
    stem = path.resolve().name
    if path.is_file():
        stem = stem.removesuffix(".gz").rpartition(".")[0] or stem
    return check_name(re.sub(r"[^A-Za-z0-9._-]+", "-", stem)[:64])


def detect_format(path: Path) -> str:
    """Tell the format of a folder or a file by the names of files.

    Raises:
        DataError: if no format matches; the message says what was looked for.
    """
    return _format_of_folder(path) if path.is_dir() else _format_of_file(path)


def _format_of_folder(folder: Path) -> str:
    names = [path.name for path in folder.iterdir()]
    if find_table(folder, "interactions"):
        return "table"
    if not set(RATINGS).isdisjoint(names):
        return "movielens"
    if any(name.endswith((".inter", ".inter.gz")) for name in names):
        return "recbole"
    packed = [name for name in names if name.endswith(ARCHIVES)]
    hint = f"unpack {packed[0]}" if packed else "give the file itself as the path, or a format"
    raise DataError(
        f"{folder}: no data set found; looked for interactions.* ({', '.join(ENDINGS)}), "
        f"{', '.join(RATINGS)} and *.inter; {hint}"
    )


def _format_of_file(file: Path) -> str:
    plain = file.name.removesuffix(".gz")
    if file.name in RATINGS and (plain != "ratings.csv" or _has_movies(file.parent)):
        return "movielens"
    if plain.endswith(".inter"):
        return "recbole"
    if plain.endswith(".txt"):
        return "sasrec"
    if file.name.endswith(ENDINGS):
        return "table"
    hint = "unpack it and give the folder" if file.name.endswith(ARCHIVES) else "give a format"
    raise DataError(
        f"{file}: unknown kind of file; looked for {', '.join(ENDINGS)}, .inter and .txt; {hint}"
    )


def _has_movies(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("movies.csv", "movies.csv.gz"))


def _read_movielens(path: Path, columns: Columns, bad: BadRows) -> Source:
    _refuse(columns, "movielens")
    return read_movielens(path if path.is_dir() else path.parent, bad)


def _read_sasrec(path: Path, columns: Columns, bad: BadRows) -> Source:
    """Read the text files of SASRec: one "user item" per line, oldest first, no header.

    Source: github.com/kang205/SASRec, folder data.
    """
    _refuse(columns, "sasrec")
    layout = Layout(delimiter=" ", quoted=False, columns=("user_id", "item_id"))
    return Source(
        read_log(read_delimited(path, layout, bad), bad, user_id="user_id", item_id="item_id")
    )


def _refuse(columns: Columns, format: str) -> None:
    if columns:
        raise ConfigError(f"columns are fixed in format {format!r}; leave out {', '.join(columns)}")


READERS: dict[str, Callable[[Path, Columns, BadRows], Source]] = {
    "table": read_tables,
    "movielens": _read_movielens,
    "recbole": read_recbole,
    "sasrec": _read_sasrec,
}
"""Format → reader."""
