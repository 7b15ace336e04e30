"""Reasoning graphs ↔ a checked Arrow table with one row per step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa

from llmrg.errors import GraphError
from llmrg.graph_store.checks import NO_STEPS, check_table, starts_of
from llmrg.types import GRAPH_SCHEMA_VERSION, Node, ReasoningGraph, Step, UserId, Verdict

VERSION_KEY = b"llmrg.graph_schema_version"
TYPES = {
    "user_id": pa.string(), "observed_from": pa.int32(), "observed_until": pa.int32(),
    "reasoner": pa.string(), "step": pa.int32(), "parent": pa.int32(), "kind": pa.string(),
    "key": pa.string(), "text": pa.string(), "reason": pa.string(), "origin": pa.string(),
    "position": pa.int32(), "score": pa.float64(), "accepted": pa.bool_(),
    "chance": pa.float64(), "hidden": pa.string(), "answered": pa.string(),
    "verdict_reasoner": pa.string(), "prompt": pa.string(), "recalled": pa.bool_(),
}  # fmt: skip
SCHEMA = pa.schema(TYPES, metadata={VERSION_KEY: str(GRAPH_SCHEMA_VERSION).encode()})


def to_table(graphs: Sequence[ReasoningGraph], source: str) -> pa.Table:
    """Lay graphs out as checked rows. Raises GraphError as `write_shard` does."""
    rows = [row for graph in graphs for row in _rows(graph, source)]
    columns = zip(*rows, strict=True) if rows else ((),) * len(TYPES)
    arrays = [
        _to_array(values, name, type_, source, rows)
        for values, (name, type_) in zip(columns, TYPES.items(), strict=True)
    ]
    table = pa.table(arrays, schema=SCHEMA)
    check_table(table, source)
    users = [graph.user_id for graph in graphs]
    if len(set(users)) < len(users):
        twice = next(user for user in users if users.count(user) > 1)
        raise GraphError(f"{source}: user {twice!r} has more than one graph")
    return table


def _rows(graph: ReasoningGraph, source: str) -> Iterator[tuple[Any, ...]]:
    if graph.schema_version != GRAPH_SCHEMA_VERSION:
        raise GraphError(
            f"{source}: user {graph.user_id!r}: schema_version {graph.schema_version} cannot be "
            f"written; this llmrg writes {GRAPH_SCHEMA_VERSION}"
        )
    head = (graph.user_id, graph.observed_from, graph.observed_until, graph.reasoner)
    if not graph.steps:
        yield (*head, NO_STEPS, *(None,) * (len(TYPES) - 5))
    for index, step in enumerate(graph.steps):
        node, v = step.node, step.verdict
        yield (
            *head, index, step.parent, node.kind, node.key, node.text, step.reason, step.origin,
            step.position,
            *((None,) * 8 if v is None else (v.score, v.accepted, v.chance, v.hidden, v.answered,
                                             v.reasoner, v.prompt, v.recalled)),
        )  # fmt: skip


def _to_array(
    values: Sequence[Any], name: str, type_: pa.DataType, source: str, rows: list[tuple[Any, ...]]
) -> pa.Array:
    try:
        return pa.array(values, type_)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        for value, row in zip(values, rows, strict=True):
            try:
                pa.array([value], type_)
            except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
                raise GraphError(
                    f"{source}: user {row[0]!r}, step {row[4]}: {name} {value!r} cannot be stored "
                    f"as {type_} ({error}); clean it before it becomes a step"
                ) from error
        raise


def to_graphs(table: pa.Table) -> Iterator[ReasoningGraph]:
    """Rebuild the graphs of a checked table, in its order."""
    bounds = [*starts_of(table).tolist(), len(table)]
    for start, end in pairwise(bounds):
        rows = table.slice(start, end - start).to_pylist()
        head = rows[0]
        yield ReasoningGraph(
            user_id=UserId(head["user_id"]),
            steps=tuple(_to_step(row) for row in rows if row["step"] != NO_STEPS),
            observed_from=head["observed_from"],
            observed_until=head["observed_until"],
            reasoner=head["reasoner"],
        )


def _to_step(row: dict[str, Any]) -> Step:
    verdict = None
    if row["score"] is not None:
        verdict = Verdict(
            row["score"], row["accepted"], row["chance"], row["hidden"], row["answered"],
            row["verdict_reasoner"], row["prompt"], row["recalled"],
        )  # fmt: skip
    node = Node(row["kind"], row["key"], row["text"])
    return Step(node, row["reason"], row["origin"], row["position"], row["parent"], verdict)
