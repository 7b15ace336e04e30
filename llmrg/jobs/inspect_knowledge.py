"""The knowledge base, for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmrg.errors import ResourceError
from llmrg.knowledge.store import KnowledgeStore
from llmrg.knowledge.summary import show_links


@contextmanager
def open_existing(url: str) -> Iterator[KnowledgeStore]:
    """Open a knowledge base that is there; looking must not make an empty one.

    Raises:
        ResourceError: if its file does not exist.
    """
    scheme, _, place = url.partition(":///")
    if scheme == "sqlite" and not Path(place).is_file():
        raise ResourceError(
            f"there is no knowledge base at {url}; build graphs first, or name one with --url"
        )
    store = KnowledgeStore(url)
    try:
        yield store
    finally:
        store.close()


def describe_links(store: KnowledgeStore, *, text: str, limit: int, offset: int) -> dict[str, Any]:
    """One page of links, and how many there are."""
    records, total = show_links(store, text=text, limit=limit, offset=offset)
    return {
        "shown": len(records),
        "total": total,
        "links": [
            {
                "id": record.link_id,
                "origin": record.link.origin,
                "source": record.link.source.text,
                "target": record.link.target.text,
                "via": [node.text for node in record.link.via],
                "reason": record.link.reason,
                "score": record.link.score,
                "support": record.support,
                "reasoner": record.link.reasoner,
                "prompt": record.link.prompt,
                "scope": record.scope,
            }
            for record in records
        ],
    }


def links_as_text(page: dict[str, Any]) -> str:
    """The same page for a terminal."""
    lines = []
    for link in page["links"]:
        arrow = "→" if link["origin"] == "observed" else "⇢"
        via = f" via {', '.join(link['via'])}" if link["via"] else ""
        lines.append(f"{link['source']} {arrow} {link['target']}{via}")
        lines.append(
            f"    {link['reason']}  [score {link['score']:.0f}, taught by {link['support']}, "
            f"{link['reasoner']}]"
        )
    lines.append(f"showing {page['shown']} of {page['total']} links")
    return "\n".join(lines)
