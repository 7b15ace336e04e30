"""Stage 2, divergent extension: imagine where a chain may lead.

Paper: arXiv 2308.10835, "divergent extension". The question is about the tip of one chain, with the
chain and the profile but not the rest of the history, so that equal tips of other users can answer
it from the knowledge base.
"""

from __future__ import annotations

from llmrg.data.catalog import Catalog
from llmrg.errors import ReplyError
from llmrg.reasoning.ask import Asker, describe_attributes, describe_steps
from llmrg.reasoning.chain import known_vias, via_nodes
from llmrg.reasoning.draft import Draft, Proposal
from llmrg.reasoning.ground import Grounder
from llmrg.reasoning.stages import ExtendReply
from llmrg.text import clean
from llmrg.types import Item, Node


async def extend(
    asker: Asker, draft: Draft, tip: int, item: Item, *, wanted: int, ground: Grounder
) -> list[Proposal]:
    """Ask what may follow the chain that ends in step `tip`, the item `item`.

    Returns:
        At most `wanted` proposals that are grounded in the catalogue and new to the user. Titles
        the catalogue does not have are counted as "extend.ungrounded".
    """
    data = {
        "profile": describe_attributes(draft.history.profile),
        "steps": describe_steps(draft.chain(tip)),
        "attributes": describe_attributes(item.attributes),
        "wanted": wanted,
    }
    try:
        reply = await asker.ask("extend", ExtendReply, data)
    except ReplyError:
        asker.tally["extend.invalid"] += 1
        return []
    offered = via_nodes("attribute", item.attributes)
    proposals: dict[str, Proposal] = {}
    for imagined in reply.next[:wanted]:
        grounded = ground.find(imagined.title)
        if grounded is None:
            asker.tally["extend.ungrounded"] += 1
        elif grounded.item_id in draft.latest:
            asker.tally["extend.taken"] += 1
        else:
            via = known_vias(asker, imagined.via, offered)
            node = Node("item", grounded.item_id, grounded.title)
            proposals.setdefault(node.key, Proposal(tip, via, node, clean(imagined.reason)))
    return list(proposals.values())


def item_of(catalog: Catalog, node: Node) -> Item:
    """The catalogue item a node stands for."""
    return catalog.item(catalog.index_of[node.key])  # type: ignore[index]
