"""A reasoning graph while it grows."""

from __future__ import annotations

from dataclasses import dataclass, field

from llmrg.data.catalog import Catalog
from llmrg.types import Chain, Node, Origin, ReasoningGraph, Step, UserHistory, Verdict


@dataclass(frozen=True, slots=True)
class Proposal:
    """A link that somebody thought of and nobody has attached yet.

    Attributes:
        parent: step it would follow; -1 to start a chain.
        via: attribute or profile nodes between the parent and the item.
        node: the item it leads to.
        verdict: set if the link comes from the knowledge base and was verified before.
    """

    parent: int
    via: tuple[Node, ...]
    node: Node
    reason: str
    verdict: Verdict | None = None


@dataclass
class Draft:
    """Steps attached so far for one user, in order.

    Attributes:
        tips: observed item steps that no observed step follows, oldest first (an ordered set).
        latest: newest observed step of every item taken so far, in the order they were taken.
    """

    history: UserHistory
    reasoner: str
    start: int
    steps: list[Step] = field(default_factory=list)
    tips: dict[int, None] = field(default_factory=dict)
    latest: dict[str, int] = field(default_factory=dict)

    def chain(self, index: int) -> Chain:
        """The path from its root to a step."""
        path = []
        while index >= 0:
            path.append(self.steps[index])
            index = self.steps[index].parent
        return Chain(tuple(reversed(path)))

    def with_proposal(self, proposal: Proposal, origin: Origin, position: int) -> Chain:
        """The chain as it would read if `proposal` were attached."""
        before = self.chain(proposal.parent).steps if proposal.parent >= 0 else ()
        return Chain(before + tuple(_steps_of(proposal, origin, position, -1)))

    def attach(self, proposal: Proposal, origin: Origin, position: int) -> int:
        """Add the steps of a proposal; return the index of the item step."""
        parent = proposal.parent
        for step in _steps_of(proposal, origin, position, len(self.steps)):
            self.steps.append(Step(step.node, step.reason, origin, position, parent, step.verdict))
            parent = len(self.steps) - 1
        if origin == "observed":
            self.tips.pop(proposal.parent, None)
            self.tips[parent] = None
            self.latest.pop(proposal.node.key, None)
            self.latest[proposal.node.key] = parent
        return parent

    def graph(self, observed_until: int) -> ReasoningGraph:
        """The finished graph."""
        return ReasoningGraph(
            user_id=self.history.user_id,
            steps=tuple(self.steps),
            observed_from=self.start,
            observed_until=observed_until,
            reasoner=self.reasoner,
        )


def _steps_of(proposal: Proposal, origin: Origin, position: int, first: int) -> list[Step]:
    """The via nodes and the item; only the item step carries the reason and the verdict."""
    via = [Step(node, "", origin, position) for node in proposal.via]
    return [
        *via,
        Step(proposal.node, proposal.reason, origin, position, verdict=proposal.verdict),
    ]


def resume(graph: ReasoningGraph, history: UserHistory) -> Draft:
    """Reopen a finished graph so that it can grow by the items that came since."""
    draft = Draft(history, graph.reasoner, graph.observed_from, steps=list(graph.steps))
    for index, step in enumerate(graph.steps):
        if step.origin == "observed":
            draft.tips.pop(step.parent, None)
            if step.node.kind == "item":
                draft.tips[index] = None
                draft.latest.pop(step.node.key, None)
                draft.latest[step.node.key] = index
    return draft


def item_node(catalog: Catalog, item_id: str) -> Node:
    """The node of a catalogue item."""
    index = catalog.index_of[item_id]  # type: ignore[index]
    return Node("item", item_id, catalog.item(index).title)
