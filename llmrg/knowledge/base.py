"""The knowledge base: verified links that every later graph may reuse.

A link says that one item led to another, why, and how well that held up when questioned. Links are
kept under a *scope*: the reasoner that made them and the moment in time they were allowed to know
about (`Split.cut`). Only links of the same scope are recalled, so two reasoners never mix and
nothing learned after a cut reaches a graph before it.

Inside a scope users have a fixed order, their *rank*. A graph recalls only what users of a lower
rank taught. What a user is told is therefore never, not even through other users, a consequence of
that user's own later behavior.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from llmrg.types import Node, Origin

EVERYONE = 2**62
"""A rank above all users: recalls whatever was taught."""


@dataclass(frozen=True, slots=True)
class Link:
    """One verified link between two items.

    Attributes:
        origin: "observed" if a user really took `target` after `source`; "imagined" if a reasoner
            thought of it.
        source, target: the two items.
        via: attribute nodes the link runs through, in order.
        score: 0 to 100, from its verification.
        chance: what a blind guess would score, if known.
        reasoner: who proposed and verified it.
        prompt: digest of the words that asked.
    """

    origin: Origin
    source: Node
    target: Node
    via: tuple[Node, ...]
    reason: str
    score: float
    chance: float | None
    reasoner: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Lesson:
    """A link as one user's graph teaches it.

    Attributes:
        rank: place of the teaching user in the order of the scope.
        user_token: a hash of scope and user, so that no user id is kept; see `store.user_token`.
    """

    link: Link
    rank: int
    user_token: str


@dataclass(frozen=True, slots=True)
class KnowledgeStats:
    """Counts for inspection."""

    scopes: int
    links: int
    observed: int
    imagined: int
    lessons: int
    rounds: int


class Snapshot(Protocol):
    """The knowledge base as it stood at one moment; learning never changes it."""

    def observed(self, source: str, target: str) -> Link | None:
        """Recall the link from one item to another, both given by item_id."""

    def imagined(self, source: str) -> Sequence[Link]:
        """Recall what was imagined to follow an item, best first."""


class KnowledgeBase(Protocol):
    """A store of links. Every implementation passes `tests/contracts/knowledge.py`."""

    def snapshot(self, scope: str, *, before: int = EVERYONE) -> Snapshot:
        """Freeze the links of one scope that users of a rank below `before` taught."""

    def learn(self, scope: str, round_name: str, lessons: Iterable[Lesson]) -> int:
        """Add the lessons of one round in one transaction; the same round again adds nothing.

        Returns:
            The number of links that were new.
        """

    def has_learned(self, scope: str, round_name: str) -> bool:
        """Whether `learn` was called for this round before, in this or another process."""

    def stats(self) -> KnowledgeStats:
        """Count what is stored."""

    def close(self) -> None:
        """Release the database."""


class NoKnowledge:
    """A knowledge base that never remembers: what LLMRG is without self-improvement."""

    def snapshot(self, scope: str, *, before: int = EVERYONE) -> Snapshot:
        return _Nothing()

    def learn(self, scope: str, round_name: str, lessons: Iterable[Lesson]) -> int:
        return 0

    def has_learned(self, scope: str, round_name: str) -> bool:
        return True

    def stats(self) -> KnowledgeStats:
        return KnowledgeStats(0, 0, 0, 0, 0, 0)

    def close(self) -> None:
        return None


class _Nothing:
    def observed(self, source: str, target: str) -> Link | None:
        return None

    def imagined(self, source: str) -> Sequence[Link]:
        return ()
