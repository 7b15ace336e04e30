from __future__ import annotations

import asyncio

import pytest
from conversations import answering, data_of
from hypothesis import given
from hypothesis import strategies as st

from llmrg.errors import PromptError
from llmrg.reasoning.ask import (
    Asker,
    describe_attributes,
    describe_item,
    describe_steps,
    prompt_digest,
    question,
)
from llmrg.reasoning.stages import REPLIES, VerifyReply
from llmrg.types import Chain, Item, ItemId, Node, Step


@given(st.text(max_size=400))
def test_any_title_arrives_as_data_and_only_as_data(title):
    llm = answering(verify={"answer": "x"})
    data = {"profile": [], "steps": [describe_item(Item(ItemId("i"), title))], "hidden": "item"}
    asyncio.run(Asker(llm).ask("verify", VerifyReply, data))
    request = llm.requests[0]
    assert data_of(request) == data
    # The instructions are the same whatever the title says.
    assert request.messages[0] == question("verify").render(data="{}")[0]


def test_a_question_shows_the_newest_steps_of_a_long_chain():
    steps = tuple(
        Step(Node("item", str(i), f"film {i}"), "why" if i else "", "observed", i) for i in range(9)
    )
    shown = describe_steps(Chain(steps))
    assert [step["item"] for step in shown] == [f"film {i}" for i in range(3, 9)]
    assert shown[0]["because"] == "why"


def test_endless_attributes_are_cut():
    attributes = tuple(("tag", f"{i}" * 500) for i in range(100))
    described = describe_attributes(attributes)
    assert len(described) == 20
    assert all(len(text) <= 305 for text in described)


def test_a_prompt_that_asks_for_another_reply_is_refused(monkeypatch):
    question.cache_clear()
    monkeypatch.setitem(REPLIES, "extend", VerifyReply)
    with pytest.raises(PromptError, match=r"reply is 'ExtendReply', the stage reads 'VerifyReply'"):
        question("extend")
    question.cache_clear()


def test_a_digest_of_words_does_not_depend_on_what_was_asked_before():
    prompt_digest.cache_clear()
    question.cache_clear()
    alone = prompt_digest("verify", "score")
    asyncio.run(Asker(answering(chain={"links": []})).ask("chain", REPLIES["chain"], {}))
    prompt_digest.cache_clear()
    assert prompt_digest("verify", "score") == alone
    assert alone.split("+") == [question(s).digest[:8] for s in ("verify", "score")]
