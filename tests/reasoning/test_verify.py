from __future__ import annotations

import asyncio

import pytest
from conversations import answering, data_of

from llmrg.reasoning.ask import Asker
from llmrg.reasoning.verify import verify
from llmrg.types import MASK, Chain, Node, Step

SCI_FI = Node("attribute", "genres=Sci-Fi", "genres: Sci-Fi")


def chain_of(*titles, via=None, reason="because of Aliens (1986)"):
    steps = [Step(Node("item", title, title), "", "observed", i) for i, title in enumerate(titles)]
    last = steps.pop()
    if via is not None:
        steps.append(Step(via, "", "observed", last.position))
    return Chain((*steps, Step(last.node, reason, "observed", last.position)))


def judge(llm, chain, new_steps=1):
    return asyncio.run(verify(Asker(llm), chain, new_steps=new_steps, profile=(), threshold=70.0))


def test_the_hidden_title_appears_nowhere_in_the_question():
    llm = answering(verify={"answer": "Aliens (1986)"})
    judge(llm, chain_of("Alien (1979)", "Aliens (1986)"))
    data = data_of(llm.requests[0])
    assert data["steps"][-1] == {"item": MASK, "because": f"because of {MASK}"}
    assert "Aliens" not in str(data)
    assert data["hidden"] == "item"


def test_a_right_answer_scores_100_whatever_its_spelling_and_is_not_sent_to_the_scorer():
    llm = answering(verify={"answer": " aliens  1986 "})
    verdict = judge(llm, chain_of("Alien (1979)", "Aliens (1986)"))
    assert (verdict.score, verdict.accepted) == (100.0, True)
    assert [request.stage for request in llm.requests] == ["verify"]


@pytest.mark.parametrize(("score", "accepted"), [(69, False), (70, True)])
def test_another_answer_is_scored_and_held_against_the_threshold(score, accepted):
    llm = answering(verify={"answer": "Heat (1995)"}, score={"score": score})
    verdict = judge(llm, chain_of("Alien (1979)", "Aliens (1986)"))
    assert (verdict.score, verdict.accepted) == (score, accepted)
    asked = data_of(llm.requests[1])
    assert asked == {"kind": "item", "truth": "Aliens (1986)", "guess": "Heat (1995)"}


def test_no_answer_scores_nothing():
    verdict = judge(answering(verify={"answer": ""}), chain_of("Alien (1979)", "Aliens (1986)"))
    assert (verdict.score, verdict.accepted) == (0.0, False)


def test_a_score_out_of_range_is_no_score():
    llm = answering(verify={"answer": "Heat (1995)"}, score={"score": 1000})
    verdict = judge(llm, chain_of("Alien (1979)", "Aliens (1986)"))
    assert (verdict.score, verdict.accepted) == (0.0, False)


def test_the_same_chain_is_always_questioned_the_same_way_and_both_ends_get_hidden():
    kinds = set()
    for number in range(20):
        chain = chain_of("Alien (1979)", f"Film {number}", via=SCI_FI)
        asked = []
        for _ in range(2):
            llm = answering(verify={"answer": "?"}, score={"score": 0})
            judge(llm, chain, new_steps=2)
            asked.append(data_of(llm.requests[0])["hidden"])
        assert asked[0] == asked[1]
        kinds.add(asked[0])
    assert kinds == {"item", "attribute"}


def test_the_verdict_names_who_answered_and_with_which_words():
    verdict = judge(answering(verify={"answer": "x"}, score={"score": 80}), chain_of("a", "b"))
    assert verdict.reasoner == "scripted"
    assert len(verdict.prompt.split("+")) == 3
    assert not verdict.recalled
