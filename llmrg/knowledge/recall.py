"""Which verified links fit this graph and this item."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from llmrg.knowledge.base import Link, Snapshot


def recall_links(
    snapshot: Snapshot, earlier: Sequence[str], target: str, *, limit: int
) -> list[Link]:
    """Find links that lead to `target` from an item the user already took.

    The key is the pair (earlier item → target), for *any* earlier item and not only the last one:
    such pairs recur far sooner.

    Args:
        earlier: item_ids before the target, newest first.
        limit: at most so many links, best score first; of equal scores the newest source.
    """
    found = [link for source in earlier if (link := snapshot.observed(source, target))]
    found.sort(key=lambda link: -link.score)
    return found[:limit]


def recall_extensions(
    snapshot: Snapshot, tip: str, *, taken: Collection[str], limit: int
) -> list[Link]:
    """Find what was imagined to follow `tip` and has not been taken by this user before."""
    return [link for link in snapshot.imagined(tip) if link.target.key not in taken][:limit]
