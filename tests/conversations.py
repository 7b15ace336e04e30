"""A tiny world for reasoning: five films, and a reasoner that says what a test tells it."""

from __future__ import annotations

import json
from collections.abc import Callable

from llmrg.llm.base import Request
from llmrg.llm.scripted import Scripted
from llmrg.types import Interaction, ItemId, UserHistory, UserId


def history(*numbers: int, profile=()) -> UserHistory:
    """A user who took film 1 to 5, by number, in this order."""
    interactions = tuple(Interaction(ItemId(f"m{number}")) for number in numbers)
    return UserHistory(UserId("u"), interactions, profile)


def data_of(request: Request) -> dict:
    """The data a question is about."""
    return json.loads(request.messages[1].content.partition("Data:")[2])


def answering(**stages: dict | Callable[[dict], dict]) -> Scripted:
    """A reasoner with one answer per stage: a reply, or a function of the question's data."""

    def answer(request: Request) -> str:
        reply = stages[request.stage]
        return json.dumps(reply(data_of(request)) if callable(reply) else reply)

    return Scripted(answer)
