"""The knowledge base: verified links that every later graph may reuse.

A link says that one item led to another, why, and how well that held up when questioned. Links are
kept under a *scope*: the reasoner that made them and the moment in time they were allowed to know
about (`Split.cut`). Only links of the same scope are recalled, so two reasoners never mix and
nothing learned after a cut reaches a graph before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from llmrg.types import Node, Origin


@dataclass(frozen=True, slots=True)
class Link:
    """One verified link between two items.

    Attributes:
        origin: "observed" if a user really took `target` after `source`; "imagined" if a reasoner
            thought of it.
        source, target: item_ids.
        via: attribute or profile nodes the link runs through, in order.
        score: 0 to 100, from its verification.
        chance: what a blind guess would score, if known.
        prompt: digest of the prompts that proposed and verified it.
        support: number of different users it was learned from.
    """

    origin: Origin
    source: str
    target: str
    via: tuple[Node, ...]
    reason: str
    score: float
    chance: float | None
    prompt: str
    support: int = 1


@dataclass(frozen=True, slots=True)
class Lesson:
    """A link as one user's graph teaches it.

    `user_token` is a keyed hash: the knowledge base never holds a user id.
    """

    link: Link
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

    def observed(self, source: str, target: str, *, excluding: str) -> Link | None:
        """Recall the link from one item to another, as others than `excluding` taught it."""

    def imagined(self, source: str, *, excluding: str) -> Sequence[Link]:
        """Recall what was imagined to follow an item, best first."""


class KnowledgeBase(Protocol):
    """A store of links. Every implementation passes `tests/contracts/knowledge.py`."""

    def snapshot(self, scope: str) -> Snapshot:
        """Freeze the links of one scope."""

    def learn(self, scope: str, round_name: str, lessons: Iterable[Lesson]) -> int:
        """Add the lessons of one round in one transaction; the same round again adds nothing.

        Returns:
            The number of links that were new.
        """

    def stats(self) -> KnowledgeStats:
        """Count what is stored."""

    def close(self) -> None:
        """Release the database."""
