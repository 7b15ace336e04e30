"""What a finished graph teaches the knowledge base."""

from __future__ import annotations

from collections.abc import Iterator

from llmrg.knowledge.base import Lesson, Link
from llmrg.types import Attributes, Chain, Node, ReasoningGraph


def lessons_of(
    graph: ReasoningGraph, *, rank: int, token: str, profile: Attributes = ()
) -> Iterator[Lesson]:
    """Yield every link of `graph` that is worth sharing.

    Only what was questioned and accepted here is taught: a recalled link is never learned again,
    or the knowledge base would count its own echo as support, and a link that a job did not verify
    is none of its business. Links that run through the user's profile, or whose reason repeats an
    entry of it, stay private: they hold for that profile only, and they would tell of it.
    """
    private = [value.casefold() for _, value in profile if value]
    for index, step in enumerate(graph.steps):
        verdict = step.verdict
        if step.node.kind != "item" or verdict is None or verdict.recalled or not verdict.hidden:
            continue
        if any(value in step.reason.casefold() for value in private):
            continue
        link = _link_to(graph.chain(index))
        if verdict.accepted and link is not None:
            yield Lesson(link, rank, token)


def _link_to(chain: Chain) -> Link | None:
    """The link that ends in the chain's tip, or None if it cannot be shared."""
    step = chain.tip
    verdict = step.verdict
    via: list[Node] = []
    for before in reversed(chain.steps[:-1]):
        if before.node.kind == "profile":
            return None
        if before.node.kind == "item":
            assert verdict is not None
            return Link(
                origin=step.origin,
                source=before.node,
                target=step.node,
                via=tuple(reversed(via)),
                reason=step.reason,
                score=verdict.score,
                chance=verdict.chance,
                reasoner=verdict.reasoner,
                prompt=verdict.prompt,
            )
        via.append(before.node)
    return None
