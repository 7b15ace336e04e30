"""The reasoning graph as it stood after any number of items, on graphs small enough to draw."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import graphs

from llmrg.types import (
    MASK,
    Chain,
    Interaction,
    ItemId,
    Node,
    ReasoningGraph,
    Step,
    UserHistory,
    UserId,
    Verdict,
)


def item(key: str, position: int, parent: int = -1, *, reason: str = "") -> Step:
    return Step(Node("item", key, key), reason, "observed", position, parent)


def imagined(key: str, position: int, parent: int) -> Step:
    return Step(Node("item", key, key), "next?", "imagined", position, parent)


def graph(*steps: Step, until: int) -> ReasoningGraph:
    return ReasoningGraph(UserId("u"), steps, 0, until, "test")


# History a, b, c. After a, x and y are imagined (y from x); b starts its own chain and z is
# imagined from it; c continues a.
TWO_CHAINS = graph(
    item("a", 0),  # 0
    imagined("x", 0, 0),  # 1
    imagined("y", 0, 1),  # 2
    item("b", 1),  # 3
    imagined("z", 1, 3),  # 4
    item("c", 2, 0),  # 5
    imagined("w", 2, 5),  # 6
    until=3,
)


def keys(graph: ReasoningGraph) -> list[str]:
    return [step.node.key for step in graph.steps]


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (0, []),
        (1, ["a", "x", "y"]),
        (2, ["a", "x", "y", "b", "z"]),  # a is still a tip, so x and y live
        (3, ["a", "b", "z", "c", "w"]),  # c continued a: x is gone, and y with it
        (9, ["a", "b", "z", "c", "w"]),  # nothing is known beyond observed_until
    ],
)
def test_until_n_holds_the_items_before_n_and_what_was_imagined_from_tips_alive_at_n(n, expected):
    assert keys(TWO_CHAINS.until(n)) == expected


def test_imagined_steps_live_until_their_tip_is_continued():
    assert TWO_CHAINS.alive_until == (3, 2, 2, 3, 3, 3, 3)


def test_until_never_claims_to_have_seen_more_than_the_builder_did():
    assert TWO_CHAINS.until(9).observed_until == 3
    assert TWO_CHAINS.until(2).observed_until == 2


def test_the_observed_graph_has_no_imagined_step_and_keeps_its_links():
    observed = TWO_CHAINS.observed()
    assert keys(observed) == ["a", "b", "c"]
    assert [step.parent for step in observed.steps] == [-1, -1, 0]


def test_the_extended_graph_leaves_out_what_was_imagined_from_continued_tips():
    assert keys(TWO_CHAINS.extended()) == ["a", "b", "z", "c", "w"]


def test_a_tip_continued_through_an_attribute_is_continued():
    genre = Step(Node("attribute", "genres=Comedy", "Comedy"), "", "observed", 1, 0)
    through = graph(item("a", 0), imagined("x", 0, 0), genre, item("b", 1, 2), until=2)
    assert keys(through.until(1)) == ["a", "x"]
    assert keys(through.until(2)) == ["a", "genres=Comedy", "b"]


def test_chains_run_from_a_root_to_each_tip():
    assert [[step.node.key for step in chain.steps] for chain in TWO_CHAINS.chains] == [
        ["a", "x", "y"],
        ["b", "z"],
        ["a", "c", "w"],
    ]


def test_the_verdict_of_a_chain_is_that_of_its_newest_link():
    verdict = Verdict(80.0, True, 5.0, "b", "b", "test", "p")
    linked = graph(item("a", 0), replace(item("b", 1, 0), verdict=verdict), until=2)
    assert linked.chain(1).verdict == verdict
    assert linked.chain(0).verdict is None


def test_masking_a_step_also_cuts_its_text_from_the_reasons():
    chain = Chain((item("Heat", 0), item("Ronin", 1, 0, reason="Heat and Ronin share an actor")))
    masked = chain.masked(1)
    assert masked.steps[1].node == Node("item", "", MASK)
    assert masked.steps[1].reason == "Heat and [Mask] share an actor"
    assert masked.steps[0] == chain.steps[0]


def test_a_history_until_n_is_its_first_n_interactions():
    history = UserHistory(UserId("u"), tuple(Interaction(ItemId(i)) for i in "abc"))
    assert [i.item_id for i in history.until(2).interactions] == ["a", "b"]


@given(graphs(), st.integers(0, 12), st.integers(0, 12))
@settings(deadline=None)
def test_shrinking_twice_is_shrinking_to_the_smaller_prefix_for_observed_steps(graph, m, n):
    twice = graph.until(m).until(n).observed()
    assert twice.steps == graph.until(min(m, n)).observed().steps


@given(graphs(), st.integers(0, 12))
@settings(deadline=None)
def test_steps_attached_at_n_or_later_never_reach_the_graph_of_a_prefix_up_to_n(graph, n):
    past = [step.position < n for step in graph.steps]
    kept = [index for index, keep in enumerate(past) if keep]
    number = {-1: -1} | {old: new for new, old in enumerate(kept)}
    without_future = replace(
        graph,
        steps=tuple(replace(graph.steps[i], parent=number[graph.steps[i].parent]) for i in kept),
    )
    assert without_future.until(n).steps == graph.until(n).steps
