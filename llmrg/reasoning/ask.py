"""Ask a stage question: render the prompt, get a reply, check it; ask again once if it is wrong."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel

from llmrg.errors import PromptError, ReplyError
from llmrg.llm.base import LLM, Message, Reply, Structured
from llmrg.llm.prompts import Prompt, load_prompt
from llmrg.llm.replies import parse, schema_of
from llmrg.reasoning.stages import REPLIES
from llmrg.text import attribute_text, clean
from llmrg.types import Attributes, Chain, Item, Step

ReplyModel = TypeVar("ReplyModel", bound=BaseModel)

Tally = Counter[str]
"""What happened while one user's graph was built: "chain.asked", "verify.rejected", …"""

SHOWN_STEPS = 6
"""Newest steps of a chain that a question shows: enough to see its drift, and bounded."""


@dataclass
class Asker:
    """Asks one reasoner; what it asks is counted in `tally`.

    Attributes:
        llm: who answers.
        structured: how the server is asked to keep to the schema of a reply.
        tally: counts for the user being worked on.
    """

    llm: LLM
    structured: Structured = "schema"
    tally: Tally = field(default_factory=Counter)

    async def ask(self, stage: str, reply: type[ReplyModel], data: dict[str, Any]) -> ReplyModel:
        """Ask the question of a stage about `data` and return the checked reply.

        A reply that is not what was asked for is shown back once, with what is wrong.

        Raises:
            ReplyError: if the second reply is unusable too.
            Unavailable, Refused: from the model.
        """
        text = json.dumps(data, ensure_ascii=False)
        worded = question(stage).request(self.llm.model, data=text)
        request = replace(worded, structured=self.structured)
        self.tally[f"{stage}.asked"] += 1
        answer = await self.llm.complete(request)
        try:
            return parse(answer.text, reply)
        except ReplyError as error:
            self.tally[f"{stage}.reasked"] += 1
            again = replace(request, messages=(*request.messages, *_correction(answer, error)))
            return parse((await self.llm.complete(again)).text, reply)

    def for_user(self) -> Asker:
        """The same reasoner with a fresh tally."""
        return Asker(self.llm, self.structured)


def _correction(answer: Reply, error: ReplyError) -> list[Message]:
    """The unusable reply and what is wrong with it; servers refuse an empty turn."""
    shown = [Message("assistant", answer.text)] if answer.text.strip() else []
    cut = " It was cut: be shorter." if answer.finish_reason == "length" else ""
    text = f"That reply cannot be used: {error}.{cut} Answer again with one JSON object only."
    return [*shown, Message("user", text)]


@lru_cache(maxsize=len(REPLIES))
def question(stage: str) -> Prompt:
    """The prompt of a stage together with the schema of its reply; its digest covers both.

    Raises:
        PromptError: if the prompt file asks for another reply than the stage reads.
    """
    reply = REPLIES[stage]
    prompt = load_prompt(stage, schema=schema_of(reply))
    if prompt.reply != reply.__name__:
        raise PromptError(
            f"prompts/{stage}.toml: reply is {prompt.reply!r}, the stage reads {reply.__name__!r}"
        )
    return prompt


@lru_cache(maxsize=16)
def prompt_digest(*stages: str) -> str:
    """Digest of the words behind a verdict: the prompts of these stages, in order."""
    return "+".join(question(stage).digest[:8] for stage in stages)


def describe_steps(chain: Chain) -> list[dict[str, str]]:
    """A chain as data for a question, oldest first, its newest `SHOWN_STEPS` steps."""
    return [_describe_step(step) for step in chain.steps[-SHOWN_STEPS:]]


def _describe_step(step: Step) -> dict[str, str]:
    described: dict[str, str] = {step.node.kind: clean(step.node.text)}
    if step.reason:
        described["because"] = clean(step.reason)
    return described


def describe_attributes(attributes: Attributes) -> list[str]:
    """Attributes or a profile as "name: value" texts, at most twenty."""
    return [attribute_text(name, value) for name, value in attributes[:20]]


def describe_item(item: Item) -> dict[str, Any]:
    """An item as data for a question."""
    return {"title": clean(item.title), "attributes": describe_attributes(item.attributes)}
