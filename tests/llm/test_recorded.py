"""A recording answers what it holds, under the name of whoever answered then."""

from __future__ import annotations

import asyncio

import pytest
from contracts.llm import LLMContract, a_request

from llmrg.errors import ConfigError, Refused
from llmrg.llm.base import Reply, Usage
from llmrg.llm.recorded import Recorded
from llmrg.llm.scripted import Scripted
from llmrg.llm.wrappers import Cached


class TestContract(LLMContract):
    @pytest.fixture(autouse=True)
    def _recording(self, ledger):
        ledger.put(a_request(), Reply("an answer"))
        self.ledger = ledger

    def answering(self):
        return Recorded(self.ledger), a_request()

    def failing(self):
        return Recorded(self.ledger), a_request("never asked")


def test_the_same_request_gets_the_same_reply(ledger):
    reply = Reply("forty-two", usage=Usage(7, 3), model="tiny-served", latency_s=0.5)
    asyncio.run(Cached(Scripted(reply), ledger).complete(a_request()))
    replayed = asyncio.run(Recorded(ledger).complete(a_request()))
    assert replayed == Reply("forty-two", "stop", Usage(7, 3), "tiny-served", 0.5, True)


def test_an_unknown_request_is_refused_with_stage_digest_and_way_out(ledger):
    request = a_request(stage="verify")
    with pytest.raises(Refused) as caught:
        asyncio.run(Recorded(ledger).complete(request))
    for words in ("'verify'", request.digest(), "ledger.db", "run once with a real model"):
        assert words in str(caught.value)


def test_it_goes_by_the_name_and_model_of_the_recording(ledger):
    original = Scripted("first", name="openai:tiny", model="tiny")
    asyncio.run(Cached(original, ledger).complete(a_request(model="tiny")))
    recorded = Recorded(ledger)
    assert (recorded.name, recorded.model) == ("openai:tiny", "tiny")


def test_replies_whose_author_is_unknown_are_called_recorded(ledger):
    assert Recorded(ledger).name == "recorded:recorded"
    ledger.put(a_request(model="tiny"), Reply("x"))
    assert (Recorded(ledger).name, Recorded(ledger).model) == ("recorded:tiny", "tiny")


def test_a_choice_between_several_is_left_to_the_user(ledger):
    ledger.put(a_request("a", model="m1"), Reply("x"), llm="openai:m1")
    ledger.put(a_request("b", model="m2"), Reply("y"), llm="openai:m2")
    with pytest.raises(ConfigError, match=r"several LLMs.*model='m1', name='openai:m2' model='m2'"):
        _ = Recorded(ledger).model
    chosen = Recorded(ledger, model="m2")
    assert (chosen.name, chosen.model) == ("openai:m2", "m2")
    assert asyncio.run(Recorded(ledger).complete(a_request("a", model="m1"))).text == "x"
