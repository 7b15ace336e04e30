"""One user's reasoning graph as a networkx graph, for paths, centrality and export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmrg.types import ReasoningGraph

if TYPE_CHECKING:
    import networkx


def to_networkx(graph: ReasoningGraph) -> networkx.MultiDiGraph:
    """Merge equal nodes of all chains; every step that follows another becomes one edge.

    The whole graph is converted, with the imagined steps of tips that were continued since; pass
    `graph.extended()` for the graph as it stands.

    Returns:
        Nodes are named (kind, key) and carry `kind`, `key`, `text` and `position`, the first
        position at which they appear. Edges carry `reason`, `origin`, `position` and `score`
        (0 to 100, None where nothing was verified). Graph attributes: `user_id`, `reasoner`,
        `observed_from`, `observed_until`.
    """
    import networkx

    network = networkx.MultiDiGraph(
        user_id=graph.user_id,
        reasoner=graph.reasoner,
        observed_from=graph.observed_from,
        observed_until=graph.observed_until,
    )
    for step in graph.steps:
        node = step.node
        name = (node.kind, node.key)
        if name not in network:
            network.add_node(
                name, kind=node.kind, key=node.key, text=node.text, position=step.position
            )
        if step.parent >= 0:
            parent = graph.steps[step.parent].node
            network.add_edge(
                (parent.kind, parent.key),
                name,
                reason=step.reason,
                origin=step.origin,
                position=step.position,
                score=step.verdict.score if step.verdict else None,
            )
    return network
