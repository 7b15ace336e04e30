"""Reasoning graphs on disk (Parquet, JSON) and as arrays; the format is told in graphs/README.md.

documents   one graph ↔ JSON
steps       many graphs ↔ Parquet shards, one row per step
table       the same steps as numpy arrays, for the learning half
checks      what every graph must satisfy, wherever it comes from
"""

from llmrg.graph_store.documents import from_json, to_json
from llmrg.graph_store.steps import read_graph, read_graphs, write_shard
from llmrg.graph_store.table import IMAGINED, KINDS, OBSERVED, GraphTable, alive_until

__all__ = [
    "IMAGINED",
    "KINDS",
    "OBSERVED",
    "GraphTable",
    "alive_until",
    "from_json",
    "read_graph",
    "read_graphs",
    "to_json",
    "write_shard",
]
