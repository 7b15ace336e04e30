from __future__ import annotations

import asyncio

import pytest
from conversations import answering, data_of, history

from llmrg.errors import Unavailable
from llmrg.knowledge.base import Lesson, Link
from llmrg.knowledge.store import KnowledgeStore
from llmrg.llm.scripted import Scripted
from llmrg.types import Node

CONTINUE_FIRST = {"links": [{"chain": 1, "reason": "space horror again", "via": []}]}
START = {"links": [{"chain": 0, "reason": "something new", "via": []}]}
NOTHING = {"next": []}


def agree(data):
    """Answer a verification with what was hidden: the test knows the world."""
    known = {"Alien (1979)": "Aliens (1986)"}
    return {"answer": known.get(data["steps"][0].get("item", ""), "Brazil (1985)")}


def build(builder, llm, user, snapshot=None, **settings):
    return asyncio.run(builder(llm, snapshot, **settings).build(user))


def read(graph):
    """Steps as (title, parent, origin, position)."""
    return [(s.node.text, s.parent, s.origin, s.position) for s in graph.steps]


def test_an_accepted_link_is_attached_to_the_chain_it_continues(builder):
    llm = answering(chain=CONTINUE_FIRST, verify=agree, extend=NOTHING)
    graph, tally = build(builder, llm, history(1, 2))
    assert read(graph) == [("Alien (1979)", -1, "observed", 0), ("Aliens (1986)", 0, "observed", 1)]
    verdict = graph.steps[1].verdict
    assert verdict is not None
    assert (verdict.score, verdict.accepted, verdict.hidden) == (100.0, True, "m2")
    assert (verdict.answered, verdict.reasoner) == ("Aliens (1986)", "scripted")
    assert tally["verify.accepted"] == 1


def test_a_rejected_link_is_dropped_and_the_item_starts_a_chain(builder):
    llm = answering(
        chain=CONTINUE_FIRST, verify={"answer": "Heat (1995)"}, score={"score": 69}, extend=NOTHING
    )
    graph, tally = build(builder, llm, history(1, 2), threshold=70.0)
    assert read(graph) == [
        ("Alien (1979)", -1, "observed", 0),
        ("Aliens (1986)", -1, "observed", 1),
    ]
    assert graph.steps[1].verdict is None
    assert tally["verify.rejected"] == 1


def test_the_threshold_itself_is_accepted(builder):
    llm = answering(
        chain=CONTINUE_FIRST, verify={"answer": "Heat (1995)"}, score={"score": 70}, extend=NOTHING
    )
    graph, _ = build(builder, llm, history(1, 2), threshold=70.0)
    assert graph.steps[1].parent == 0


def test_what_a_link_runs_through_stands_between_the_items(builder):
    through = {"links": [{"chain": 1, "reason": "more", "via": ["genres: Sci-Fi", "made up"]}]}
    llm = answering(
        chain=through, verify={"answer": "Aliens (1986)"}, score={"score": 90}, extend=NOTHING
    )
    graph, tally = build(builder, llm, history(1, 2))
    assert read(graph)[1:] == [
        ("genres: Sci-Fi", 0, "observed", 1),
        ("Aliens (1986)", 1, "observed", 1),
    ]
    assert graph.steps[1].node.kind == "attribute"
    # The first item had no chain 1 to continue, so only the second one's "made up" was looked at.
    assert (tally["chain.unknown_chain"], tally["via.unknown"]) == (1, 1)


def test_a_chain_can_start_from_the_profile(builder):
    young = {"links": [{"chain": 0, "reason": "at that age", "via": ["age: 18-24"]}]}
    llm = answering(
        chain=young, verify={"answer": "Alien (1979)"}, score={"score": 90}, extend=NOTHING
    )
    graph, _ = build(builder, llm, history(1, profile=(("age", "18-24"),)))
    assert [step.node.kind for step in graph.steps] == ["profile", "item"]
    assert graph.steps[1].parent == 0


def test_a_chain_number_that_was_not_offered_is_counted_and_ignored(builder):
    llm = answering(chain={"links": [{"chain": 7, "reason": "?", "via": []}]}, extend=NOTHING)
    graph, tally = build(builder, llm, history(1, 2))
    assert all(step.parent == -1 for step in graph.steps)
    assert tally["chain.unknown_chain"] == 2


def test_an_item_may_continue_several_chains(builder):
    def both(data):
        chains = [chain["number"] for chain in data["chains"]]
        new = [{"chain": 0, "reason": "new", "via": []}]
        if data["next"]["title"] != "Brazil (1985)":
            return {"links": new}
        return {"links": [{"chain": n, "reason": "dark", "via": []} for n in chains]}

    llm = answering(chain=both, verify={"answer": "Brazil (1985)"}, extend=NOTHING)
    graph, _ = build(builder, llm, history(1, 3, 5), max_links=2)
    assert read(graph)[2:] == [
        ("Brazil (1985)", 0, "observed", 2),
        ("Brazil (1985)", 1, "observed", 2),
    ]


def test_imagined_items_are_grounded_verified_and_carry_their_position(builder):
    imagined = {
        "next": [
            {"title": "The Aliens (1986)", "reason": "the sequel", "via": []},
            {"title": "No Such Film (2031)", "reason": "?", "via": []},
            {"title": "Alien (1979)", "reason": "again", "via": []},
        ]
    }
    llm = answering(chain=START, extend=imagined, verify={"answer": "Aliens (1986)"})
    graph, tally = build(builder, llm, history(1), per_chain=3)
    assert read(graph) == [("Alien (1979)", -1, "observed", 0), ("Aliens (1986)", 0, "imagined", 0)]
    assert (tally["extend.ungrounded"], tally["extend.taken"]) == (1, 1)


