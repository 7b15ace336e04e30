from __future__ import annotations

from llmrg.knowledge.base import Link, NoKnowledge
from llmrg.knowledge.improve import lessons_of
from llmrg.knowledge.recall import recall_extensions, recall_links
from llmrg.types import Node, ReasoningGraph, Step, UserId, Verdict

A, B, C, D = (Node("item", key, key.upper()) for key in "abcd")
DRAMA = Node("attribute", "genres=Drama", "genres: Drama")
YOUNG = Node("profile", "age=18-24", "age: 18-24")


def verdict(*, recalled=False, accepted=True, score=90.0):
    return Verdict(score, accepted, None, "b", "B", "scripted:one", "p", recalled)


def graph_of(*steps):
    return ReasoningGraph(UserId("u"), steps, 0, 9, "scripted:one")


def taught(*steps):
    return [lesson.link for lesson in lessons_of(graph_of(*steps), rank=3, token="t")]


def test_an_accepted_link_is_taught_with_what_it_runs_through():
    links = taught(
        Step(A, "", "observed", 0),
        Step(DRAMA, "", "observed", 1, parent=0),
        Step(B, "sad too", "observed", 1, parent=1, verdict=verdict()),
    )
    expected = Link("observed", A, B, (DRAMA,), "sad too", 90.0, None, "scripted:one", "p")
    assert links == [expected]


def test_an_imagined_link_is_taught_as_imagined():
    links = taught(
        Step(A, "", "observed", 0),
        Step(B, "next", "imagined", 0, parent=0, verdict=verdict()),
    )
    assert [(link.origin, link.source, link.target) for link in links] == [("imagined", A, B)]


def test_a_recalled_link_is_never_learned_again():
    assert not taught(
        Step(A, "", "observed", 0),
        Step(B, "known", "observed", 1, parent=0, verdict=verdict(recalled=True)),
    )


def test_a_link_through_the_profile_stays_private():
    assert not taught(
        Step(A, "", "observed", 0),
        Step(YOUNG, "", "observed", 1, parent=0),
        Step(B, "at that age", "observed", 1, parent=1, verdict=verdict()),
    )
    assert not taught(
        Step(YOUNG, "", "observed", 0),
        Step(A, "at that age", "observed", 0, parent=0, verdict=verdict()),
    )


def test_a_reason_that_repeats_the_profile_stays_private():
    graph = graph_of(
        Step(A, "", "observed", 0),
        Step(B, "fits a person aged 18-24", "observed", 1, parent=0, verdict=verdict()),
    )
    assert not list(lessons_of(graph, rank=3, token="t", profile=(("age", "18-24"),)))
    assert len(list(lessons_of(graph, rank=3, token="t", profile=(("age", "50+"),)))) == 1


def test_a_link_that_was_not_verified_is_not_taught():
    unquestioned = Verdict(0.0, True, None, "", "", "scripted:one", "")
    assert not taught(
        Step(A, "", "observed", 0),
        Step(B, "so it was said", "observed", 1, parent=0, verdict=unquestioned),
    )


def test_roots_and_rejected_links_teach_nothing():
    assert not taught(
        Step(A, "", "observed", 0),
        Step(B, "no", "observed", 1, parent=0, verdict=verdict(accepted=False)),
    )


class Known:
    """A snapshot that knows the links it is given."""

    def __init__(self, *links):
        self.links = links

    def observed(self, source, target):
        pairs = {(link.source.key, link.target.key): link for link in self.links}
        return pairs.get((source, target))

    def imagined(self, source):
        return [link for link in self.links if link.source.key == source]


def known(source, target, score):
    return Link("observed", source, target, (), "r", score, None, "s", "p")


def test_recall_takes_the_best_scores_and_of_equal_ones_the_newest_source():
    snapshot = Known(known(A, D, 80.0), known(B, D, 80.0), known(C, D, 95.0))
    found = recall_links(snapshot, ["b", "a", "c"], "d", limit=2)
    assert [link.source.key for link in found] == ["c", "b"]


def test_recalled_extensions_leave_out_what_the_user_took():
    snapshot = Known(known(A, B, 90.0), known(A, C, 80.0), known(A, D, 70.0))
    found = recall_extensions(snapshot, "a", taken={"b"}, limit=1)
    assert [link.target.key for link in found] == ["c"]


def test_no_knowledge_recalls_and_learns_nothing():
    base = NoKnowledge()
    assert base.learn("s", "r", []) == 0
    assert base.snapshot("s").observed("a", "b") is None
    assert list(base.snapshot("s").imagined("a")) == []
    assert base.has_learned("s", "r")
    assert base.stats().links == 0
