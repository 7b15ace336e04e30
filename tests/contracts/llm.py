"""What every LLM promises. A test class per implementation inherits these tests.

class TestMyLLM(LLMContract):
    def answering(self):
        return MyLLM(...), a_request_it_can_answer

    def failing(self):
        return MyLLM(...), a_request_it_cannot_answer
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import get_args

import pytest

from llmrg.errors import LLMError, Refused, ReplyError, Unavailable
from llmrg.llm.base import LLM, FinishReason, Message, Reply, Request, Usage
from llmrg.llm.scripted import Scripted


def a_request(text: str = "Which item comes next?", **fields: object) -> Request:
    """A small question; `fields` overrides any field of the request."""
    request = Request(
        stage="chain", model="tiny", messages=(Message("user", text),), prompt="no-prompt"
    )
    return replace(request, **fields)  # type: ignore[arg-type]


def complete(llm: LLM, request: Request) -> Reply:
    """Ask once, and close the LLM where it can be closed."""

    async def once() -> Reply:
        try:
            return await llm.complete(request)
        finally:
            if close := getattr(llm, "close", None):
                await close()

    return asyncio.run(once())


class LLMContract:
    """Subclasses write `answering` and `failing`."""

    def answering(self) -> tuple[LLM, Request]:
        """An LLM and a request it answers."""
        raise NotImplementedError

    def failing(self) -> tuple[LLM, Request]:
        """An LLM and a request it cannot answer."""
        raise NotImplementedError

    def test_it_says_who_it_is(self):
        llm, _ = self.answering()
        assert isinstance(llm.name, str)
        assert isinstance(llm.model, str)
        assert llm.name.strip()
        assert llm.model.strip()

    def test_it_stays_who_it_is(self):
        llm, request = self.answering()
        before = (llm.name, llm.model)
        complete(llm, request)
        assert (llm.name, llm.model) == before

    def test_an_answer_is_a_reply_with_text(self):
        llm, request = self.answering()
        reply = complete(llm, request)
        assert isinstance(reply, Reply)
        assert reply.text.strip()
        assert reply.finish_reason in get_args(FinishReason)
        assert reply.latency_s >= 0
        assert min(reply.usage.input_tokens, reply.usage.output_tokens) >= 0

    def test_a_failure_is_an_llm_error_that_says_something(self):
        llm, request = self.failing()
        with pytest.raises(LLMError) as caught:
            complete(llm, request)
        assert str(caught.value).strip()


class WrapperContract(LLMContract):
    """Subclasses write `wrap`: their wrapper around any LLM."""

    def wrap(self, llm: LLM) -> LLM:
        """Put the wrapper around `llm`."""
        raise NotImplementedError

    def answering(self):
        return self.wrap(Scripted(lambda request: "an answer")), a_request()

    def failing(self):
        return self.wrap(Scripted(Refused("never"))), a_request()

    def test_it_goes_by_the_name_and_model_of_the_llm_inside(self):
        wrapped = self.wrap(Scripted(name="openai:tiny", model="tiny"))
        assert (wrapped.name, wrapped.model) == ("openai:tiny", "tiny")

    def test_the_request_reaches_the_llm_inside_untouched(self):
        inside = Scripted("an answer")
        request = a_request(stage="verify", temperature=0.7, stop=("\n",), sample_index=3)
        complete(self.wrap(inside), request)
        assert inside.requests == [request]

    def test_the_reply_comes_out_untouched(self):
        reply = Reply("cut", "length", Usage(3, 2, 1, 1), model="tiny-2", latency_s=0.25)
        assert complete(self.wrap(Scripted(reply)), a_request()) == reply

    @pytest.mark.parametrize(
        "error",
        [
            Unavailable("busy", retry_after=2.5),
            Refused("no"),
            ReplyError("bad", text="hm"),
            LLMError("?"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_an_llm_error_comes_out_as_the_very_same_error(self, error):
        with pytest.raises(LLMError) as caught:
            complete(self.wrap(Scripted(error)), a_request())
        assert caught.value is error

    def test_an_error_it_does_not_know_passes_through(self):
        error = ZeroDivisionError("a bug somewhere")
        with pytest.raises(ZeroDivisionError) as caught:
            complete(self.wrap(Scripted(error)), a_request())
        assert caught.value is error

    def test_cancelling_it_cancels_what_is_inside(self):
        inside = Hanging()

        async def ask_and_give_up() -> None:
            task = asyncio.create_task(self.wrap(inside).complete(a_request()))
            await asyncio.wait_for(inside.started.wait(), 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(ask_and_give_up())
        assert inside.cancelled


class Hanging:
    """An LLM that never answers and notes whether it was told to stop."""

    name = "hanging"
    model = "hanging"

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = False

    async def complete(self, request: Request) -> Reply:
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        raise AssertionError("nobody sets the event")
