"""The knowledge base in a SQL database: one SQLite file by default.

Tables: `links` (one row per scope, origin, source and target; the first lesson's words and rank
stay), `lessons` (who taught it, as a token and a rank), `rounds` (which were learned, and when).
Wall-clock time is in `rounds` alone, so that two runs over the same data hold the same links to
the byte.

All links of a scope are indexed in memory at first use: recalling is a dictionary look-up. A
snapshot is a view that ignores whatever was learned after it was taken.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa

from llmrg.database import insert_once, open_database, translated, writer_of
from llmrg.errors import KnowledgeError
from llmrg.knowledge.base import EVERYONE, KnowledgeStats, Lesson, Link, Snapshot
from llmrg.types import Node

SCHEMA_VERSION = 1

_metadata = sa.MetaData()
META = sa.Table(
    "meta",
    _metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
LINKS = sa.Table(
    "links",
    _metadata,
    sa.Column("link_id", sa.Text, primary_key=True),
    sa.Column("scope", sa.Text, nullable=False, index=True),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("source_text", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("target_text", sa.Text, nullable=False),
    sa.Column("via", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("chance", sa.Float),
    sa.Column("reasoner", sa.Text, nullable=False),
    sa.Column("prompt", sa.Text, nullable=False),
    sa.Column("rank", sa.BigInteger, nullable=False),
)
LESSONS = sa.Table(
    "lessons",
    _metadata,
    sa.Column("link_id", sa.Text, primary_key=True),
    sa.Column("user_token", sa.Text, primary_key=True),
    sa.Column("rank", sa.BigInteger, nullable=False),
)
ROUNDS = sa.Table(
    "rounds",
    _metadata,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("round_name", sa.Text, primary_key=True),
    sa.Column("lessons", sa.Integer, nullable=False),
    sa.Column("learned_at", sa.Text, nullable=False),
)


@dataclass(slots=True)
class _Entry:
    link: Link
    rank: int  # of whoever gave it its words
    moment: int  # number of `learn` calls before it was known


@dataclass(slots=True)
class _Index:
    """All links of one scope, in memory."""

    observed: dict[tuple[str, str], _Entry] = field(default_factory=dict)
    imagined: dict[str, list[_Entry]] = field(default_factory=dict)

    def add(self, link: Link, rank: int, moment: int) -> None:
        entry = _Entry(link, rank, moment)
        if link.origin == "observed":
            self.observed[link.source.key, link.target.key] = entry
        else:
            followers = self.imagined.setdefault(link.source.key, [])
            followers.append(entry)
            followers.sort(key=lambda e: (-e.link.score, e.link.target.key))


@dataclass(frozen=True, slots=True)
class _View:
    index: _Index
    before: int
    moment: int

    def _sees(self, entry: _Entry) -> bool:
        return entry.rank < self.before and entry.moment <= self.moment

    def observed(self, source: str, target: str) -> Link | None:
        entry = self.index.observed.get((source, target))
        return entry.link if entry is not None and self._sees(entry) else None

    def imagined(self, source: str) -> Sequence[Link]:
        return [e.link for e in self.index.imagined.get(source, ()) if self._sees(e)]


class KnowledgeStore:
    """Links in a SQLite file, or in PostgreSQL by its URL.

    Args:
        url: such as "sqlite:///runs/knowledge.db".

    Raises:
        ConfigError: if the URL is none.
        KnowledgeError: if the file was written by a newer llmrg, or is no knowledge base.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = open_database(url, what="knowledge base")
        self._writer = writer_of(self._engine)
        self._indexes: dict[str, _Index] = {}
        self._moment = 0
        self._migrate()

    def _migrate(self) -> None:
        with translated(self._unusable), self._writer.begin() as connection:
            _metadata.create_all(connection)
            rows = connection.execute(sa.select(META).where(META.c.name == "schema")).all()
            if not rows:
                connection.execute(META.insert().values(name="schema", value=str(SCHEMA_VERSION)))
        version = int(rows[0].value) if rows else SCHEMA_VERSION
        if version > SCHEMA_VERSION:
            raise KnowledgeError(
                f"{self.url} has knowledge schema {version}, this llmrg reads up to "
                f"{SCHEMA_VERSION}; upgrade llmrg or name another file under [knowledge] url"
            )

    def snapshot(self, scope: str, *, before: int = EVERYONE) -> Snapshot:
        return _View(self._index(scope), before, self._moment)

    def _index(self, scope: str) -> _Index:
        if scope not in self._indexes:
            index = _Index()
            with self.connect() as connection:
                for row in connection.execute(sa.select(LINKS).where(LINKS.c.scope == scope)):
                    index.add(link_of_row(row), int(row.rank), self._moment)
            self._indexes[scope] = index
        return self._indexes[scope]

    def learn(self, scope: str, round_name: str, lessons: Iterable[Lesson]) -> int:
        index = self._index(scope)
        rows, taught, fresh = self._sort_lessons(scope, index, lessons)
        with translated(self._unusable), self._writer.begin() as connection:
            learned = connection.execute(
                sa.select(ROUNDS.c.lessons).where(
                    ROUNDS.c.scope == scope, ROUNDS.c.round_name == round_name
                )
            ).first()
            if learned is not None:
                return 0
            # Another job may have learned the same link meanwhile: the first one's words stay.
            if rows:
                connection.execute(insert_once(self._engine, LINKS), rows)
            if taught:
                connection.execute(insert_once(self._engine, LESSONS), taught)
            connection.execute(
                ROUNDS.insert().values(
                    scope=scope,
                    round_name=round_name,
                    lessons=len(taught),
                    learned_at=datetime.now(UTC).isoformat(timespec="seconds"),
                )
            )
        self._moment += 1
        for link, rank in fresh:
            index.add(link, rank, self._moment)
        return len(fresh)

    def _sort_lessons(
        self, scope: str, index: _Index, lessons: Iterable[Lesson]
    ) -> tuple[list[dict[str, object]], list[dict[str, object]], list[tuple[Link, int]]]:
        """Split lessons into rows for both tables and the links that are new to this scope."""
        rows: dict[str, dict[str, object]] = {}
        taught: dict[tuple[str, str], dict[str, object]] = {}
        fresh: list[tuple[Link, int]] = []
        for lesson in lessons:
            link = lesson.link
            identity = link_id(scope, link)
            key = (identity, lesson.user_token)
            taught.setdefault(
                key,
                {"link_id": identity, "user_token": lesson.user_token, "rank": lesson.rank},
            )
            if identity not in rows and not _known(index, link):
                place = {"link_id": identity, "scope": scope, "rank": lesson.rank}
                rows[identity] = {**place, **_row_of_link(link)}
                fresh.append((link, lesson.rank))
        return list(rows.values()), list(taught.values()), fresh

    def has_learned(self, scope: str, round_name: str) -> bool:
        same = (ROUNDS.c.scope == scope, ROUNDS.c.round_name == round_name)
        with self.connect() as connection:
            return connection.execute(sa.select(ROUNDS.c.lessons).where(*same)).first() is not None

    def stats(self) -> KnowledgeStats:
        def count(table: sa.Table, *where: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
            return sa.select(sa.func.count()).select_from(table).where(*where).scalar_subquery()

        query = sa.select(
            sa.select(sa.func.count(sa.distinct(LINKS.c.scope))).scalar_subquery(),
            count(LINKS),
            count(LINKS, LINKS.c.origin == "observed"),
            count(LINKS, LINKS.c.origin == "imagined"),
            count(LESSONS),
            count(ROUNDS),
        )
        with self.connect() as connection:
            return KnowledgeStats(*connection.execute(query).one())

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """A connection that only reads and so never makes a writer wait.

        Raises:
            KnowledgeError: if the database cannot be read.
        """
        with translated(self._unusable), self._engine.connect() as connection:
            yield connection

    def _unusable(self, reason: str) -> KnowledgeError:
        place = self._engine.url.render_as_string(hide_password=True)
        return KnowledgeError(
            f"{place} is not a usable knowledge base: {reason}; check that it may be written "
            "and that the disk has room, or name another one under [knowledge] url"
        )

    def close(self) -> None:
        self._engine.dispose()


def _known(index: _Index, link: Link) -> bool:
    if link.origin == "observed":
        return (link.source.key, link.target.key) in index.observed
    followers = index.imagined.get(link.source.key, ())
    return any(entry.link.target.key == link.target.key for entry in followers)


def link_id(scope: str, link: Link) -> str:
    """Identity of a link: a digest of scope, origin and the two items."""
    identity = json.dumps([scope, link.origin, link.source.key, link.target.key])
    return hashlib.sha256(identity.encode()).hexdigest()[:24]


def user_token(scope: str, user_id: str) -> str:
    """A token that is the same for one user of one scope.

    It keeps user ids out of the database. It is no secret: whoever knows the scope and has a list
    of user ids can find out whose token it is.
    """
    return hashlib.sha256(json.dumps([scope, user_id]).encode()).hexdigest()[:16]


def _row_of_link(link: Link) -> dict[str, object]:
    return {
        "origin": link.origin,
        "source": link.source.key,
        "source_text": link.source.text,
        "target": link.target.key,
        "target_text": link.target.text,
        "via": json.dumps([[n.kind, n.key, n.text] for n in link.via], ensure_ascii=False),
        "reason": link.reason,
        "score": link.score,
        "chance": link.chance,
        "reasoner": link.reasoner,
        "prompt": link.prompt,
    }


def link_of_row(row: sa.Row[tuple[object, ...]]) -> Link:
    """Rebuild a link from a row of `links`."""
    return Link(
        origin=row.origin,
        source=Node("item", row.source, row.source_text),
        target=Node("item", row.target, row.target_text),
        via=tuple(Node(*parts) for parts in json.loads(row.via)),
        reason=row.reason,
        score=row.score,
        chance=row.chance,
        reasoner=row.reasoner,
        prompt=row.prompt,
    )
