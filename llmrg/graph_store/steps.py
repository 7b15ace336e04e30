"""Reasoning graphs as Parquet shards: one row per step, whole graphs, atomic files.

A graph without steps is one row with step -1, so that "built, and nothing held up" is not
mistaken for "not built". The same graphs always give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llmrg.errors import GraphError, ResourceError
from llmrg.files import whole_file
from llmrg.graph_store.checks import check_table
from llmrg.graph_store.rows import SCHEMA, TYPES, VERSION_KEY, to_graphs, to_table
from llmrg.types import GRAPH_SCHEMA_VERSION, ReasoningGraph


def write_shard(path: Path, graphs: Iterable[ReasoningGraph]) -> None:
    """Write graphs to one Parquet file; the file appears whole or not at all.

    Raises:
        GraphError: if a graph breaks the format, two graphs have one user, or a text holds half
            of a surrogate pair, which UTF-8 cannot store.
    """
    table = to_table(list(graphs), source=str(path))
    with whole_file(path) as file:
        pq.write_table(table, file, compression="zstd")


def read_graphs(path: Path) -> Iterator[ReasoningGraph]:
    """Read all graphs of a shard, or of a folder's shards in the order of their names.

    Raises:
        ResourceError: if there is no such shard.
        GraphError: naming the file, and the column or step that is wrong.
    """
    for shard in shards_of(path):
        yield from to_graphs(read_table(shard))


def read_graph(path: Path, user_id: str) -> ReasoningGraph:
    """Read the graph of one user from a shard or a folder of shards.

    Raises:
        ResourceError: if there is no such shard.
        GraphError: if no shard has a graph of this user.
    """
    for shard in shards_of(path):
        table = read_table(shard)
        found = table.filter(pa.compute.equal(table["user_id"], user_id))
        for graph in to_graphs(found):
            return graph
    raise GraphError(f"{path}: no graph of user {user_id!r}; was it built?")


def shards_of(path: Path) -> list[Path]:
    """The file itself, or a folder's `*.parquet` files sorted by name."""
    shards = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not shards:
        raise ResourceError(f"{path}: no *.parquet shard in this folder; build graphs first")
    return shards


def read_table(shard: Path) -> pa.Table:
    """Read and check one shard. Raises what `read_graphs` raises."""
    try:
        with pq.ParquetFile(shard) as file:
            _check_header(shard, file.schema_arrow)
            table = file.read()
    except FileNotFoundError as error:
        raise ResourceError(f"{shard}: no such shard; build graphs first") from error
    except (pa.ArrowException, OSError) as error:
        raise GraphError(f"{shard}: not a readable Parquet file ({error})") from error
    columns = [_cast(shard, table[name], name, type_) for name, type_ in TYPES.items()]
    table = pa.table(columns, schema=SCHEMA)
    check_table(table, str(shard))
    return table


def _check_header(shard: Path, schema: pa.Schema) -> None:
    version = (schema.metadata or {}).get(VERSION_KEY, b"").decode("ascii", "replace")
    if not version.isdecimal():
        raise GraphError(f"{shard}: not a graph shard ({VERSION_KEY.decode()} is {version!r})")
    if int(version) > GRAPH_SCHEMA_VERSION:
        raise GraphError(
            f"{shard}: graph schema {version} is newer than {GRAPH_SCHEMA_VERSION}, "
            "the newest this llmrg reads; update llmrg"
        )
    for name in TYPES:
        if name not in schema.names:
            raise GraphError(f"{shard}: column {name!r} is missing")
    for name in schema.names:
        if name not in TYPES:
            raise GraphError(f"{shard}: unknown column {name!r}; remove it or update llmrg")


def _cast(shard: Path, column: pa.ChunkedArray, name: str, type_: pa.DataType) -> pa.ChunkedArray:
    try:
        return column.cast(type_)
    except pa.ArrowException as error:
        raise GraphError(f"{shard}: column {name!r} is {column.type}, expected {type_}") from error
