"""The words of llmrg as frozen types: items, histories, and the graph both halves meet at.

A reasoning graph is a forest of steps. Every step but a root follows another step for a reason, so
a *chain* is the path from a root to any step. Steps are kept in the order they were attached, and
each carries the `position` in the user's history at which that happened: the graph as it stood
after *n* items is therefore a filter, not a rebuild.

Source: Wang et al., "Enhancing Recommender Systems with Large Language Model Reasoning Graphs",
arXiv 2308.10835. The paper draws its graphs but fixes no format; `graphs/README.md` says ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NewType

ItemId = NewType("ItemId", str)  # the catalogue's name for an item
ItemIndex = NewType("ItemIndex", int)  # the embedding row of an item; 0 is padding
UserId = NewType("UserId", str)

NodeKind = Literal["item", "attribute", "profile", "concept"]
Origin = Literal["observed", "imagined"]
Attributes = tuple[tuple[str, str], ...]
"""(name, value) pairs in a fixed order, such as (("genres", "Comedy"), ("year", "1995"))."""

GRAPH_SCHEMA_VERSION = 1
MASK = "[Mask]"


@dataclass(frozen=True, slots=True)
class Item:
    """One row of the catalogue; `title` is unique in its catalogue."""

    item_id: ItemId
    title: str
    attributes: Attributes = ()


@dataclass(frozen=True, slots=True)
class Interaction:
    """A user took an item; `timestamp` is in Unix seconds, None where only the order is known."""

    item_id: ItemId
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class UserHistory:
    """One user's interactions, oldest first, and what is known about the user."""

    user_id: UserId
    interactions: tuple[Interaction, ...]
    profile: Attributes = ()

    def until(self, n: int) -> UserHistory:
        """Return the history as it stood after its first `n` interactions."""
        return replace(self, interactions=self.interactions[:n])


@dataclass(frozen=True, slots=True)
class Node:
    """Something a step stands on.

    `key` identifies it inside its kind: an item_id, or "name=value" for attributes and profiles.
    `text` is what a person, a prompt and a text encoder read.
    """

    kind: NodeKind
    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of questioning a link before it was attached.

    Attributes:
        score: agreement of the answer with what was hidden, 0 to 100.
        accepted: whether the score reached the threshold in force.
        chance: the score a blind guess would get on average, where it is known.
        hidden: key of the hidden node.
        answered: what the reasoner put in its place, as it said it.
        reasoner: who answered, such as "openai:gpt-4.1-nano" or "catalog:1a2b3c4d".
        prompt: digest of the words that asked.
        recalled: True if the verdict came from the knowledge base and cost nothing.
    """

    score: float
    accepted: bool
    chance: float | None
    hidden: str
    answered: str
    reasoner: str
    prompt: str
    recalled: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One node of a chain and why it follows its parent.

    Attributes:
        reason: why this node follows; a root may say why it starts a chain.
        position: index into the history, from 0, of the item being reasoned about.
        parent: index of the step it follows in `ReasoningGraph.steps`; -1 for a root.
        verdict: None for a root, which links nothing and so has nothing to verify.
    """

    node: Node
    reason: str
    origin: Origin
    position: int
    parent: int = -1
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """The steps from a root to a tip; it reads "item, because …, item"."""

    steps: tuple[Step, ...]

    @property
    def tip(self) -> Step:
        """The newest step."""
        return self.steps[-1]

    @property
    def verdict(self) -> Verdict | None:
        """What questioning the newest link gave."""
        return self.tip.verdict

    def masked(self, i: int) -> Chain:
        """Hide the node of step `i`; its text is cut from every reason that names it."""
        hidden = self.steps[i].node
        steps = [
            replace(step, reason=_hide(step.reason, hidden.text), node=step.node)
            for step in self.steps
        ]
        steps[i] = replace(steps[i], node=Node(hidden.kind, "", MASK))
        return Chain(tuple(steps))


def _hide(reason: str, text: str) -> str:
    return reason.replace(text, MASK) if text else reason


@dataclass(frozen=True)
class ReasoningGraph:
    """All chains of one user.

    Attributes:
        steps: in the order they were attached; a parent always comes before its children.
        observed_from: position of the first item the graph covers.
        observed_until: number of history items the builder was shown; a graph used to train on
            a history of n items must have `observed_until <= n`.
        reasoner: who did the reasoning.
    """

    user_id: UserId
    steps: tuple[Step, ...]
    observed_from: int
    observed_until: int
    reasoner: str
    schema_version: int = GRAPH_SCHEMA_VERSION

    @cached_property
    def alive_until(self) -> tuple[int, ...]:
        """For each step, the longest prefix that still contains it.

        Observed steps stay for good. Imagined steps belong to the tip they were imagined from and
        leave once that tip is continued by an observed step.
        """
        forever = max(self.observed_until, 0)
        continued = [forever] * len(self.steps)
        for step in self.steps:
            if step.parent >= 0 and step.origin == "observed":
                continued[step.parent] = min(continued[step.parent], step.position)
        alive = []
        for index, step in enumerate(self.steps):
            if step.origin == "observed":
                alive.append(forever)
                continue
            parent = step.parent
            inherited = self.steps[parent].origin == "imagined"
            alive.append(alive[parent] if inherited else continued[parent])
            assert parent < index
        return tuple(alive)

    def until(self, n: int) -> ReasoningGraph:
        """Return the graph as it stood after the first `n` items of the history.

        Nothing that was attached at position `n` or later is in it, and imagined steps only of
        the tips that were alive then.
        """
        n = min(n, self.observed_until)
        keep = [
            step.position < n and n <= alive
            for step, alive in zip(self.steps, self.alive_until, strict=True)
        ]
        return replace(self, steps=_keep(self.steps, keep), observed_until=n)

    def observed(self) -> ReasoningGraph:
        """Return the graph of observed steps only: what chained reasoning made."""
        return replace(
            self, steps=_keep(self.steps, [step.origin == "observed" for step in self.steps])
        )

    def extended(self) -> ReasoningGraph:
        """Return the graph with the imagined steps of its living tips: what divergent extension
        made of it. A stored graph also keeps the imagined steps of tips that were continued since.
        """
        return self.until(self.observed_until)

    def chain(self, index: int) -> Chain:
        """Return the path from its root to step `index`."""
        path = []
        while index >= 0:
            path.append(self.steps[index])
            index = self.steps[index].parent
        return Chain(tuple(reversed(path)))

    def tips(self) -> Iterator[int]:
        """Indices of the steps nothing follows: the newest end of every chain."""
        followed = {step.parent for step in self.steps}
        return (index for index in range(len(self.steps)) if index not in followed)

    @property
    def chains(self) -> tuple[Chain, ...]:
        """Every chain from its root to its tip."""
        return tuple(self.chain(index) for index in self.tips())


def _keep(steps: tuple[Step, ...], keep: list[bool]) -> tuple[Step, ...]:
    """Drop steps and renumber parents; a kept step's parent must be kept too."""
    renumbered: dict[int, int] = {-1: -1}
    kept: list[Step] = []
    for index, step in enumerate(steps):
        if keep[index]:
            renumbered[index] = len(kept)
            kept.append(replace(step, parent=renumbered[step.parent]))
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One place in a ranking and the chains of the user's graph that lead to it."""

    item_id: ItemId
    score: float
    rank: int
    chains: tuple[Chain, ...] = ()
