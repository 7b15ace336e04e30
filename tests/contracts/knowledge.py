"""What every knowledge base promises. A subclass writes `open` and inherits the tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from llmrg.knowledge.base import EVERYONE, KnowledgeBase, Lesson, Link
from llmrg.types import Node


def link(source: str = "a", target: str = "b", origin: str = "observed", **changes: object) -> Link:
    values = {
        "origin": origin,
        "source": Node("item", source, f"title of {source}"),
        "target": Node("item", target, f"title of {target}"),
        "via": (Node("attribute", "genres=Drama", "genres: Drama"),),
        "reason": "the same director",
        "score": 80.0,
        "chance": None,
        "reasoner": "scripted:one",
        "prompt": "abc",
    }
    return Link(**{**values, **changes})  # type: ignore[arg-type]


def lesson(taught: Link, rank: int = 0, token: str | None = None) -> Lesson:
    return Lesson(taught, rank, token or f"user-{rank}")


class KnowledgeContract:
    """Inherit and write `open(folder)`; opening the same folder again opens the same base."""

    def open(self, folder: Path) -> KnowledgeBase:
        raise NotImplementedError

    @pytest.fixture
    def base(self, tmp_path):
        base = self.open(tmp_path)
        yield base
        base.close()

    def test_what_was_learned_is_recalled_as_it_was(self, base):
        base.learn("s", "r", [lesson(link())])
        assert base.snapshot("s").observed("a", "b") == link()

    def test_what_was_learned_is_recalled_after_reopening(self, base, tmp_path):
        imagined = link("a", "c", "imagined", chance=12.5)
        base.learn("s", "r", [lesson(link()), lesson(imagined)])
        base.close()
        again = self.open(tmp_path)
        assert again.snapshot("s").observed("a", "b") == link()
        assert list(again.snapshot("s").imagined("a")) == [imagined]
        again.close()

    def test_a_link_has_a_direction(self, base):
        base.learn("s", "r", [lesson(link("a", "b"))])
        assert base.snapshot("s").observed("b", "a") is None

    def test_learning_a_round_twice_changes_nothing(self, base, tmp_path):
        assert base.learn("s", "r", [lesson(link())]) == 1
        before = base.stats()
        assert base.learn("s", "r", [lesson(link(target="z"))]) == 0
        assert base.stats() == before
        assert base.snapshot("s").observed("a", "z") is None
        assert base.has_learned("s", "r")
        assert not base.has_learned("s", "other")

    def test_the_first_lesson_decides_the_words(self, base):
        base.learn("s", "r1", [lesson(link(reason="first"), 0)])
        assert base.learn("s", "r2", [lesson(link(reason="second"), 1)]) == 0
        recalled = base.snapshot("s").observed("a", "b")
        assert recalled is not None
        assert recalled.reason == "first"
        assert base.stats().lessons == 2

    def test_a_snapshot_does_not_move(self, base):
        snapshot = base.snapshot("s")
        base.learn("s", "r", [lesson(link()), lesson(link("a", "c", "imagined"))])
        assert snapshot.observed("a", "b") is None
        assert list(snapshot.imagined("a")) == []

    def test_only_lower_ranks_are_recalled(self, base):
        base.learn("s", "r", [lesson(link(), rank=5)])
        assert base.snapshot("s", before=5).observed("a", "b") is None
        assert base.snapshot("s", before=6).observed("a", "b") == link()
        assert base.snapshot("s", before=EVERYONE).observed("a", "b") == link()

    def test_scopes_do_not_mix(self, base):
        base.learn("one", "r", [lesson(link())])
        assert base.snapshot("two").observed("a", "b") is None
        assert base.learn("two", "r", [lesson(link())]) == 1

    def test_imagined_links_come_best_first(self, base):
        weak = link("a", "x", "imagined", score=70.0)
        strong = link("a", "y", "imagined", score=90.0)
        base.learn("s", "r", [lesson(weak), lesson(strong)])
        assert [each.target.key for each in base.snapshot("s").imagined("a")] == ["y", "x"]

    def test_stats_count_what_is_there(self, base):
        base.learn("s", "r", [lesson(link()), lesson(link("a", "c", "imagined")), lesson(link())])
        stats = base.stats()
        assert (stats.scopes, stats.links, stats.observed, stats.imagined) == (1, 2, 1, 1)
        assert (stats.lessons, stats.rounds) == (2, 1)

    def test_hostile_text_survives(self, base):
        text = "'; DROP TABLE links; --\x00\u202e\"</script>"
        base.learn("s", "r", [lesson(replace(link(reason=text), source=Node("item", "a", text)))])
        recalled = base.snapshot("s").observed("a", "b")
        assert recalled is not None
        assert recalled.reason == text
        assert recalled.source.text == text
