"""Many requests: in order, within bounds, one failure apart from its neighbors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest
from contracts.llm import Hanging, a_request

from llmrg.errors import LLMError, Refused, Unavailable
from llmrg.llm.base import Done, Failed, Reply, Request
from llmrg.llm.batch import run_batch, stream_batch
from llmrg.llm.scripted import Scripted


class Counting:
    """Answers with the request's text, and notes the most requests ever under way."""

    name = "counting"
    model = "counting"

    def __init__(self) -> None:
        self.under_way = 0
        self.most = 0

    async def complete(self, request: Request) -> Reply:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        # Every third is slower, so that neighbors finish out of order.
        for _ in range(1 + 5 * (int(request.messages[0].content) % 3 == 0)):
            await asyncio.sleep(0)
        self.under_way -= 1
        return Reply(request.messages[0].content)


def three() -> list[Request]:
    return [a_request(text) for text in "abc"]


def test_one_failed_request_does_not_lose_its_neighbors():
    error = Unavailable("429")
    outcomes = asyncio.run(run_batch(three(), Scripted("1", error, "3"), concurrency=1))
    a, b, c = three()
    assert outcomes == [Done(a, Reply("1")), Failed(b, error), Done(c, Reply("3"))]


@pytest.mark.parametrize("error", [Refused("no"), LLMError("?")])
def test_every_llm_error_is_kept_as_a_value(error):
    assert asyncio.run(run_batch(three()[:1], Scripted(error), concurrency=4)) == [
        Failed(three()[0], error)
    ]


def test_no_requests_give_no_outcomes():
    assert asyncio.run(run_batch([], Scripted(), concurrency=4)) == []


@pytest.mark.parametrize("concurrency", [1, 7])
def test_ten_thousand_requests_stay_in_order_and_within_the_window(concurrency):
    taken = yielded = most_ahead = most_tasks = 0

    def source() -> Iterator[Request]:
        nonlocal taken
        for n in range(10_000):
            taken += 1
            yield a_request(str(n))

    async def run() -> None:
        nonlocal yielded, most_ahead, most_tasks
        async for outcome in stream_batch(source(), llm, concurrency=concurrency):
            assert outcome.reply.text == str(yielded)
            most_ahead = max(most_ahead, taken - yielded)
            most_tasks = max(most_tasks, len(asyncio.all_tasks()))
            yielded += 1

    llm = Counting()
    asyncio.run(run())
    assert yielded == 10_000
    assert llm.most == concurrency
    assert most_ahead <= 4 * concurrency
    assert most_tasks <= 4 * concurrency + 1  # and the task that reads


def test_neighbors_go_on_while_the_oldest_is_slow():
    answered: list[str] = []

    class SlowFirst:
        name = model = "slow-first"

        async def complete(self, request: Request) -> Reply:
            text = request.messages[0].content
            while text == "0" and len(answered) < 4:  # for ever, if the others waited for it
                await asyncio.sleep(0)
            answered.append(text)
            return Reply(text)

    requests = [a_request(str(n)) for n in range(5)]
    batch = run_batch(requests, SlowFirst(), concurrency=2)
    outcomes = asyncio.run(asyncio.wait_for(batch, 10))
    assert [outcome.reply.text for outcome in outcomes] == list("01234")
    assert answered == list("12340")


def test_an_error_that_is_no_llm_error_stops_the_batch_and_what_is_under_way():
    hanging = Hanging()

    class BrokenFirst:
        name = model = "broken"

        async def complete(self, request: Request) -> Reply:
            if request.messages[0].content == "a":
                await hanging.started.wait()
                raise ZeroDivisionError("a bug")
            return await hanging.complete(request)

    with pytest.raises(ZeroDivisionError, match="a bug"):
        asyncio.run(run_batch(three(), BrokenFirst(), concurrency=2))
    assert hanging.cancelled


def test_a_reader_that_leaves_early_leaves_nothing_running():
    class FirstOnly:
        name = model = "first-only"

        async def complete(self, request: Request) -> Reply:
            if request.messages[0].content != "a":
                await asyncio.Event().wait()
            return Reply("a")

    async def read_one() -> set[asyncio.Task[object]]:
        async with aclosing(stream_batch(three(), FirstOnly(), concurrency=3)) as outcomes:
            async for _ in outcomes:
                break
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(read_one()) == set()


def test_outcomes_known_before_the_source_breaks_are_still_given():
    def source() -> Iterator[Request]:
        yield from [a_request(str(n)) for n in range(4)]
        raise ZeroDivisionError("the source is broken")

    seen: list[Done | Failed] = []

    async def run() -> None:
        async for outcome in stream_batch(source(), Counting(), concurrency=1):
            seen.append(outcome)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(run())
    assert len(seen) == 1  # the window held four; the fifth was wanted after the first was given


def test_a_concurrency_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"at least 1 \(got 0\)"):
        asyncio.run(run_batch(three(), Scripted(), concurrency=0))