def test_extension_sees_the_chain_and_not_the_rest_of_the_history(builder):
    llm = answering(chain=START, extend=NOTHING)
    build(builder, llm, history(1, 3))
    asked = [data_of(request) for request in llm.requests if request.stage == "extend"]
    assert [step["item"] for step in asked[1]["steps"]] == ["Annie Hall (1977)"]


def test_only_the_newest_items_are_reasoned_about(builder):
    llm = answering(chain=START, extend=NOTHING)
    graph, _ = build(builder, llm, history(1, 2, 3, 4), max_length=2)
    assert [(step.node.key, step.position) for step in graph.steps] == [("m3", 2), ("m4", 3)]
    assert (graph.observed_from, graph.observed_until) == (2, 4)


def test_growing_a_graph_later_gives_the_graph_built_at_once(builder):
    def stages():
        return answering(
            chain=CONTINUE_FIRST,
            verify={"answer": "?"},
            score={"score": 80},
            extend={"next": [{"title": "Brazil (1985)", "reason": "dark", "via": []}]},
        )

    whole, _ = build(builder, stages(), history(1, 2, 3, 4))
    first, _ = build(builder, stages(), history(1, 2))
    grown, _ = asyncio.run(builder(stages()).grow(first, history(1, 2, 3, 4)))
    assert grown == whole


def test_the_graph_of_a_prefix_does_not_depend_on_what_follows(builder):
    stages = {
        "chain": CONTINUE_FIRST,
        "verify": {"answer": "?"},
        "score": {"score": 80},
        "extend": {"next": [{"title": "Brazil (1985)", "reason": "dark", "via": []}]},
    }
    one, _ = build(builder, answering(**stages), history(1, 2, 3))
    other, _ = build(builder, answering(**stages), history(1, 2, 4, 5))
    assert one.until(2) == other.until(2)


def link(source, target, origin):
    nodes = {n: Node("item", f"m{n}", f"film {n}") for n in (source, target)}
    return Link(origin, nodes[source], nodes[target], (), "known", 88.0, None, "other", "p")


def test_a_known_link_from_any_earlier_item_is_reused_without_a_question(builder, tmp_path):
    base = KnowledgeStore(f"sqlite:///{tmp_path}/k.db")
    base.learn("s", "r", [Lesson(link(1, 4, "observed"), 0, "t")])
    llm = answering(chain=START, extend=NOTHING)
    graph, tally = build(builder, llm, history(1, 3, 4), snapshot=base.snapshot("s"))
    base.close()
    step = graph.steps[2]
    assert (step.node.key, step.parent, step.reason) == ("m4", 0, "known")
    assert step.verdict is not None
    assert (step.verdict.recalled, step.verdict.reasoner) == (True, "other")
    assert tally["chain.recalled"] == 1
    assert [data_of(r)["next"]["title"] for r in llm.requests if r.stage == "chain"] == [
        "Alien (1979)",
        "Annie Hall (1977)",
    ]


def test_known_extensions_are_reused_unless_the_user_took_them(builder, tmp_path):
    base = KnowledgeStore(f"sqlite:///{tmp_path}/k.db")
    lessons = [Lesson(link(3, n, "imagined"), 0, "t") for n in (1, 5)]
    base.learn("s", "r", lessons)
    llm = answering(chain=START, extend=NOTHING)
    graph, tally = build(builder, llm, history(1, 3), snapshot=base.snapshot("s"))
    base.close()
    imagined = [step for step in graph.steps if step.origin == "imagined"]
    assert [(step.node.key, step.position) for step in imagined] == [("m5", 1)]
    assert tally["extend.recalled"] == 1


def test_without_threshold_nothing_is_verified(builder):
    llm = answering(chain=CONTINUE_FIRST, extend=NOTHING)
    graph, tally = build(builder, llm, history(1, 2), threshold=0.0)
    assert graph.steps[1].parent == 0
    assert tally["verify.asked"] == 0


def test_without_extension_nothing_is_imagined(builder):
    llm = answering(chain=START)
    graph, _ = build(builder, llm, history(1, 2), per_chain=0)
    assert {step.origin for step in graph.steps} == {"observed"}


def test_a_reply_that_is_no_answer_is_asked_again_once_and_then_counted(builder):
    llm = Scripted(
        lambda request: "I would rather not." if request.stage == "chain" else '{"next": []}'
    )
    graph, tally = build(builder, llm, history(1))
    assert read(graph) == [("Alien (1979)", -1, "observed", 0)]
    assert (tally["chain.asked"], tally["chain.reasked"], tally["chain.invalid"]) == (1, 1, 1)
    again = llm.requests[1].messages
    assert again[-2].content == "I would rather not."
    assert "cannot be used" in again[-1].content


def test_what_cannot_be_verified_is_not_accepted(builder):
    llm = Scripted(
        lambda request: {
            "chain": '{"links": [{"chain": 1, "reason": "r", "via": []}]}',
            "verify": "no idea",
            "extend": '{"next": []}',
        }[request.stage]
    )
    graph, tally = build(builder, llm, history(1, 2))
    assert [step.parent for step in graph.steps] == [-1, -1]
    assert tally["verify.invalid"] == 1


def test_a_server_that_is_down_is_not_an_empty_graph(builder):
    llm = Scripted(lambda request: Unavailable("busy"))
    with pytest.raises(Unavailable, match="busy"):
        build(builder, llm, history(1))
