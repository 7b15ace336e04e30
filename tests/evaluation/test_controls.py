from __future__ import annotations

import numpy as np

from llmrg.data.catalog import Catalog
from llmrg.data.interactions import Histories
from llmrg.encoding.leakage import check_against
from llmrg.encoding.tensors import prefix_graphs
from llmrg.evaluation.controls import sequence_graph
from llmrg.graph_store import GraphTable
from llmrg.types import Item, ItemId, Node, ReasoningGraph, Step, UserId

CATALOG = Catalog(tuple(Item(ItemId(f"i{n}"), f"Title {n}") for n in range(1, 6)))
HISTORIES = Histories(
    np.array(["long", "none", "short"], dtype=object),
    np.array([0, 5, 5, 7]),
    np.array([1, 2, 3, 2, 4, 5, 5], dtype=np.int32),
)


def chain(user: str, items: list[int], first: int, until: int) -> ReasoningGraph:
    steps = tuple(
        Step(Node("item", f"i{n}", f"Title {n}"), "", "observed", first + i, i - 1)
        for i, n in enumerate(items)
    )
    return ReasoningGraph(UserId(user), steps, first, until, "sequence")


def test_the_sequence_graph_is_one_chain_of_the_newest_items_of_each_user():
    by_hand = GraphTable.of(
        [chain("long", [3, 2, 4], 2, 5), chain("none", [], 0, 0), chain("short", [5, 5], 0, 2)]
    )
    made = sequence_graph(HISTORIES, CATALOG, 3)
    for name in ("user_ids", "offsets", "parent", "origin", "position", "alive_until",
                 "observed_from", "observed_until"):  # fmt: skip
        np.testing.assert_array_equal(getattr(made, name), getattr(by_hand, name), err_msg=name)
    for name in ("kinds", "keys", "texts"):
        of_steps = [getattr(table, name)[table.node].tolist() for table in (made, by_hand)]
        assert of_steps[0] == of_steps[1]
    assert np.isnan(made.score).all()


def test_nothing_is_imagined_so_both_of_its_graphs_are_the_same():
    made = sequence_graph(HISTORIES, CATALOG, 50)
    rows, prefixes = np.array([0, 0, 2]), np.array([2, 5, 2])
    observed, extended = (
        prefix_graphs(made, np.arange(5), rows, prefixes, variant)
        for variant in ("observed", "extended")
    )
    for name in ("x", "edge_index", "batch", "ptr", "count", "last"):
        assert observed[name].tolist() == extended[name].tolist()


def test_it_passes_the_check_for_leakage_on_its_own_histories():
    check_against(sequence_graph(HISTORIES, CATALOG, 3), HISTORIES, CATALOG)


def test_a_graph_can_start_where_another_one_starts():
    starts = np.array([1, 0, 2])
    by_hand = GraphTable.of(
        [chain("long", [2, 3, 2, 4], 1, 5), chain("none", [], 0, 0), chain("short", [], 2, 2)]
    )
    made = sequence_graph(HISTORIES, CATALOG, 3, starts=starts)
    for name in ("offsets", "parent", "position", "alive_until", "observed_from", "observed_until"):
        np.testing.assert_array_equal(getattr(made, name), getattr(by_hand, name), err_msg=name)
    assert made.keys[made.node].tolist() == by_hand.keys[by_hand.node].tolist()
    check_against(made, HISTORIES, CATALOG)
