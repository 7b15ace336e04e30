"""The main flow: one user's reasoning graph, item by item.

    for each item, oldest first:   recall or propose → verify → attach what holds up
    for each chain tip it made:    recall or extend → ground → verify → attach as imagined

Paper: arXiv 2308.10835, figure 1. Differs: imagined steps are made for the tips of *every* position
and carry that position, so that the graph of each training prefix has its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from llmrg.data.catalog import Catalog
from llmrg.knowledge.base import Link, Snapshot
from llmrg.knowledge.recall import recall_extensions, recall_links
from llmrg.reasoning.ask import Asker, Tally
from llmrg.reasoning.chain import propose
from llmrg.reasoning.draft import Draft, Proposal, item_node, resume
from llmrg.reasoning.extend import extend, item_of
from llmrg.reasoning.ground import Grounder
from llmrg.reasoning.verify import verify
from llmrg.types import Origin, ReasoningGraph, UserHistory, Verdict


@dataclass(frozen=True)
class ReasoningSettings:
    """How graphs are built.

    Attributes:
        max_length: newest items of a history that are reasoned about.
        max_chains: newest living chains a proposal may choose from.
        max_links: most chains one item may continue.
        per_chain: imagined items per chain tip; 0 turns divergent extension off.
        threshold: smallest accepted verification score, 0 to 100; 0 turns verification off.
    """

    max_length: int = 50
    max_chains: int = 12
    max_links: int = 2
    per_chain: int = 3
    threshold: float = 70.0


@dataclass(frozen=True)
class Builder:
    """Builds graphs with one reasoner, one catalogue and one snapshot of the knowledge base."""

    asker: Asker
    catalog: Catalog
    snapshot: Snapshot
    ground: Grounder
    settings: ReasoningSettings

    async def build(self, history: UserHistory) -> tuple[ReasoningGraph, Tally]:
        """Build the graph of a whole history."""
        start = max(0, len(history.interactions) - self.settings.max_length)
        draft = Draft(history, self.asker.llm.name, start)
        return await self._grow(draft, start)

    async def grow(
        self, graph: ReasoningGraph, history: UserHistory
    ) -> tuple[ReasoningGraph, Tally]:
        """Extend a graph by the interactions that came after it; what it holds stays as it is."""
        return await self._grow(resume(graph, history), graph.observed_until)

    async def _grow(self, draft: Draft, start: int) -> tuple[ReasoningGraph, Tally]:
        asker = self.asker.for_user()
        worker = replace(self, asker=asker)
        end = len(draft.history.interactions)
        for position in range(start, end):
            await worker._add_item(draft, position)
        return draft.graph(end), asker.tally

    async def _add_item(self, draft: Draft, position: int) -> None:
        """Link the item at `position` to the chains so far, then imagine what may follow it."""
        node = item_node(self.catalog, draft.history.interactions[position].item_id)
        tally = self.asker.tally
        earlier = list(reversed(draft.latest))
        recalled = recall_links(self.snapshot, earlier, node.key, limit=self.settings.max_links)
        if recalled:
            tally["chain.recalled"] += 1
            proposals = [_remembered(link, draft.latest[link.source.key]) for link in recalled]
        else:
            proposals = await propose(
                self.asker,
                draft,
                item_of(self.catalog, node),
                max_chains=self.settings.max_chains,
                max_links=self.settings.max_links,
            )
        accepted = await self._verified(draft, proposals, "observed", position)
        # An item that nothing leads to starts a chain of its own: every item is in the graph.
        accepted = accepted or [Proposal(-1, (), node, "")]
        tips = [draft.attach(proposal, "observed", position) for proposal in accepted]
        if self.settings.per_chain:
            for tip in tips:
                await self._imagine(draft, tip, position)

    async def _imagine(self, draft: Draft, tip: int, position: int) -> None:
        """Attach what may follow the chain that ends in step `tip`."""
        node = draft.steps[tip].node
        wanted = self.settings.per_chain
        recalled = recall_extensions(self.snapshot, node.key, taken=draft.latest, limit=wanted)
        if recalled:
            self.asker.tally["extend.recalled"] += 1
            proposals = [_remembered(link, tip) for link in recalled]
        else:
            proposals = await extend(
                self.asker,
                draft,
                tip,
                item_of(self.catalog, node),
                wanted=wanted,
                ground=self.ground,
            )
        for proposal in await self._verified(draft, proposals, "imagined", position):
            draft.attach(proposal, "imagined", position)

    async def _verified(
        self, draft: Draft, proposals: list[Proposal], origin: Origin, position: int
    ) -> list[Proposal]:
        """Keep the proposals that survive being questioned; remembered ones were before."""
        kept = []
        for proposal in proposals:
            if proposal.verdict is not None:
                self.asker.tally["verify.recalled"] += 1
                kept.append(proposal)
            elif proposal.parent < 0 and not proposal.via:
                kept.append(proposal)  # a bare root links nothing
            elif not self.settings.threshold:
                kept.append(replace(proposal, verdict=_unquestioned(self.asker.llm.name)))
            else:
                verdict = await verify(
                    self.asker,
                    draft.with_proposal(proposal, origin, position),
                    new_steps=1 + len(proposal.via),
                    profile=draft.history.profile,
                    threshold=self.settings.threshold,
                    proposed_by="chain" if origin == "observed" else "extend",
                )
                if verdict.accepted:
                    kept.append(replace(proposal, verdict=verdict))
        return kept


def _remembered(link: Link, parent: int) -> Proposal:
    """A link of the knowledge base as a proposal that needs no questioning."""
    verdict = Verdict(
        score=link.score,
        accepted=True,
        chance=link.chance,
        hidden="",
        answered="",
        reasoner=link.reasoner,
        prompt=link.prompt,
        recalled=True,
    )
    return Proposal(parent, link.via, link.target, link.reason, verdict)


def _unquestioned(reasoner: str) -> Verdict:
    """The verdict of a job that turned verification off: accepted, and worth nothing as proof."""
    return Verdict(0.0, True, None, "", "", reasoner, "")
