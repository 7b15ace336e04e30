"""Stage 1, chained graph reasoning: propose reasons that link the next item to the chains so far.

Paper: arXiv 2308.10835, "chained graph reasoning". The reasoner sees the profile, the living chains
and the next item, and names the chains it continues, each with a cause. Where the paper lets the
prompt grow with all chains, we show the newest `max_chains` and the newest steps of each.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmrg.errors import ReplyError
from llmrg.reasoning.ask import Asker, describe_attributes, describe_item, describe_steps
from llmrg.reasoning.draft import Draft, Proposal
from llmrg.reasoning.stages import ChainReply
from llmrg.text import clean
from llmrg.types import Attributes, Item, Node


async def propose(
    asker: Asker, draft: Draft, item: Item, *, max_chains: int, max_links: int
) -> list[Proposal]:
    """Ask which chains `item` continues.

    Returns:
        At most `max_links` proposals, in the order of the reply. A reply that stays unusable is
        counted as "chain.invalid" and proposes nothing.
    """
    offered = list(draft.tips)[-max_chains:]
    profile = draft.history.profile
    data = {
        "profile": describe_attributes(profile),
        "chains": [
            {"number": number, "steps": describe_steps(draft.chain(tip))}
            for number, tip in enumerate(offered, start=1)
        ],
        "next": describe_item(item),
        "most": max_links,
    }
    try:
        reply = await asker.ask("chain", ChainReply, data)
    except ReplyError:
        asker.tally["chain.invalid"] += 1
        return []
    vias = {**via_nodes("profile", profile), **via_nodes("attribute", item.attributes)}
    proposals: dict[int, Proposal] = {}
    for link in reply.links:
        if link.chain > len(offered):
            asker.tally["chain.unknown_chain"] += 1
            continue
        parent = offered[link.chain - 1] if link.chain else -1
        via = known_vias(asker, link.via, vias)
        node = Node("item", item.item_id, item.title)
        proposals.setdefault(parent, Proposal(parent, via, node, clean(link.reason)))
    return list(proposals.values())[:max_links]


def via_nodes(kind: str, attributes: Attributes) -> dict[str, Node]:
    """The nodes a link may run through, by the text that a question shows for them."""
    texts = describe_attributes(attributes)
    return {
        text: Node("profile" if kind == "profile" else "attribute", f"{name}={value}", text)
        for text, (name, value) in zip(texts, attributes, strict=False)
    }


def known_vias(asker: Asker, texts: Sequence[str], offered: dict[str, Node]) -> tuple[Node, ...]:
    """Keep the first via that was offered; the others are counted and dropped."""
    known = [offered[text] for text in texts if text in offered]
    asker.tally["via.unknown"] += len(texts) - len(known)
    return tuple(known[:1])
