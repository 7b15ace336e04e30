"""LLMs around an LLM: one remembers what was paid for, one counts.

A wrapper touches only what it is for: requests go in and replies and errors come out as they are,
under the name and model of the LLM inside. The usual order, outermost first, is
`Metered(Cached(llm, ledger))`: everything is counted, and only what is new is asked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from llmrg.errors import LLMError
from llmrg.llm.base import LLM, Reply, Request, Usage
from llmrg.llm.ledger import Ledger


class Cached:
    """Answers from the ledger; asks the LLM inside only what the ledger does not know.

    A new reply is in the ledger before it is returned. Equal requests at the same time are asked
    once: the others wait and receive the same reply, or the same error.
    """

    def __init__(self, llm: LLM, ledger: Ledger) -> None:
        self._llm = llm
        self._ledger = ledger
        self._asking: dict[str, asyncio.Future[Reply]] = {}

    @property
    def name(self) -> str:
        """The name of the LLM inside."""
        return self._llm.name

    @property
    def model(self) -> str:
        """The model of the LLM inside."""
        return self._llm.model

    async def complete(self, request: Request) -> Reply:
        """Answer from the ledger, or ask and keep the reply.

        Raises:
            LLMError: whatever the LLM inside raises; errors are not kept.
            DataError: if the ledger cannot be used.
        """
        digest = request.digest()
        while (asked := self._asking.get(digest)) is not None:
            await asyncio.wait([asked])
            if not asked.cancelled():  # if it was, whoever wakes first asks again
                return replace(asked.result(), from_ledger=True)
        answer = asyncio.get_running_loop().create_future()
        self._asking[digest] = answer
        try:
            reply = await self._recall_or_ask(digest, request)
            answer.set_result(reply)
            return reply
        except Exception as error:
            answer.set_exception(error)
            raise
        finally:
            # Tells those who wait if we were cancelled; otherwise it only marks an error as seen.
            answer.cancel()
            del self._asking[digest]

    async def _recall_or_ask(self, digest: str, request: Request) -> Reply:
        # In threads: another process may hold the database for a while.
        kept = await asyncio.to_thread(self._ledger.get, digest)
        if kept is not None:
            return kept
        reply = await self._llm.complete(request)
        await asyncio.to_thread(self._ledger.put, request, reply, llm=self._llm.name)
        return reply


@dataclass
class StageUsage:
    """What one stage asked and got; `asked` is `answered` plus all `failed` plus those under way.

    Attributes:
        answered: replies received, those from the ledger included.
        from_ledger: replies that cost nothing now; their tokens are not counted.
        failed: error class name → number of requests that ended in it.
        tokens: as the servers counted them.
    """

    asked: int = 0
    answered: int = 0
    from_ledger: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    tokens: Usage = field(default_factory=Usage)

    def __add__(self, other: StageUsage) -> StageUsage:
        return StageUsage(
            self.asked + other.asked,
            self.answered + other.answered,
            self.from_ledger + other.from_ledger,
            self.failed + other.failed,
            self.tokens + other.tokens,
        )

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON can hold them."""
        return {
            "asked": self.asked,
            "answered": self.answered,
            "from_ledger": self.from_ledger,
            "failed": dict(sorted(self.failed.items())),
            **asdict(self.tokens),
        }


class Metered:
    """Counts requests, replies, errors and tokens per stage."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self._stages: dict[str, StageUsage] = {}

    @property
    def name(self) -> str:
        """The name of the LLM inside."""
        return self._llm.name

    @property
    def model(self) -> str:
        """The model of the LLM inside."""
        return self._llm.model

    @property
    def usage(self) -> dict[str, dict[str, Any]]:
        """The figures so far, by stage in alphabetical order; see `StageUsage` for the keys."""
        return {stage: count.as_dict() for stage, count in sorted(self._stages.items())}

    @property
    def total(self) -> dict[str, Any]:
        """The same figures over all stages."""
        return sum(self._stages.values(), start=StageUsage()).as_dict()

    async def complete(self, request: Request) -> Reply:
        """Pass the request on and count what comes back."""
        count = self._stages.setdefault(request.stage, StageUsage())
        count.asked += 1
        try:
            reply = await self._llm.complete(request)
        except LLMError as error:
            count.failed[type(error).__name__] += 1
            raise
        count.answered += 1
        if reply.from_ledger:
            count.from_ledger += 1
        else:
            count.tokens += reply.usage
        return reply
