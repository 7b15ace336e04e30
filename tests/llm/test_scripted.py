"""The double for tests says its lines in order and knows when they are out."""

from __future__ import annotations

import asyncio

import pytest
from contracts.llm import LLMContract, a_request

from llmrg.errors import Refused, Unavailable
from llmrg.llm.base import Reply
from llmrg.llm.scripted import Scripted


class TestContract(LLMContract):
    def answering(self):
        return Scripted("an answer"), a_request()

    def failing(self):
        return Scripted(Refused("no")), a_request()


def say(llm: Scripted, text: str = "?") -> Reply:
    return asyncio.run(llm.complete(a_request(text)))


def test_texts_and_replies_are_returned_in_order():
    llm = Scripted("one", Reply("two", "length"))
    assert [say(llm), say(llm)] == [Reply("one"), Reply("two", "length")]


def test_an_exception_is_raised_in_its_turn():
    llm = Scripted("one", Unavailable("busy"), "three")
    assert say(llm).text == "one"
    with pytest.raises(Unavailable, match="busy"):
        say(llm)
    assert say(llm).text == "three"


def test_a_function_at_the_end_answers_everything_after():
    llm = Scripted("one", lambda request: request.messages[0].content.upper())
    assert [say(llm, text).text for text in "abc"] == ["one", "B", "C"]


def test_a_function_in_the_middle_answers_once():
    llm = Scripted(lambda request: "one", "two")
    assert [say(llm).text, say(llm).text] == ["one", "two"]
    with pytest.raises(AssertionError):
        say(llm)


def test_a_function_may_give_a_reply_or_an_error():
    llm = Scripted(lambda request: Reply("one", "length"), lambda request: Refused("no"))
    assert say(llm) == Reply("one", "length")
    with pytest.raises(Refused, match="no"):
        say(llm)


def test_it_remembers_what_it_was_asked():
    llm = Scripted("one", "two")
    say(llm, "a")
    say(llm, "b")
    assert llm.requests == [a_request("a"), a_request("b")]


def test_it_says_when_the_script_ran_out_and_nothing_takes_it_for_a_server_error():
    llm = Scripted("one")
    say(llm)
    with pytest.raises(AssertionError, match=r"has 1 lines, and request 2 came \(stage 'chain'\)"):
        say(llm)
