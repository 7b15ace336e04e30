"""The part of a reasoning graph that fits a picture or a terminal, chosen the same way for both."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from llmrg.types import ReasoningGraph, Step


@dataclass(frozen=True)
class Excerpt:
    """The last chains of a graph as it stands.

    Attributes:
        graph: the whole graph, without the imagined steps of tips that were continued since.
        kept: indices of the steps to show, ascending.
        earlier: those of `kept` that lie before the first item shown and only say where a chain
            comes from.
        chains: number of chains shown.
    """

    graph: ReasoningGraph
    kept: tuple[int, ...]
    earlier: frozenset[int]
    chains: int

    def step(self, index: int) -> Step:
        """The step with this index."""
        return self.graph.steps[index]

    def parent(self, index: int) -> int:
        """Index of the kept step that this one follows, or -1."""
        return -1 if index in self.earlier else self.step(index).parent

    @cached_property
    def children(self) -> dict[int, list[int]]:
        """Kept step (-1 for none) → the kept steps that follow it, in order."""
        children: dict[int, list[int]] = {index: [] for index in (-1, *self.kept)}
        for index in self.kept:
            children[self.parent(index)].append(index)
        return children

    @cached_property
    def chains_in_graph(self) -> int:
        """Number of chains of the whole graph."""
        return len(list(self.graph.tips()))


def take(
    graph: ReasoningGraph,
    *,
    last_items: int | None,
    max_chains: int | None = None,
    highlight: Collection[str] = (),
) -> Excerpt:
    """Choose the chains that reach into the last items of the history.

    Args:
        last_items: how many of the newest history items to show; None shows all.
        max_chains: show at most this many chains: first those that end in a highlighted item,
            then the newest.
        highlight: item_ids; an imagined step to one of them is shown whatever its position.
    """
    graph = graph.extended()
    start = 0 if last_items is None else graph.observed_until - last_items

    def shown(index: int) -> bool:
        step = graph.steps[index]
        return step.position >= start or (step.origin == "imagined" and is_hit(index))

    def is_hit(index: int) -> bool:
        node = graph.steps[index].node
        return node.kind == "item" and node.key in highlight

    tips = [tip for tip in graph.tips() if shown(tip)]
    tips.sort(key=lambda tip: (not is_hit(tip), -graph.steps[tip].position, tip))
    tips = tips[:max_chains]
    kept: set[int] = set()
    earlier: set[int] = set()
    for tip in tips:
        index = tip
        while index >= 0 and index not in kept:
            kept.add(index)
            if not shown(index) and index != tip:
                earlier.add(index)
                break
            index = graph.steps[index].parent
    return Excerpt(graph, tuple(sorted(kept)), frozenset(earlier), len(tips))
