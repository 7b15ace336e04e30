"""The batch holds, for every query, exactly the graph as it stood after its prefix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import graphs

from llmrg.encoding.tensors import GraphInputs, prefix_graphs
from llmrg.errors import GraphError
from llmrg.graph_store import KINDS, GraphTable
from llmrg.text import HashingEncoder
from llmrg.types import Node, ReasoningGraph, Step, UserId

VARIANTS = ("observed", "extended")


def node_names(table: GraphTable, ids) -> list[Node]:
    return [Node(KINDS[table.kinds[i]], table.keys[i], table.texts[i]) for i in ids]


def batched(table: GraphTable, rows, prefixes, variant):
    """Per query: {node: count}, {(parent node, child node)}, last node; from one batch."""
    batch = prefix_graphs(
        table, np.arange(len(table.keys)), np.array(rows), np.array(prefixes), variant
    )
    names = node_names(table, batch.x.tolist())
    found = []
    for query in range(len(rows)):
        start, end = batch.ptr[query], batch.ptr[query + 1]
        assert (batch.batch[start:end] == query).all()
        counts = dict(zip(names[start:end], batch.count[start:end].tolist(), strict=True))
        assert len(counts) == end - start  # no node twice
        edges = [
            (names[a], names[b])
            for a, b in batch.edge_index.T.tolist()
            if batch.batch[a] == query and batch.batch[b] == query
        ]
        last = int(batch.last[query])
        assert last == -1 or start <= last < end
        found.append((counts, sorted(edges, key=str), names[last] if last >= 0 else None))
    between = batch.batch[batch.edge_index]
    assert (between[0] == between[1]).all()
    return found


def one_by_one(graph: ReasoningGraph | None, n: int, variant: str):
    """The same from the graph itself, without arrays."""
    if graph is None:
        return {}, [], None
    graph = graph.until(n)
    graph = graph.observed() if variant == "observed" else graph.extended()
    counts: dict[Node, float] = {}
    for step in graph.steps:
        counts[step.node] = counts.get(step.node, 0) + 1
    edges = {(graph.steps[s.parent].node, s.node) for s in graph.steps if s.parent >= 0}
    taken = [s for s in graph.steps if s.origin == "observed" and s.node.kind == "item"]
    newest = max((s.position for s in taken), default=None)
    last = [s.node for s in taken if s.position == newest][-1] if taken else None
    return counts, sorted(edges, key=str), last


@given(st.lists(graphs(), max_size=4, unique_by=lambda g: g.user_id), st.data())
@settings(deadline=None, max_examples=150)
def test_a_batch_equals_the_graphs_built_one_by_one(written, data):
    table = GraphTable.of(written)
    queries = st.tuples(st.integers(-1, len(written) - 1), st.integers(0, 12))
    asked = data.draw(st.lists(queries, max_size=6))
    rows, prefixes = [row for row, _ in asked], [n for _, n in asked]
    for variant in VARIANTS:
        expected = [one_by_one(written[r] if r >= 0 else None, n, variant) for r, n in asked]
        assert batched(table, np.array(rows, int), np.array(prefixes, int), variant) == expected


@given(graphs(user_id="u"), graphs(user_id="u"), st.integers(0, 12))
@settings(deadline=None, max_examples=100)
def test_a_different_future_changes_nothing_before_it(graph, other, n):
    """Keeps the steps before n; another graph's later steps continue one of their tips."""
    n = min(n, graph.observed_until)
    past = graph.until(n)
    base = len(past.steps)
    shift = max(0, n - other.observed_from)
    tip = max((i for i, s in enumerate(past.steps) if s.origin == "observed"), default=-1)
    future = tuple(
        replace(s, position=s.position + shift, parent=tip if s.parent < 0 else s.parent + base)
        for s in other.steps
    )
    changed = replace(
        past,
        steps=past.steps + future,
        observed_from=0,
        observed_until=max(n, other.observed_until + shift),
    )
    for variant in VARIANTS:
        expected = batched(GraphTable.of([graph]), [0], [n], variant)
        assert batched(GraphTable.of([changed]), [0], [n], variant) == expected


def test_repeated_items_are_one_node_with_a_count_and_one_edge():
    def item(key: str, position: int) -> Step:
        return Step(Node("item", key, key), "", "observed", position, position - 1)

    steps = tuple(item(key, i) for i, key in enumerate("abab"))
    table = GraphTable.of([ReasoningGraph(UserId("u"), steps, 0, 4, "test")])
    batch = prefix_graphs(table, np.array([7, 8]), np.array([0]), np.array([4]), "observed")
    assert batch.x.tolist() == [7, 8]
    assert batch.count.tolist() == [2, 2]
    assert batch.edge_index.tolist() == [[0, 1], [1, 0]]
    assert batch.last.tolist() == [1]
    assert batch.num_graphs == 1


def test_items_are_numbered_by_the_catalog_and_other_nodes_by_their_text():
    nodes = [Node("item", "i2", "Two"), Node("attribute", "g=x", "x"), Node("concept", "x", "x"),
             Node("profile", "p=y", "y"), Node("item", "i1", "One")]  # fmt: skip
    steps = tuple(Step(node, "", "observed", 0) for node in nodes)
    table = GraphTable.of([ReasoningGraph(UserId("u"), steps, 0, 1, "test")])
    encoder = HashingEncoder(16)
    inputs = GraphInputs.of(table, {"i1": 1, "i2": 2}, encoder.encode)
    ids = {(table.keys[i], KINDS[table.kinds[i]]): int(inputs.ids[i]) for i in range(5)}
    assert ids["i1", "item"] == 1
    assert ids["i2", "item"] == 2
    assert ids["g=x", "attribute"] == ids["x", "concept"]  # one text, one row
    x, y = ids["x", "concept"] - 3, ids["p=y", "profile"] - 3
    np.testing.assert_array_equal(inputs.features[[x, y]], encoder.encode(["x", "y"]))
    assert len(inputs.features) == 2


def test_an_encoder_with_the_wrong_shape_is_named():
    steps = (Step(Node("concept", "x", "x"), "", "observed", 0),)
    table = GraphTable.of([ReasoningGraph(UserId("u"), steps, 0, 1, "test")])
    with pytest.raises(GraphError, match=r"expected text features of shape \(1, F\) \(got \(3,"):
        GraphInputs.of(table, {}, lambda texts: np.zeros((3, 2), np.float32))
