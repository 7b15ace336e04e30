"""Graphs that saw a held-out item, or belong to other data, never reach training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from llmrg.data.catalog import Catalog
from llmrg.data.interactions import Histories
from llmrg.data.splits import leave_one_out
from llmrg.encoding.leakage import check_against
from llmrg.errors import GraphError, LeakageError
from llmrg.graph_store import GraphTable
from llmrg.types import Item, ItemId, Node, ReasoningGraph, Step, UserId

CATALOG = Catalog(tuple(Item(ItemId(f"i{n}"), f"Title {n}") for n in range(1, 7)))
# Ann took i1 … i5: leave-one-out trains on i1, i2, i3 and holds out i4 and i5. Bob took i6, i1, i2.
WHOLE = Histories(
    np.array(["Ann", "Bob"], dtype=object),
    np.array([0, 5, 8]),
    np.array([1, 2, 3, 4, 5, 6, 1, 2], dtype=np.int32),
)
TRAIN = leave_one_out(WHOLE).train


def item(n: int, position: int, parent: int = -1, origin: str = "observed") -> Step:
    return Step(Node("item", f"i{n}", f"Title {n}"), "", origin, position, parent)


ANN = ReasoningGraph(
    UserId("Ann"),
    (item(1, 0), item(2, 1, 0), item(6, 1, 1, "imagined"), item(3, 2, 1)),
    0,
    3,
    "test",
)
BOB = ReasoningGraph(UserId("Bob"), (item(6, 0),), 0, 1, "test")


def check(*graphs: ReasoningGraph) -> None:
    check_against(GraphTable.of(graphs), TRAIN, CATALOG)


def test_graphs_of_the_training_part_pass_whatever_their_order_and_however_few():
    check(ANN, BOB)
    check(BOB, ANN)
    check(BOB)
    check()
    check(replace(ANN, steps=(), observed_until=0))


def test_a_graph_that_saw_a_held_out_item_is_refused_with_user_position_and_item():
    planted = replace(ANN, steps=(*ANN.steps, item(4, 3, 3)), observed_until=4)
    with pytest.raises(LeakageError, match=r"user 'Ann': 'i4' was attached at position 3"):
        check(BOB, planted)


def test_an_imagined_step_of_a_held_out_position_is_leakage_too():
    planted = replace(ANN, steps=(*ANN.steps, item(1, 3, 3, "imagined")), observed_until=4)
    with pytest.raises(LeakageError, match="'i1' was attached at position 3"):
        check(planted)


def test_a_builder_that_was_shown_too_much_is_refused_even_if_no_step_tells():
    with pytest.raises(LeakageError, match=r"user 'Ann'.*shown 5 items, but position 3"):
        check(BOB, replace(ANN, observed_until=5))


def test_a_graph_of_another_history_is_refused_with_what_the_history_has():
    wrong = replace(BOB, steps=(item(5, 0),))
    with pytest.raises(GraphError, match=r"user 'Bob', position 0: .* 'i5', but .* has 'i6'"):
        check(ANN, wrong)


def test_an_item_outside_the_catalog_is_refused():
    with pytest.raises(GraphError, match="user 'Bob': item 'i99' of the graph is not in"):
        check(ANN, replace(BOB, steps=(item(6, 0), item(99, 0, 0, "imagined"))))


def test_a_user_outside_the_training_data_is_refused():
    with pytest.raises(GraphError, match="user 'Eve' has a graph but no training history"):
        check(ANN, replace(BOB, user_id=UserId("Eve")))
