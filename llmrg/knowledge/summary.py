"""Read-only views of the knowledge base, for people."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from llmrg.knowledge.base import Link
from llmrg.knowledge.store import LESSONS, LINKS, KnowledgeStore, link_of_row


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """A link with its identity, its scope and how many users taught it."""

    link_id: str
    scope: str
    support: int
    link: Link


def show_links(
    store: KnowledgeStore, *, text: str = "", limit: int = 20, offset: int = 0
) -> tuple[list[LinkRecord], int]:
    """List links whose item titles or ids contain `text`, best supported first.

    Returns:
        One page of links, and the number of links that match in all.
    """
    where: sa.ColumnElement[bool] = sa.true()
    if text:
        columns = (LINKS.c.source, LINKS.c.source_text, LINKS.c.target, LINKS.c.target_text)
        where = sa.or_(*(column.icontains(text, autoescape=True) for column in columns))
    support = sa.func.count(LESSONS.c.user_token).label("support")
    query = (
        sa.select(LINKS, support)
        .join(LESSONS, LESSONS.c.link_id == LINKS.c.link_id, isouter=True)
        .where(where)
        .group_by(LINKS.c.link_id)
        .order_by(support.desc(), LINKS.c.score.desc(), LINKS.c.link_id)
        .limit(limit)
        .offset(offset)
    )
    with store.connect() as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(LINKS).where(where))
        rows = connection.execute(query).all()
        records = [LinkRecord(r.link_id, r.scope, int(r.support), link_of_row(r)) for r in rows]
        return records, int(total.scalar_one())
