"""Cached remembers and asks once; Metered counts."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest
from contracts.llm import Hanging, WrapperContract, a_request

from llmrg.errors import DataError, Refused, Unavailable
from llmrg.llm.base import Reply, Request, Usage
from llmrg.llm.ledger import Ledger
from llmrg.llm.scripted import Scripted
from llmrg.llm.wrappers import Cached, Metered


class TestMeteredContract(WrapperContract):
    def wrap(self, llm):
        return Metered(llm)


class TestCachedContract(WrapperContract):
    @pytest.fixture(autouse=True)
    def _ledger(self, ledger):
        self.ledger = ledger

    def wrap(self, llm):
        return Cached(llm, self.ledger)


class Gate:
    """An LLM that answers all its requests once the gate is opened."""

    name = "gate"
    model = "gate"

    def __init__(self, *, error: Exception | None = None) -> None:
        self.open = asyncio.Event()
        self.asked = 0
        self._error = error

    async def complete(self, request: Request) -> Reply:
        self.asked += 1
        await self.open.wait()
        if self._error is not None:
            raise self._error
        return Reply(f"answer {self.asked}", usage=Usage(5, 1))


# --- Cached --------------------------------------------------------------------------------------


def test_a_request_is_asked_once_and_then_remembered(ledger):
    inside = Scripted("first", "second")

    async def twice() -> list[Reply]:
        llm = Cached(inside, ledger)
        return [await llm.complete(a_request()) for _ in range(2)]

    assert asyncio.run(twice()) == [Reply("first"), Reply("first", from_ledger=True)]
    assert len(inside.requests) == 1


def test_what_was_paid_for_serves_the_next_run(ledger):
    asyncio.run(Cached(Scripted("first"), ledger).complete(a_request()))
    reply = asyncio.run(Cached(Scripted(), ledger).complete(a_request()))
    assert reply == Reply("first", from_ledger=True)


def test_another_sample_of_the_same_question_is_asked_anew(ledger):
    inside = Scripted("first", "second")
    llm = Cached(inside, ledger)
    texts = [asyncio.run(llm.complete(a_request(sample_index=n))).text for n in range(2)]
    assert texts == ["first", "second"]


def test_errors_are_not_remembered(ledger):
    llm = Cached(Scripted(Unavailable("busy"), "first"), ledger)
    with pytest.raises(Unavailable):
        asyncio.run(llm.complete(a_request()))
    assert asyncio.run(llm.complete(a_request())).text == "first"


def test_a_reply_is_in_the_ledger_before_anybody_sees_it(tmp_path: Path):
    events: list[str] = []

    class Watched(Ledger):
        def put(self, request: Request, reply: Reply, *, llm: str = "") -> None:
            super().put(request, reply, llm=llm)
            assert self.get(request.digest()) is not None
            events.append("kept")

    with Watched(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        asyncio.run(Cached(Scripted("first"), ledger).complete(a_request()))
        events.append("returned")
    assert events == ["kept", "returned"]


def test_a_reply_that_cannot_be_kept_is_not_returned(ledger):
    class Full:
        def get(self, digest: str) -> None:
            return None

        def put(self, request: Request, reply: Reply, *, llm: str = "") -> None:
            raise DataError("the disk is full")

    with pytest.raises(DataError, match="disk is full"):
        asyncio.run(Cached(Scripted("first"), Full()).complete(a_request()))  # type: ignore[arg-type]


def asked_together(llm: Cached, gate: Gate, times: int) -> list[Reply | BaseException]:
    async def together() -> list[Reply | BaseException]:
        tasks = [asyncio.create_task(llm.complete(a_request())) for _ in range(times)]
        await asyncio.sleep(0.05)  # long enough for all of them to look into the ledger
        gate.open.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(together())


def test_equal_requests_at_the_same_time_are_asked_and_counted_once(ledger):
    gate = Gate()
    replies = asked_together(Cached(gate, ledger), gate, times=5)
    assert gate.asked == 1
    assert {reply.text for reply in replies} == {"answer 1"}
    # Four of them cost nothing: whoever adds up tokens must see that.
    assert sorted(reply.from_ledger for reply in replies) == [False, True, True, True, True]


def test_different_requests_at_the_same_time_do_not_wait_for_each_other(ledger):
    gate = Gate()

    async def two() -> None:
        llm = Cached(gate, ledger)
        tasks = [asyncio.create_task(llm.complete(a_request(text))) for text in "ab"]
        while gate.asked < 2:
            await asyncio.sleep(0.01)
        gate.open.set()
        await asyncio.gather(*tasks)

    asyncio.run(asyncio.wait_for(two(), 10))


@pytest.mark.parametrize("error", [Unavailable("busy"), ZeroDivisionError("a bug")])
def test_equal_requests_at_the_same_time_share_a_failure(ledger, error):
    gate = Gate(error=error)
    assert asked_together(Cached(gate, ledger), gate, times=3) == [error, error, error]
    assert gate.asked == 1


def test_a_failure_nobody_else_waits_for_is_not_reported_a_second_time(ledger, caplog):
    with pytest.raises(Unavailable):
        asyncio.run(Cached(Scripted(Unavailable("busy")), ledger).complete(a_request()))
    gc.collect()  # asyncio complains here about errors that nobody looked at
    assert caplog.text == ""


def test_when_the_one_who_asks_is_cancelled_another_takes_over(ledger):
    gate = Gate()

    async def cancel_the_first() -> list[Reply | BaseException]:
        llm = Cached(gate, ledger)
        tasks = [asyncio.create_task(llm.complete(a_request())) for _ in range(3)]
        while gate.asked == 0:
            await asyncio.sleep(0.01)
        tasks[0].cancel()
        while gate.asked == 1:
            await asyncio.sleep(0.01)
        gate.open.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(asyncio.wait_for(cancel_the_first(), 10))
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert [reply.text for reply in outcomes[1:]] == ["answer 2", "answer 2"]
    assert gate.asked == 2


def test_when_one_who_waits_is_cancelled_the_others_go_on(ledger):
    gate = Gate()

    async def cancel_the_last() -> list[Reply | BaseException]:
        llm = Cached(gate, ledger)
        tasks = [asyncio.create_task(llm.complete(a_request())) for _ in range(3)]
        await asyncio.sleep(0.05)
        tasks[2].cancel()
        await asyncio.sleep(0)
        gate.open.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(cancel_the_last())
    assert [reply.text for reply in outcomes[:2]] == ["answer 1", "answer 1"]
    assert isinstance(outcomes[2], asyncio.CancelledError)
    assert gate.asked == 1


# --- Metered -------------------------------------------------------------------------------------


def test_every_stage_is_counted_on_its_own_and_in_total(ledger):
    asyncio.run(Cached(Scripted(Reply("kept", usage=Usage(9, 9))), ledger).complete(a_request("a")))
    script = Scripted(
        Reply("new", usage=Usage(5, 2, 3, 1)),
        Unavailable("busy"),
        Unavailable("busy"),
        Refused("no"),
        Reply("new", usage=Usage(10, 4)),
    )
    llm = Metered(Cached(script, ledger))

    async def ask_all() -> None:
        requests = [a_request(text) for text in "abcde"]
        for request in [*requests, a_request("f", stage="verify")]:
            await asyncio.gather(llm.complete(request), return_exceptions=True)

    asyncio.run(ask_all())
    chain = {
        "asked": 5,
        "answered": 2,
        "from_ledger": 1,  # request a: its 9 + 9 tokens were paid before
        "failed": {"Refused": 1, "Unavailable": 2},
        "input_tokens": 5,
        "output_tokens": 2,
        "cached_tokens": 3,
        "reasoning_tokens": 1,
    }
    verify = {
        "asked": 1,
        "answered": 1,
        "from_ledger": 0,
        "failed": {},
        "input_tokens": 10,
        "output_tokens": 4,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
    }
    assert llm.usage == {"chain": chain, "verify": verify}
    assert llm.total == {
        **chain,
        "asked": 6,
        "answered": 3,
        "input_tokens": 15,
        "output_tokens": 6,
    }


def test_nothing_asked_is_nothing_counted():
    llm = Metered(Scripted())
    assert llm.usage == {}
    assert llm.total["asked"] == 0


def test_a_cancelled_request_was_asked_but_neither_answered_nor_failed():
    hanging = Hanging()
    llm = Metered(hanging)

    async def give_up() -> None:
        task = asyncio.create_task(llm.complete(a_request()))
        await hanging.started.wait()
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(give_up())
    assert (llm.total["asked"], llm.total["answered"], llm.total["failed"]) == (1, 0, {})


def test_figures_once_taken_do_not_change():
    llm = Metered(Scripted("a", "b"))
    asyncio.run(llm.complete(a_request()))
    before = llm.usage
    asyncio.run(llm.complete(a_request()))
    assert before["chain"]["asked"] == 1
