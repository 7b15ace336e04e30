"""Many requests through one LLM: a bounded window, outcomes in order, failures kept as values."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from itertools import islice

from llmrg.errors import LLMError
from llmrg.llm.base import LLM, Done, Failed, Request

_AHEAD = 4
"""Requests taken from the source per slot: neighbours go on while the oldest is slow."""


async def run_batch(
    requests: Iterable[Request], llm: LLM, *, concurrency: int
) -> list[Done | Failed]:
    """Answer all requests and return their outcomes in the order of the requests.

    Raises:
        ValueError: if `concurrency` is smaller than 1.
        Exception: anything but an LLMError stops the batch; requests under way are cancelled.
    """
    return [outcome async for outcome in stream_batch(requests, llm, concurrency=concurrency)]


async def stream_batch(
    requests: Iterable[Request], llm: LLM, *, concurrency: int
) -> AsyncIterator[Done | Failed]:
    """Answer requests and yield their outcomes in order, however many there are.

    At most `concurrency` requests are under way, and at most four times as many are taken from
    `requests` before their outcome is yielded: a slow reader slows the asking down.

    Raises:
        ValueError: if `concurrency` is smaller than 1.
        Exception: anything but an LLMError stops the batch; requests under way are cancelled.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1 (got {concurrency})")
    slots = asyncio.Semaphore(concurrency)
    source = iter(requests)
    window: deque[asyncio.Task[Done | Failed]] = deque()

    try:
        while True:
            for request in islice(source, _AHEAD * concurrency - len(window)):
                window.append(asyncio.create_task(_outcome(request, llm, slots)))
            if not window:
                return
            outcome = await window[0]
            window.popleft()
            yield outcome
    finally:
        for task in window:
            task.cancel()
        await asyncio.gather(*window, return_exceptions=True)


async def _outcome(request: Request, llm: LLM, slots: asyncio.Semaphore) -> Done | Failed:
    async with slots:
        try:
            return Done(request, await llm.complete(request))
        except LLMError as error:
            return Failed(request, error)
