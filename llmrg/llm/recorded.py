"""Replays a ledger: the same requests get the same replies, and nothing is spent."""

from __future__ import annotations

import asyncio

from llmrg.errors import ConfigError, Refused
from llmrg.llm.base import Reply, Request
from llmrg.llm.ledger import Ledger


class Recorded:
    """Answers only what the ledger holds.

    It goes by the name and model of whoever answered when the ledger was written, so what is built
    from a recording is, byte for byte, what was built then.

    Args:
        name, model: needed only where the ledger holds the replies of several LLMs.
    """

    def __init__(
        self, ledger: Ledger, *, name: str | None = None, model: str | None = None
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._model = model

    @property
    def name(self) -> str:
        """The recorded LLM's name; ConfigError if the ledger leaves a choice."""
        if self._name is None:
            self._name = self._source()[0] or f"recorded:{self.model}"
        return self._name

    @property
    def model(self) -> str:
        """The recorded LLM's model; ConfigError if the ledger leaves a choice."""
        if self._model is None:
            self._model = self._source()[1]
        return self._model

    async def complete(self, request: Request) -> Reply:
        """Return the recorded reply.

        Raises:
            Refused: if this request was never answered.
            DataError: if the ledger cannot be read.
        """
        digest = request.digest()
        reply = await asyncio.to_thread(self._ledger.get, digest)
        if reply is None:
            raise Refused(
                f"{self._ledger!r} holds no reply to this '{request.stage}' request for model "
                f"'{request.model}' (digest {digest}); replay with the data, prompts and settings "
                "of the recording, or run once with a real model and this ledger"
            )
        return reply

    def _source(self) -> tuple[str, str]:
        found = [
            (name, model)
            for name, model in self._ledger.sources()
            if self._name in (None, name) and self._model in (None, model)
        ]
        if len(found) > 1:
            choice = ", ".join(f"name={name!r} model={model!r}" for name, model in found)
            raise ConfigError(f"{self._ledger!r} holds several LLMs; name one: {choice}")
        return found[0] if found else ("", "recorded")
